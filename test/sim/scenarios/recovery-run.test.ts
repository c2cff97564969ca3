/** Two PREFLEX domains when one of three links between them becomes a black hole, in virtual time. */
import { describe, expect, it } from 'vitest';
import { runRecovery } from '../../../lib/sim/scenarios/recovery-run.ts';
import type { DeadDirections, RecoveryRecord } from '../../../lib/sim/scenarios/recovery-run.ts';

const suspended = ({ decisions }: RecoveryRecord): string[] =>
  decisions
    .filter(({ decision }) => decision === 'suspended')
    .map(({ by, gateway, pathId }) => `${gateway} ${pathId} ${by}`)
    .sort();

/**
 * The simulated sender sends new data as its tail loss probe and repeats first with its retransmission timer, 0.66 s after
 * the failure. The acknowledgement of what it repeats takes another route, whether the old one is suspended by then or not.
 */
const MEDIAN = 0.8;
const LONGEST = 0.9;

const records = new Map<string, RecoveryRecord>();

/** In loss mode; run once, whoever asks. */
function recordOf(dead: DeadDirections, seed: number): RecoveryRecord {
  const key = `${dead} ${seed}`;
  const record = records.get(key) ?? runRecovery({ mode: 'loss', dead, seed });
  records.set(key, record);
  return record;
}

describe('a link that dies', () => {
  it.each([
    ['forward', ['ps 2 losses']],
    ['backward', ['pc 2 repeats']],
    ['both', ['pc 2 repeats', 'ps 2 losses']],
  ] as const)(
    '%s is found by each gateway from its own evidence, and no other link is suspended',
    (dead, found) => {
      for (const seed of [1, 2]) {
        const record = recordOf(dead, seed);
        expect(suspended(record)).toEqual(found);
        expect(record.decisionsBefore).toBe(0);
        expect(record.decisions.filter(({ decision }) => decision === 'returned')).toHaveLength(found.length);
        expect(record.stall.count).toBeGreaterThanOrEqual(15);
        expect(record.stall.p50).toBeLessThanOrEqual(MEDIAN);
        expect(record.stall.max).toBeLessThanOrEqual(LONGEST);
        expect(record.lost).toBe(0);
        expect(record.newOver3Seconds).toBeLessThanOrEqual(0.01 * record.newConnections);
      }
    },
  );

  it('is found as well where the gateways do not show each other the marks', () => {
    const record = runRecovery({ mode: 'loss', dead: 'both', seed: 1, isExposed: false });
    expect(suspended(record)).toEqual(['pc 2 repeats', 'ps 2 losses']);
    expect(record.stall.max).toBeLessThanOrEqual(LONGEST);
  });

  it('is not found by gateways that infer nothing; then hosts take their two timeouts', () => {
    const record = runRecovery({ mode: 'equal', dead: 'both', seed: 1 });
    expect(record.decisions).toEqual([]);
    expect(record.stall.p50).toBeGreaterThan(1);
    expect(record.lost).toBe(0);
  });

  it('is the same for the same seed', () => {
    expect(runRecovery({ mode: 'loss', dead: 'both', seed: 1 })).toEqual(recordOf('both', 1));
  });
});
