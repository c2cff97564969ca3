/** Bulk flows on one bottleneck. */
import { describe, expect, it } from 'vitest';
import { runBulkFlows } from '../../../lib/sim/scenarios/bulk-flows.ts';

const OPTIONS = { seconds: 30, seed: 1, rateBitsPerSec: 5e6, tcp: { congestionControl: 'newreno' as const } };

describe('bulk flows', () => {
  it('fill the link, and lose more the more they are', () => {
    const [few, many] = [2, 20].map((flows) => runBulkFlows({ ...OPTIONS, flows }));
    expect(few.utilisation).toBeGreaterThan(0.9);
    expect(many.utilisation).toBeGreaterThan(0.97);
    expect(many.lossRatio).toBeGreaterThan(5 * few.lossRatio);
    expect(many.fairness).toBeGreaterThan(0.5);
  });

  it('send again what was lost', () => {
    const { lossRatio, retransmittedRatio } = runBulkFlows({ ...OPTIONS, flows: 10 });
    expect(retransmittedRatio / lossRatio).toBeGreaterThan(0.9);
    expect(retransmittedRatio / lossRatio).toBeLessThan(1.2);
  });
});
