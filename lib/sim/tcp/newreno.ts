/**
 * NewReno: half the window at each loss, one segment more for each round trip. Counts bytes, so that delayed
 * acknowledgements do not slow it down.
 *
 * @see RFC 5681, RFC 6582, RFC 3465
 */
import { MIN_THRESHOLD, slowStart, SLOW_START_LIMIT } from './congestion.ts';
import type { CongestionControl } from './congestion.ts';
import { PHASE_LOSS } from './connection.ts';
import type { TcpConnection } from './connection.ts';

/** The algorithm; it has no state beyond window and threshold. */
export const newReno: CongestionControl = {
  name: 'newreno',
  begin: () => undefined,
  onAck(c: TcpConnection, ackedBytes: number): void {
    let rest = ackedBytes;
    if (c.cwndBytes < c.ssthreshBytes) {
      rest = slowStart(c, ackedBytes, c.phase === PHASE_LOSS ? 1 : SLOW_START_LIMIT);
      if (rest === 0) return;
    }
    c.cwndBytes += (rest * c.mss) / c.cwndBytes;
  },
  onLoss(c: TcpConnection, flightBytes: number): void {
    c.ssthreshBytes = half(c, flightBytes);
    c.cwndBytes = c.ssthreshBytes;
  },
  onTimeout(c: TcpConnection, flightBytes: number): void {
    c.ssthreshBytes = half(c, flightBytes);
  },
  onIdle: () => undefined,
};

/** @see RFC 5681 equation 4 */
function half(c: TcpConnection, flightBytes: number): number {
  return Math.max(flightBytes / 2, MIN_THRESHOLD * c.mss);
}
