/**
 * The timers of a connection, but for that of delayed acknowledgements (delayed-acks.ts). Their times are fields; the queue holds one event that matters, for the earliest of
 * them. Putting a timer off, as every acknowledgement does, costs nothing: the event comes, finds nothing due, and is
 * scheduled again.
 */
import { END_TIMED_OUT } from './app.ts';
import {
  STATE_CLOSED,
  STATE_ESTABLISHED,
  STATE_SYN_RECEIVED,
  STATE_SYN_SENT,
  STATE_TIME_WAIT,
} from './connection.ts';
import type { TcpConnection } from './connection.ts';
import { sendProbe, sendSyn, sendWindowProbe } from './output.ts';
import { takeTimeout } from './recovery.ts';
import { backOff } from './rto.ts';
import type { TcpStack } from './stack.ts';

/**
 * The earliest time at which something is due, Infinity for never.
 *
 * @hotpath
 */
export function nextTimerNs(c: TcpConnection): number {
  let atNs = c.rtoAtNs;
  if (c.probeAtNs < atNs) atNs = c.probeAtNs;
  if (c.persistAtNs < atNs) atNs = c.persistAtNs;
  if (c.appAtNs < atNs) atNs = c.appAtNs;
  if (c.timeWaitAtNs < atNs) atNs = c.timeWaitAtNs;
  return atNs;
}

/** Runs what is due. The caller sends what is due afterwards, unless the connection is over. */
export function runTimers(stack: TcpStack, c: TcpConnection): void {
  const nowNs = stack.queue.nowNs;
  if (c.state === STATE_TIME_WAIT) {
    if (c.timeWaitAtNs <= nowNs) stack.forget(c);
    return;
  }
  if (c.probeAtNs <= nowNs) sendProbe(stack, c);
  if (c.rtoAtNs <= nowNs) runRetransmissionTimer(stack, c);
  if (c.persistAtNs <= nowNs && c.state === STATE_ESTABLISHED) {
    c.persistProbes++;
    c.persistAtNs = nowNs + Math.min(c.rtoNs * 2 ** c.persistProbes, stack.settings.maxRtoNs);
    sendWindowProbe(stack, c);
  }
  if (c.appAtNs <= nowNs && c.state !== STATE_CLOSED) {
    c.appAtNs = Infinity;
    c.app?.onTimer?.(stack, c);
  }
}

function runRetransmissionTimer(stack: TcpStack, c: TcpConnection): void {
  const isSyn = c.state === STATE_SYN_SENT || c.state === STATE_SYN_RECEIVED;
  if (c.timeouts >= (isSyn ? stack.settings.synRetries : stack.settings.retries)) {
    stack.end(c, END_TIMED_OUT);
    return;
  }
  if (!isSyn) {
    takeTimeout(stack, c);
    return;
  }
  c.timeouts++;
  stack.totals.synRetransmissions++;
  backOff(c, stack.settings);
  c.rtoAtNs = stack.queue.nowNs + c.rtoNs;
  sendSyn(stack, c);
}
