/**
 * Choosing a route of a destination: for a new flowlet by smooth weighted round robin, and for packets that
 * must stay together without any state by a hash of their flow.
 */

import { mixBits } from './flow-hash.ts';
import { distanceOf } from './log2.ts';
import {
  CHUNK_BITS,
  FIELD_CREDIT,
  FIELD_RATIO,
  SHARE_WIDTH,
  WEIGHT_SCALE,
  countBits,
  weightOf,
} from './route-table.ts';
import type { RouteTable } from './route-table.ts';

/**
 * How much of the order of the draws is left to chance: 2^20 steps. Without it two gateways that face each other draw in
 * step, and all connections that one sends over its route i would be answered over the same route j of the other: neither
 * could then tell a failure of i from one of j. With less than 0.2 two routes still take turns as their ratios say.
 */
export const DITHER_BITS = 20;
/** A step in parts of {@link WEIGHT_SCALE}, so that all of them are 0.1875 of a flowlet. */
export const DITHER_STEP = 3;

/** Chooses among the routes that are up; every method returns a slot, or -1 when none is up. */
export class Selector {
  private readonly table: RouteTable;

  constructor(table: RouteTable) {
    this.table = table;
  }

  /**
   * The route for the next flowlet, by smooth weighted round robin: every route gains its weight in credit,
   * the richest is chosen and pays what all have gained. After n choices at fixed ratios every route was chosen
   * n * ratio times, give or take less than the number of routes; a coin toss would stray by sqrt(n). Which of two
   * that are nearly as rich comes first is decided by the flow's hash.
   *
   * All in whole numbers, so that the programs in the kernel choose the same.
   *
   * @param excludeMask - slots not to choose, as long as another is up
   * @param h1 - first word of the flow's hash
   * @hotpath
   */
  pick(destination: number, excludeMask: number, h1: number): number {
    const table = this.table;
    const up = table.upMask(destination);
    if (up === 0) return -1;
    let candidates = up & ~excludeMask;
    if (candidates === 0) candidates = up;
    const shares = table.shares[destination >>> CHUNK_BITS];
    const first = table.shareAt(destination, 0);
    let total = 0;
    let sum = 0;
    for (let slot = 0, route = first; up >>> slot !== 0; slot++, route += SHARE_WIDTH) {
      if (((up >>> slot) & 1) === 0) continue;
      const weight = weightOf(shares[route + FIELD_RATIO]);
      total += weight;
      if (((candidates >>> slot) & 1) === 1) sum += weight;
    }
    // All candidates may have ratio 0 when betaE is 0 and the others are excluded: any of them is better than
    // none.
    const equalGain = sum > 0 ? 0 : Math.floor(WEIGHT_SCALE / countBits(candidates));
    if (sum > 0) settleCredits(shares, first, table.routeCount, up);
    let best = -1;
    let bestCredit = -Infinity;
    let gains = 0;
    for (let slot = 0, route = first; candidates >>> slot !== 0; slot++, route += SHARE_WIDTH) {
      if (((candidates >>> slot) & 1) === 0) continue;
      const weight = weightOf(shares[route + FIELD_RATIO]);
      // What is excluded takes no part: the others gain as if they were all.
      const gain = equalGain > 0 ? equalGain : sum === total ? weight : Math.floor((weight * total) / sum);
      if (gain === 0) continue;
      gains += gain;
      const credit = shares[route + FIELD_CREDIT] + gain;
      shares[route + FIELD_CREDIT] = credit;
      const dithered = credit + ditherOf(h1, slot);
      if (dithered > bestCredit) {
        bestCredit = dithered;
        best = slot;
      }
    }
    shares[first + best * SHARE_WIDTH + FIELD_CREDIT] -= gains;
    return best;
  }

  /**
   * The route of a flow when all routes count the same. Depends on nothing but the flow and which routes are
   * up: a route that goes takes only its own flows along, one that comes takes its share evenly from the
   * others.
   *
   * @param h1 - first word of the flow's hash
   * @param h2 - second word
   * @param excludeMask - slots not to choose, as long as another is up
   * @see Thaler, Ravishankar: Using name-based mappings to increase hit rates (rendezvous hashing), 1998
   * @hotpath
   */
  chooseEqually(destination: number, h1: number, h2: number, excludeMask = 0): number {
    const table = this.table;
    let up = table.upMask(destination);
    if ((up & ~excludeMask) !== 0) up &= ~excludeMask;
    let best = -1;
    let bestScore = -1;
    for (let slot = 0; up >>> slot !== 0; slot++) {
      if (((up >>> slot) & 1) === 0) continue;
      const score = scoreOf(h1, h2, table.pathIdOf[slot]);
      if (score > bestScore) {
        bestScore = score;
        best = slot;
      }
    }
    return best;
  }

  /**
   * The route of a flow with probability = ratio. When ratios change, only as many flows move as they must.
   *
   * @param excludeMask - slots not to choose, as long as another is up
   * @see Schindelhauer, Schomaker: Weighted distributed hash tables, 2005 (the logarithmic method)
   * @hotpath
   */
  chooseByRatio(destination: number, h1: number, h2: number, excludeMask = 0): number {
    const table = this.table;
    let up = table.upMask(destination);
    if ((up & ~excludeMask) !== 0) up &= ~excludeMask;
    const shares = table.shares[destination >>> CHUNK_BITS];
    const first = table.shareAt(destination, 0);
    let best = -1;
    let bestDistance = 0;
    let bestWeight = 0;
    for (let slot = 0, route = first; up >>> slot !== 0; slot++, route += SHARE_WIDTH) {
      const weight = weightOf(shares[route + FIELD_RATIO]);
      if (((up >>> slot) & 1) === 0 || weight === 0) continue;
      const distance = distanceOf(scoreOf(h1, h2, table.pathIdOf[slot]));
      // distance / weight < bestDistance / bestWeight; below 2^53, so exact.
      if (best < 0 || distance * bestWeight < bestDistance * weight) {
        bestDistance = distance;
        bestWeight = weight;
        best = slot;
      }
    }
    // With betaE = 0 all that are left may have ratio 0.
    return best < 0 ? this.chooseEqually(destination, h1, h2, excludeMask) : best;
  }
}

/**
 * Makes the credits of the routes with a claim sum to 0, after routes or ratios have changed; a route that is down or
 * has ratio 0 has none. Credits that were in order stay.
 *
 * Credits live on when ratios are set: with less than 1 / ratio flowlets an interval a rarely chosen route would
 * otherwise never be.
 *
 * @hotpath
 */
function settleCredits(shares: Float64Array, first: number, routeCount: number, up: number): void {
  let sum = 0;
  let count = 0;
  for (let slot = 0, route = first; slot < routeCount; slot++, route += SHARE_WIDTH) {
    if (((up >>> slot) & 1) === 1 && shares[route + FIELD_RATIO] > 0) {
      sum += shares[route + FIELD_CREDIT];
      count++;
    } else shares[route + FIELD_CREDIT] = 0;
  }
  if (sum === 0) return;
  const mean = Math.floor(sum / count);
  let rest = sum - mean * count;
  for (let slot = 0, route = first; slot < routeCount; slot++, route += SHARE_WIDTH) {
    if (((up >>> slot) & 1) === 0 || shares[route + FIELD_RATIO] === 0) continue;
    shares[route + FIELD_CREDIT] -= rest > 0 ? mean + 1 : mean;
    rest--;
  }
}

/** What a flow adds to the credit of a route, 0 to less than 0.1875 flowlets. @hotpath */
function ditherOf(h1: number, slot: number): number {
  return (mixBits(h1 + Math.imul(slot, 0x9e3779b1)) >>> (32 - DITHER_BITS)) * DITHER_STEP;
}

/**
 * A number 0..2^32-1 for a flow on a route. By path ID, so that the order of configuration plays no part.
 * @hotpath
 */
function scoreOf(h1: number, h2: number, pathId: number): number {
  return mixBits(mixBits(h1 ^ Math.imul(pathId, 0x9e3779b1)) ^ h2) >>> 0;
}
