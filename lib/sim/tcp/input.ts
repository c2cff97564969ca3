/**
 * A segment arrives at a connection.
 *
 *      handleSegment   RST | SYN, SYN-ACK | established:
 *                        window update, takeAck (recovery.ts)
 *                        takeData: in order | out of order | again
 *                        peer's FIN
 *
 * @see RFC 9293 section 3.10.7
 */
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../wire/packet-view.ts';
import { seqAfter, seqBefore } from '../../wire/seq.ts';
import { ackNumber, flags, headerLength, seqNumber, windowField } from '../../wire/tcp.ts';
import { maximumSegmentSize, sackOption, windowScaleShift } from '../../wire/tcp-options.ts';
import { END_FINISHED, END_RESET } from './app.ts';
import { STATE_ESTABLISHED, STATE_SYN_RECEIVED, STATE_SYN_SENT, STATE_TIME_WAIT } from './connection.ts';
import type { TcpConnection } from './connection.ts';
import { HystartPlusState } from './hystart-plus.ts';
import { HystartState } from './hystart.ts';
import { sendSyn } from './output.ts';
import { takeAck } from './recovery.ts';
import { takeRtt } from './rto.ts';
import type { TcpStack } from './stack.ts';

/** Segments that are acknowledged together. @see RFC 5681 section 4.2 */
const SEGMENTS_PER_ACK = 2;
/** More SYN retransmissions than this begin with a window of one segment, as in Linux. @see RFC 6928 section 2 */
const SYN_RETRANSMISSIONS_FORGIVEN = 1;

/**
 * Takes a segment in. The caller sends what is due afterwards.
 *
 * @hotpath
 * @param at - offset of the TCP header
 * @param length - of header and payload
 */
export function handleSegment(
  stack: TcpStack,
  c: TcpConnection,
  view: DataView,
  at: number,
  length: number,
): void {
  const tcpFlags = flags(view, at);
  if ((tcpFlags & TCP_RST) !== 0) {
    stack.end(c, END_RESET);
    return;
  }
  if (c.state === STATE_SYN_SENT) {
    takeSynAck(stack, c, view, at, tcpFlags);
    return;
  }
  if ((tcpFlags & TCP_SYN) !== 0) {
    // The peer did not get our SYN-ACK, or not the acknowledgement of its own.
    if (c.state === STATE_SYN_RECEIVED) sendSyn(stack, c);
    else c.mustAckNow = true;
    return;
  }
  if ((tcpFlags & TCP_ACK) === 0) return;
  const ack = ackNumber(view, at);
  if (c.state === STATE_SYN_RECEIVED) {
    if (ack !== c.nxt) return;
    establish(stack, c, windowField(view, at) << c.sendShift, seqNumber(view, at), ack);
  }
  const seq = seqNumber(view, at);
  const payload = length - headerLength(view, at);
  const hasFin = (tcpFlags & TCP_FIN) !== 0;
  if (c.state === STATE_TIME_WAIT) {
    if (payload > 0 || hasFin) c.mustAckNow = true;
    return;
  }
  if (seqAfter(ack, c.nxt)) {
    c.mustAckNow = true;
    return;
  }
  if (!seqBefore(ack, c.una)) {
    updateWindow(c, view, at, seq, ack);
    // Acknowledgements of the usual length have no options.
    const option = headerLength(view, at) === 20 ? -1 : sackOption(view, at);
    // A side that only receives has nothing to hear of.
    if (c.una !== c.nxt || option >= 0 || c.isProbing) {
      const before = c.una;
      takeAck(stack, c, view, ack, option, payload === 0 && !hasFin);
      if (ack !== before && c.una === c.nxt) notifyAllAcked(stack, c);
      if (c.state !== STATE_ESTABLISHED) return;
    }
  }
  if (payload > 0 || hasFin) takeData(stack, c, seq, payload, hasFin);
  else if (seqBefore(seq, c.rcvNxt)) c.mustAckNow = true;
}

function takeSynAck(stack: TcpStack, c: TcpConnection, view: DataView, at: number, tcpFlags: number): void {
  if ((tcpFlags & (TCP_SYN | TCP_ACK)) !== (TCP_SYN | TCP_ACK) || ackNumber(view, at) !== c.nxt) return;
  takeSynOptions(c, view, at);
  c.rcvNxt = (seqNumber(view, at) + 1) | 0;
  c.toldEdge = (c.rcvNxt + Math.min(stack.settings.receiveBufferBytes, 65_535)) | 0;
  // The window of a SYN is never scaled. @see RFC 7323 section 2.2
  establish(stack, c, windowField(view, at), seqNumber(view, at), c.nxt);
  c.mustAckNow = true;
}

/** Reads what the peer's SYN offers. */
export function takeSynOptions(c: TcpConnection, view: DataView, at: number): void {
  const peerMss = maximumSegmentSize(view, at);
  if (peerMss > 0 && peerMss < c.mss) c.mss = peerMss;
  const shift = windowScaleShift(view, at);
  c.sendShift = shift < 0 ? 0 : shift;
}

function establish(stack: TcpStack, c: TcpConnection, window: number, seq: number, ack: number): void {
  const { settings, queue } = stack;
  const waitedNs = queue.nowNs - c.synSentNs;
  if (c.timeouts === 0) takeRtt(c, waitedNs, settings);
  // The timeout of a SYN says nothing of data. @see RFC 6298 section 5.7
  else c.rtoNs = Math.min(Math.max(settings.initialRtoNs, 3e9), settings.maxRtoNs);
  c.cwndBytes = (c.timeouts > SYN_RETRANSMISSIONS_FORGIVEN ? 1 : settings.initialWindow) * c.mss;
  c.longestStallNs = queue.nowNs - c.progressNs;
  c.progressNs = queue.nowNs;
  c.timeouts = 0;
  c.rtoAtNs = Infinity;
  c.una = ack;
  c.sendWindow = window;
  c.maxSendWindow = window;
  c.sendWindowSeq = seq;
  c.sendWindowAck = ack;
  c.state = STATE_ESTABLISHED;
  stack.congestion.begin(c);
  if (settings.hystart === 'rfc9406') c.hystartPlus = new HystartPlusState(c.nxt);
  else if (settings.hystart !== false) {
    c.hystart = new HystartState(c.nxt, queue.nowNs, settings.hystart === 'linux');
  }
  stack.totals.established++;
  c.app?.onEstablished?.(stack, c);
}

/** @see RFC 9293 section 3.10.7.4, SND.WL1 and SND.WL2 */
function updateWindow(c: TcpConnection, view: DataView, at: number, seq: number, ack: number): void {
  const isNewer =
    seqBefore(c.sendWindowSeq, seq) || (c.sendWindowSeq === seq && !seqBefore(ack, c.sendWindowAck));
  if (!isNewer) return;
  const window = windowField(view, at) << c.sendShift;
  if (c.sendWindow === 0 && window > 0) {
    c.persistAtNs = Infinity;
    c.persistProbes = 0;
  }
  c.sendWindow = window;
  c.sendWindowSeq = seq;
  c.sendWindowAck = ack;
  if (window > c.maxSendWindow) c.maxSendWindow = window;
}

function notifyAllAcked(stack: TcpStack, c: TcpConnection): void {
  if (c.isFinSent && !c.isFinAcked) {
    c.isFinAcked = true;
    c.app?.onAllAcked?.(stack, c);
    if (c.isPeerClosed && c.state === STATE_ESTABLISHED) finish(stack, c);
  } else if (c.unsentBytes === 0 && !c.isClosing) {
    c.app?.onAllAcked?.(stack, c);
  }
}

/** @see RFC 9293 section 3.10.7.4, RFC 5681 section 4.2 */
function takeData(stack: TcpStack, c: TcpConnection, seq: number, payload: number, hasFin: boolean): void {
  const end = (seq + payload + (hasFin ? 1 : 0)) | 0;
  if (!seqBefore(c.rcvNxt, end)) {
    c.held.noteDuplicate(seq, end);
    c.mustAckNow = true;
    return;
  }
  if (seqAfter(end, (c.toldEdge + 1) | 0)) {
    // Beyond the window; a FIN may stand at its edge.
    stack.totals.beyondWindow++;
    c.mustAckNow = true;
    return;
  }
  if (hasFin) {
    c.hasPeerFin = true;
    c.peerFinEnd = end;
  }
  if (seqAfter(seq, c.rcvNxt)) {
    c.held.insert(seq, end);
    c.mustAckNow = true;
    return;
  }
  if (c.held.count > 0) c.mustAckNow = true;
  const before = c.rcvNxt;
  c.rcvNxt = c.held.count > 0 ? c.held.advance(end) : end;
  const isFinReached = c.hasPeerFin && !c.isPeerClosed && c.rcvNxt === c.peerFinEnd;
  const bytes = ((c.rcvNxt - before) | 0) - (isFinReached ? 1 : 0);
  c.receivedBytes += bytes;
  stack.totals.receivedBytes += bytes;
  if (++c.unackedSegments >= SEGMENTS_PER_ACK || stack.settings.ackDelayNs === 0) c.mustAckNow = true;
  else stack.delayedAcks.set(c.index);
  if (!c.isReading) c.unreadBytes += bytes;
  if (bytes > 0) c.app?.onData?.(stack, c, bytes);
  if (isFinReached && c.state === STATE_ESTABLISHED) takePeerFin(stack, c);
}

function takePeerFin(stack: TcpStack, c: TcpConnection): void {
  c.isPeerClosed = true;
  c.mustAckNow = true;
  c.isActiveCloser = c.isFinSent;
  c.app?.onPeerClosed?.(stack, c);
  if (c.isFinAcked && c.state === STATE_ESTABLISHED) finish(stack, c);
}

/** Both directions are closed and acknowledged. */
function finish(stack: TcpStack, c: TcpConnection): void {
  if (!c.isActiveCloser) {
    stack.end(c, END_FINISHED);
    return;
  }
  const { app } = c;
  c.state = STATE_TIME_WAIT;
  c.app = undefined;
  c.rtoAtNs = Infinity;
  c.probeAtNs = Infinity;
  c.persistAtNs = Infinity;
  stack.delayedAcks.unset(c.index);
  c.appAtNs = Infinity;
  c.timeWaitAtNs = stack.queue.nowNs + stack.settings.timeWaitNs;
  stack.totals.finished++;
  app?.onEnd?.(stack, c, END_FINISHED);
}
