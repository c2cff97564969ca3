/**
 * What the host remembers of a flow, as fields of a flow table record (flow/flow-table.ts).
 *
 *      word 11   tag     bits 0..7 idle class | 8..11 path ID | 12..15 previous path ID
 *                        | 16..19 successive timeouts | 20..31 flags below
 *      word 14   isn     initial sequence number, of a flow whose SYN was seen
 *      word 15   una     oldest sequence number without acknowledgement (SND.UNA, RFC 9293 section 3.3.1)
 *      word 16   max     high-water mark: one past the highest sequence number sent
 *      word 17   rttEnd  acknowledgement that ends the running RTT measurement
 *      word 18   srtt    smoothed RTT in us, 0 = not measured
 *      word 19   rttvar  RTT variation in us
 *      word 20   tfoEnd  end of the data that went with the SYN; isn when that is settled
 *      word 21   wl1     sequence number of the last window update (SND.WL1)
 *      double 11 lastOutNs   last packet sent
 *      double 12 lastFneNs   last FNE sent
 *      double 13 headSentNs  last time that the head of the window was sent
 *      word 28   rttSent start of the running RTT measurement, us modulo 2^32
 *      word 29   ackSent highest acknowledgement number sent: RCV.NXT as the peer was told
 *      double 15 lastAckNs   last acknowledgement that could have made the sender act
 */
import { RECORD_WORDS, WORD_TAG, WORD_USER } from '../flow/flow-table.ts';

export const WORD_ISN = WORD_USER;
export const WORD_UNA = WORD_USER + 1;
export const WORD_MAX = WORD_USER + 2;
export const WORD_RTT_END = WORD_USER + 3;
export const WORD_SRTT = WORD_USER + 4;
export const WORD_RTTVAR = WORD_USER + 5;
export const WORD_TFO_END = WORD_USER + 6;
export const WORD_WL1 = WORD_USER + 7;
export const WORD_RTT_SENT = WORD_USER + 14;
export const WORD_ACK_SENT = WORD_USER + 15;

export const DOUBLE_LAST_OUT = 11;
export const DOUBLE_LAST_FNE = 12;
export const DOUBLE_HEAD_SENT = 13;
export const DOUBLE_LAST_ACK = 15;

/** Idle class of a flow that is open or whose state is unknown. */
export const IDLE_CLASS_OPEN = 0;
/** Idle class of a TCP flow that was closed or reset. */
export const IDLE_CLASS_CLOSED = 1;
/** Idle class of UDP. */
export const IDLE_CLASS_DATAGRAM = 2;

/** The SYN was seen: every byte of this direction passed by, nothing is unknown. */
export const FLAG_SYN_SEEN = 1 << 20;
/** An acknowledgement was seen. */
export const FLAG_ACK_SEEN = 1 << 21;
/** An FNE of the peer waits for an answer (rule 2e). */
export const FLAG_ANSWER_DUE = 1 << 22;
/** The application asked for a new flowlet (rule 2f). */
export const FLAG_FLOWLET_DUE = 1 << 23;
/** The peer's window is zero. */
export const FLAG_ZERO_WINDOW = 1 << 24;
/** This side sent FIN. */
export const FLAG_FIN_OUT = 1 << 25;
/** The peer sent FIN. */
export const FLAG_FIN_IN = 1 << 26;
/** Something came back from the peer. */
export const FLAG_HEARD = 1 << 27;
/** An RTT measurement is running. */
export const FLAG_TIMING = 1 << 28;
/** The peer refused the data of the SYN, which will be sent again below tfoEnd. */
export const FLAG_TFO_REFUSED = 1 << 29;
/** The peer repeated by its timer what was acknowledged: the own path seems not to deliver (rule 2g). */
export const FLAG_PATH_SUSPECT = 1 << 30;

const CLASS_MASK = 0xff;
const PATH_SHIFT = 8;
const PREVIOUS_PATH_SHIFT = 12;
const TIMEOUTS_SHIFT = 16;
const NIBBLE = 0xf;
/** Largest number of successive timeouts that is remembered. */
export const MAX_TIMEOUTS = NIBBLE;

/** First word of a record. */
export function recordBase(record: number): number {
  return record * RECORD_WORDS;
}

/** Path ID that the flow is pinned to, 0 = none. */
export function pinnedPath(words: Int32Array, base: number): number {
  return (words[base + WORD_TAG] >>> PATH_SHIFT) & NIBBLE;
}

/** Path ID that the flow had before the running flowlet began, 0 = none. */
export function previousPath(words: Int32Array, base: number): number {
  return (words[base + WORD_TAG] >>> PREVIOUS_PATH_SHIFT) & NIBBLE;
}

/** Sets both path IDs. */
export function setPaths(words: Int32Array, base: number, pathId: number, previous: number): void {
  const cleared = words[base + WORD_TAG] & ~((NIBBLE << PATH_SHIFT) | (NIBBLE << PREVIOUS_PATH_SHIFT));
  words[base + WORD_TAG] = cleared | (pathId << PATH_SHIFT) | (previous << PREVIOUS_PATH_SHIFT);
}

/** Successive timeouts without acknowledgement progress, up to {@link MAX_TIMEOUTS}. */
export function successiveTimeouts(words: Int32Array, base: number): number {
  return (words[base + WORD_TAG] >>> TIMEOUTS_SHIFT) & NIBBLE;
}

/** Sets the number of successive timeouts; larger ones are held at {@link MAX_TIMEOUTS}. */
export function setSuccessiveTimeouts(words: Int32Array, base: number, timeouts: number): void {
  const held = timeouts > MAX_TIMEOUTS ? MAX_TIMEOUTS : timeouts;
  words[base + WORD_TAG] = (words[base + WORD_TAG] & ~(NIBBLE << TIMEOUTS_SHIFT)) | (held << TIMEOUTS_SHIFT);
}

/** True when the flag is set. */
export function hasFlag(words: Int32Array, base: number, flag: number): boolean {
  return (words[base + WORD_TAG] & flag) !== 0;
}

/** Sets the flags in `flags`. */
export function setFlag(words: Int32Array, base: number, flags: number): void {
  words[base + WORD_TAG] |= flags;
}

/** Clears the flags in `flags`. */
export function clearFlag(words: Int32Array, base: number, flags: number): void {
  words[base + WORD_TAG] &= ~flags;
}

/** Moves the flow to another idle class. */
export function setIdleClass(words: Int32Array, base: number, idleClass: number): void {
  words[base + WORD_TAG] = (words[base + WORD_TAG] & ~CLASS_MASK) | idleClass;
}
