/**
 * What an acknowledgement does to the sender: the scoreboard, the RTT, loss detection, and the phase.
 *
 *                    3 SACKed above a hole, or a probe SACKed above one
 *           OPEN ------------------------------------------------------> RECOVERY
 *            ^  ^                                                          |  |
 *            |  +-- all that was outstanding when it began is acknowledged +  |
 *            |                                                                |
 *            +---- likewise ---- LOSS <------------- timeout -----------------+
 *
 * @see RFC 6675 section 5, RFC 5681 section 3, RFC 6298, RFC 8985 section 7.4
 */
import { sackLeftEdge, sackRightEdge } from '../../wire/tcp-options.ts';
import { seqAfter, seqBefore } from '../../wire/seq.ts';
import { PHASE_LOSS, PHASE_OPEN, PHASE_RECOVERY } from './connection.ts';
import type { TcpConnection } from './connection.ts';
import { noteRtt } from './hystart-plus.ts';
import { HystartState, takeHystartRtt } from './hystart.ts';
import { retransmit, scheduleProbe } from './output.ts';
import { backOff, takeRtt } from './rto.ts';
import type { TcpStack } from './stack.ts';

/**
 * Takes an acknowledgement in. The caller has checked that it is not above SND.NXT and not below SND.UNA.
 *
 * @hotpath
 * @param sackOption - offset of the SACK option in `view`, -1 for none
 * @param isPure - the segment holds nothing but the acknowledgement
 */
export function takeAck(
  stack: TcpStack,
  c: TcpConnection,
  view: DataView,
  ack: number,
  sackOption: number,
  isPure: boolean,
): void {
  const { board } = c;
  const nowNs = stack.queue.nowNs;
  const ackedBytes = (ack - c.una) | 0;
  const flight = flightBytes(c);
  const sackedBefore = board.sackedBytes;
  const newlySacked = sackOption < 0 ? 0 : board.applySack(view, sackOption, ack);
  if (ackedBytes > 0) advance(stack, c, ack, nowNs);
  if (c.isProbing) {
    const isBareDuplicate = ackedBytes === 0 && isPure && sackOption < 0;
    if (hasProbeRepaired(c, view, ack, sackOption, isBareDuplicate))
      stack.congestion.onLoss(c, flight, nowNs);
  }

  const lostBefore = board.lostSegments;
  if (newlySacked > 0) {
    board.markLost();
    if (c.isProbing && c.probeIndex >= board.first && board.isSackedAt(c.probeIndex)) {
      // The probe went out two round trips after everything below it.
      board.markLostBelow(c.probeIndex);
      c.isProbing = false;
    }
  }
  if (c.phase !== PHASE_OPEN && !seqBefore(ack, c.recoveryPoint)) {
    if (c.phase === PHASE_RECOVERY) c.cwndBytes = c.ssthreshBytes;
    c.phase = PHASE_OPEN;
    board.markLost();
  }
  if (c.phase === PHASE_OPEN && board.lostSegments > 0) {
    enterRecovery(stack, c, flight, nowNs);
  } else if (ackedBytes > 0 && c.phase !== PHASE_RECOVERY && c.isCwndLimited) {
    stack.congestion.onAck(c, ackedBytes, nowNs);
  }
  if (c.phase === PHASE_RECOVERY) {
    const isSafe = ackedBytes > 0 && board.lostSegments <= lostBefore;
    reduceRate(c, ackedBytes + board.sackedBytes - sackedBefore, isSafe);
  }
  if (ackedBytes > 0) {
    c.rtoAtNs = board.isEmpty ? Infinity : nowNs + c.rtoNs;
    c.probeAtNs = Infinity;
    if (!board.isEmpty) scheduleProbe(stack, c);
  }
}

/** The retransmission timer ran out with data outstanding. @see RFC 6298 section 5, RFC 5681 section 3.1 */
export function takeTimeout(stack: TcpStack, c: TcpConnection): void {
  c.timeoutCount++;
  stack.totals.timeouts++;
  // A timeout in a row finds the window at its least already.
  if (c.timeouts === 0) stack.congestion.onTimeout(c, flightBytes(c), stack.queue.nowNs);
  c.timeouts++;
  c.cwndBytes = c.mss;
  c.phase = PHASE_LOSS;
  c.recoveryPoint = c.nxt;
  c.isProbing = false;
  c.probeAtNs = Infinity;
  if (c.hystart !== undefined) {
    c.hystart = new HystartState(c.nxt, stack.queue.nowNs, c.hystart.seesTrains);
  }
  c.hystartPlus = undefined;
  c.board.markAllLost();
  backOff(c, stack.settings);
  c.rtoAtNs = stack.queue.nowNs + c.rtoNs;
}

function advance(stack: TcpStack, c: TcpConnection, ack: number, nowNs: number): void {
  const { board } = c;
  board.acknowledge(ack);
  c.una = ack;
  c.timeouts = 0;
  const stalledNs = nowNs - c.progressNs;
  if (stalledNs > c.longestStallNs) c.longestStallNs = stalledNs;
  c.progressNs = nowNs;
  if (board.oldestSentNs < 0 || board.hasAckedRetransmission) return;
  takeRtt(c, nowNs - board.oldestSentNs, stack.settings);
  if (c.hystart !== undefined) takeHystartRtt(c, nowNs - board.newestSentNs, nowNs);
  if (c.hystartPlus !== undefined) noteRtt(c.hystartPlus, nowNs - board.newestSentNs);
}

function enterRecovery(stack: TcpStack, c: TcpConnection, flight: number, nowNs: number): void {
  c.phase = PHASE_RECOVERY;
  c.recoveryPoint = c.nxt;
  c.canRescue = true;
  c.isProbing = false;
  c.probeAtNs = Infinity;
  c.hystartPlus = undefined;
  c.recoveryCount++;
  stack.totals.recoveries++;
  c.recoverFlightBytes = flight;
  c.prrDeliveredBytes = 0;
  c.prrOutBytes = 0;
  stack.congestion.onLoss(c, flight, nowNs);
  // The first lost segment goes out whatever the pipe holds. @see RFC 6675 section 5, step 4.3
  retransmit(stack, c, c.board.nextLost());
  c.rtoAtNs = nowNs + c.rtoNs;
}

/**
 * Proportional rate reduction: in fast recovery the window follows what arrives. While more than the threshold is under
 * way, data goes out in the proportion of threshold to flight; below it, as much as arrived, and a segment more where no
 * further loss is told of. So a burst of losses is not answered by a burst of retransmissions.
 *
 * @param deliveredBytes - by this acknowledgement, SACKed or acknowledged for the first time
 * @param isSafe - the acknowledgement is cumulative and tells of no further loss
 * @see RFC 6937 section 3, PRR-SSRB where it is safe and PRR-CRB elsewhere, as in Linux
 */
function reduceRate(c: TcpConnection, deliveredBytes: number, isSafe: boolean): void {
  const { pipeBytes } = c.board;
  c.prrDeliveredBytes += deliveredBytes;
  let bytes: number;
  if (pipeBytes > c.ssthreshBytes) {
    bytes = Math.ceil((c.prrDeliveredBytes * c.ssthreshBytes) / c.recoverFlightBytes) - c.prrOutBytes;
  } else {
    const limit = Math.max(c.prrDeliveredBytes - c.prrOutBytes, deliveredBytes) + (isSafe ? c.mss : 0);
    bytes = Math.min(c.ssthreshBytes - pipeBytes, limit);
  }
  c.cwndBytes = pipeBytes + Math.max(bytes, 0);
}

/**
 * A tail loss probe is out, and this may be its answer.
 *
 * @returns true when the probe repaired a loss that nothing else will tell of
 * @see RFC 8985 section 7.4.2
 */
function hasProbeRepaired(
  c: TcpConnection,
  view: DataView,
  ack: number,
  sackOption: number,
  isBareDuplicate: boolean,
): boolean {
  if (seqBefore(ack, c.probeEnd)) return false;
  const isDuplicateTold =
    sackOption >= 0 &&
    sackRightEdge(view, sackOption, 0) === c.probeEnd &&
    seqBefore(sackLeftEdge(view, sackOption, 0), ack);
  const isRepaired = c.isProbeRetransmission && !isDuplicateTold && seqAfter(ack, c.probeEnd);
  if (!c.isProbeRetransmission || isDuplicateTold || isRepaired || isBareDuplicate) c.isProbing = false;
  return isRepaired;
}

/** FlightSize without what limited transmit added. @see RFC 5681 equation 4 */
function flightBytes(c: TcpConnection): number {
  return Math.min(c.outstandingBytes, c.cwndBytes);
}
