import { describe, expect, it } from 'vitest';
import { RandomStreams } from '../../lib/sim/random.ts';

const COUNT = 200_000;

function sample(draw: () => number): number[] {
  return Array.from({ length: COUNT }, draw).sort((a, b) => a - b);
}

describe('random streams', () => {
  it('repeat for the same seed and differ for another', () => {
    const draw = (seed: number) => {
      const stream = new RandomStreams(seed).next();
      return [stream.uniform(), stream.int32(), stream.uniform()];
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  it('do not depend on what is drawn from the others', () => {
    const plain = new RandomStreams(1);
    plain.next();
    const second = plain.next();
    const busy = new RandomStreams(1);
    const first = busy.next();
    for (let i = 0; i < 1000; i++) first.uniform();
    expect(busy.next().uniform()).toBe(second.uniform());
  });

  it('draw sizes with the quantiles and the mean of Weibull(0.5, 1e6)', () => {
    const stream = new RandomStreams(3).next();
    const sizes = sample(() => stream.weibull(0.5, 1e6));
    const quantile = (q: number): number => sizes[Math.floor(q * COUNT)];
    // scale * (-ln(1 - q)) ** 2
    expect(quantile(0.5) / (1e6 * Math.log(2) ** 2)).toBeCloseTo(1, 1);
    expect(quantile(0.9) / (1e6 * Math.log(10) ** 2)).toBeCloseTo(1, 1);
    expect(sizes.reduce((sum, size) => sum + size, 0) / COUNT / 2e6).toBeCloseTo(1, 1);
  });

  it('draw exponentials with the stated mean, and uniforms in [0, 1)', () => {
    const stream = new RandomStreams(4).next();
    const times = sample(() => stream.exponential(5));
    expect(times.reduce((sum, time) => sum + time, 0) / COUNT).toBeCloseTo(5, 1);
    const uniform = sample(() => stream.uniform());
    expect(uniform[0]).toBeGreaterThanOrEqual(0);
    expect(uniform[COUNT - 1]).toBeLessThan(1);
    expect(uniform[COUNT / 2]).toBeCloseTo(0.5, 2);
  });
});
