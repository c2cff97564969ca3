/** Sizes of transfers: Weibull with shape 0.5 and scale 10^6. */
import { describe, expect, it } from 'vitest';
import { RandomStreams } from '../../../lib/sim/random.ts';
import { quantile } from '../../../namespaces-lab/result.ts';
import { drawSize, PAPER_SIZES } from '../../../namespaces-lab/traffic/sizes.ts';

const COUNT = 200_000;

function draw(seed: number): number[] {
  const random = new RandomStreams(seed).next();
  return Array.from({ length: COUNT }, () => drawSize(PAPER_SIZES, random));
}

describe('drawSize', () => {
  const sizes = draw(1).sort((a, b) => a - b);

  it('has the mean of the distribution, scale * gamma(1 + 1 / 0.5) = 2 MB', () => {
    const mean = sizes.reduce((sum, size) => sum + size, 0) / COUNT;
    expect(mean / 2e6).toBeGreaterThan(0.97);
    expect(mean / 2e6).toBeLessThan(1.03);
  });

  it.each([0.1, 0.5, 0.9, 0.99])(
    'has the quantile %d of the distribution, scale * ln(1 / (1 - q))^2',
    (share) => {
      const expected = 1e6 * Math.log(1 / (1 - share)) ** 2;
      expect(quantile(sizes, share)! / expected).toBeGreaterThan(0.95);
      expect(quantile(sizes, share)! / expected).toBeLessThan(1.05);
    },
  );

  it('gives most of the bytes to the largest tenth: 59 %', () => {
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const top = sizes.slice(COUNT * 0.9).reduce((sum, size) => sum + size, 0);
    expect(top / total).toBeCloseTo(0.59, 1);
  });

  it('is the same for the same seed, and another for another', () => {
    expect(draw(7).slice(0, 20)).toEqual(draw(7).slice(0, 20));
    expect(draw(7).slice(0, 20)).not.toEqual(draw(8).slice(0, 20));
  });

  it('gives whole bytes, at least one', () => {
    expect(sizes.every((size) => Number.isInteger(size) && size >= 1)).toBe(true);
    expect(drawSize({ weibull: { shape: 0.5, scaleBytes: 1e-9 } }, new RandomStreams(1).next())).toBe(1);
  });

  it('can be fixed', () => {
    expect(drawSize({ bytes: 20_000 }, new RandomStreams(1).next())).toBe(20_000);
  });
});
