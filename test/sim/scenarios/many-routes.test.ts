/** A point of a sweep. */
import { describe, expect, it } from 'vitest';
import { gamma, runManyRoutes } from '../../../lib/sim/scenarios/many-routes.ts';
import type { ManyRoutesOptions } from '../../../lib/sim/scenarios/many-routes.ts';

const POINT: ManyRoutesOptions = {
  betas: { equal: 1, conservative: 0, loss: 0 },
  intervalSeconds: 1,
  ratesBitsPerSec: [2e6, 4e6],
  rttSeconds: [0.05, 0.1],
  queueBdp: 1,
  flows: 6,
  pauseSeconds: 0,
  sizeShape: 1,
  meanBytes: 50_000,
  flowletGapSeconds: 1,
  seconds: 15,
  warmUpSeconds: 5,
  seed: 1,
};

describe('a point', () => {
  it('divides evenly with beta_E = 1, so that the narrower route loses more', () => {
    const { routes, ratioChange, utilisation } = runManyRoutes(POINT);
    expect(routes.map(({ flowletRatio }) => flowletRatio)).toEqual([0.5, 0.5]);
    expect(ratioChange).toBe(0);
    expect(routes[0].lossRatio).toBeGreaterThan(routes[1].lossRatio);
    expect(utilisation).toBeGreaterThan(0.4);
    expect(utilisation).toBeLessThanOrEqual(1.01);
  });

  it('evens the losses out with loss balancing', () => {
    // In ten seconds of six flows the spread is mostly chance.
    const minute = { ...POINT, seconds: 65 };
    const loss = runManyRoutes({ ...minute, betas: { equal: 0.1, conservative: 0.3, loss: 0.6 } });
    expect(loss.routes[1].flowletRatio).toBeGreaterThan(loss.routes[0].flowletRatio);
    expect(loss.spread).toBeLessThan(0.8 * runManyRoutes(minute).spread!);
  });

  it.each([7, 15])('has %d routes with the scheme that has so many path IDs', (count) => {
    const list = <T>(value: T): T[] => Array.from({ length: count }, () => value);
    const record = runManyRoutes({
      ...POINT,
      ratesBitsPerSec: list(2e6),
      rttSeconds: list(0.05),
      flows: 30,
    });
    expect(record.routes).toHaveLength(count);
    for (const { utilisation } of record.routes) expect(utilisation).toBeGreaterThan(0);
  });

  it('begins flowlets within a connection when the pauses are longer than the gap', () => {
    const paused = { ...POINT, pauseSeconds: 0.5, flows: 20 };
    const [short, long] = [0.1, 10].map((flowletGapSeconds) =>
      runManyRoutes({ ...paused, flowletGapSeconds, betas: { equal: 0.1, conservative: 0, loss: 0.9 } }),
    );
    expect(short.completionSeconds).toBeNull();
    // Without new flowlets every connection stays where it began, whatever the ratios say.
    expect(short.routes).not.toEqual(long.routes);
  });

  it('is the same twice', () => {
    expect(runManyRoutes(POINT)).toEqual(runManyRoutes(POINT));
  });

  it.each([
    [{ ratesBitsPerSec: [1e6] }, /routes: 1 is not allowed; it takes a whole number from 2 to 15/],
    [{ rttSeconds: [0.1] }, /rttSeconds: .*a list of 2 round trips/],
    [{ warmUpSeconds: 20 }, /warmUpSeconds: 20 is not allowed; it takes a number from 0 to 15/],
    [{ sizeShape: 0 }, /sizeShape/],
  ])('refuses %j', (change, message) => {
    expect(() => runManyRoutes({ ...POINT, ...change })).toThrow(message);
  });
});

describe('gamma', () => {
  it.each([
    [1, 1],
    [1.5, Math.sqrt(Math.PI) / 2],
    [3, 2],
    [6, 120],
  ])('of %d is known', (x, expected) => {
    expect(gamma(x) / expected).toBeCloseTo(1, 12);
  });
});
