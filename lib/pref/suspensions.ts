/**
 * Which routes are suspended for which destination, and what that does to the flowlet ratios: a suspended route
 * has beta_E / N, to be probed, and the others share the rest as they did before.
 */

import { countBits } from './route-table.ts';
import type { RouteTable } from './route-table.ts';

/** What a suspended route gets where the balancer would never probe one. */
const LEAST_PROBE_SHARE = 0.01;

/** Suspended routes by destination. */
export class Suspensions {
  /** How many routes of destinations are suspended. While it is 0, nothing else here is read. */
  count = 0;

  private readonly table: RouteTable;
  private readonly probeShare: (routeCount: number) => number;
  private masks = new Uint16Array(0);
  /** What suspended routes get back, by destination << 4 | slot. */
  private readonly ratiosBefore = new Map<number, number>();
  /** Destinations with a route that was given a ratio back in the running interval. */
  private readonly given = new Set<number>();
  private readonly next: Float64Array;

  /** @param probeShare - beta_E / N for N routes */
  constructor(table: RouteTable, probeShare: (routeCount: number) => number) {
    this.table = table;
    this.probeShare = probeShare;
    this.next = new Float64Array(table.routeCount);
  }

  /** The suspended slots of a destination; 0 as well when no other is left that is up. @hotpath */
  maskOf(destination: number): number {
    if (this.count === 0 || destination >= this.masks.length) return 0;
    const mask = this.masks[destination];
    return mask !== 0 && (this.table.upMask(destination) & ~mask) !== 0 ? mask : 0;
  }

  /**
   * Suspends a route that is up.
   *
   * @param usualRatio - what it had on average, 0..1, to be given back; 0 for what it has now
   */
  begin(destination: number, slot: number, usualRatio = 0): void {
    if (destination >= this.masks.length) {
      const grown = new Uint16Array(this.table.capacity);
      grown.set(this.masks);
      this.masks = grown;
    }
    const ratio = usualRatio > 0 ? usualRatio : this.ratioWithout(destination, slot);
    this.ratiosBefore.set((destination << 4) | slot, ratio);
    this.masks[destination] |= 1 << slot;
    this.table.noteChange(destination);
    this.count++;
    for (let i = 0; i < this.table.routeCount; i++) this.next[i] = this.table.ratio(destination, i);
    this.limit(destination, this.next);
    this.table.setRatios(destination, this.next);
  }

  /** The route works again: it gets the ratio that it usually had. What is measured then corrects that. */
  restore(destination: number, slot: number): void {
    const before = this.ratiosBefore.get((destination << 4) | slot) ?? 0;
    this.end(destination, slot);
    if (before > 0) this.giveBack(destination, slot, before);
  }

  /**
   * Gives a route that is not suspended a ratio that it had before, 0..1, at the cost of the others in proportion. The
   * figures of the running interval do not say what it is worth, so the ratios stay over the end of it.
   */
  giveBack(destination: number, slot: number, ratio: number): void {
    const { next, table } = this;
    const rest = 1 - table.ratio(destination, slot);
    if (rest <= 0) return;
    for (let i = 0; i < table.routeCount; i++) next[i] = (table.ratio(destination, i) * (1 - ratio)) / rest;
    next[slot] = ratio;
    this.limit(destination, next);
    table.setRatios(destination, next);
    this.given.add(destination);
  }

  /** Whether a route of the destination was given a ratio back since this was asked last. */
  takeGiven(destination: number): boolean {
    return this.given.size > 0 && this.given.delete(destination);
  }

  /** The route is no longer suspended, and keeps the ratio that it has. */
  end(destination: number, slot: number): void {
    this.masks[destination] &= ~(1 << slot);
    this.table.noteChange(destination);
    this.ratiosBefore.delete((destination << 4) | slot);
    this.count--;
  }

  /** Uses all suspended routes of a destination as before, with the ratios they had. */
  lift(destination: number): void {
    const { next, table } = this;
    const mask = this.masks[destination];
    let before = 0;
    let rest = 0;
    for (let slot = 0; slot < table.routeCount; slot++) {
      const isSuspended = ((mask >>> slot) & 1) === 1;
      next[slot] = isSuspended
        ? (this.ratiosBefore.get((destination << 4) | slot) ?? 0)
        : table.ratio(destination, slot);
      if (isSuspended) before += next[slot];
      else rest += next[slot];
    }
    for (let slot = 0; slot < table.routeCount; slot++) {
      if (((mask >>> slot) & 1) === 1) {
        this.end(destination, slot);
        // Means over different intervals can sum to more.
        if (before > 1) next[slot] /= before;
      } else if (rest > 0) next[slot] *= Math.max(0, 1 - before) / rest;
    }
    table.setRatios(destination, next);
  }

  /** Forgets a destination that is removed. */
  forget(destination: number): void {
    this.given.delete(destination);
    const mask = destination < this.masks.length ? this.masks[destination] : 0;
    for (let slot = 0; mask >>> slot !== 0; slot++) {
      if (((mask >>> slot) & 1) === 1) this.end(destination, slot);
    }
  }

  /**
   * Gives the suspended routes their probe share in ratios that are to come into force.
   *
   * @param next - by slot, written
   */
  limit(destination: number, next: Float64Array): void {
    const mask = this.maskOf(destination);
    if (mask === 0) return;
    const up = this.table.upMask(destination);
    const share = this.probeShareOf(up);
    let rest = 0;
    for (let slot = 0; slot < next.length; slot++) if (((up & ~mask) >>> slot) & 1) rest += next[slot];
    const scale = rest > 0 ? (1 - share * countBits(up & mask)) / rest : 0;
    const others = countBits(up & ~mask);
    for (let slot = 0; slot < next.length; slot++) {
      if (((up & mask) >>> slot) & 1) next[slot] = share;
      else if (rest > 0) next[slot] *= scale;
      else next[slot] = ((up >>> slot) & 1) === 1 ? 1 / others : 0;
    }
  }

  /** The ratio that a route would have if none of its destination were suspended. */
  private ratioWithout(destination: number, slot: number): number {
    const { table } = this;
    const mask = this.masks[destination];
    let before = 0;
    let now = 0;
    for (let other = 0; mask >>> other !== 0; other++) {
      if (((mask >>> other) & 1) === 0) continue;
      before += this.ratiosBefore.get((destination << 4) | other) ?? 0;
      now += table.ratio(destination, other);
    }
    const ratio = table.ratio(destination, slot);
    return now < 1 ? (ratio * Math.max(0, 1 - before)) / (1 - now) : ratio;
  }

  private probeShareOf(up: number): number {
    const share = this.probeShare(countBits(up));
    return share > 0 ? share : LEAST_PROBE_SHARE;
  }
}
