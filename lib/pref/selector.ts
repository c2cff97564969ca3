/**
 * Choosing a route of a destination: for a new flowlet by smooth weighted round robin, and for packets that
 * must stay together without any state by a hash of their flow.
 */

import { mixBits } from './flow-hash.ts';
import { CHUNK_BITS, FIELD_CREDIT, FIELD_RATIO, SHARE_WIDTH, countBits } from './route-table.ts';
import type { RouteTable } from './route-table.ts';

/**
 * By how much of a flowlet the order of the draws is left to chance. Without it two gateways that face each other draw in
 * step, and all connections that one sends over its route i would be answered over the same route j of the other: neither
 * could then tell a failure of i from one of j. With less than 0.2 two routes still take turns as their ratios say.
 */
const DITHER = 0.19;
const DITHER_STEP = DITHER / 2 ** 32;

/** Chooses among the routes that are up; every method returns a slot, or -1 when none is up. */
export class Selector {
  private readonly table: RouteTable;

  constructor(table: RouteTable) {
    this.table = table;
  }

  /**
   * The route for the next flowlet, by smooth weighted round robin: every route gains its ratio in credit,
   * the richest is chosen and pays 1. After n choices at fixed ratios every route was chosen n * ratio times,
   * give or take less than the number of routes; a coin toss would stray by sqrt(n). Which of two that are nearly as
   * rich comes first is decided by the flow's hash.
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
    let sum = 0;
    for (let rest = candidates, route = first; rest !== 0; rest >>>= 1, route += SHARE_WIDTH) {
      if ((rest & 1) !== 0) sum += shares[route + FIELD_RATIO];
    }
    // All candidates may have ratio 0 when betaE is 0 and the others are excluded: any of them is better than
    // none.
    const equalGain = sum > 0 ? 0 : 1 / countBits(candidates);
    const scale = sum > 0 ? 1 / sum : 0;
    let best = -1;
    let bestCredit = -Infinity;
    for (let slot = 0, route = first; candidates >>> slot !== 0; slot++, route += SHARE_WIDTH) {
      if (((candidates >>> slot) & 1) === 0) continue;
      const gain = shares[route + FIELD_RATIO] * scale + equalGain;
      if (gain === 0) continue;
      const credit = shares[route + FIELD_CREDIT] + gain;
      shares[route + FIELD_CREDIT] = credit;
      const dithered = credit + (mixBits(h1 + Math.imul(slot, 0x9e3779b1)) >>> 0) * DITHER_STEP;
      if (dithered > bestCredit) {
        bestCredit = dithered;
        best = slot;
      }
    }
    shares[first + best * SHARE_WIDTH + FIELD_CREDIT] -= 1;
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
    let bestDistance = Infinity;
    for (let slot = 0, route = first; up >>> slot !== 0; slot++, route += SHARE_WIDTH) {
      const ratio = shares[route + FIELD_RATIO];
      if (((up >>> slot) & 1) === 0 || ratio === 0) continue;
      const uniform = (scoreOf(h1, h2, table.pathIdOf[slot]) + 0.5) / 2 ** 32;
      const distance = -Math.log(uniform) / ratio;
      if (distance < bestDistance) {
        bestDistance = distance;
        best = slot;
      }
    }
    // With betaE = 0 all that are left may have ratio 0.
    return best < 0 ? this.chooseEqually(destination, h1, h2, excludeMask) : best;
  }
}

/**
 * A number 0..2^32-1 for a flow on a route. By path ID, so that the order of configuration plays no part.
 * @hotpath
 */
function scoreOf(h1: number, h2: number, pathId: number): number {
  return mixBits(mixBits(h1 ^ Math.imul(pathId, 0x9e3779b1)) ^ h2) >>> 0;
}
