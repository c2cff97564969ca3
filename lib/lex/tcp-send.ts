/**
 * The host rules for outbound TCP segments, in the order in which they are asked; the first that fits decides.
 *
 *      SYN, SYN-ACK              handleSyn          FNE (2a)
 *      first segment seen        handleFirst        FNE (2a), never LEx: the high-water mark is unknown
 *      keep-alive                                   FNE (2c), after an idle gap in a new flowlet (2b)
 *      idle gap                                     FNE (2b), new flowlet
 *      head after timeouts       countTimeout       FNE (2d), path given up; LECT on another learnt path if host-driven
 *      application's wish                           FNE (2f), new flowlet; it answers the peer as well
 *      peer repeats what was acknowledged           FNE (2g), path given up; not with own data sent again
 *      peer's FNE to answer                         FNE (2e)
 *      zero-window probe                            LECT
 *      data refused with the SYN                    LECT
 *      below the high-water mark                    LEx  (3)
 *      else                                         LECT (4)
 */
import type { PacketView } from '../wire/packet-view.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../wire/packet-view.ts';
import { seqAfter, seqBefore, seqDelta } from '../wire/seq.ts';
import type { LexCounters } from './counters.ts';
import { EXCLUSION_FNE_REPEAT, EXCLUSION_RESTART, EXCLUSION_TFO, EXCLUSION_ZERO_WINDOW } from './counters.ts';
import {
  clearFlag,
  DOUBLE_HEAD_SENT,
  DOUBLE_LAST_ACK,
  DOUBLE_LAST_OUT,
  FLAG_ANSWER_DUE,
  FLAG_FIN_IN,
  FLAG_FIN_OUT,
  FLAG_FLOWLET_DUE,
  FLAG_PATH_SUSPECT,
  FLAG_SYN_SEEN,
  FLAG_TFO_REFUSED,
  FLAG_ZERO_WINDOW,
  hasFlag,
  IDLE_CLASS_CLOSED,
  IDLE_CLASS_OPEN,
  setFlag,
  setIdleClass,
  setSuccessiveTimeouts,
  successiveTimeouts,
  WORD_ACK_SENT,
  WORD_ISN,
  WORD_MAX,
  WORD_TFO_END,
  WORD_UNA,
} from './flow-state.ts';
import type { LexSettings } from './options.ts';
import type { PathMemory } from './path-memory.ts';
import { beginFlowlet, givePathUp, moveToLearntPath, resetUserWords } from './pinning.ts';
import {
  REASON_FNE_ANSWER,
  REASON_FNE_APPLICATION,
  REASON_FNE_FIRST_PACKET,
  REASON_FNE_IDLE_GAP,
  REASON_FNE_KEEP_ALIVE,
  REASON_FNE_PEER_REPEATS,
  REASON_FNE_SYN,
  REASON_FNE_SYN_REPEAT,
  REASON_FNE_TIMEOUTS,
  REASON_LECT_ACK,
  REASON_LECT_DATA,
  REASON_LECT_MOVED,
  REASON_LECT_TFO_REPEAT,
  REASON_LECT_ZERO_WINDOW_PROBE,
  REASON_LEX_RETRANSMISSION,
} from './reasons.ts';
import { NS_PER_US, probedSilenceUs, rtoEstimateUs, startTiming, stopTiming, timeoutGapNs } from './rtt.ts';

/**
 * Decides the mark of an outbound segment and updates the flow's state.
 *
 * @hotpath
 * @param isFirst - the record was made for this segment
 * @param memory - learnt paths of a host that chooses itself
 * @returns the reason, whose codepoint is REASON_CODEPOINT[reason]
 */
export function sendSegment(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  packet: PacketView,
  isFirst: boolean,
  nowNs: number,
  settings: LexSettings,
  counters: LexCounters,
  memory?: PathMemory,
): number {
  const flags = packet.tcpFlags;
  if ((flags & TCP_SYN) !== 0) return handleSyn(words, doubles, base, packet, isFirst, nowNs);
  if (isFirst) return handleFirst(words, doubles, base, packet, nowNs, counters);

  noteAckSent(words, base, packet);
  const seq = packet.seqNumber;
  const length = packet.payloadLength;
  const end = (seq + length + (flags & TCP_FIN)) | 0;
  const una = words[base + WORD_UNA];
  const max = words[base + WORD_MAX];
  const isOutstanding = una !== max;
  const isRepeat = end !== seq && seqBefore(seq, max);
  const isProbe =
    !isOutstanding && length <= 1 && seq === ((una - 1) | 0) && (flags & (TCP_FIN | TCP_RST)) === 0;
  const isWindowZero = hasFlag(words, base, FLAG_ZERO_WINDOW);
  const at = base >> 1;

  if ((flags & (TCP_FIN | TCP_RST)) !== 0) noteClosing(words, base, flags);
  if (isProbe) {
    if (!isWindowZero) {
      if (isIdleGap(words, doubles, base, nowNs, settings)) {
        beginFlowlet(words, base, settings.keepPathWithoutAnswer);
      }
      return REASON_FNE_KEEP_ALIVE;
    }
  } else if (isRepeat) {
    stopTiming(words, base);
    if (seq === una) countTimeout(words, doubles, base, isWindowZero, nowNs);
    // Old data with new data, or a FIN, behind it.
    if (seqBefore(max, end)) words[base + WORD_MAX] = end;
  } else if (end !== seq) {
    if (!isOutstanding) doubles[at + DOUBLE_HEAD_SENT] = nowNs;
    words[base + WORD_MAX] = end;
    startTiming(words, base, end, nowNs);
  }
  const repeatedBytes = isRepeat && !isProbe ? overlap(seq, length, max) : 0;

  let reason = 0;
  if (!isOutstanding && isIdleGap(words, doubles, base, nowNs, settings)) {
    beginFlowlet(words, base, settings.keepPathWithoutAnswer);
    reason = REASON_FNE_IDLE_GAP;
  } else if (isRepeat && seq === una && successiveTimeouts(words, base) >= settings.fneAfterTimeouts) {
    if (
      memory !== undefined &&
      moveToLearntPath(words, base, memory, nowNs, settings.fneAfterTimeouts, counters)
    ) {
      reason = REASON_LECT_MOVED;
    } else {
      givePathUp(words, base, counters);
      reason = REASON_FNE_TIMEOUTS;
    }
  } else if (hasFlag(words, base, FLAG_FLOWLET_DUE)) {
    beginFlowlet(words, base, settings.keepPathWithoutAnswer);
    reason = REASON_FNE_APPLICATION;
  } else if (hasFlag(words, base, FLAG_PATH_SUSPECT) && !isRepeat) {
    givePathUp(words, base, counters);
    reason = REASON_FNE_PEER_REPEATS;
  } else if (hasFlag(words, base, FLAG_ANSWER_DUE)) {
    reason = REASON_FNE_ANSWER;
  }
  // A repeat with the window closed is the probe of a sender whose peer took its window back.
  const isZeroWindowRepeat = isWindowZero && seq === una;
  if (repeatedBytes > 0) {
    const isTfo = isTfoRepeat(words, base, seq, end);
    if (isTfo) counters.excludedBytes[EXCLUSION_TFO] += repeatedBytes;
    else if (isZeroWindowRepeat) counters.excludedBytes[EXCLUSION_ZERO_WINDOW] += repeatedBytes;
    else if (reason !== 0) counters.excludedBytes[EXCLUSION_FNE_REPEAT] += repeatedBytes;
    if (reason !== 0) return reason;
    if (isTfo) return REASON_LECT_TFO_REPEAT;
    if (isZeroWindowRepeat) return REASON_LECT_ZERO_WINDOW_PROBE;
    counters.lexPayloadBytes += length;
    return REASON_LEX_RETRANSMISSION;
  }
  if (reason !== 0) return reason;
  if (isProbe) return REASON_LECT_ZERO_WINDOW_PROBE;
  return length > 0 ? REASON_LECT_DATA : REASON_LECT_ACK;
}

/** A SYN or SYN-ACK: a new connection, or the same one trying again. */
function handleSyn(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  packet: PacketView,
  isFirst: boolean,
  nowNs: number,
): number {
  const isn = packet.seqNumber;
  const end = (isn + 1 + packet.payloadLength) | 0;
  if (!isFirst && hasFlag(words, base, FLAG_SYN_SEEN) && words[base + WORD_ISN] === isn) {
    stopTiming(words, base);
    if (seqBefore(words[base + WORD_MAX], end)) words[base + WORD_MAX] = end;
    return REASON_FNE_SYN_REPEAT;
  }
  // Another initial sequence number: the ports are used again, nothing of the earlier connection holds.
  resetUserWords(words, base, IDLE_CLASS_OPEN);
  setFlag(words, base, FLAG_SYN_SEEN);
  words[base + WORD_ISN] = isn;
  words[base + WORD_UNA] = isn;
  words[base + WORD_MAX] = end;
  words[base + WORD_TFO_END] = end;
  words[base + WORD_ACK_SENT] = packet.ackNumber;
  doubles[(base >> 1) + DOUBLE_HEAD_SENT] = nowNs;
  startTiming(words, base, (isn + 1) | 0, nowNs);
  return REASON_FNE_SYN;
}

/** The first segment of a flow that was under way before (the agent started, or the flow was forgotten). */
function handleFirst(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  packet: PacketView,
  nowNs: number,
  counters: LexCounters,
): number {
  const isReset = (packet.tcpFlags & TCP_RST) !== 0;
  resetUserWords(words, base, isReset ? IDLE_CLASS_CLOSED : IDLE_CLASS_OPEN);
  const seq = packet.seqNumber;
  words[base + WORD_UNA] = seq;
  words[base + WORD_MAX] = (seq + packet.payloadLength + (packet.tcpFlags & TCP_FIN)) | 0;
  words[base + WORD_ACK_SENT] = packet.ackNumber;
  doubles[(base >> 1) + DOUBLE_HEAD_SENT] = nowNs;
  noteClosing(words, base, packet.tcpFlags);
  counters.excludedBytes[EXCLUSION_RESTART] += packet.payloadLength;
  return REASON_FNE_FIRST_PACKET;
}

/**
 * The head of the window goes out again: was it a timeout? With the window closed it is a probe, and one that the
 * peer answered proves that the path delivers. Where the silence is too long for one timeout, a tail loss probe came
 * first: it may be new data, which nobody can tell from other data, but its timeout is one.
 */
function countTimeout(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  isWindowZero: boolean,
  nowNs: number,
): void {
  const at = base >> 1;
  const headSentNs = doubles[at + DOUBLE_HEAD_SENT];
  const lastAckNs = doubles[at + DOUBLE_LAST_ACK];
  const silentSinceNs = headSentNs > lastAckNs ? headSentNs : lastAckNs;
  const isAnsweredProbe = isWindowZero && lastAckNs > headSentNs;
  const silenceNs = nowNs - silentSinceNs;
  if (!isAnsweredProbe && silenceNs >= timeoutGapNs(words, base)) {
    const before = successiveTimeouts(words, base);
    // Probes of a closed window wait longer each time, and answers to them are no progress.
    const probedUs = before === 0 && !isWindowZero ? probedSilenceUs(words, base) : 0;
    const isProbed = probedUs !== 0 && silenceNs >= probedUs * NS_PER_US;
    setSuccessiveTimeouts(words, base, before + (isProbed ? 2 : 1));
  }
  doubles[at + DOUBLE_HEAD_SENT] = nowNs;
}

/**
 * True when nothing was sent for longer than the flow's gap.
 *
 * @see RFC 5681 section 4.1: idle is counted from the last segment sent, by default one RTO
 */
export function isIdleGap(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  nowNs: number,
  settings: LexSettings,
): boolean {
  const idleNs = nowNs - doubles[(base >> 1) + DOUBLE_LAST_OUT];
  return idleNs > settings.flowletGapNs && idleNs > rtoEstimateUs(words, base) * NS_PER_US;
}

/** Payload bytes of [seq, seq + length) that lie below the high-water mark. */
function overlap(seq: number, length: number, max: number): number {
  const below = seqDelta(max, seq);
  return below < length ? below : length;
}

/** True while data that went with the SYN and was refused is sent for its second time; each byte once. */
function isTfoRepeat(words: Int32Array, base: number, seq: number, end: number): boolean {
  const tfoEnd = words[base + WORD_TFO_END];
  if (!hasFlag(words, base, FLAG_TFO_REFUSED) || !seqBefore(seq, tfoEnd)) return false;
  const repeatedTo = (words[base + WORD_ISN] + 1) | 0;
  if (seqBefore(end, tfoEnd)) {
    // The refused data goes out in pieces; isn advances so that a piece sent a third time is a retransmission.
    if (seqBefore(repeatedTo, end)) words[base + WORD_ISN] = (end - 1) | 0;
  } else {
    // A repeated SYN-ACK must not set the flag once more.
    words[base + WORD_TFO_END] = words[base + WORD_ISN];
    clearFlag(words, base, FLAG_TFO_REFUSED);
  }
  return !seqBefore(seq, repeatedTo);
}

/** Remembers up to where the peer's data was acknowledged. */
function noteAckSent(words: Int32Array, base: number, packet: PacketView): void {
  if ((packet.tcpFlags & TCP_ACK) === 0 || !seqAfter(packet.ackNumber, words[base + WORD_ACK_SENT])) return;
  words[base + WORD_ACK_SENT] = packet.ackNumber;
}

function noteClosing(words: Int32Array, base: number, flags: number): void {
  if ((flags & TCP_RST) !== 0) {
    setIdleClass(words, base, IDLE_CLASS_CLOSED);
  } else if ((flags & TCP_FIN) !== 0) {
    setFlag(words, base, FLAG_FIN_OUT);
    if (hasFlag(words, base, FLAG_FIN_IN)) setIdleClass(words, base, IDLE_CLASS_CLOSED);
  }
}
