import { describe, expect, test } from 'vitest';
import { mixBits } from '../../lib/pref/flow-hash.ts';
import { LOG2_FRACTION_BITS, distanceOf } from '../../lib/pref/log2.ts';

const exactly = (score: number): number => -Math.log2((score + 0.5) / 2 ** 32) * 2 ** LOG2_FRACTION_BITS;
const edges = [0, 1, 2, 3, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 2, 2 ** 32 - 1];
const many = Array.from({ length: 20_000 }, (_, i) => mixBits(i) >>> (i & 31));

describe('the distance of a score', () => {
  test('is its negative logarithm to within 3e-6, and a whole number', () => {
    for (const score of [...edges, ...many]) {
      expect(Number.isInteger(distanceOf(score))).toBe(true);
      expect(Math.abs(distanceOf(score) - exactly(score)) / 2 ** LOG2_FRACTION_BITS).toBeLessThan(3e-6);
    }
  });

  test('never grows with the score', () => {
    const sorted = [...edges, ...many].sort((a, b) => a - b);
    for (const [i, score] of sorted.entries()) {
      if (i > 0) expect(distanceOf(score)).toBeLessThanOrEqual(distanceOf(sorted[i - 1]));
    }
  });

  test('times a weight stays exact', () => {
    expect(distanceOf(0) * 2 ** 24).toBeLessThan(2 ** 53);
    expect(distanceOf(2 ** 32 - 1)).toBeGreaterThanOrEqual(0);
  });
});
