/** The host against its oracle: random lives of connections, same mark and same path for every packet. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { REASON_FNE_SYN, REASON_LECT_FRAGMENT, REASON_NAMES } from '../../lib/lex/reasons.ts';
import { LexScript, SCRIPT_OPS } from '../support/lex-script.ts';
import { EVERY_KIND } from '../support/one-host.ts';

const step = fc.record({
  op: fc.nat(SCRIPT_OPS - 1),
  x: fc.nat(9999),
  y: fc.nat(9999),
});

describe.each(EVERY_KIND)('LexHost against the naive host, $name', ({ ends, scheme }) => {
  test('marks every packet alike and counts the same LEx bytes', () => {
    let lexBytes = 0;
    const reasons = new Set<string>();
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 80, size: 'max' }),
        fc.integer(),
        fc.constantFrom(1, 2, 3),
        fc.boolean(),
        (steps, seed, fneAfterTimeouts, keepPathWithoutAnswer) => {
          const script = new LexScript({ scheme, fneAfterTimeouts, keepPathWithoutAnswer }, ends, seed);
          script.run(steps);
          lexBytes += script.lexBytes;
          script.reasons.forEach((reason) => reasons.add(reason));
        },
      ),
      // Shrinking such scripts takes minutes; take endOnFailure out to have it.
      { numRuns: 150, seed: 20100, endOnFailure: true },
    );
    expect(lexBytes).toBeGreaterThan(2_000);
    const every = REASON_NAMES.slice(REASON_FNE_SYN, REASON_LECT_FRAGMENT);
    expect([...reasons].sort()).toEqual([...every].sort());
  });
});
