/** Means and confidence intervals. */
import { describe, expect, it } from 'vitest';
import { estimate, studentT } from '../../lib/sim/statistics.ts';

describe('studentT', () => {
  it.each([
    [1, 12.706],
    [4, 2.776],
    [10, 2.228],
    [11, 2.201],
    [29, 2.045],
    [100, 1.984],
    [100_000, 1.96],
  ])('of %d degrees of freedom is %d, as in the tables', (freedom, quantile) => {
    expect(studentT(freedom)).toBeCloseTo(quantile, 3);
  });
});

describe('estimate', () => {
  it('has the mean and the interval of known numbers', () => {
    const { mean, halfWidth, min, max, count } = estimate([1, 2, 3, 4, 5])!;
    expect([mean, min, max, count]).toEqual([3, 1, 5, 5]);
    // s = sqrt(2.5), t = 2.776.
    expect(halfWidth).toBeCloseTo((2.776 * Math.sqrt(2.5)) / Math.sqrt(5), 3);
  });

  it('has no interval for one run', () => {
    expect(estimate([7])).toEqual({ mean: 7, halfWidth: null, min: 7, max: 7, count: 1 });
  });

  it('leaves runs without a value out, and is not there without any', () => {
    expect(estimate([null, 4, null])?.count).toBe(1);
    expect(estimate([null])).toBeUndefined();
  });
});
