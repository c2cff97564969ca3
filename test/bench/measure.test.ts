import { describe, expect, it } from 'vitest';
import { benchResult, bytesPerCall, collector, median } from '../../lib/bench/measure.ts';

describe('median', () => {
  it('is the middle value, or the mean of the two middle ones', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });
});

describe('benchResult', () => {
  it('takes the ratio pair by pair, so that a drifting machine does not bend it', () => {
    const result = benchResult('x', 'ns', 'y', [
      [1, 2],
      [10, 20],
      [100, 50],
    ]);
    expect(result.ratio).toBe(0.5);
    expect(result.value).toBe(10);
    expect(result.baseline).toBe(20);
    expect(result.pairs).toHaveLength(3);
    expect(result.machine.cores).toBeGreaterThan(0);
  });
});

describe('bytesPerCall', () => {
  it('sees what a call allocates, though the collector runs meanwhile', () => {
    let kept: number[] = [];
    const body = (calls: number): void => {
      for (let i = 0; i < calls; i++) kept = new Array<number>(100).fill(i);
    };
    body(10_000);
    const bytes = bytesPerCall(body, 2_000, collector());
    expect(bytes).toBeGreaterThan(800);
    expect(bytes).toBeLessThan(1000);
    expect(kept).toHaveLength(100);
  });

  it('sees that a call allocates nothing', () => {
    const values = new Int32Array(128);
    const body = (calls: number): void => {
      for (let i = 0; i < calls; i++) values[i & 127] = (values[i & 127] + i) | 0;
    };
    body(100_000);
    expect(bytesPerCall(body, 200_000, collector())).toBeLessThan(1);
  });
});
