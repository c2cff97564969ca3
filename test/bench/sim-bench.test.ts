/** The simulator's benchmark, at small size. */
import { describe, expect, it } from 'vitest';
import { benchSim } from '../../lib/bench/sim-bench.ts';

describe('bench sim', () => {
  it('measures Figure 1 against real time and the bare queue, and growth against the first number', () => {
    const results = benchSim({ pairs: 1, seconds: 5, connections: [10, 200] });
    const named = new Map(results.map((result) => [result.name, result]));
    expect([...named.keys()]).toEqual([
      'Figure 1, 5 s',
      'Figure 1, 5 s, by the clock',
      'Figure 1, 5 s, events',
      'Figure 1, 5 s, memory at its end',
      '10 connections, events',
      '10 connections, memory',
      '200 connections, events',
      '200 connections, memory',
    ]);
    expect(named.get('10 connections, events')!.ratio).toBe(1);
    const figure1 = named.get('Figure 1, 5 s')!;
    expect(figure1.baseline).toBe(1);
    expect(figure1.value).toBeGreaterThan(1);
    expect(named.get('Figure 1, 5 s, events')!.ratio).toBeLessThan(1);
    expect(named.get('200 connections, memory')!.value).toBeGreaterThan(0);
  });
});
