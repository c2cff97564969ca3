/** The bar of the simulator's commands, and their lists. */
import { describe, expect, it } from 'vitest';
import { parseBetas, parseStrategy } from '../../lib/cli/balance.ts';
import { parseNumbers, parseWorkers } from '../../lib/cli/sim-output.ts';
import { describeProgress, SimProgress } from '../../lib/cli/sim-progress.ts';

describe('the bar', () => {
  it('estimates the time left from the time taken', () => {
    expect(describeProgress(0.5, 3, 6, 12)).toBe(
      '[###############---------------] 50 %, 3 of 6 runs, 12 s, 12 s left',
    );
    expect(describeProgress(0.25, 0, 1, 60)).toContain('60 s, 3 min 0 s left');
  });

  it('says nothing of the time left before anything is done', () => {
    expect(describeProgress(0, 0, 2, 3)).toContain('time left unknown');
  });

  it('is drawn five times a second at most', () => {
    const written: string[] = [];
    const times = [0, 0.05, 0.1, 0.3];
    const progress = new SimProgress({ isTTY: true, write: (text) => written.push(text) }, 1, () =>
      times.shift()!,
    );
    for (const share of [0.1, 0.2, 0.3]) progress.show(share, 0);
    expect(written).toHaveLength(2);
  });
});

describe('the lists of the command line', () => {
  it.each([
    ['1..5', [1, 2, 3, 4, 5]],
    ['1,4,7', [1, 4, 7]],
    ['1..3,9', [1, 2, 3, 9]],
    ['6', [6]],
  ])('%s are numbers', (text, numbers) => {
    expect(parseNumbers(text)).toEqual(numbers);
  });

  it.each(['', 'a', '3..1', '1,1', '1..3,2', '-1', '1.5', '1..99999999'])('"%s" is refused', (text) => {
    expect(() => parseNumbers(text)).toThrow('It takes whole numbers such as 1..30 or 1,4,7, none twice.');
  });

  it('has workers from 1 to 256', () => {
    expect(parseWorkers('2')).toBe(2);
    for (const text of ['0', '257', 'x']) expect(() => parseWorkers(text)).toThrow('from 1 to 256');
  });

  it('has modes and weights', () => {
    expect(parseStrategy('mixed')).toBe('mixed');
    expect(() => parseStrategy('best')).toThrow('one of equal, conservative, loss, mixed');
    expect(parseBetas('0.1,0.3,0.6')).toEqual({ equal: 0.1, conservative: 0.3, loss: 0.6 });
    for (const text of ['1', '0.5,0.6,0', '1,0,0,0', '2,-1,0', '1,,0', 'a,b,c']) {
      expect(() => parseBetas(text)).toThrow('three numbers from 0 whose sum is 1');
    }
  });
});
