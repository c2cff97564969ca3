/**
 * Random lives of gateways by a {@link GatewayVerifier}: ratios, routes, suspensions, prefixes and limits change between
 * the packets of generated sequences.
 */
import { REASON_NAMES } from '../../pref/reasons.ts';
import { Dice } from './dice.ts';
import { changeGateway, drawGatewayOptions } from './gateway-changes.ts';
import { GatewaySequence } from './gateway-sequence.ts';
import { GatewayVerifier } from './gateway-verifier.ts';
import type { Life, VerifyOptions, VerifyResult } from './verify-loop.ts';
import { runLives } from './verify-loop.ts';

/** Sequences that a gateway lives. */
const LIFE = 8;
const PREFIXES = [
  ['10.1.0.0/24', 'fd01::/44'],
  ['10.1.1.0/24', 'fd01:0:0:100::/56'],
  ['10.1.2.0/24'],
  ['10.1.3.0/24', 'fd01:0:0:300::/56'],
  ['10.1.1.128/25', '10.1.3.2/32', 'fd01:0:0:300::64/128'],
];
/** Times to begin at: anywhere, and shortly before milliseconds no longer fit 31 and 32 bits. */
const STARTS_NS = [1e9, 1e9, 1e12, (2 ** 31 - 3000) * 1e6, (2 ** 32 - 3000) * 1e6];

/**
 * Runs generated sequences until they differ too often or are done. A gateway lives for {@link LIFE} of them; where they
 * differ, `sequence` is the first one of its life, and `packet` counts from there.
 */
export function verifyGateway(options: VerifyOptions): VerifyResult {
  const verifier = new GatewayVerifier();
  try {
    return runLives(options, REASON_NAMES, LIFE, (seed, sequences, longest, reasons) =>
      runLife(verifier, seed, sequences, longest, reasons),
    );
  } finally {
    verifier.close();
  }
}

/** The sequences of one gateway; how they differ, and after how many packets. */
function runLife(
  verifier: GatewayVerifier,
  seed: number,
  sequences: number,
  longest: number,
  reasons: number[],
): Life {
  const dice = new Dice(seed);
  const gateway = drawGatewayOptions(dice);
  const pathIds = gateway.routes.map((route) => route.pathId);
  verifier.restart(
    gateway,
    PREFIXES.map((prefixes) => ({ prefixes, pathIds: drawPathIds(dice, pathIds) })),
  );
  const { scheme } = verifier.core.settings;
  let nowNs = dice.pick(STARTS_NS) + dice.below(1e9);
  let packets = 0;
  for (let i = 0; i < sequences; i++) {
    const sequence = new GatewaySequence(dice, verifier.writer, scheme, pathIds, nowNs);
    for (let left = 1 + dice.below(longest); left > 0; left--) {
      if (dice.once(10)) changeGateway(dice, verifier, PREFIXES.flat(), sequence.nowNs);
      const step = sequence.next();
      const outcome = verifier.handle(step, dice.below(2 ** 32), dice.below(pathIds.length));
      packets++;
      if (typeof outcome === 'string') return { packets, what: outcome };
      reasons[outcome]++;
    }
    nowNs = sequence.nowNs;
  }
  return { packets, what: verifier.compareBooks() };
}

/** Some of them, one at least. */
function drawPathIds(dice: Dice, pathIds: readonly number[]): number[] {
  const some = pathIds.filter(() => !dice.once(4));
  return some.length === 0 ? [dice.pick(pathIds)] : some;
}
