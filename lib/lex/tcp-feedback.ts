/**
 * What the host learns from inbound TCP segments: acknowledgement progress, the RTT, a closed window, a refused
 * Fast Open, the end of the connection.
 */
import type { PacketView } from '../wire/packet-view.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../wire/packet-view.ts';
import { seqAfter, seqBefore } from '../wire/seq.ts';
import type { LexCounters } from './counters.ts';
import {
  clearFlag,
  DOUBLE_LAST_ACK,
  DOUBLE_LAST_OUT,
  FLAG_ACK_SEEN,
  FLAG_FIN_IN,
  FLAG_FIN_OUT,
  FLAG_PATH_SUSPECT,
  FLAG_SYN_SEEN,
  FLAG_TFO_REFUSED,
  FLAG_ZERO_WINDOW,
  hasFlag,
  IDLE_CLASS_CLOSED,
  setFlag,
  setIdleClass,
  setSuccessiveTimeouts,
  WORD_ACK_SENT,
  WORD_ISN,
  WORD_MAX,
  WORD_TFO_END,
  WORD_UNA,
  WORD_WL1,
} from './flow-state.ts';
import { PEER_TIMER_BEYOND_NS, takeRttSample, timeoutGapNs } from './rtt.ts';

/**
 * Takes an inbound segment of a known flow into its state.
 *
 * @hotpath
 */
export function receiveSegment(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  packet: PacketView,
  nowNs: number,
  counters: LexCounters,
): void {
  const flags = packet.tcpFlags;
  if ((flags & TCP_RST) !== 0) {
    setIdleClass(words, base, IDLE_CLASS_CLOSED);
  } else if ((flags & TCP_FIN) !== 0) {
    setFlag(words, base, FLAG_FIN_IN);
    if (hasFlag(words, base, FLAG_FIN_OUT)) setIdleClass(words, base, IDLE_CLASS_CLOSED);
  }
  if ((flags & TCP_ACK) === 0) return;

  const ack = packet.ackNumber;
  if (seqAfter(ack, words[base + WORD_MAX]) && !takeUnseenAck(words, base, ack, counters)) return;
  const una = words[base + WORD_UNA];
  if (seqBefore(ack, una)) return;
  const isSyn = (flags & TCP_SYN) !== 0;
  if (isSyn) noteFastOpen(words, base, ack);
  if (ack !== una) {
    words[base + WORD_UNA] = ack;
    setSuccessiveTimeouts(words, base, 0);
    doubles[(base >> 1) + DOUBLE_LAST_ACK] = nowNs;
    takeRttSample(words, base, ack, nowNs);
  } else if (packet.payloadLength === 0 || packet.sackBlocks !== 0) {
    doubles[(base >> 1) + DOUBLE_LAST_ACK] = nowNs;
  }
  if (isSyn) words[base + WORD_ACK_SENT] = packet.seqNumber;
  else if (isRepeatByTimer(words, doubles, base, packet, nowNs)) setFlag(words, base, FLAG_PATH_SUSPECT);
  noteWindow(words, base, packet, isSyn);
  setFlag(words, base, FLAG_ACK_SEEN);
}

/**
 * An acknowledgement above the high-water mark. It is true when this host saw the flow only from its middle: what
 * it acknowledges was sent before. Otherwise nobody can acknowledge what was never sent, and believing it would
 * turn all following data into retransmissions.
 */
function takeUnseenAck(words: Int32Array, base: number, ack: number, counters: LexCounters): boolean {
  if (hasFlag(words, base, FLAG_SYN_SEEN | FLAG_ACK_SEEN)) {
    counters.impossibleAcks++;
    return false;
  }
  words[base + WORD_MAX] = ack;
  return true;
}

/** A SYN-ACK that leaves out the data that went with the SYN: it will be sent again without having been lost. */
function noteFastOpen(words: Int32Array, base: number, ack: number): void {
  if (ack === ((words[base + WORD_ISN] + 1) | 0) && seqBefore(ack, words[base + WORD_TFO_END])) {
    setFlag(words, base, FLAG_TFO_REFUSED);
  }
}

/**
 * Rule 2g: data that was acknowledged comes again, and for a round trip and more nothing was sent that it could be a
 * reaction to. So the peer's timer ran out: it has not heard the acknowledgement. One byte is a keep-alive of some hosts.
 */
function isRepeatByTimer(
  words: Int32Array,
  doubles: Float64Array,
  base: number,
  packet: PacketView,
  nowNs: number,
): boolean {
  const length = packet.payloadLength;
  if (length <= 1 || seqAfter((packet.seqNumber + length) | 0, words[base + WORD_ACK_SENT])) return false;
  return nowNs - doubles[(base >> 1) + DOUBLE_LAST_OUT] >= timeoutGapNs(words, base) + PEER_TIMER_BEYOND_NS;
}

/**
 * Remembers whether the peer's window is closed, from its newest segment. The scale does not matter: zero is zero.
 *
 * @see RFC 9293 section 3.10.7.4, SND.WL1; una stands for SND.WL2, older acknowledgements were left out before
 */
function noteWindow(words: Int32Array, base: number, packet: PacketView, isSyn: boolean): void {
  const isFirst = isSyn || !hasFlag(words, base, FLAG_ACK_SEEN);
  if (!isFirst && seqBefore(packet.seqNumber, words[base + WORD_WL1])) return;
  words[base + WORD_WL1] = packet.seqNumber;
  if (packet.windowField === 0) setFlag(words, base, FLAG_ZERO_WINDOW);
  else clearFlag(words, base, FLAG_ZERO_WINDOW);
}
