/**
 * The strategy whose betas and update interval follow from what is measured: how many LEx packets an interval
 * brought, and which part of the flowlets it replaced. The equations are derived in docs/balancers.md:
 *
 *     error of a ratio       beta_L sqrt(f_i (1 - f_i) / l)         l losses in the interval, LEx packets / 3
 *     gain of the loop       z = rho (1 + 2 beta_L)                 rho = min(1, turnover); stable below 2
 *
 *     beta_L  = min(beta_max sqrt(l / enough), max((1 / rho - 1) / 2, floor))      z at most 1
 *     beta_E  = beta_E0 ((1 + 2 beta_L) / (1 + 2 beta_max))^2
 *     beta_C  = 1 - beta_E - beta_L
 *     wanted interval = the longer of the one with enough losses and the one with z = 1/2, at most doubled or halved
 *
 * It holds no state: the gateway measures, and the interval that is running is the only memory.
 */

import { invalidOption, rejectUnknownKeys, requireNumber } from '../../errors.ts';
import type { Balancer, IntervalMeasures } from './balancer.ts';
import type { Mix } from './splits.ts';
import { DEFAULT_SHRINK_BYTES, equalShare, mixShares, sumOf } from './splits.ts';

/** Options of the strategy. */
export interface SelfTuningOptions {
  /** Part spread evenly while beta_L is at its largest, above 0 and below 1; default 0.1, the paper's. */
  readonly betaE?: number;
  /** k: how many bytes at the pooled loss ratio each route is credited with. Above 0; default 150,000. */
  readonly shrinkBytes?: number;
}

/** Losses a route in an interval below which it is stretched: 10 % sampling error. */
export const ENOUGH_LOSSES = 100;
/** LEx packets that count as one loss: a queue that is full drops several packets of a flow at once. */
export const LEX_PACKETS_A_LOSS = 3;
/** With fewer routes than this there must be as many in total: a ratio's error is 0.0225 at most. */
export const LEAST_SAMPLES = 4;
/** Bytes that are taken for one LEx packet. What is lost and sent again is nearly always a full segment. */
export const LEX_PACKET_BYTES = 1500;
/** Gain z that the interval is chosen for: a quarter of the 2 at which the loop becomes unstable. */
export const WANTED_GAIN = 0.5;
/** Gain z that beta_L is held below: half of that. */
export const MAX_GAIN = 1;
/** beta_L that is left whatever the turnover: z is 1.4 when every flowlet is replaced, and cannot be more. */
export const MIN_LOSS_PART = 0.2;
/** By how much one interval may be longer or shorter than the one before. */
export const MAX_INTERVAL_STEP = 2;

const OPTION_NAMES = ['betaE', 'shrinkBytes'];

/**
 * The self-tuning strategy. In a gateway it sets the update interval as well; without measures it is `loss`.
 *
 * @throws PreflexError ERR_INVALID_OPTION naming the option, the value and what is allowed
 */
export function selfTuning(options: SelfTuningOptions = {}): Balancer {
  rejectUnknownKeys('balancer', options, OPTION_NAMES);
  const mostE = requireNumber('betaE', options.betaE ?? 0.1, 0, 1);
  if (mostE === 0 || mostE === 1) throw invalidOption('betaE', mostE, 'a number above 0 and below 1');
  const shrinkBytes = requireNumber('shrinkBytes', options.shrinkBytes ?? DEFAULT_SHRINK_BYTES, 1, 1e12);
  const mostL = 1 - mostE;
  const mix = (count: number, lostBytes: Float64Array, measures?: IntervalMeasures): Mix => {
    const betaL = measures === undefined ? mostL : lossPart(mostL, sampleSize(lostBytes, count), measures);
    const betaE = probePart(mostE, mostL, betaL);
    return { betaE, betaC: 1 - betaE - betaL, betaL, shrinkBytes };
  };
  return {
    name: 'self-tuning',
    probeShare: (routeCount) => mostE * equalShare(routeCount),
    mix,
    balance(count, bytes, lostBytes, ratios, next, measures) {
      if (sumOf(bytes, count) > 0) mixShares(mix(count, lostBytes, measures), count, bytes, lostBytes, next);
      else for (let i = 0; i < count; i++) next[i] = ratios[i];
    },
    wantedIntervalNs: (count, _bytes, lostBytes, measures) =>
      wantedInterval(mostL, sampleSize(lostBytes, count), measures),
  };
}

/**
 * beta_L: the largest that neither the turnover nor the sampling error forbids.
 *
 * @param mostL - the largest of all, 0..1
 * @param sample - LEx packets in the interval over those that are enough
 */
export function lossPart(mostL: number, sample: number, measures: IntervalMeasures): number {
  const replaced = Math.min(1, measures.turnover);
  const byTurnover = replaced > 0 ? (MAX_GAIN / replaced - 1) / 2 : Infinity;
  const bySampling = mostL * Math.sqrt(sample);
  return Math.min(mostL, bySampling, Math.max(byTurnover, MIN_LOSS_PART));
}

/**
 * beta_E: with less beta_L against it, less of it moves the routes as far from equal losses; and less still, because what
 * the conservative split leaves uneven is corrected less as well.
 */
export function probePart(mostE: number, mostL: number, betaL: number): number {
  return mostE * ((1 + 2 * betaL) / (1 + 2 * mostL)) ** 2;
}

function wantedInterval(mostL: number, sample: number, { intervalNs, turnover }: IntervalMeasures): number {
  const wantedTurnover = WANTED_GAIN / (1 + 2 * mostL);
  const scale = Math.max(wantedTurnover / turnover, 1 / sample);
  // Both may be infinite: nothing begun, nothing lost.
  return intervalNs * Math.min(MAX_INTERVAL_STEP, Math.max(1 / MAX_INTERVAL_STEP, scale));
}

/** LEx packets in the interval over those that are enough, 300 a route. */
function sampleSize(lostBytes: Float64Array, count: number): number {
  const enough = LEX_PACKETS_A_LOSS * ENOUGH_LOSSES * Math.max(count, LEAST_SAMPLES);
  return sumOf(lostBytes, count) / LEX_PACKET_BYTES / enough;
}
