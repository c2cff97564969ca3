/** The short form of `preflex sim congestion`: losses without a failure suspend no route, though there is much to see. */
import { describe, expect, it } from 'vitest';
import { CONGESTION_REGIMES, runCongestion } from '../../../lib/sim/scenarios/congestion-run.ts';

const SECONDS = 20;

/** First minutes in which one burst took so much of several flows that it looked like the end of the route. */
const WORST_MINUTES = [
  ['5 % in bursts of 5', 3],
  ['5 % in bursts of 5', 24],
  ['8 % in bursts of 5, 12 connections', 19],
  ['8 % in bursts of 5, 12 connections', 41],
] as const;

describe('congestion between two domains', () => {
  it.each(CONGESTION_REGIMES)('suspends no route: $name', (regime) => {
    const { dropRatio, gateways, suspensions } = runCongestion({ regime, seconds: SECONDS, seed: 3 });
    expect(suspensions).toEqual([]);
    expect(dropRatio).toBeGreaterThan(0.0005);
    if (!/^[58] %/.test(regime.name)) return;
    const [ps, pc] = gateways.map(({ evidence }) => evidence);
    expect(ps.losses.exposures).toBeGreaterThan(20);
    expect(pc.repeats.exposures).toBeGreaterThan(5);
    for (const { closest } of [ps.losses, pc.losses, pc.repeats]) {
      expect(closest).toBeGreaterThan(0);
      expect(closest).toBeLessThan(1);
    }
  });

  it.each(WORST_MINUTES)('suspends no route in a minute of the worst: %s, seed %d', (name, seed) => {
    const regime = CONGESTION_REGIMES.find((one) => one.name === name);
    expect(regime).toBeDefined();
    if (regime === undefined) return;
    expect(runCongestion({ regime, seconds: 60, seed }).suspensions).toEqual([]);
  });
});
