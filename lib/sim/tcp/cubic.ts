/**
 * CUBIC: after a loss the window follows a cubic function of time, flat around where the loss was.
 *
 *      W_cubic(t) = C (t - K)^3 + W_max,  K = cbrt((W_max - cwnd_epoch) / C)      windows in segments, t in seconds
 *
 *      cwnd |                              /
 *           | W_max  ________----________/       convex: probing for more
 *           |      /     concave
 *           |____/  K seconds
 *           +----------------------------- t
 *
 * Where NewReno would be faster (short round trips, small windows) it follows an estimate of NewReno's window. Together with
 * Linux's HyStart it grows as Linux's does while no loss has told what the path holds: by 5 % a round trip at least.
 *
 * @see RFC 9438
 */
import { MIN_THRESHOLD, slowStart, SLOW_START_LIMIT } from './congestion.ts';
import type { CongestionControl } from './congestion.ts';
import { PHASE_LOSS } from './connection.ts';
import type { TcpConnection } from './connection.ts';

/** @see RFC 9438 section 4.6, beta_cubic */
export const CUBIC_BETA = 0.7;
/** @see RFC 9438 section 5, C in segments / s^3 */
export const CUBIC_C = 0.4;
/** @see RFC 9438 section 4.3, alpha_cubic before W_est has reached the window of the last loss */
export const CUBIC_ALPHA = (3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA);
/** The target is at most this times the window. @see RFC 9438 section 4.2 */
const MAX_TARGET = 1.5;
/** Least growth in a round trip while no loss has told what the path holds, in Linux (tcp_cubic.c, bictcp_update). */
const SEARCHING_GROWTH = 1.05;
const NS_PER_S = 1e9;
const NO_EPOCH = -1;

/** State of CUBIC in one connection. Windows in segments. */
export class CubicState {
  /** Window just before the last reduction, less with fast convergence; 0 = none yet. */
  wMax = 0;
  /** Window just before the last reduction. */
  cwndPrior = 0;
  /** Estimate of NewReno's window. */
  wEst = 0;
  /** Time in s that the function takes to come back to wMax. */
  k = 0;
  /** When the epoch of congestion avoidance began, in ns; -1 = it begins with the next acknowledgement. */
  epochNs = NO_EPOCH;
  /** The last reduction was a timeout: the next epoch begins on the plateau. */
  isAfterTimeout = false;
  /** No loss was told by SACK since the beginning or the last timeout: what the path holds is not known. */
  isSearching = true;
}

/** The algorithm. */
export const cubic: CongestionControl = {
  name: 'cubic',
  begin(c: TcpConnection): void {
    c.cubic = new CubicState();
  },
  onAck(c: TcpConnection, ackedBytes: number, nowNs: number): void {
    let rest = ackedBytes;
    if (c.cwndBytes < c.ssthreshBytes) {
      rest = slowStart(c, ackedBytes, c.phase === PHASE_LOSS ? 1 : SLOW_START_LIMIT);
      if (rest === 0) return;
    }
    avoidCongestion(c, c.cubic!, rest / c.mss, nowNs);
  },
  onLoss(c: TcpConnection, flightBytes: number): void {
    reduce(c, c.cubic!, flightBytes, false);
    c.cwndBytes = c.ssthreshBytes;
  },
  onTimeout(c: TcpConnection, flightBytes: number): void {
    reduce(c, c.cubic!, flightBytes, true);
  },
  onIdle(c: TcpConnection, idleNs: number): void {
    // Time without anything to send is not time of growth. @see RFC 9438 section 5.8
    if (c.cubic!.epochNs !== NO_EPOCH) c.cubic!.epochNs += idleNs;
  },
};

/** @see RFC 9438 sections 4.2 to 4.5 */
function avoidCongestion(c: TcpConnection, state: CubicState, ackedSegments: number, nowNs: number): void {
  const cwnd = c.cwndBytes / c.mss;
  if (state.epochNs === NO_EPOCH) beginEpoch(state, cwnd, nowNs);
  const seconds = (nowNs - state.epochNs) / NS_PER_S;
  const alpha = state.wEst >= state.cwndPrior ? 1 : CUBIC_ALPHA;
  state.wEst += (alpha * ackedSegments) / cwnd;
  const now = seconds - state.k;
  const isSearching = state.isSearching && c.hystart !== undefined;
  if (CUBIC_C * now * now * now + state.wMax < state.wEst && !isSearching) {
    // The Reno-friendly region.
    c.cwndBytes = Math.max(c.cwndBytes, state.wEst * c.mss);
    return;
  }
  const later = now + c.srttNs / NS_PER_S;
  const cubicWindow = CUBIC_C * later * later * later + state.wMax;
  const least = isSearching ? SEARCHING_GROWTH * cwnd : cwnd;
  const target = Math.min(Math.max(cubicWindow, least), MAX_TARGET * cwnd);
  const grown = cwnd + ((target - cwnd) / cwnd) * ackedSegments;
  c.cwndBytes = (isSearching ? Math.max(grown, state.wEst) : grown) * c.mss;
}

function beginEpoch(state: CubicState, cwnd: number, nowNs: number): void {
  state.epochNs = nowNs;
  state.wEst = cwnd;
  // After a timeout, and when slow start ended without a loss: K is 0, the plateau is here. @see RFC 9438 sections 4.8, 4.10
  if (state.isAfterTimeout || state.wMax <= cwnd) {
    state.k = 0;
    state.wMax = cwnd;
  } else {
    state.k = Math.cbrt((state.wMax - cwnd) / CUBIC_C);
  }
  state.isAfterTimeout = false;
}

/** @see RFC 9438 sections 4.6 to 4.8 */
function reduce(c: TcpConnection, state: CubicState, flightBytes: number, isTimeout: boolean): void {
  const cwnd = c.cwndBytes / c.mss;
  // Fast convergence: a flow that did not come back to its former maximum leaves room for others.
  state.wMax = cwnd < state.wMax ? (cwnd * (1 + CUBIC_BETA)) / 2 : cwnd;
  state.cwndPrior = cwnd;
  state.epochNs = NO_EPOCH;
  state.isAfterTimeout = isTimeout;
  state.isSearching = isTimeout;
  c.ssthreshBytes = Math.max(flightBytes * CUBIC_BETA, MIN_THRESHOLD * c.mss);
}
