/** The short form of `preflex sim congestion`: losses without a failure suspend no route. */
import { describe, expect, it } from 'vitest';
import { CONGESTION_REGIMES, runCongestion } from '../../../lib/sim/scenarios/congestion-run.ts';

const SECONDS = 60;
const lossy = CONGESTION_REGIMES.filter(({ name }) => /^[58] %/.test(name));

describe('congestion between two domains', () => {
  it.each(CONGESTION_REGIMES)('suspends no route: $name', (regime) => {
    const record = runCongestion({ regime, seconds: SECONDS, seed: 3 });
    expect(record.suspensions).toEqual([]);
    expect(record.dropRatio).toBeGreaterThan(0.0005);
  });

  it.each(lossy)('is nothing that both gateways overlook: $name', (regime) => {
    const { gateways } = runCongestion({ regime, seconds: SECONDS, seed: 4 });
    const [ps, pc] = gateways.map(({ evidence }) => evidence);
    expect(ps.losses.exposures).toBeGreaterThan(20);
    expect(pc.repeats.exposures).toBeGreaterThan(10);
    for (const { closest } of [ps.losses, pc.losses, pc.repeats]) {
      expect(closest).toBeGreaterThan(0);
      expect(closest).toBeLessThan(1);
    }
  });
});
