/**
 * What a TCP connection does at a given loss ratio and round-trip time, as formulas.
 *
 *      window  \                          RFC 5348: sqrt(3/2 / p), less where timeouts take over
 *               \  CUBIC
 *                \______                  the larger of the two counts (CUBIC's Reno-friendly region)
 *                 Reno  \_____
 *              1e-5   1e-3   1e-1   p
 *
 * @see Mathis, Semke, Mahdavi, Ott 1997, The macroscopic behavior of the TCP congestion avoidance algorithm
 * @see Padhye, Firoiu, Towsley, Kurose 1998, Modeling TCP throughput; its approximation is RFC 5348 section 3.1
 * @see RFC 9438 section 5.1
 */

/** Payload of a full segment in bytes, and the IP packet around it. */
export const SEGMENT_BYTES = 1460;
/** IP packet with a full segment, in bytes. */
export const PACKET_BYTES = 1500;
/** Initial window in segments. @see RFC 6928 */
export const INITIAL_WINDOW = 10;
/** Largest window in segments: the 4 MiB of receive buffer that the simulated hosts have. */
export const MAX_WINDOW = (4 * 1024 * 1024) / SEGMENT_BYTES;
/** Least RTO beyond the round-trip time in s, as Linux: RTO = srtt + max(4 rttvar, 200 ms). */
export const MIN_RTO_S = 0.2;
/** Loss ratio that stands for none. */
export const LEAST_LOSS = 1e-7;
/** C of CUBIC in segments / s^3 and the factor of the average window, (C (3 + beta) / (4 (1 - beta)))^(1/4). */
const CUBIC_FACTOR = ((0.4 * 3.7) / (4 * 0.3)) ** 0.25;

/**
 * Lost packets for each reduction of the window: a full drop-tail queue drops several packets of a window at once, which
 * TCP answers once. Calibrated against the packet simulator.
 */
export const LOSSES_A_REDUCTION = 1.5;

/**
 * The mean window in segments that a long connection has.
 *
 * @param loss - ratio of lost packets on its way, 0..1
 * @param rttS - round-trip time in s, queues included, above 0
 * @param isCubic - CUBIC instead of NewReno
 * @returns segments, 1 to {@link MAX_WINDOW}
 * @hotpath
 */
export function meanWindow(loss: number, rttS: number, isCubic: boolean): number {
  const p = (loss > LEAST_LOSS ? loss : LEAST_LOSS) / LOSSES_A_REDUCTION;
  const timeoutShare = 3 * Math.sqrt((3 * p) / 8);
  const timeouts = (1 + MIN_RTO_S / rttS) * (timeoutShare < 1 ? timeoutShare : 1) * p * (1 + 32 * p * p);
  let window = 1 / (Math.sqrt((2 * p) / 3) + timeouts);
  if (isCubic) {
    // (rtt / p)^(3/4) by two square roots.
    const root = Math.sqrt(rttS / p);
    const cubicWindow = CUBIC_FACTOR * root * Math.sqrt(root);
    if (cubicWindow > window) window = cubicWindow;
  }
  if (window > MAX_WINDOW) return MAX_WINDOW;
  return window > 1 ? window : 1;
}
