/**
 * Congestion control: what grows and shrinks the congestion window. One file an algorithm behind this interface; the
 * window itself is in the connection, in bytes.
 */
import type { TcpConnection } from './connection.ts';
import { growthDivisor, isDelayRising } from './hystart-plus.ts';

/** A congestion control. Its state, if it has any, is in the connection. */
export interface CongestionControl {
  readonly name: string;
  /** The connection is established, its window set. */
  begin(c: TcpConnection): void;
  /**
   * New data was acknowledged while the window was what held the sender back, outside of fast recovery.
   *
   * @param ackedBytes - above 0
   */
  onAck(c: TcpConnection, ackedBytes: number, nowNs: number): void;
  /**
   * Loss was detected by SACK: sets the threshold, and the window to it.
   *
   * @param flightBytes - outstanding, at most the window
   */
  onLoss(c: TcpConnection, flightBytes: number, nowNs: number): void;
  /** The retransmission timer ran out for the first time in a row: sets the threshold only. */
  onTimeout(c: TcpConnection, flightBytes: number, nowNs: number): void;
  /** Data goes out after a time in which the application had nothing to send. */
  onIdle(c: TcpConnection, idleNs: number): void;
}

/** Most bytes, in segments, that one acknowledgement opens the window by in slow start. @see RFC 3465 section 2.2 */
export const SLOW_START_LIMIT = 2;
/** Least threshold in segments. @see RFC 5681 equation 4 */
export const MIN_THRESHOLD = 2;

/**
 * Slow start: the window grows by what was acknowledged, at most two segments for each acknowledgement, one after a
 * timeout, up to the threshold.
 *
 * @returns bytes that were acknowledged beyond the threshold, for congestion avoidance
 * @see RFC 5681 section 3.1, RFC 3465 sections 2.2 and 2.3
 */
export function slowStart(c: TcpConnection, ackedBytes: number, limitSegments: number): number {
  const limit = limitSegments * c.mss;
  const grown = c.cwndBytes + (ackedBytes < limit ? ackedBytes : limit) / growthDivisor(c);
  if (grown <= c.ssthreshBytes) {
    c.cwndBytes = grown;
    if (c.hystartPlus !== undefined && isDelayRising(c)) {
      c.ssthreshBytes = grown;
      c.hystartPlus = undefined;
    }
    return 0;
  }
  c.cwndBytes = c.ssthreshBytes;
  return grown - c.ssthreshBytes;
}
