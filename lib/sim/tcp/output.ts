/**
 * What a connection sends, and when.
 *
 *      transmit     restart after idle
 *                   while the window has room:   lost segments   (NextSeg rule 1)
 *                                                new data        (rule 2)
 *                                                holes, rescue   (rules 3 and 4, in fast recovery)
 *                   start the timers
 *      sendAck      pure acknowledgement, with SACK blocks
 *      sendSyn      SYN or SYN-ACK
 *      sendProbe    tail loss probe
 *      sendWindowProbe   the peer's window is closed
 *
 * @see RFC 6675 sections 4 and 5, RFC 5681, RFC 8985 section 7
 */
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../wire/packet-view.ts';
import { SLOT_BYTES } from '../packet-pool.ts';
import { PHASE_OPEN, PHASE_RECOVERY, STATE_ESTABLISHED, STATE_SYN_RECEIVED } from './connection.ts';
import type { TcpConnection } from './connection.ts';
import {
  HEADER_BYTES,
  portsWord,
  SYN_OPTION_BYTES,
  writeHeaders,
  writeSackHead,
  writeSynOptions,
} from './segment.ts';
import type { TcpStack } from './stack.ts';

/** Longest delay of an acknowledgement that a probe allows for, in ns. @see RFC 8985 section 7.2, TLP.max_ack_delay */
export const MAX_ACK_DELAY_NS = 200e6;
/** Probe timeout without an RTT, in ns. @see RFC 8985 section 7.2 */
const PROBE_WITHOUT_RTT_NS = 1e9;
const MAX_WINDOW_FIELD = 65_535;

/**
 * Sends all that may be sent now.
 *
 * @hotpath
 */
export function transmit(stack: TcpStack, c: TcpConnection): void {
  c.isCwndLimited = false;
  // A side that only receives has nothing to send.
  if (c.state !== STATE_ESTABLISHED || (c.una === c.nxt && !hasNew(c))) return;
  const { board } = c;
  const nowNs = stack.queue.nowNs;
  if (board.isEmpty && hasNew(c)) restartAfterIdle(stack, c, nowNs);
  let hasSentNew = false;
  for (;;) {
    const room = c.cwndBytes - board.pipeBytes;
    if (board.lostSegments > 0) {
      const index = board.nextLost();
      // A FIN behind a full segment takes no room.
      if (room < Math.min(board.lengthAt(index), c.mss)) {
        c.isCwndLimited = true;
        break;
      }
      retransmit(stack, c, index);
      continue;
    }
    if (hasNew(c)) {
      const length = newLength(c);
      if (length >= 0) {
        if (room < length) {
          c.isCwndLimited = true;
          break;
        }
        sendNew(stack, c, length);
        hasSentNew = true;
        continue;
      }
    }
    if (c.phase !== PHASE_RECOVERY || room < c.mss || !retransmitUnproven(stack, c)) break;
  }
  if (!board.isEmpty) {
    c.persistAtNs = Infinity;
    if (c.rtoAtNs === Infinity) c.rtoAtNs = nowNs + c.rtoNs;
    if (hasSentNew) scheduleProbe(stack, c);
  } else if (hasNew(c) && c.persistAtNs === Infinity) {
    c.persistAtNs = nowNs + c.rtoNs;
  }
}

/** Sends one segment again. */
export function retransmit(stack: TcpStack, c: TcpConnection, index: number): void {
  const { board } = c;
  const hasFin = board.hasFinAt(index);
  const payload = board.lengthAt(index) - (hasFin ? 1 : 0);
  board.retransmit(index, stack.queue.nowNs);
  c.retransmittedBytes += payload;
  c.retransmittedSegments++;
  stack.totals.retransmittedBytes += payload;
  stack.totals.retransmittedSegments++;
  sendData(stack, c, board.seqAt(index), payload, hasFin);
}

/** Sends an acknowledgement without data. */
export function sendAck(stack: TcpStack, c: TcpConnection): void {
  const { held } = c;
  const { blocks } = held;
  const optionBytes = blocks === 0 ? 0 : 4 + 8 * blocks;
  const slot = writeSegment(stack, c, c.nxt, TCP_ACK, optionBytes, 0);
  if (blocks > 0) {
    const { view } = stack.pool;
    held.writeBlocks(view, writeSackHead(view, slot * SLOT_BYTES + HEADER_BYTES, blocks));
  }
  c.mustAckNow = false;
  stack.emit(slot);
}

/** Sends SYN, or SYN-ACK once a SYN was received. */
export function sendSyn(stack: TcpStack, c: TcpConnection): void {
  const isAnswer = c.state === STATE_SYN_RECEIVED;
  const slot = stack.pool.take();
  const { view } = stack.pool;
  const at = slot * SLOT_BYTES;
  const { receiveBufferBytes, mss } = stack.settings;
  writeHeaders(
    view,
    at,
    HEADER_BYTES + SYN_OPTION_BYTES,
    stack.localAddr,
    c.remoteAddr,
    portsWord(c.localPort, c.remotePort),
    c.iss,
    isAnswer ? c.rcvNxt : 0,
    isAnswer ? TCP_SYN | TCP_ACK : TCP_SYN,
    Math.min(receiveBufferBytes, MAX_WINDOW_FIELD),
    SYN_OPTION_BYTES,
  );
  writeSynOptions(view, at + HEADER_BYTES, mss, c.receiveShift);
  stack.emit(slot);
}

/** Tells the peer that there is no such connection, or not any more. @see RFC 9293 section 3.10.7.1 */
export function sendReset(
  stack: TcpStack,
  remoteAddr: number,
  ports: number,
  seq: number,
  ack: number,
  flags: number,
): void {
  const slot = stack.pool.take();
  const at = slot * SLOT_BYTES;
  writeHeaders(
    stack.pool.view,
    at,
    HEADER_BYTES,
    stack.localAddr,
    remoteAddr,
    ports,
    seq,
    ack,
    flags | TCP_RST,
    0,
    0,
  );
  stack.emit(slot);
}

/**
 * Sends a tail loss probe: new data if there is some, whatever the window, else the newest segment once more.
 *
 * @see RFC 8985 section 7.3
 */
export function sendProbe(stack: TcpStack, c: TcpConnection): void {
  const { board } = c;
  c.probeAtNs = Infinity;
  if (c.phase !== PHASE_OPEN || c.isProbing || board.isEmpty) return;
  const length = hasNew(c) ? newLength(c) : -1;
  if (length >= 0) sendNew(stack, c, length);
  else retransmit(stack, c, board.end - 1);
  c.isProbing = true;
  c.isProbeRetransmission = length < 0;
  c.probeEnd = c.nxt;
  c.probeIndex = board.end - 1;
  c.probeCount++;
  stack.totals.probes++;
  c.rtoAtNs = stack.queue.nowNs + c.rtoNs;
}

/**
 * Sets the time of a tail loss probe, where one is allowed.
 *
 * @see RFC 8985 section 7.2
 */
export function scheduleProbe(stack: TcpStack, c: TcpConnection): void {
  const { board } = c;
  c.probeAtNs = Infinity;
  if (!stack.settings.tailLossProbe || c.phase !== PHASE_OPEN || c.isProbing || board.sackedSegments > 0)
    return;
  let delayNs = PROBE_WITHOUT_RTT_NS;
  if (c.srttNs > 0) {
    delayNs = 2 * c.srttNs;
    if (board.end - board.first === 1) delayNs += MAX_ACK_DELAY_NS;
  }
  const atNs = stack.queue.nowNs + delayNs;
  c.probeAtNs = atNs < c.rtoAtNs ? atNs : c.rtoAtNs;
}

/** Asks for the window of a peer that closed it, as Linux does: no data, one below what was acknowledged. */
export function sendWindowProbe(stack: TcpStack, c: TcpConnection): void {
  stack.totals.windowProbes++;
  stack.emit(writeSegment(stack, c, (c.una - 1) | 0, TCP_ACK, 0, 0));
}

/** Whether there is something that was never sent. */
function hasNew(c: TcpConnection): boolean {
  return c.unsentBytes > 0 || (c.isClosing && !c.isFinSent);
}

/**
 * Payload bytes of the next new segment, 0 for a FIN alone; -1 when the peer's window is too small.
 *
 * @see RFC 9293 section 3.8.6.2.1, the sender's side of silly window avoidance
 */
function newLength(c: TcpConnection): number {
  const usable = c.sendWindow - c.outstandingBytes;
  const wanted = c.unsentBytes < c.mss ? c.unsentBytes : c.mss;
  if (wanted === 0) return usable >= 1 ? 0 : -1;
  if (wanted <= usable) return wanted;
  return usable > 0 && usable >= c.maxSendWindow / 2 ? usable : -1;
}

function sendNew(stack: TcpStack, c: TcpConnection, length: number): void {
  const nowNs = stack.queue.nowNs;
  c.unsentBytes -= length;
  const hasFin =
    c.isClosing && !c.isFinSent && c.unsentBytes === 0 && c.outstandingBytes + length < c.sendWindow;
  if (hasFin) c.isFinSent = true;
  const seq = c.nxt;
  const sequenceLength = hasFin ? length + 1 : length;
  if (c.board.isEmpty) c.progressNs = nowNs;
  c.board.push(seq, sequenceLength, hasFin, nowNs);
  c.nxt = (seq + sequenceLength) | 0;
  sendData(stack, c, seq, length, hasFin);
}

/** NextSeg rules 3 and 4: what is not proven lost, when there is nothing better to fill the window with. */
function retransmitUnproven(stack: TcpStack, c: TcpConnection): boolean {
  const { board } = c;
  let index = board.nextHole();
  if (index < 0 && c.canRescue) {
    c.canRescue = false;
    // Rule 4 as it stands would repeat a retransmission that is still under way; that helps nobody.
    index = board.newestUnsacked();
    if (index >= 0 && board.isRetransmittedAt(index)) index = -1;
  }
  if (index < 0) return false;
  retransmit(stack, c, index);
  return true;
}

/** @see RFC 5681 section 4.1 */
function restartAfterIdle(stack: TcpStack, c: TcpConnection, nowNs: number): void {
  const idleNs = nowNs - c.lastSentNs;
  if (c.lastSentNs === 0 || !(idleNs > 0)) return;
  stack.congestion.onIdle(c, idleNs);
  if (!stack.settings.restartAfterIdle || idleNs <= c.rtoNs) return;
  c.cwndBytes = Math.min(c.cwndBytes, stack.settings.initialWindow * c.mss);
}

function sendData(stack: TcpStack, c: TcpConnection, seq: number, payload: number, hasFin: boolean): void {
  const slot = writeSegment(stack, c, seq, hasFin ? TCP_ACK | TCP_FIN : TCP_ACK, 0, payload);
  c.sentBytes += payload;
  c.prrOutBytes += payload;
  c.lastSentNs = stack.queue.nowNs;
  // Data carries no SACK blocks: what has to be told needs an acknowledgement of its own.
  if (c.held.blocks === 0) c.mustAckNow = false;
  stack.emit(slot);
}

/** Writes a segment of the established connection; it acknowledges all that was received in order. */
function writeSegment(
  stack: TcpStack,
  c: TcpConnection,
  seq: number,
  flags: number,
  optionBytes: number,
  payload: number,
): number {
  const length = HEADER_BYTES + optionBytes + payload;
  const slot = stack.pool.take();
  const windowField = Math.min(
    (stack.settings.receiveBufferBytes - c.unreadBytes) >> c.receiveShift,
    MAX_WINDOW_FIELD,
  );
  c.toldEdge = (c.rcvNxt + (windowField << c.receiveShift)) | 0;
  c.unackedSegments = 0;
  stack.delayedAcks.unset(c.index);
  writeHeaders(
    stack.pool.view,
    slot * SLOT_BYTES,
    length,
    stack.localAddr,
    c.remoteAddr,
    portsWord(c.localPort, c.remotePort),
    seq,
    c.rcvNxt,
    flags,
    windowField,
    optionBytes,
  );
  return slot;
}
