/**
 * Whether the route of a group of sampled flows is failing: decided when there is new evidence about the group, or, where
 * that does not settle it, at ticks in the time after.
 *
 * ```
 *      enough evidence, most failing -+- another route shows life --> suspend
 *                                     +- none shows any -----------> wait for life; allFailing if it does not come
 *                                     +- there is no other --------> allFailing; lift what is suspended
 * ```
 *
 * How much evidence there is, failure-evidence.ts says.
 */

import type { FailureCore } from './failure-core.ts';
import type { FallenGroups } from './fallen-groups.ts';
import { FLAG_ANSWERED } from './failure-sample.ts';
import type { SuspendedGroups } from './suspended-groups.ts';

/** Evaluations while a decision waits, in a window. */
const TICKS = 50;
const NONE = -1;

/** No decision waits for other routes to show life. */
const LIFE_KNOWN = 0;
/** One does. */
const LIFE_AWAITED = 1;
/** All routes were found to fail, and nothing was answered since. */
const LIFE_MISSED = 2;

/** Decides about the groups of routes that are in use. */
export class FailureDecisions {
  private readonly core: FailureCore;
  private readonly suspended: SuspendedGroups;
  private readonly fallen: FallenGroups;
  private tickNs: number;

  // By group.
  private readonly lifeStates: Uint8Array;
  private readonly awaitedSinceMs: Int32Array;

  /** Groups with evidence enough, whose decision waits for a moment. */
  private readonly waiting: Int32Array;
  private readonly isWaiting: Uint8Array;
  private waitingCount = 0;
  /** The same of groups of {@link FailureCore.repeats}. */
  private readonly waitingRepeats: Int32Array;
  private readonly isRepeatWaiting: Uint8Array;
  private waitingRepeatCount = 0;
  private readonly tickAtNs = new Float64Array([Infinity]);
  /** When a route was answered again after all had failed, ms. */
  private revivedAtMs = 0;

  constructor(core: FailureCore, suspended: SuspendedGroups, fallen: FallenGroups) {
    this.core = core;
    this.suspended = suspended;
    this.fallen = fallen;
    this.tickNs = core.windowNs / TICKS;
    const { groupCount } = core.sample;
    this.lifeStates = new Uint8Array(groupCount);
    this.awaitedSinceMs = new Int32Array(groupCount);
    this.waiting = new Int32Array(groupCount);
    this.isWaiting = new Uint8Array(groupCount);
    this.waitingRepeats = new Int32Array(core.repeats.sample.groupCount);
    this.isRepeatWaiting = new Uint8Array(core.repeats.sample.groupCount);
  }

  /** The window is another one. */
  configure(): void {
    this.tickNs = this.core.windowNs / TICKS;
  }

  /** Drops the decisions that wait. */
  switchOff(): void {
    this.waitingCount = 0;
    this.isWaiting.fill(0);
    this.waitingRepeatCount = 0;
    this.isRepeatWaiting.fill(0);
  }

  /** The group of a route, made if there is a place for it; else -1. @hotpath */
  groupOf(destination: number, slot: number): number {
    const { evidence, nowMs, sample } = this.core;
    let group = sample.findGroup(destination, slot);
    if (group >= 0) return group;
    group = sample.makeGroup(destination, slot, nowMs);
    if (group < 0) return NONE;
    evidence.begin(group, nowMs);
    this.lifeStates[group] = LIFE_KNOWN;
    this.fallen.begin(group);
    return group;
  }

  /**
   * A flow of a route in use was answered.
   *
   * @param wasFailing - it had exposed loss
   * @hotpath
   */
  noteLife(group: number, wasFailing: boolean): void {
    const { evidence, nowMs } = this.core;
    if (this.lifeStates[group] !== LIFE_KNOWN) {
      // What was seen while all routes failed was a failure, and is no reason to ask for more.
      if (this.lifeStates[group] === LIFE_MISSED) this.revivedAtMs = nowMs;
      this.lifeStates[group] = LIFE_KNOWN;
      evidence.dropSurge(group);
    } else if (wasFailing) evidence.learnSurge(group, nowMs);
  }

  /** Decides about a route that is in use. */
  evaluate(group: number): void {
    const { evidence, nowMs, sample, suspensions, table, windowMs } = this.core;
    evidence.count(group, nowMs);
    if (!this.core.isSteady) evidence.dropOverdue();
    if (!evidence.isEnough(group, nowMs)) {
      if (this.lifeStates[group] === LIFE_AWAITED) this.lifeStates[group] = LIFE_KNOWN;
      return;
    }
    if (!evidence.areMost) {
      this.wait(group);
      return;
    }
    // Its flows will be answered when their own timers run out.
    const sinceRevivalMs = (nowMs - this.revivedAtMs) | 0;
    if (this.lifeStates[group] === LIFE_MISSED && sinceRevivalMs >= 0 && sinceRevivalMs < windowMs) {
      this.wait(group);
      return;
    }
    const destination = sample.destinationOf(group);
    const slot = sample.slotOf(group);
    const up = table.upMask(destination);
    if (((up >>> slot) & 1) === 0) return;
    const others = up & ~suspensions.maskOf(destination) & ~(1 << slot);
    if (others === 0) {
      this.noteAllFailing(group);
      this.lift(destination);
    } else if (this.areSilent(destination, others)) {
      this.awaitLife(group);
    } else if (this.lifeStates[group] === LIFE_AWAITED) {
      // What was answered first after a pause of all may be followed by the rest: a tick decides.
      this.lifeStates[group] = LIFE_KNOWN;
      this.wait(group);
    } else this.suspend(group, false);
  }

  /**
   * Decides about a route whose acknowledgments seem not to arrive. What does not settle it now may do so while its
   * evidence is within the window, without any other repeat: its flows leave the route at their first one.
   */
  evaluateRepeats(watched: number): void {
    const { evidence, nowMs, repeats, suspensions, table } = this.core;
    const destination = repeats.sample.destinationOf(watched);
    const slot = repeats.sample.slotOf(watched);
    const up = table.upMask(destination);
    const suspended = suspensions.maskOf(destination);
    if ((((up & ~suspended) >>> slot) & 1) === 0) return;
    const group = this.groupOf(destination, slot);
    if (group < 0) return;
    // How long an answer takes is measured where something is asked.
    repeats.evidence.useRtt(watched, evidence.rttMsOf(group));
    repeats.evidence.count(watched, nowMs);
    const isFailing = repeats.evidence.failing > 0;
    const isSettled = repeats.evidence.isEnough(watched, nowMs) && repeats.evidence.areMost;
    const others = up & ~suspended & ~(1 << slot);
    if (isSettled && others === 0) {
      this.noteAllFailing(group);
      this.lift(destination);
    } else if (isSettled && repeats.isAlive(destination, others, nowMs)) this.suspend(group, true);
    else if (isFailing) this.waitForRepeats(watched);
  }

  /** Leaves the decision about a group to the next tick. @hotpath */
  wait(group: number): void {
    if (this.isWaiting[group] === 1) return;
    this.startTicks();
    this.isWaiting[group] = 1;
    this.waiting[this.waitingCount++] = group;
  }

  /** The same for a group of flows that receive. @hotpath */
  private waitForRepeats(watched: number): void {
    if (this.isRepeatWaiting[watched] === 1) return;
    this.startTicks();
    this.isRepeatWaiting[watched] = 1;
    this.waitingRepeats[this.waitingRepeatCount++] = watched;
  }

  private startTicks(): void {
    if (!this.isAnyWaiting) this.tickAtNs[0] = this.core.clockNs[0] + this.tickNs;
  }

  private get isAnyWaiting(): boolean {
    return this.waitingCount > 0 || this.waitingRepeatCount > 0;
  }

  /** When {@link tickIfDue} has work, ns; Infinity for none. */
  pollTimeout(): number {
    return this.isAnyWaiting ? this.tickAtNs[0] : Infinity;
  }

  /** Takes up the decisions that waited, if it is time to. @hotpath */
  tickIfDue(): void {
    const { clockNs } = this.core;
    if (!this.isAnyWaiting || clockNs[0] < this.tickAtNs[0]) return;
    const { evidence, nowMs, sample } = this.core;
    const count = this.waitingCount;
    this.waitingCount = 0;
    for (let i = 0; i < count; i++) {
      const group = this.waiting[i];
      this.isWaiting[group] = 0;
      // Groups that wait on are put back, below i.
      if (sample.isPinned[group] === 1 || sample.sizes[group] === 0) continue;
      this.evaluate(group);
      if (sample.isPinned[group] === 0 && evidence.isQuiet(group, nowMs)) this.wait(group);
    }
    this.tickRepeats();
    this.tickAtNs[0] = clockNs[0] + this.tickNs;
  }

  private tickRepeats(): void {
    const { isSteady, repeats } = this.core;
    const count = this.waitingRepeatCount;
    this.waitingRepeatCount = 0;
    for (let i = 0; i < count; i++) {
      const watched = this.waitingRepeats[i];
      this.isRepeatWaiting[watched] = 0;
      if (repeats.sample.sizes[watched] === 0) continue;
      // After a pause of this gateway new data may wait to be read.
      if (isSteady) this.evaluateRepeats(watched);
      else this.waitForRepeats(watched);
    }
  }

  private suspend(group: number, isByRepeats: boolean): void {
    this.lifeStates[group] = LIFE_KNOWN;
    this.suspended.suspend(group, isByRepeats, this.fallen.usualRatioOf(group));
  }

  /**
   * Whether nothing was answered on these routes a moment ago, though there was traffic just before, or nothing
   * since all were found to fail.
   */
  private areSilent(destination: number, slots: number): boolean {
    const { evidence, nowMs, sample, windowMs } = this.core;
    let isSilent = false;
    for (let slot = 0; slots >>> slot !== 0; slot++) {
      const group = ((slots >>> slot) & 1) === 1 ? sample.findGroup(destination, slot) : NONE;
      if (group < 0) continue;
      evidence.count(group, nowMs);
      if (evidence.answered > 0) return false;
      if (this.lifeStates[group] === LIFE_MISSED) isSilent = true;
      const activeMs = windowMs + evidence.recentMsOf(group);
      for (let i = 0; i < sample.sizes[group]; i++) {
        const flow = sample.memberOf(group, i);
        if (sample.hasFlag(flow, FLAG_ANSWERED) && sample.quietMs(flow, nowMs) < activeMs) isSilent = true;
      }
    }
    return isSilent;
  }

  /** Nothing is decided while no other route shows life: it may be the destination itself that is gone. */
  private awaitLife(group: number): void {
    const { nowMs, windowMs } = this.core;
    if (this.lifeStates[group] === LIFE_KNOWN) {
      this.lifeStates[group] = LIFE_AWAITED;
      this.awaitedSinceMs[group] = nowMs;
    } else if (((nowMs - this.awaitedSinceMs[group]) | 0) * 2 > windowMs) {
      this.noteAllFailing(group);
    }
    this.wait(group);
  }

  private noteAllFailing(group: number): void {
    if (this.lifeStates[group] === LIFE_MISSED) return;
    this.lifeStates[group] = LIFE_MISSED;
    this.suspended.log('allFailing', group);
  }

  /** Uses the suspended routes of a destination as before. */
  private lift(destination: number): void {
    const { evidence, sample, suspensions } = this.core;
    const mask = suspensions.maskOf(destination);
    suspensions.lift(destination);
    for (let slot = 0; mask >>> slot !== 0; slot++) {
      const group = ((mask >>> slot) & 1) === 1 ? sample.findGroup(destination, slot) : NONE;
      if (group < 0) continue;
      evidence.dropSurge(group);
      this.suspended.release(group);
      this.lifeStates[group] = LIFE_MISSED;
      this.suspended.log('lifted', group);
    }
  }
}
