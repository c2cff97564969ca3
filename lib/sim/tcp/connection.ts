/**
 * One end of a TCP connection as data. What changes it is in output.ts (sending), input.ts (receiving), recovery.ts
 * (acknowledgements) and timers.ts.
 *
 *                connect                                   listener
 *      CLOSED -----------> SYN_SENT       CLOSED ---------------------> SYN_RECEIVED
 *                              |                                             |
 *                              +----------------> ESTABLISHED <--------------+
 *                                                      |
 *                      FIN sent, FIN acknowledged, peer's FIN received, in whatever order
 *                                                      |
 *                          closed first: TIME_WAIT     +-----> CLOSED, or after a timeout or reset
 *
 * Sequence numbers are int32 and compare modulo 2^32. Times are in ns, Infinity for "never".
 *
 * @see RFC 9293 section 3.3
 */
import type { TcpApp } from './app.ts';
import type { CubicState } from './cubic.ts';
import type { HystartPlusState } from './hystart-plus.ts';
import type { HystartState } from './hystart.ts';
import { ReceiveQueue } from './receive-queue.ts';
import { Scoreboard } from './scoreboard.ts';

export const STATE_CLOSED = 0;
export const STATE_SYN_SENT = 1;
export const STATE_SYN_RECEIVED = 2;
export const STATE_ESTABLISHED = 3;
export const STATE_TIME_WAIT = 4;

/** Nothing is known to be lost. */
export const PHASE_OPEN = 0;
/** Fast recovery: loss was told by SACK. @see RFC 6675 section 5 */
export const PHASE_RECOVERY = 1;
/** Recovery after a timeout: slow start over what was lost. @see RFC 5681 section 3.1 */
export const PHASE_LOSS = 2;

/**
 * State of one end. The fields stand in the order in which they lie in memory: what every segment asks for first, so that
 * it lies in as few cache lines as it can; and likewise the times, each of which V8 keeps in a box of its own.
 */
export class TcpConnection {
  /** Its place in the stack; given to another connection when this one is over. */
  readonly index: number;
  state = STATE_CLOSED;

  // Asked for every segment, sent or received.
  /** Oldest sequence number not acknowledged, SND.UNA. */
  una = 0;
  /** Next sequence number to send, SND.NXT. */
  nxt = 0;
  /** Next sequence number expected, RCV.NXT. */
  rcvNxt = 0;
  mustAckNow = false;
  isClosing = false;
  isFinSent = false;
  /** Segments received since the last acknowledgement. */
  unackedSegments = 0;
  /** Right edge of the window told last. */
  toldEdge = 0;
  receiveShift = 0;
  /** Bytes that the application has not read; 0 while it reads by itself. */
  unreadBytes = 0;
  readonly held = new ReceiveQueue();
  readonly board = new Scoreboard();
  remoteAddr = 0;
  localPort = 0;
  remotePort = 0;
  /** The peer's window in bytes, SND.WND, and the segment it came with. */
  sendWindow = 0;
  sendWindowSeq = 0;
  sendWindowAck = 0;
  maxSendWindow = 0;
  sendShift = 0;
  /** A tail loss probe is out. @see RFC 8985 section 7.1, TLP.end_seq and TLP.is_retrans */
  isProbing = false;

  // Asked for every segment with data by one of the two ends.
  app: TcpApp | undefined = undefined;
  /** Payload bytes received in order. */
  receivedBytes = 0;
  isReading = true;
  hasPeerFin = false;
  isPeerClosed = false;
  mss = 0;
  phase = PHASE_OPEN;
  /** The window, and nothing else, held the sender back. */
  isCwndLimited = false;
  cubic: CubicState | undefined = undefined;
  hystart: HystartState | undefined = undefined;
  hystartPlus: HystartPlusState | undefined = undefined;
  /** Payload bytes sent, those sent again included. */
  sentBytes = 0;
  prrOutBytes = 0;
  /** Timeouts in a row. */
  timeouts = 0;

  // Numbers with a fraction, and Infinity.
  /** Time of the event in the queue that counts; others of this connection are stale. */
  wakeAtNs = Infinity;
  rtoAtNs = Infinity;
  probeAtNs = Infinity;
  persistAtNs = Infinity;
  timeWaitAtNs = Infinity;
  appAtNs = Infinity;
  /** Bytes the application wrote that were never sent; may be Infinity. */
  unsentBytes = 0;
  cwndBytes = 0;
  ssthreshBytes = Infinity;
  srttNs = 0;
  rttvarNs = 0;
  rtoNs = 0;
  lastSentNs = 0;
  /** Last time that something outstanding was acknowledged, or began to be outstanding. */
  progressNs = 0;
  /** Longest time with something outstanding and nothing acknowledged. */
  longestStallNs = 0;

  // Asked now and then.
  iss = 0;
  isFinAcked = false;
  /** For the application's own use. */
  appWord = 0;
  appNs = 0;
  /** SND.NXT when the recovery began. */
  recoveryPoint = 0;
  /** The one rescue retransmission of this recovery is still to be had. @see RFC 6675 section 4, NextSeg rule 4 */
  canRescue = false;
  /** Proportional rate reduction of this recovery. @see RFC 6937 section 3, RecoverFS, prr_delivered and prr_out */
  recoverFlightBytes = 0;
  prrDeliveredBytes = 0;
  synSentNs = 0;
  /** Probes sent since the peer closed its window. */
  persistProbes = 0;
  isProbeRetransmission = false;
  probeEnd = 0;
  probeIndex = 0;
  /** Sequence number behind the peer's FIN, once it was seen. */
  peerFinEnd = 0;
  /** This side sent its FIN before it had the peer's, so that TIME_WAIT is its lot. */
  isActiveCloser = false;

  // Figures.
  openedAtNs = 0;
  /** Payload bytes sent again; tcpi_bytes_retrans of Linux. */
  retransmittedBytes = 0;
  retransmittedSegments = 0;
  timeoutCount = 0;
  probeCount = 0;
  recoveryCount = 0;

  constructor(index: number) {
    this.index = index;
  }

  /** Bytes of sequence numbers outstanding. */
  get outstandingBytes(): number {
    return (this.nxt - this.una) | 0;
  }

  /** Puts every field back to its beginning. */
  reset(): void {
    const { wakeAtNs } = this;
    this.board.reset();
    this.held.reset();
    this.app = undefined;
    this.appWord = 0;
    this.appNs = 0;
    this.unsentBytes = 0;
    this.isClosing = false;
    this.isFinSent = false;
    this.isFinAcked = false;
    this.sendWindow = 0;
    this.maxSendWindow = 0;
    this.sendShift = 0;
    this.phase = PHASE_OPEN;
    this.ssthreshBytes = Infinity;
    this.cubic = undefined;
    this.hystart = undefined;
    this.hystartPlus = undefined;
    this.isCwndLimited = false;
    this.canRescue = false;
    this.lastSentNs = 0;
    this.srttNs = 0;
    this.rttvarNs = 0;
    this.timeouts = 0;
    this.rtoAtNs = Infinity;
    this.probeAtNs = Infinity;
    this.persistAtNs = Infinity;
    this.persistProbes = 0;
    this.timeWaitAtNs = Infinity;
    this.appAtNs = Infinity;
    this.wakeAtNs = wakeAtNs;
    this.isProbing = false;
    this.unreadBytes = 0;
    this.isReading = true;
    this.unackedSegments = 0;
    this.mustAckNow = false;
    this.hasPeerFin = false;
    this.isPeerClosed = false;
    this.isActiveCloser = false;
    this.sentBytes = 0;
    this.retransmittedBytes = 0;
    this.retransmittedSegments = 0;
    this.receivedBytes = 0;
    this.timeoutCount = 0;
    this.probeCount = 0;
    this.recoveryCount = 0;
    this.progressNs = 0;
    this.longestStallNs = 0;
  }
}
