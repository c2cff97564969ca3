/**
 * HyStart++: slow start that ends when round trips get longer, and goes on slowly for a while to see whether that was
 * meant. Off unless asked for.
 *
 *      slow start --- delay rose ---> conservative slow start (a quarter as fast) --- 5 rounds ---> congestion avoidance
 *          ^                                  |
 *          +-------- delay fell again --------+
 *
 * @see RFC 9406
 */
import { seqBefore } from '../../wire/seq.ts';
import type { TcpConnection } from './connection.ts';

const MIN_RTT_THRESHOLD_NS = 4e6;
const MAX_RTT_THRESHOLD_NS = 16e6;
const RTT_DIVISOR = 8;
const RTT_SAMPLES = 8;
const CONSERVATIVE_GROWTH = 4;
const CONSERVATIVE_ROUNDS = 5;

/** State of HyStart++ in one connection. */
export class HystartPlusState {
  /** SND.NXT when the round began: its acknowledgement ends the round. */
  roundEnd: number;
  samples = 0;
  roundMinNs = Infinity;
  lastRoundMinNs = Infinity;
  /** Least RTT of the round in which the delay rose; Infinity outside of conservative slow start. */
  baselineNs = Infinity;
  conservativeRounds = 0;

  constructor(roundEnd: number) {
    this.roundEnd = roundEnd;
  }
}

/** Takes an RTT sample of a slow start that goes on. */
export function noteRtt(state: HystartPlusState, rttNs: number): void {
  state.samples++;
  if (rttNs < state.roundMinNs) state.roundMinNs = rttNs;
}

/**
 * Asked at each acknowledgement in slow start.
 *
 * @returns true when slow start is over
 */
export function isDelayRising(c: TcpConnection): boolean {
  const state = c.hystartPlus!;
  const isConservative = state.baselineNs !== Infinity;
  if (isConservative && state.samples >= RTT_SAMPLES && state.roundMinNs < state.baselineNs) {
    state.baselineNs = Infinity;
  } else if (!isConservative && state.samples >= RTT_SAMPLES && state.lastRoundMinNs !== Infinity) {
    const eighth = state.lastRoundMinNs / RTT_DIVISOR;
    const threshold = Math.min(Math.max(eighth, MIN_RTT_THRESHOLD_NS), MAX_RTT_THRESHOLD_NS);
    if (state.roundMinNs >= state.lastRoundMinNs + threshold) {
      state.baselineNs = state.roundMinNs;
      state.conservativeRounds = 0;
    }
  }
  if (seqBefore(c.una, state.roundEnd)) return false;
  state.roundEnd = c.nxt;
  state.lastRoundMinNs = state.roundMinNs;
  state.roundMinNs = Infinity;
  state.samples = 0;
  return state.baselineNs !== Infinity && ++state.conservativeRounds >= CONSERVATIVE_ROUNDS;
}

/** By how much the growth of slow start is divided now. */
export function growthDivisor(c: TcpConnection): number {
  return c.hystartPlus !== undefined && c.hystartPlus.baselineNs !== Infinity ? CONSERVATIVE_GROWTH : 1;
}
