/**
 * The retransmission timeout.
 *
 * @see RFC 6298 sections 2 and 5; Linux keeps the variance part at 200 ms or more, and so does this
 */
import type { TcpConnection } from './connection.ts';
import type { TcpSettings } from './options.ts';

/**
 * Takes an RTT sample; undoes the back-off.
 *
 * @hotpath
 */
export function takeRtt(c: TcpConnection, rttNs: number, settings: TcpSettings): void {
  if (c.srttNs === 0) {
    c.srttNs = rttNs;
    c.rttvarNs = rttNs / 2;
  } else {
    c.rttvarNs += (Math.abs(c.srttNs - rttNs) - c.rttvarNs) / 4;
    c.srttNs += (rttNs - c.srttNs) / 8;
  }
  const rtoNs = c.srttNs + Math.max(4 * c.rttvarNs, settings.minRtoNs);
  c.rtoNs = rtoNs < settings.maxRtoNs ? rtoNs : settings.maxRtoNs;
}

/** Doubles the timeout. @see RFC 6298 section 5.5 */
export function backOff(c: TcpConnection, settings: TcpSettings): void {
  c.rtoNs = Math.min(2 * c.rtoNs, settings.maxRtoNs);
}
