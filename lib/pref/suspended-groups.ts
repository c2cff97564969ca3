/**
 * The groups of routes that are suspended: what becomes of a group from the suspension, over what its probes show, to the
 * return, and the record of it.
 *
 * ```
 *      suspend, resume -> pinned -- three answers to probes in a row --> returned, in use again
 *                           |  |
 *                           |  +-- release, once all routes fail --> in use again
 *                           +-- withdraw, switchOff --> gone
 * ```
 *
 * Whether a route is to be suspended is decided in failure-decisions.ts; what a suspension does to the ratios is in
 * suspensions.ts.
 */

import { NS_PER_MS } from './failure-core.ts';
import type { FailureCore } from './failure-core.ts';
import type { FailureDecision } from './failure-events.ts';
import { FLAG_PROBE, WORD_META } from './failure-sample.ts';

/** Answers in a row, each of another flow or QUIET_MS apart, that bring a route back. */
export const ANSWERS_TO_RETURN = 3;

/** Pins the groups of suspended routes, and lets them go. */
export class SuspendedGroups {
  /** When a route was suspended last, ms, whole; 0 as long as none was. */
  suspendedAtMs = 0;

  private readonly core: FailureCore;

  // By group.
  /** Of a suspended one: 1 = it was what came again that said so. */
  private readonly byRepeats: Uint8Array;
  private readonly probeAnswers: Int32Array;
  private readonly probesLost: Int32Array;

  constructor(core: FailureCore) {
    this.core = core;
    const { groupCount } = core.sample;
    this.byRepeats = new Uint8Array(groupCount);
    this.probeAnswers = new Int32Array(groupCount);
    this.probesLost = new Int32Array(groupCount);
  }

  /**
   * Suspends the route of a group.
   *
   * @param usualRatio - what it had on average, 0..1, to be given back; 0 for what it has now
   */
  suspend(group: number, isByRepeats: boolean, usualRatio: number): void {
    this.pin(group, isByRepeats, usualRatio);
    this.suspendedAtMs = this.core.wholeMs;
    this.log('suspended', group);
  }

  /** Goes on with a suspension from before: its probes bring the route back, to the ratio it has now. */
  resume(group: number): void {
    this.pin(group, false, 0);
  }

  /** A probe exposed loss. @hotpath */
  noteProbeLost(group: number): void {
    this.probeAnswers[group] = 0;
    this.probesLost[group]++;
  }

  /** A probe was answered. @hotpath */
  noteProbeAnswer(group: number): void {
    if (++this.probeAnswers[group] >= ANSWERS_TO_RETURN) this.bringBack(group);
  }

  /** Takes the group of a route that was suspended into ordinary use. */
  release(group: number): void {
    const { sample } = this.core;
    sample.isPinned[group] = 0;
    for (let i = sample.sizes[group] - 1; i >= 0; i--) {
      const flow = sample.memberOf(group, i);
      // Those that failed have gone over other routes since, and say nothing about this one.
      if (sample.hasFlag(flow, FLAG_PROBE)) sample.words[flow + WORD_META] &= ~FLAG_PROBE;
      else sample.leave(flow);
    }
  }

  /** A route was taken down, for one destination, or for all of them (-1): what it was suspended for is over. */
  withdraw(destination: number, slot: number): void {
    const { sample, suspensions } = this.core;
    if (suspensions.count === 0) return;
    for (let group = 0; group < sample.groupCount; group++) {
      if (sample.isPinned[group] === 0 || sample.slotOf(group) !== slot) continue;
      if (destination >= 0 && sample.destinationOf(group) !== destination) continue;
      suspensions.end(sample.destinationOf(group), slot);
      this.log('withdrawn', group);
      sample.removeGroup(group);
    }
  }

  /** Failures are no longer inferred: suspended routes are used as before. */
  switchOff(): void {
    const { sample, suspensions } = this.core;
    for (let group = 0; group < sample.groupCount; group++) {
      if (sample.isPinned[group] === 0) continue;
      suspensions.restore(sample.destinationOf(group), sample.slotOf(group));
      this.log('switchedOff', group);
      sample.removeGroup(group);
    }
  }

  /**
   * Adds a decision about a group, with the evidence for it, to the list.
   *
   * @param answers - for `returned` and `regained`: those in a row
   */
  log(decision: FailureDecision, group: number, answers = 0): void {
    const { clockNs, events, nowMs, repeats, sample, table, windowNs } = this.core;
    const watched = repeats.sample.findGroup(sample.destinationOf(group), sample.slotOf(group));
    const isByRepeats = decision === 'suspended' && this.byRepeats[group] === 1 && watched >= 0;
    const evidence = isByRepeats ? repeats.evidence : this.core.evidence;
    const judged = isByRepeats ? watched : group;
    evidence.count(judged, nowMs);
    events.add({
      timeNs: clockNs[0],
      destination: sample.destinationOf(group),
      pathId: table.pathIdOf[sample.slotOf(group)],
      decision,
      by: isByRepeats ? 'repeats' : 'losses',
      sampleFlows: evidence.flows,
      failingFlows: evidence.failing,
      overdueFlows: evidence.overdue,
      answeredFlows: evidence.answered,
      exposures: evidence.exposures,
      silenceNs: evidence.silenceMsOf(judged, nowMs) * NS_PER_MS,
      probeAnswers: answers,
      usualFailingShare: evidence.usualShareOf(judged),
      windowNs,
    });
  }

  private pin(group: number, isByRepeats: boolean, usualRatio: number): void {
    const { sample, suspensions } = this.core;
    suspensions.begin(sample.destinationOf(group), sample.slotOf(group), usualRatio);
    sample.isPinned[group] = 1;
    this.byRepeats[group] = isByRepeats ? 1 : 0;
    this.probeAnswers[group] = 0;
    this.probesLost[group] = 0;
  }

  private bringBack(group: number): void {
    const { evidence, nowMs, repeats, sample, suspensions } = this.core;
    suspensions.restore(sample.destinationOf(group), sample.slotOf(group));
    const watched = repeats.sample.findGroup(sample.destinationOf(group), sample.slotOf(group));
    const isByRepeats = this.byRepeats[group] === 1;
    // Not one probe was lost: it was over before it was decided, and next time more is asked.
    if (this.probesLost[group] === 0 && !isByRepeats) evidence.learnSurge(group, nowMs);
    else evidence.dropSurge(group);
    if (watched >= 0) {
      if (this.probesLost[group] === 0 && isByRepeats) repeats.evidence.learnSurge(watched, nowMs);
      else repeats.evidence.dropSurge(watched);
    }
    this.release(group);
    this.log('returned', group, this.probeAnswers[group]);
  }
}
