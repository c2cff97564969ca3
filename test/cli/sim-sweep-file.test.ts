/** The file of a sweep. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { optionsOf, pointsOf } from '../../lib/cli/sim-sweep.ts';
import { AXES, parseSweep } from '../../lib/cli/sim-sweep-file.ts';

const SAMPLE = new URL('../../docs/samples/sweep.yaml', import.meta.url);

/** What is wrong with a text, a line each. */
async function problemsOf(text: string): Promise<string[]> {
  try {
    await parseSweep(text, 'f.yaml');
  } catch (error) {
    return (error as Error).message.split('\n');
  }
  return [];
}

describe('the sample file', () => {
  const text = readFileSync(SAMPLE, 'utf8');

  it('names every axis, and is parsed', async () => {
    for (const axis of AXES) expect(text).toContain(`  ${axis}:`);
    const sweep = await parseSweep(text, 'sweep.yaml');
    expect(sweep.grid.betas[0]).toEqual({ equal: 1, conservative: 0, loss: 0 });
    expect(pointsOf(sweep.grid)).toHaveLength(6);
  });
});

describe('a sweep', () => {
  it('may be empty: one point with the defaults', async () => {
    const sweep = await parseSweep('{}', 'f.yaml');
    const [point, ...more] = pointsOf(sweep.grid);
    expect(more).toEqual([]);
    expect(optionsOf(sweep, point, 1)).toMatchObject({
      betas: { equal: 0.1, conservative: 0, loss: 0.9 },
      intervalSeconds: 10,
      ratesBitsPerSec: [25e6, 25e6, 25e6],
      rttSeconds: [0.1, 0.1, 0.1],
      flows: 40,
      seconds: 120,
      warmUpSeconds: 30,
    });
  });

  it('has every combination, the last axis fastest', async () => {
    const { grid } = await parseSweep('grid: { routes: [2, 3], flows: [1, 2], sizeShape: [1, 2] }', 'f.yaml');
    expect(pointsOf(grid).map(({ routes, flows, sizeShape }) => [routes, flows, sizeShape])).toEqual([
      ...[
        [2, 1, 1],
        [2, 1, 2],
        [2, 2, 1],
        [2, 2, 2],
      ],
      ...[
        [3, 1, 1],
        [3, 1, 2],
        [3, 2, 1],
        [3, 2, 2],
      ],
    ]);
  });

  it('takes lists for the routes round and round', async () => {
    const sweep = await parseSweep('grid: { routes: [5], ratesBitsPerSec: [[1e6, 2e6]] }', 'f.yaml');
    const { ratesBitsPerSec } = optionsOf(sweep, pointsOf(sweep.grid)[0], 1);
    expect(ratesBitsPerSec).toEqual([1e6, 2e6, 1e6, 2e6, 1e6]);
  });

  it('draws the first two axes with several values unless told otherwise', async () => {
    const { heatMap } = await parseSweep('grid: { flows: [1, 2], sizeShape: [1, 2] }', 'f.yaml');
    expect(heatMap).toEqual({ x: 'flows', y: 'sizeShape', value: 'spread' });
    const one = await parseSweep('{ grid: { flows: [1, 2] }, heatMap: { y: flows } }', 'f.yaml');
    expect(one.heatMap.x).not.toBe('flows');
  });

  it.each([
    [
      'seeds: [1.5]',
      'f.yaml:1:9: seeds[0]: 1.5 is not allowed; it takes a whole number from 0 to 2147483647',
    ],
    [
      'grid: { betas: [{ equal: 0.5 }] }',
      'f.yaml:1:17: grid.betas[0]: a sum of 0.5 is not allowed; it takes weights whose sum is 1',
    ],
    [
      'warmUpSeconds: 120',
      'f.yaml:1:16: warmUpSeconds: 120 is not allowed; it takes less than the 120 seconds of a point',
    ],
    [
      'grid: { intervalSeconds: [91] }',
      'f.yaml:1:27: grid.intervalSeconds[0]: 91 is not allowed; it takes at most the 90 seconds behind the warm-up',
    ],
    [
      'grid: { rttSeconds: [[0.1, 0.1, 0.1, 0.1]] }',
      'f.yaml:1:22: grid.rttSeconds[0]: a list of 4 is not allowed; it takes at most 3 values, the least number of routes',
    ],
    [
      'grid: { ratesBitsPerSec: [10] }',
      'f.yaml:1:27: grid.ratesBitsPerSec[0]: 10 is not allowed; it takes a number from 1000 to 1000000000000, or a list of 1 to 15 of them',
    ],
    [
      'heatMap: { x: flows, y: flows }',
      'f.yaml:1:25: heatMap.y: "flows" is not allowed; it takes another axis than heatMap.x',
    ],
  ])('%s is refused', async (text, problem) => {
    expect(await problemsOf(text)).toEqual([problem]);
  });

  it('names unknown keys, and a grid that is too large', async () => {
    const many = Array.from({ length: 150 }, (_, i) => i + 1).join(', ');
    const problems = await problemsOf(`load: 3\ngrid: { flows: [${many}], intervalSeconds: [${many}] }`);
    expect(problems.some((line) => line.includes('load: is not a known key'))).toBe(true);
    expect(problems.some((line) => line.includes('a grid of 22500 is not allowed'))).toBe(true);
  });
});
