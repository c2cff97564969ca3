/**
 * What every transport's packets do to the record of their flow: the outbound ones after their verdict, the inbound
 * ones by their mark. Shared by LexHost, which sees packets, and DatagramFlows, which sees datagrams of a socket.
 */
import { DOUBLE_LAST_SEEN } from '../flow/flow-table.ts';
import { CODEPOINT_FNE, isAssignment, markCodepoint, markPathId } from '../wire/marking/scheme.ts';
import type { LexCounters } from './counters.ts';
import {
  clearFlag,
  DOUBLE_LAST_FNE,
  DOUBLE_LAST_OUT,
  FLAG_ANSWER_DUE,
  FLAG_HEARD,
  FLAG_PATH_SUSPECT,
  pinnedPath,
  setFlag,
} from './flow-state.ts';
import type { LexSettings } from './options.ts';
import { settleWithoutAssignment, takeAssignment } from './pinning.ts';
import { REASON_IN_ASSIGNMENT, REASON_IN_FEEDBACK, REASON_IN_FNE } from './reasons.ts';
import { canBeAnswer, NS_PER_US, rtoEstimateUs } from './rtt.ts';

/**
 * Stands for the RTO in rule 2e where no RTT was measured, in us.
 *
 * @see RFC 2988 section 2.1, 3 s; RFC 6298's 1 s is shorter than some round trips
 */
export const UNKNOWN_RTO_US = 3e6;

/**
 * Notes that a packet with this codepoint leaves.
 *
 * @hotpath
 * @returns the path ID that it carries, 0 for none
 */
export function noteSent(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  codepoint: number,
  nowNs: number,
  settings: LexSettings,
): number {
  const at64 = base >> 1;
  doubles[at64 + DOUBLE_LAST_SEEN] = nowNs;
  doubles[at64 + DOUBLE_LAST_OUT] = nowNs;
  if (codepoint === CODEPOINT_FNE) {
    doubles[at64 + DOUBLE_LAST_FNE] = nowNs;
    clearFlag(words, base, FLAG_ANSWER_DUE | FLAG_PATH_SUSPECT);
    // Only in some schemes an FNE has room for a path ID beside it.
    if (settings.scheme.assignmentCodepoint !== CODEPOINT_FNE) return 0;
  }
  return pinnedPath(words, base);
}

/** Notes that something came from the peer. @hotpath */
export function noteHeard(words: Int32Array, doubles: Float64Array, base: number, nowNs: number): void {
  doubles[(base >> 1) + DOUBLE_LAST_SEEN] = nowNs;
  setFlag(words, base, FLAG_HEARD);
}

/**
 * Learns from the mark of an inbound packet of a known flow: an assignment is taken, an FNE may be owed an answer, and
 * anything else can be the answer to an own FNE. Comes after {@link noteHeard} and after the transport's own
 * feedback, which may have measured the RTT.
 *
 * @hotpath
 * @returns the reason to count
 */
export function receiveMark(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  mark: number,
  nowNs: number,
  settings: LexSettings,
  counters: LexCounters,
): number {
  const assigned = isAssignment(settings.scheme, mark) ? markPathId(mark) : 0;
  const isFne = assigned !== 0 || markCodepoint(mark) === CODEPOINT_FNE;
  if (isFne && owesAnswer(words, doubles, base, nowNs, settings)) setFlag(words, base, FLAG_ANSWER_DUE);
  if (assigned !== 0) {
    takeAssignment(words, base, assigned, counters);
    return REASON_IN_ASSIGNMENT;
  }
  if (canBeAnswer(words, doubles, base, nowNs)) settleWithoutAssignment(words, base, counters);
  return isFne ? REASON_IN_FNE : REASON_IN_FEEDBACK;
}

/**
 * Rule 2e: an FNE is answered unless this side sent one within the flow's last gap, so two hosts never take turns.
 * The gap must exceed the RTT for that, so where it is not known (UDP) a long one is assumed.
 */
function owesAnswer(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  nowNs: number,
  settings: LexSettings,
): boolean {
  const sinceLastFneNs = nowNs - doubles[(base >> 1) + DOUBLE_LAST_FNE];
  if (sinceLastFneNs <= settings.flowletGapNs) return false;
  return sinceLastFneNs > (rtoEstimateUs(words, base) || UNKNOWN_RTO_US) * NS_PER_US;
}
