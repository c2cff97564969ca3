/**
 * What is kept of a flow for people, beside the state that decides its marks: what it sent, what became of its path, and
 * why. One cache line a flow, in the extra doubles of the flow table, only with the option `flowHistory`.
 *
 *      double 0  outbound packets (a GSO super-packet is one)
 *      double 1  outbound bytes of IP packets
 *      double 2  those of them marked LEx
 *      double 3  inbound bytes of IP packets
 *      double 4  when the flow was pinned last, ns; 0 = never
 *      double 5  when it lost its path last, ns; 0 = never
 *      double 6  bits 0..4 reason of the pinning | 5..9 reason of the loss | 10..13 the path that it had before
 *      double 7  the last verdicts, 5 bits each, the newest lowest
 */
import { CODEPOINT_LEX } from '../wire/marking/scheme.ts';
import { REASON_CODEPOINT, REASON_NAMES } from './reasons.ts';

/** Doubles of a flow. */
export const HISTORY_DOUBLES = 8;

const OUT_PACKETS = 0;
const OUT_BYTES = 1;
const LEX_BYTES = 2;
const IN_BYTES = 3;
const PINNED_NS = 4;
const LOST_NS = 5;
const CHANGES = 6;
const VERDICTS = 7;

const REASON_BITS = 5;
const REASON_MASK = 31;
const PATH_SHIFT = 10;
/** Verdicts that are remembered. */
const VERDICT_COUNT = 6;
const VERDICTS_MASK = 2 ** (REASON_BITS * VERDICT_COUNT) - 1;

/** How a flow came to the path that it has, and what it sent. */
export interface FlowHistory {
  readonly outPackets: number;
  /** Bytes of IP packets; a GSO super-packet counts its headers once. */
  readonly outBytes: number;
  /** Of them in packets marked LEx. */
  readonly lexBytes: number;
  readonly inBytes: number;
  /** How long ago it was pinned to a path last, ns; undefined when it never was. */
  readonly pinnedAgoNs?: number | undefined;
  /** The reason that the packet was counted with which pinned it. */
  readonly pinnedBy?: string | undefined;
  /** How long ago it lost its path last, ns; undefined when it never did. */
  readonly lostAgoNs?: number | undefined;
  /** The reason that the packet was counted with which lost it. */
  readonly lostBy?: string | undefined;
  /** The path that it had before the last change, 0 for none. */
  readonly earlierPathId: number;
  /** Reasons of the last outbound packets, the newest first; one of the last two is not repeated. */
  readonly verdicts: readonly string[];
}

/**
 * Notes an outbound packet.
 *
 * @hotpath
 * @param at - first double of the flow
 * @param length - bytes of the packet
 * @param before - path ID before the packet
 * @param after - path ID after it
 */
export function noteOutbound(
  history: Float64Array,
  at: number,
  reason: number,
  length: number,
  before: number,
  after: number,
  nowNs: number,
): void {
  history[at + OUT_PACKETS]++;
  history[at + OUT_BYTES] += length;
  if (REASON_CODEPOINT[reason] === CODEPOINT_LEX) history[at + LEX_BYTES] += length;
  const verdicts = history[at + VERDICTS] | 0;
  // Data and acknowledgments in turn would push out what is worth knowing.
  if ((verdicts & REASON_MASK) !== reason && ((verdicts >> REASON_BITS) & REASON_MASK) !== reason) {
    history[at + VERDICTS] = ((verdicts << REASON_BITS) | reason) & VERDICTS_MASK;
  }
  if (before !== after) notePath(history, at, reason, before, after, nowNs);
}

/** Notes an inbound packet; the parameters are those of {@link noteOutbound}. @hotpath */
export function noteInbound(
  history: Float64Array,
  at: number,
  reason: number,
  length: number,
  before: number,
  after: number,
  nowNs: number,
): void {
  history[at + IN_BYTES] += length;
  if (before !== after) notePath(history, at, reason, before, after, nowNs);
}

/** Forgets everything, for another connection with the same ports. @hotpath */
export function resetHistory(history: Float64Array, at: number): void {
  history.fill(0, at, at + HISTORY_DOUBLES);
}

function notePath(
  history: Float64Array,
  at: number,
  reason: number,
  before: number,
  after: number,
  nowNs: number,
): void {
  const changes = history[at + CHANGES] | 0;
  const pinned = after === 0 ? changes & REASON_MASK : reason;
  const lost = after === 0 ? reason : (changes >> REASON_BITS) & REASON_MASK;
  history[at + (after === 0 ? LOST_NS : PINNED_NS)] = nowNs;
  history[at + CHANGES] = pinned | (lost << REASON_BITS) | (before << PATH_SHIFT);
}

/** Reads the history of a flow. Allocates. */
export function readHistory(history: Float64Array, at: number, nowNs: number): FlowHistory {
  const changes = history[at + CHANGES] | 0;
  const agoOf = (timeNs: number): number | undefined => (timeNs === 0 ? undefined : nowNs - timeNs);
  const nameOf = (timeNs: number, shift: number): string | undefined =>
    timeNs === 0 ? undefined : REASON_NAMES[(changes >> shift) & REASON_MASK];
  const verdicts: string[] = [];
  for (let rest = history[at + VERDICTS] | 0; rest !== 0; rest >>= REASON_BITS) {
    verdicts.push(REASON_NAMES[rest & REASON_MASK]);
  }
  return {
    outPackets: history[at + OUT_PACKETS],
    outBytes: history[at + OUT_BYTES],
    lexBytes: history[at + LEX_BYTES],
    inBytes: history[at + IN_BYTES],
    pinnedAgoNs: agoOf(history[at + PINNED_NS]),
    pinnedBy: nameOf(history[at + PINNED_NS], 0),
    lostAgoNs: agoOf(history[at + LOST_NS]),
    lostBy: nameOf(history[at + LOST_NS], REASON_BITS),
    earlierPathId: changes >> PATH_SHIFT,
    verdicts,
  };
}

/** Bytes that a flow sent. */
export function bytesSent(history: Float64Array, at: number): number {
  return history[at + OUT_BYTES];
}

/** Bytes of packets that a flow sent marked LEx. */
export function bytesMarkedLex(history: Float64Array, at: number): number {
  return history[at + LEX_BYTES];
}
