/**
 * Round-trip time of a TCP flow, seen from just below the sender: RFC 6298 with Karn's rule, one segment timed at
 * a time. The kernel's own estimate cannot be seen from here; this one only sizes the flowlet gap and tells timeouts
 * from retransmissions that an acknowledgement caused.
 */
import {
  DOUBLE_LAST_FNE,
  FLAG_TIMING,
  WORD_RTT_END,
  WORD_RTT_SENT,
  WORD_RTTVAR,
  WORD_SRTT,
} from './flow-state.ts';
import { clearFlag, hasFlag, setFlag } from './flow-state.ts';

/** Nanoseconds in a microsecond. */
export const NS_PER_US = 1000;
/** Shortest retransmission timeout of Linux, 200 ms (TCP_RTO_MIN); the RTO never is below srtt + this. */
export const MIN_RTO_VARIANCE_US = 200e3;
/** Longest RTT that is believed, in us: sums of a few stay int32. */
export const MAX_RTT_US = 67e6;
/** Assumed RTT where none was measured, for telling timeouts apart: half of Linux's shortest RTO. */
export const DEFAULT_TIMEOUT_GAP_NS = 100e6;
/** By how much a silence that holds a probe timeout as well exceeds the RTO: one and a half times the RTT, or this. */
export const MIN_PROBE_SILENCE_US = 50e3;
/**
 * By how much the silence before a repeat by the peer's timer exceeds an RTT, at least: half of what its RTO does, since
 * an acknowledgement may have been late. A tail loss probe comes sooner where several segments were outstanding.
 */
export const PEER_TIMER_BEYOND_NS = 100e6;
/** Shortest time between two transmissions of the head that can be two timeouts. */
export const MIN_TIMEOUT_GAP_NS = 10e6;

/**
 * Starts timing a segment whose acknowledgement will be `end`, unless another is being timed.
 *
 * @hotpath
 */
export function startTiming(words: Int32Array, base: number, end: number, nowNs: number): void {
  if (hasFlag(words, base, FLAG_TIMING)) return;
  words[base + WORD_RTT_END] = end;
  words[base + WORD_RTT_SENT] = (nowNs / NS_PER_US) | 0;
  setFlag(words, base, FLAG_TIMING);
}

/** Forgets the running measurement: something was sent again, its answer would be ambiguous (Karn's rule). */
export function stopTiming(words: Int32Array, base: number): void {
  clearFlag(words, base, FLAG_TIMING);
}

/**
 * Takes an acknowledgement into the estimate.
 *
 * @hotpath
 */
export function takeRttSample(words: Int32Array, base: number, ackNumber: number, nowNs: number): void {
  if (!hasFlag(words, base, FLAG_TIMING) || ((ackNumber - words[base + WORD_RTT_END]) | 0) < 0) return;
  clearFlag(words, base, FLAG_TIMING);
  // Below 0 after 36 minutes.
  const elapsedUs = (((nowNs / NS_PER_US) | 0) - words[base + WORD_RTT_SENT]) | 0;
  smoothRtt(words, base, elapsedUs >= 0 && elapsedUs < MAX_RTT_US ? elapsedUs : MAX_RTT_US);
}

/**
 * Takes a measured RTT into the estimate, whoever measured it (RFC 6298 section 2, alpha = 1/8, beta = 1/4).
 *
 * @hotpath
 * @param rttUs - a whole number up to {@link MAX_RTT_US}; below 1 counts as 1, for zero stands for "not measured"
 */
export function smoothRtt(words: Int32Array, base: number, rttUs: number): void {
  const sampleUs = rttUs < 1 ? 1 : rttUs;
  const srttUs = words[base + WORD_SRTT];
  if (srttUs === 0) {
    words[base + WORD_SRTT] = sampleUs;
    words[base + WORD_RTTVAR] = sampleUs >> 1;
    return;
  }
  const difference = sampleUs - srttUs;
  const magnitude = difference < 0 ? -difference : difference;
  words[base + WORD_RTTVAR] += (magnitude - words[base + WORD_RTTVAR]) >> 2;
  const smoothed = srttUs + (difference >> 3);
  words[base + WORD_SRTT] = smoothed < 1 ? 1 : smoothed;
}

/**
 * Estimate of the sender's retransmission timeout in us: srtt + max(4 rttvar, 200 ms), or 0 without a measurement.
 * Microseconds, because an int32 can be returned without a box.
 *
 * @see RFC 6298 section 2; Linux net/ipv4/tcp_input.c tcp_set_rto
 * @hotpath
 */
export function rtoEstimateUs(words: Int32Array, base: number): number {
  const srttUs = words[base + WORD_SRTT];
  if (srttUs === 0) return 0;
  const varianceUs = 4 * words[base + WORD_RTTVAR];
  return srttUs + (varianceUs > MIN_RTO_VARIANCE_US ? varianceUs : MIN_RTO_VARIANCE_US);
}

/**
 * Whether an inbound packet can be the peer's answer to this side's last FNE: three quarters of the smoothed RTT have
 * passed, for an RTT varies. What comes sooner was under way already. Without a measurement anything can be it.
 *
 * @hotpath
 */
export function canBeAnswer(words: Int32Array, doubles: Float64Array, base: number, nowNs: number): boolean {
  const earliestNs = words[base + WORD_SRTT] * (0.75 * NS_PER_US);
  return nowNs - doubles[(base >> 1) + DOUBLE_LAST_FNE] >= earliestNs;
}

/**
 * Shortest silence before a transmission of the head that is taken for a timeout, in ns: one smoothed RTT. A fast
 * retransmission follows an acknowledgement at once, a RACK one within a fraction of the RTT, a timeout never comes
 * before one RTT and more (RFC 8985 sections 5 and 6, RFC 6298).
 */
export function timeoutGapNs(words: Int32Array, base: number): number {
  const srttNs = words[base + WORD_SRTT] * NS_PER_US;
  if (srttNs === 0) return DEFAULT_TIMEOUT_GAP_NS;
  return srttNs < MIN_TIMEOUT_GAP_NS ? MIN_TIMEOUT_GAP_NS : srttNs;
}

/**
 * Silence before a transmission of the head, in us, that holds two timeouts: the probe timeout, whose probe was lost or
 * not heard of, and the RTO that it set anew. A probe waits for two round trips, or for the RTO if data goes on (Linux);
 * half a round trip is for the RTO's being another one there. 0 when no RTT was measured: then nobody knows.
 *
 * @see RFC 8985 section 7.2; Linux net/ipv4/tcp_output.c tcp_schedule_loss_probe, tcp_send_loss_probe
 * @hotpath
 */
export function probedSilenceUs(words: Int32Array, base: number): number {
  const srttUs = words[base + WORD_SRTT];
  if (srttUs === 0) return 0;
  const beyondUs = srttUs + (srttUs >> 1);
  return rtoEstimateUs(words, base) + (beyondUs < MIN_PROBE_SILENCE_US ? MIN_PROBE_SILENCE_US : beyondUs);
}
