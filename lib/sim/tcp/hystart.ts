/**
 * HyStart, as Linux's CUBIC has it: slow start ends when the acknowledgements of a round come in a train as long as half
 * of the least round trip, or when its first round trips are longer than the least one by an eighth.
 *
 *      round trip |          . .  first 8 of the round all above the line: slow start is over
 *                 |-------.-------------------------- least + least / 8 (4 to 16 ms)
 *                 |  . .
 *                 +------------------------> rounds
 *
 * @see Ha and Rhee 2011, Taming the elephants: new TCP slow start; RFC 9438 section 4.10
 * @see Linux net/ipv4/tcp_cubic.c, hystart_update
 */
import { seqAfter } from '../../wire/seq.ts';
import type { TcpConnection } from './connection.ts';

/** Windows below this many segments never end it (hystart_low_window). */
const LEAST_WINDOW = 16;
/** Acknowledgements no further apart than this are of one train (hystart_ack_delta_us). */
const TRAIN_GAP_NS = 2e6;
const RTT_SAMPLES = 8;
const RTT_DIVISOR = 8;
const MIN_RTT_THRESHOLD_NS = 4e6;
const MAX_RTT_THRESHOLD_NS = 16e6;
/** After a recovery round trips still tell of the queue before it. */
const SETTLING_NS = 1e9;

/** State of HyStart in one connection; a new one begins after a timeout. */
export class HystartState {
  /** Least round trip of the connection; Infinity before the first. */
  leastRttNs = Infinity;
  /** Trains end slow start as well (hystart_detect 3 of Linux, else 2). */
  readonly seesTrains: boolean;
  /** SND.NXT when the round began: the round ends behind its acknowledgement. */
  roundEnd = 0;
  roundStartNs = 0;
  /** Last acknowledgement of the train. */
  trainNs = 0;
  roundRttNs = Infinity;
  samples = 0;

  /** @param roundEnd - SND.NXT */
  constructor(roundEnd: number, nowNs: number, seesTrains: boolean) {
    this.seesTrains = seesTrains;
    this.roundEnd = roundEnd;
    this.roundStartNs = nowNs;
    this.trainNs = nowNs;
  }
}

/**
 * Takes the round trip of an acknowledgement, and ends slow start where it tells to.
 *
 * @hotpath
 */
export function takeHystartRtt(c: TcpConnection, rttNs: number, nowNs: number): void {
  const state = c.hystart!;
  const epochNs = c.cubic === undefined ? -1 : c.cubic.epochNs;
  if (epochNs >= 0 && nowNs - epochNs < SETTLING_NS) return;
  if (rttNs < state.leastRttNs) state.leastRttNs = rttNs;
  if (c.cwndBytes >= c.ssthreshBytes) return;
  if (seqAfter(c.una, state.roundEnd)) beginRound(c, state, nowNs);
  if (c.cwndBytes < LEAST_WINDOW * c.mss) return;
  if (state.seesTrains && nowNs - state.trainNs <= TRAIN_GAP_NS) {
    state.trainNs = nowNs;
    if (nowNs - state.roundStartNs > state.leastRttNs / 2) c.ssthreshBytes = c.cwndBytes;
  }
  if (rttNs < state.roundRttNs) state.roundRttNs = rttNs;
  if (state.samples < RTT_SAMPLES) {
    state.samples++;
    return;
  }
  const eighth = state.leastRttNs / RTT_DIVISOR;
  const threshold = Math.min(Math.max(eighth, MIN_RTT_THRESHOLD_NS), MAX_RTT_THRESHOLD_NS);
  if (state.roundRttNs > state.leastRttNs + threshold) c.ssthreshBytes = c.cwndBytes;
}

function beginRound(c: TcpConnection, state: HystartState, nowNs: number): void {
  state.roundEnd = c.nxt;
  state.roundStartNs = nowNs;
  state.trainNs = nowNs;
  state.roundRttNs = Infinity;
  state.samples = 0;
}
