/**
 * Routes that fell: in an interval in which they were given their usual share of the flowlets, they carried next to
 * nothing. That is how a failure looks to equation 1 that was too short, or of too few flows, to be inferred: T_i goes, and
 * the ratio falls to beta_E / N. By its own bytes it would take as many intervals to grow back as it takes until a large
 * flow comes its way.
 *
 * ```
 *      in use -- carried less than an eighth of the usual share --> fallen: flowlets by its ratio, as ever
 *         ^                                                           |  |
 *         |                             ratio near the usual by itself|  | three answers in a row
 *         +-----------------------------------------------------------+--+ regained: the usual ratio at once
 * ```
 *
 * A route that loses much is another matter: its ratio falls first, and what it carries after.
 */

import type { FailureCore } from './failure-core.ts';
import { ANSWERS_TO_RETURN } from './suspended-groups.ts';
import type { SuspendedGroups } from './suspended-groups.ts';

/** Intervals whose mean ratio a route gets back: one interval's is chance where losses are few. */
const USUAL_INTERVALS = 16;
/** A route had its usual share when its ratio was this part of the usual one at least. */
const GIVEN_PART = 0.5;
/** It carried next to nothing when its part of the bytes was at most this part of its usual ratio. */
const CARRIED_PART = 0.125;
/** It is back when its ratio is this part of the usual one. */
const BACK_PART = 0.75;

/** Keeps what ratio each group of a route usually has, and gives it back to those that fell. */
export class FallenGroups {
  private readonly core: FailureCore;
  private readonly suspended: SuspendedGroups;

  // By group.
  /** Mean of the route's ratios over some {@link USUAL_INTERVALS} intervals; 0 before the first. */
  private readonly usualRatios: Float64Array;
  private readonly fallen: Uint8Array;
  /** Answers in a row to flows of a fallen one. */
  private readonly answers: Int32Array;

  constructor(core: FailureCore, suspended: SuspendedGroups) {
    this.core = core;
    this.suspended = suspended;
    const { groupCount } = core.sample;
    this.usualRatios = new Float64Array(groupCount);
    this.fallen = new Uint8Array(groupCount);
    this.answers = new Int32Array(groupCount);
  }

  /** Begins with a group that was made. @hotpath */
  begin(group: number): void {
    this.usualRatios[group] = 0;
    this.fallen[group] = 0;
  }

  /** Mean ratio of the last intervals, 0..1; 0 before the first. */
  usualRatioOf(group: number): number {
    return this.usualRatios[group];
  }

  /**
   * An interval of a destination is over, its new ratios are not in force yet.
   *
   * @param slots - the routes that are up and not suspended; the arrays have one entry for each, in this order
   * @param bytes - T_i
   * @param ratios - flowlet ratios of that interval
   */
  noteInterval(destination: number, slots: number, bytes: Float64Array, ratios: Float64Array): void {
    const { sample } = this.core;
    let total = 0;
    for (let slot = 0, i = 0; slots >>> slot !== 0; slot++) if ((slots >>> slot) & 1) total += bytes[i++];
    if (total === 0) return;
    for (let slot = 0, i = 0; slots >>> slot !== 0; slot++) {
      if (((slots >>> slot) & 1) === 0) continue;
      const group = sample.findGroup(destination, slot);
      const usual = group < 0 ? 0 : this.usualRatios[group];
      if (usual > 0 && ratios[i] >= GIVEN_PART * usual && bytes[i] <= CARRIED_PART * usual * total) {
        this.fallen[group] = 1;
        this.answers[group] = 0;
      }
      i++;
    }
  }

  /** A destination has new ratios. */
  noteRatios(destination: number): void {
    const { sample, suspensions, table } = this.core;
    if (suspensions.maskOf(destination) !== 0) return;
    for (let slot = 0; slot < table.routeCount; slot++) {
      const group = sample.findGroup(destination, slot);
      if (group < 0) continue;
      const ratio = table.ratio(destination, slot);
      const usual = this.usualRatios[group];
      if (ratio >= BACK_PART * usual) this.fallen[group] = 0;
      if (this.fallen[group] === 1) continue;
      this.usualRatios[group] = usual === 0 ? ratio : usual + (ratio - usual) / USUAL_INTERVALS;
    }
  }

  /** A flow of a route in use exposed loss. @hotpath */
  noteLoss(group: number): void {
    this.answers[group] = 0;
  }

  /** A flow of a route in use was answered: for the first time, or after a while. @hotpath */
  noteAnswer(group: number): void {
    if (this.fallen[group] === 1 && ++this.answers[group] >= ANSWERS_TO_RETURN) this.regain(group);
  }

  private regain(group: number): void {
    const { sample, suspensions, table } = this.core;
    const destination = sample.destinationOf(group);
    const slot = sample.slotOf(group);
    this.fallen[group] = 0;
    // One that was taken down meanwhile has answers on their way, and begins anew when it comes up.
    if (((table.upMask(destination) >>> slot) & 1) === 0) return;
    suspensions.giveBack(destination, slot, this.usualRatios[group]);
    this.suspended.log('regained', group, this.answers[group]);
  }
}
