/**
 * How much a group of sampled flows says about its route: what its flows show now, against what they show in
 * ordinary times.
 *
 * If a flow is found failing with probability e in ordinary times, then k exposures that stay without an answer
 * among f of n flows come about by chance about as often as C(n, f) e^k, were flows independent. `EVIDENCE` is -ln
 * of what is tolerated. Flows are not independent when losses come in bursts; so the exposures must also be
 * `PEAK_FACTOR` times as many as in the highest surge that turned out to be no failure: half of the flows or more
 * failing at once, and then answered.
 *
 * Silence says it sooner. While a route carries anything, some of its flows are answered, whatever the others lose. So
 * when no flow of the group has been answered for `GAP_FACTOR` times the longest usual gap, though `MIN_ACTIVE` of them
 * or more were just before, and a fifth of those (`MIN_SILENT` at least) expose loss or are overdue, so many that it comes
 * about by chance as often as e^-`SILENT_EVIDENCE`, that is enough, if e is small; and e^-`STRONG_EVIDENCE` asks for a shorter
 * silence.
 *
 * Neither is enough while so little was sent that a single burst of losses may have taken it: unanswered-runs.ts.
 *
 * e, that peak and that gap are learned from the route itself: the rougher its ordinary times, the more is asked of it. When
 * nobody was answered for more than 2 s, these were no ordinary times. Long because what is asked is one sum, whose
 * constants stand together.
 */

import {
  FLAG_ANSWERED,
  FLAG_DEPARTED,
  IDLE_MS,
  WORD_ANSWER,
  WORD_QUESTION,
  WORD_SENT,
} from './failure-sample.ts';
import type { FlowSample } from './failure-sample.ts';
import { elapsedMs, FadingMaximum } from './fading-maximum.ts';
import { logChoose } from './log-choose.ts';
import { UnansweredRuns } from './unanswered-runs.ts';

/** An answer is recent for this part of the window, or for the route's RTT if that is longer. */
const RECENT_PART = 0.3;
/** -ln of the chance that is left: 3e-10. */
const EVIDENCE = 22;
/** Failing flows, and exposures, without which nothing is decided. */
const MIN_FAILING = 3;
const MIN_EXPOSURES = 8;
/** Exposures of one flow that count at most; those that follow say little about the route. */
const MAX_COUNTED = 3;
/** e at first, and its bounds. */
const FIRST_USUAL_SHARE = 0.05;
const LEAST_USUAL_SHARE = 0.01;
const MOST_USUAL_SHARE = 0.5;
/** Time constant of e, ms. */
const USUAL_MS = 20_000;
/** How long what is found at one exposure is taken to have lasted, ms at most. */
const LONGEST_STEP_MS = 250;
const PEAK_FACTOR = 3;
/** Failing flows, of those that are failing or were just answered, from which it is a surge. */
const SURGE_SHARE = 0.5;
/** Time constant of forgetting the highest surge, ms. */
const PEAK_MS = 3_600_000;
/** The highest surge assumed of a route at first, and the time constant of forgetting that, ms. */
const FIRST_PEAK = 8;
const FIRST_PEAK_MS = 20_000;
/** The longest RTT that is believed, ms. */
const MAX_RTT_MS = 2000;
/**
 * Shortest silence that says something, ms, by itself and beyond an RTT: shorter than a sender's least RTO. What is sent
 * when a burst of losses is over is answered an RTT later. The last answer may itself be a delayed acknowledgment, 40 ms
 * late: with more than 50 beyond the RTT the decision would miss the senders' tail loss probes.
 * @see RFC 6298, RFC 8985 section 7.2, and Linux's least RTO of 200 ms and least delay of 40 ms
 */
const LEAST_SILENCE_MS = 150;
const LEAST_BEYOND_RTT_MS = 50;
/**
 * A flow that sends is overdue after twice the RTT, as its own tail loss probe would be, but after so many ms beyond the
 * RTT at least (delayed acknowledgments), and at most (Linux's least RTO). @see RFC 8985 section 7.2
 */
const LEAST_OVERDUE_MS = 100;
const MOST_OVERDUE_MS = 200;
/** So many times the longest usual gap between answers. */
const GAP_FACTOR = 3;
/** Gaps up to here are not worth a note, ms. */
const SHORT_GAP_MS = 20;
/**
 * The longest gap assumed of a route at first, and the time constant of forgetting that, ms: when e has fallen so far that
 * silence is believed, after some 10 s, it is to last for 220 ms, and for no more than of an old route after 15 s.
 */
const FIRST_GAP_MS = 200;
const FIRST_GAP_FADE_MS = 10_000;
/** No gap is learned for so long, ms; FIRST_GAP_MS stands in. */
const BEGINNING_MS = 5000;
/** Time constant of forgetting the longest gap, ms. */
const GAP_MS = 600_000;
/** A flow was active that was answered so long before the silence at most, ms. */
const ACTIVE_MS = 500;
/** Active flows whose silence says something, and how many of them must expose loss. */
const MIN_ACTIVE = 12;
/** Active flows whose gap is learned. */
const MIN_LEARNING = 4;
const MIN_SILENT = 4;
const SILENT_SHARE = 0.2;
/** -ln of the chance that is left when the route is silent as well: 2e-9. */
const SILENT_EVIDENCE = 20;
/** -ln of the chance that is left when so many are silent that a shorter silence is enough, 4e-18; it is an RTT or, ms: */
const STRONG_EVIDENCE = 2 * SILENT_EVIDENCE;
const LEAST_STRONG_SILENCE_MS = 100;
/**
 * So many times the packets that a burst of losses took before must have stayed without an answer; fewer are enough of a
 * route that is silent, since its silence is held against the time of such bursts as well.
 */
const RUN_FACTOR = 4;
const SILENT_RUN_FACTOR = 2;
/** From this silence on a route is looked at again and again, ms. */
const WATCHED_SILENCE_MS = 75;
/** Silence is believed of routes on which e is at most this: on rougher ones it comes about by bursts of losses. */
const SMOOTH_SHARE = 0.03;

/** No group looks older, ms: what is assumed of new ones has been forgotten by then. */
const OLD_MS = 3_600_000;

/** Judges the groups of a sample. */
export class FailureEvidence {
  /** What {@link count} found: flows with an event within the last 2 s. */
  flows = 0;
  /** Of these: exposed loss within the window, not answered since. */
  failing = 0;
  /** Of these: answered a moment ago. */
  answered = 0;
  /** Of these: sent, and wait for an answer for twice the RTT, but expose nothing yet. */
  overdue = 0;
  /** Exposures of the failing ones. */
  exposures = 0;
  /** Whether failing and overdue flows are the given share of those and of what was just answered. */
  areMost = false;
  /** How near any group has come to being suspended, of what is asked for: 0..1, 1 = it was, or would have been. */
  closest = 0;
  /** Of the flows: answered just before the last answer of all, or then. */
  private active = 0;
  /** Of these: failing or overdue. */
  private silent = 0;
  /** How long none of the failing ones has been answered, ms. */
  private failingMs = 0;

  private readonly sample: FlowSample;
  private windowMs: number;
  private share: number;
  private readonly madeAtMs: Int32Array;
  private readonly usualShares: Float64Array;
  private readonly usualAtMs: Int32Array;
  private readonly rttMs: Float64Array;
  /** The most exposures of a surge, since a failing flow was last answered. */
  private readonly surges: Int32Array;
  private readonly peaks: FadingMaximum;
  /** When a flow of the group was last answered. */
  private readonly answeredAtMs: Int32Array;
  private readonly gaps: FadingMaximum;
  private readonly runs: UnansweredRuns;

  /** @param share - failing flows that are most, 0.5 to 1 */
  constructor(sample: FlowSample, windowMs: number, share: number) {
    this.sample = sample;
    this.windowMs = windowMs;
    this.share = share;
    this.madeAtMs = new Int32Array(sample.groupCount);
    this.usualShares = new Float64Array(sample.groupCount);
    this.usualAtMs = new Int32Array(sample.groupCount);
    this.rttMs = new Float64Array(sample.groupCount);
    this.surges = new Int32Array(sample.groupCount);
    this.peaks = new FadingMaximum(sample.groupCount, PEAK_MS);
    this.answeredAtMs = new Int32Array(sample.groupCount);
    this.gaps = new FadingMaximum(sample.groupCount, GAP_MS);
    this.runs = new UnansweredRuns(sample.groupCount);
  }

  /** Takes another window and share over. */
  configure(windowMs: number, share: number): void {
    this.windowMs = windowMs;
    this.share = share;
  }

  /** Begins to judge a group that was made. @hotpath */
  begin(group: number, nowMs: number): void {
    this.madeAtMs[group] = nowMs;
    this.usualShares[group] = FIRST_USUAL_SHARE;
    this.usualAtMs[group] = nowMs;
    this.rttMs[group] = 0;
    this.surges[group] = 0;
    this.peaks.reset(group, nowMs);
    this.answeredAtMs[group] = nowMs;
    this.gaps.reset(group, nowMs);
    this.runs.begin(group, nowMs);
  }

  /** A flow of the group sends over the route, and may expose a loss by that. @hotpath */
  noteSent(group: number, flow: number, isExposed: boolean, nowMs: number): void {
    this.runs.noteSent(group, nowMs, this.rttMs[group]);
    if (isExposed) this.runs.noteExposed(group, flow, nowMs, this.rttMs[group]);
  }

  /** A flow that runs over the route was answered. @hotpath */
  noteAnswer(group: number, nowMs: number): void {
    const beforeMs = this.answeredAtMs[group];
    const gapMs = elapsedMs(beforeMs, nowMs);
    this.answeredAtMs[group] = nowMs;
    if (gapMs > IDLE_MS) {
      // No congestion lasts so long for all. What was not found to be a failure, since there were too few flows or the route
      // was new, is no measure for the next one.
      this.dropSurge(group);
      // What was exposed in the outage is not what the gap before it took.
      this.runs.forgetEnded(group);
      return;
    }
    const isBeginning = elapsedMs(this.madeAtMs[group], nowMs) < BEGINNING_MS;
    if (isBeginning || this.sample.isPinned[group] === 1) this.runs.forgetEnded(group);
    else this.runs.noteAnswer(group, gapMs, nowMs, this.rttMs[group]);
    if (gapMs <= SHORT_GAP_MS || gapMs <= this.gaps.valueOf(group, nowMs)) return;
    // Flows that begin together leave gaps that they do not leave later; and a gap among a few is no measure for more.
    if (isBeginning || !this.wasActive(group, beforeMs)) return;
    this.gaps.raise(group, gapMs, nowMs);
  }

  /** Whether enough flows were active before a gap that began then, the one that ended it counted as well. */
  private wasActive(group: number, beforeMs: number): boolean {
    const { sample } = this;
    let active = 0;
    for (let i = sample.sizes[group] - 1; i >= 0 && active < MIN_LEARNING; i--) {
      const flow = sample.memberOf(group, i);
      const isRecent = ((beforeMs - sample.words[flow + WORD_ANSWER]) | 0) <= ACTIVE_MS;
      if (sample.hasFlag(flow, FLAG_ANSWERED) && isRecent) active++;
    }
    return active >= MIN_LEARNING;
  }

  /** How long no flow of the group has been answered, ms. */
  silenceMsOf(group: number, nowMs: number): number {
    return elapsedMs(this.answeredAtMs[group], nowMs);
  }

  /** e, within its bounds. */
  usualShareOf(group: number): number {
    return Math.min(MOST_USUAL_SHARE, Math.max(LEAST_USUAL_SHARE, this.usualShares[group]));
  }

  /** How long an answer is recent, ms. */
  recentMsOf(group: number): number {
    return Math.max(this.windowMs * RECENT_PART, this.rttMs[group]);
  }

  /** Smooths the time from a question to its answer. @see RFC 6298 section 2.3. @hotpath */
  measureRtt(group: number, sampleMs: number): void {
    const measured = sampleMs < MAX_RTT_MS ? sampleMs : MAX_RTT_MS;
    const before = this.rttMs[group];
    this.rttMs[group] = before === 0 ? measured : before + (measured - before) / 8;
  }

  /** The smoothed RTT, ms; 0 when none was measured. */
  rttMsOf(group: number): number {
    return this.rttMs[group];
  }

  /** Takes over an RTT that was measured elsewhere, ms. */
  useRtt(group: number, rttMs: number): void {
    this.rttMs[group] = rttMs;
  }

  /** A failing flow was answered: the surge that it was part of was no failure. @hotpath */
  learnSurge(group: number, nowMs: number): void {
    const exposures = this.surges[group];
    if (exposures === 0) return;
    this.surges[group] = 0;
    this.peaks.raise(group, exposures, nowMs);
  }

  /** A surge is over that was a failure. @hotpath */
  dropSurge(group: number): void {
    this.surges[group] = 0;
  }

  /** Whether the last exposure of a flow that has any is recent enough to count. @hotpath */
  isWithinWindow(flow: number, nowMs: number): boolean {
    return ((nowMs - this.sample.words[flow + WORD_QUESTION]) | 0) <= this.windowMs;
  }

  /** Counts the flows of a group by what they show, and drops idle ones. */
  count(group: number, nowMs: number): void {
    this.gaps.fade(group, nowMs);
    this.peaks.fade(group, nowMs);
    this.runs.fade(group, nowMs);
    // Once it is no more new, it is so for good: times are told for 25 days only.
    if (elapsedMs(this.madeAtMs[group], nowMs) > OLD_MS) this.madeAtMs[group] = nowMs - OLD_MS;
    const { sample } = this;
    const { words } = sample;
    const recentMs = this.recentMsOf(group);
    let failing = 0;
    let exposures = 0;
    let newFailing = 0;
    let newExposures = 0;
    let failingMs = Infinity;
    const rttMs = this.rttMs[group];
    const overdueMs = rttMs + Math.min(MOST_OVERDUE_MS, Math.max(LEAST_OVERDUE_MS, rttMs));
    this.answered = 0;
    this.overdue = 0;
    this.active = 0;
    this.silent = 0;
    for (let i = sample.sizes[group] - 1; i >= 0; i--) {
      const flow = sample.memberOf(group, i);
      const quietMs = sample.quietMs(flow, nowMs);
      const exposed = Math.min(sample.exposuresOf(flow), MAX_COUNTED);
      const wasAnswered = sample.hasFlag(flow, FLAG_ANSWERED);
      const isActive =
        wasAnswered &&
        !sample.hasFlag(flow, FLAG_DEPARTED) &&
        ((this.answeredAtMs[group] - words[flow + WORD_ANSWER]) | 0) <= ACTIVE_MS;
      if (quietMs > IDLE_MS || quietMs < 0) {
        sample.leave(flow);
        continue;
      }
      if (isActive) this.active++;
      if (exposed === 0) {
        const waitsMs = words[flow + WORD_SENT] === 0 ? 0 : (nowMs - words[flow + WORD_SENT]) | 0;
        // Later its own timer would have shown it.
        if (isActive && waitsMs > overdueMs && waitsMs <= overdueMs + this.windowMs) {
          this.overdue++;
          this.silent++;
        }
        if (wasAnswered && ((nowMs - words[flow + WORD_ANSWER]) | 0) <= recentMs) this.answered++;
      } else if (this.isWithinWindow(flow, nowMs)) {
        if (isActive) this.silent++;
        if (wasAnswered) {
          failing++;
          exposures += exposed;
          // Of one that departed this is the time of an answer to another route.
          if (!sample.hasFlag(flow, FLAG_DEPARTED))
            failingMs = Math.min(failingMs, elapsedMs(words[flow + WORD_ANSWER], nowMs));
        } else {
          newFailing++;
          newExposures += exposed;
        }
      }
    }
    // Flows that were never answered may be calls to hosts that do not exist: they support, they do not decide.
    const supporters = Math.min(newFailing, failing);
    if (supporters > 0) exposures += Math.floor((newExposures * supporters) / newFailing);
    const silenceMs = this.silenceMsOf(group, nowMs);
    this.failingMs = failingMs === Infinity ? silenceMs : Math.max(silenceMs, failingMs);
    this.failing = failing + supporters;
    this.exposures = exposures;
    this.flows = sample.sizes[group] - (newFailing - supporters);
    this.areMost = this.failingShare >= this.share;
  }

  /** Leaves flows that are overdue out of what was counted last. */
  dropOverdue(): void {
    this.silent -= this.overdue;
    this.overdue = 0;
    this.areMost = this.failingShare >= this.share;
  }

  /** Whether what was counted last is more than chance; if not, it is learned as what is usual. */
  isEnough(group: number, nowMs: number): boolean {
    const isSurge = this.failing >= SURGE_SHARE * (this.failing + this.answered);
    if (isSurge && this.exposures > this.surges[group]) this.surges[group] = this.exposures;
    const found = Math.max(this.silenceOf(group, nowMs), this.improbabilityOf(group, nowMs));
    this.closest = Math.max(this.closest, Math.min(1, found, this.failingShare / this.share));
    if (found >= 1) return true;
    this.learnUsualShare(group, nowMs);
    return false;
  }

  private get failingShare(): number {
    const failing = this.failing + this.overdue;
    return failing / Math.max(1, failing + this.answered);
  }

  /** Whether a group may be falling silent, so that it is worth looking at it again soon. */
  isQuiet(group: number, nowMs: number): boolean {
    const silenceMs = this.silenceMsOf(group, nowMs);
    return silenceMs >= WATCHED_SILENCE_MS && silenceMs < IDLE_MS && this.sample.sizes[group] >= MIN_ACTIVE;
  }

  /** How improbable by chance is what was counted last: 1 and more is enough. */
  private improbabilityOf(group: number, nowMs: number): number {
    const least = Math.max(MIN_EXPOSURES, PEAK_FACTOR * this.peakOf(group, nowMs));
    const found = Math.min(this.failing / MIN_FAILING, this.exposures / least);
    if (found === 0) return 0;
    const evidence =
      -Math.log(this.usualShareOf(group)) * this.exposures - logChoose(this.flows, this.failing);
    return this.unlessBurst(group, this.failingMs, nowMs, RUN_FACTOR, Math.min(found, evidence / EVIDENCE));
  }

  /** How silent the route has fallen, as counted last: 1 and more is enough. */
  private silenceOf(group: number, nowMs: number): number {
    const ageMs = elapsedMs(this.madeAtMs[group], nowMs);
    const usualMs = Math.max(
      FIRST_GAP_MS * Math.exp(-ageMs / FIRST_GAP_FADE_MS),
      this.gaps.valueOf(group, nowMs),
    );
    const evidence = -Math.log(this.usualShareOf(group)) * this.silent - logChoose(this.active, this.silent);
    const silenceMs = this.silenceMsOf(group, nowMs);
    const rttMs = this.rttMs[group];
    const shortestMs =
      evidence >= STRONG_EVIDENCE
        ? Math.max(LEAST_STRONG_SILENCE_MS, rttMs)
        : Math.max(LEAST_SILENCE_MS, rttMs + LEAST_BEYOND_RTT_MS);
    const leastMs = Math.max(shortestMs, GAP_FACTOR * usualMs);
    const found = Math.min(
      this.active / MIN_ACTIVE,
      this.silent / Math.max(MIN_SILENT, SILENT_SHARE * this.active),
      silenceMs / leastMs,
    );
    if (found === 0) return 0;
    const all = Math.min(found, evidence / SILENT_EVIDENCE, SMOOTH_SHARE / this.usualShareOf(group));
    return this.unlessBurst(group, silenceMs, nowMs, SILENT_RUN_FACTOR, all);
  }

  /** What was found, or less if a burst of losses explains a silence of that length. */
  private unlessBurst(
    group: number,
    silenceMs: number,
    nowMs: number,
    factor: number,
    found: number,
  ): number {
    if (found <= 0) return 0;
    const known = this.exposures + this.overdue;
    const share = this.runs.shareOf(group, silenceMs, nowMs, this.rttMs[group], factor, known);
    return share < 1 ? Math.min(found, share) : found;
  }

  private learnUsualShare(group: number, nowMs: number): void {
    const sinceMs = elapsedMs(this.usualAtMs[group], nowMs);
    const found = this.flows === 0 ? 0 : Math.min(1, (this.failing + this.overdue) / this.flows);
    this.usualAtMs[group] = nowMs;
    this.usualShares[group] =
      this.usualShares[group] * Math.exp(-sinceMs / USUAL_MS) +
      (found * Math.min(sinceMs, LONGEST_STEP_MS)) / USUAL_MS;
  }

  private peakOf(group: number, nowMs: number): number {
    const ageMs = elapsedMs(this.madeAtMs[group], nowMs);
    return Math.max(FIRST_PEAK * Math.exp(-ageMs / FIRST_PEAK_MS), this.peaks.valueOf(group, nowMs));
  }
}
