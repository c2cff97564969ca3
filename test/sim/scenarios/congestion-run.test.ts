/** The short form of `preflex sim congestion`: losses without a failure suspend no route, though there is much to see. */
import { describe, expect, it } from 'vitest';
import { CONGESTION_REGIMES, runCongestion } from '../../../lib/sim/scenarios/congestion-run.ts';

const SECONDS = 20;

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
});
