/** What the host counts. Everything only grows; a reader takes differences. */
import { REASON_COUNT, REASON_NAMES } from './reasons.ts';

/** Names of the exclusions: payload bytes that TCP sent again and that were, for a stated reason, not marked LEx. */
export const EXCLUSION_NAMES = ['tfo', 'zeroWindow', 'fneRepeat', 'restart'] as const;
/** Exclusion: data that went with the SYN and was refused there (RFC 7413). */
export const EXCLUSION_TFO = 0;
/** Exclusion: probes of a closed window. */
export const EXCLUSION_ZERO_WINDOW = 1;
/** Exclusion: repeats that had to be FNE, or that a host-driven flow changed its path with instead. */
export const EXCLUSION_FNE_REPEAT = 2;
/** Exclusion: first seen after this host was restarted in the middle of the flow. */
export const EXCLUSION_RESTART = 3;

const CODEPOINTS = 4;
const PATH_IDS = 16;

/** Counters of one host. Arrays are indexed by reason, codepoint (0..3) or path ID (0..15). */
export class LexCounters {
  /** Outbound packets by reason. */
  readonly outPackets = new Float64Array(REASON_COUNT);
  /** Inbound packets by reason. */
  readonly inPackets = new Float64Array(REASON_COUNT);
  /** Outbound packets by codepoint; a GSO super-packet is one. */
  readonly codepointPackets = new Float64Array(CODEPOINTS);
  /** Outbound bytes of IP packets by codepoint; a GSO super-packet counts its headers once. */
  readonly codepointBytes = new Float64Array(CODEPOINTS);
  /** Outbound marked packets by the path ID that they carry; index 0 = none. */
  readonly pathPackets = new Float64Array(PATH_IDS);
  /** Inbound assignments taken, by path ID. */
  readonly assignments = new Float64Array(PATH_IDS);
  /** Payload bytes of packets marked LEx. */
  lexPayloadBytes = 0;
  /** Payload bytes sent again without the LEx mark, by exclusion. */
  readonly excludedBytes = new Float64Array(EXCLUSION_NAMES.length);
  /** Flows that gave up their path after successive timeouts. */
  unpinned = 0;
  /** Flows that the host moved to another path that it had learnt. */
  moved = 0;
  /** Flowlets that kept their earlier path because the answer carried no assignment. */
  keptPaths = 0;
  /** Inbound acknowledgements of data never sent, which are not believed. */
  impossibleAcks = 0;
}

/** The counters as plain data for JSON; packet counters that are zero are left out. */
export interface LexCounterReport {
  readonly out: Record<string, number>;
  readonly in: Record<string, number>;
  readonly codepoints: Record<'notLect' | 'lect' | 'lex' | 'fne', { packets: number; bytes: number }>;
  readonly pathPackets: Record<string, number>;
  readonly assignments: Record<string, number>;
  readonly lexPayloadBytes: number;
  readonly exclusions: Record<(typeof EXCLUSION_NAMES)[number], number>;
  readonly unpinned: number;
  readonly moved: number;
  readonly keptPaths: number;
  readonly impossibleAcks: number;
}

/** Copies the counters into plain data. */
export function reportLexCounters(counters: LexCounters): LexCounterReport {
  const byCodepoint = (i: number) => ({
    packets: counters.codepointPackets[i],
    bytes: counters.codepointBytes[i],
  });
  return {
    out: nonZero(counters.outPackets, REASON_NAMES),
    in: nonZero(counters.inPackets, REASON_NAMES),
    codepoints: { notLect: byCodepoint(0), lect: byCodepoint(1), lex: byCodepoint(2), fne: byCodepoint(3) },
    pathPackets: nonZero(counters.pathPackets),
    assignments: nonZero(counters.assignments),
    lexPayloadBytes: counters.lexPayloadBytes,
    exclusions: Object.fromEntries(
      EXCLUSION_NAMES.map((name, i) => [name, counters.excludedBytes[i]]),
    ) as LexCounterReport['exclusions'],
    unpinned: counters.unpinned,
    moved: counters.moved,
    keptPaths: counters.keptPaths,
    impossibleAcks: counters.impossibleAcks,
  };
}

function nonZero(values: Float64Array, names?: readonly string[]): Record<string, number> {
  const out: Record<string, number> = {};
  values.forEach((value, i) => {
    if (value !== 0) out[names ? names[i] : String(i)] = value;
  });
  return out;
}
