/** The host rules for UDP, where only the application knows what was lost: FNE by 2a, 2b, 2e, 2f, LEx on request. */
import type { LexCounters } from './counters.ts';
import {
  DOUBLE_LAST_FNE,
  FLAG_ANSWER_DUE,
  FLAG_FLOWLET_DUE,
  FLAG_HEARD,
  hasFlag,
  IDLE_CLASS_DATAGRAM,
} from './flow-state.ts';
import type { LexSettings } from './options.ts';
import { beginFlowlet, resetUserWords } from './pinning.ts';
import {
  REASON_FNE_ANSWER,
  REASON_FNE_APPLICATION,
  REASON_FNE_FIRST_PACKET,
  REASON_FNE_IDLE_GAP,
  REASON_LECT_DATAGRAM,
  REASON_LEX_APPLICATION,
} from './reasons.ts';
import { isIdleGap } from './tcp-send.ts';

/** Hint of the application: this packet repeats data that was lost. */
export const HINT_RETRANSMISSION = 1;
/** Hint of the application: this packet begins a new flowlet. */
export const HINT_NEW_FLOWLET = 2;

/**
 * Decides the mark of an outbound datagram.
 *
 * @hotpath
 * @param isFirst - the record was made for this datagram
 * @param isRetransmission - the application says that it sends this again
 * @param payloadLength - bytes of UDP payload, counted when marked LEx
 */
export function sendDatagram(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  payloadLength: number,
  isFirst: boolean,
  isRetransmission: boolean,
  nowNs: number,
  settings: LexSettings,
  counters: LexCounters,
): number {
  if (isFirst) {
    resetUserWords(words, base, IDLE_CLASS_DATAGRAM);
    return REASON_FNE_FIRST_PACKET;
  }
  if (isIdleGap(words, doubles, base, nowNs, settings)) {
    beginFlowlet(words, base, settings.keepPathWithoutAnswer);
    return REASON_FNE_IDLE_GAP;
  }
  if (hasFlag(words, base, FLAG_FLOWLET_DUE) && mayAsk(words, doubles, base, nowNs, settings)) {
    beginFlowlet(words, base, settings.keepPathWithoutAnswer);
    return REASON_FNE_APPLICATION;
  }
  if (hasFlag(words, base, FLAG_ANSWER_DUE)) return REASON_FNE_ANSWER;
  if (isRetransmission) {
    counters.lexPayloadBytes += payloadLength;
    return REASON_LEX_APPLICATION;
  }
  return REASON_LECT_DATAGRAM;
}

/** Until the peer was heard a flow asks for a path at most once a gap. */
function mayAsk(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  nowNs: number,
  settings: LexSettings,
): boolean {
  if (hasFlag(words, base, FLAG_HEARD)) return true;
  return nowNs - doubles[(base >> 1) + DOUBLE_LAST_FNE] > settings.flowletGapNs;
}
