/**
 * How many packets in a row stay without any answer on the route of a group: now, and at most in bursts of losses before.
 *
 * A burst of losses takes packets that follow each other, whichever flows they are of. What a single burst took is one
 * event, not as many as there are flows, however improbable it looks when they are counted one by one; and where little is
 * sent, because flows back off, a burst of a few packets lasts for long. A route that is dead takes all that is sent. So what
 * stays without an answer must be several times what a burst took before.
 *
 * ```
 *      sent      | | | | | | | | | | | | | | | | |
 *                  ^ a                   ^ b
 *      answered  ----->| last answer     ----->| now        what was sent from a to b, an RTT before, is the run
 * ```
 *
 * An RTT is not known to the millisecond, and where flows send in step a run is found that has no cause but that. So a run
 * that ended is believed as far as losses are exposed soon after. What was sent until when is kept for the last
 * {@link ENTRIES} moments of each group in which something was.
 */

import { elapsedMs, FadingMaximum } from './fading-maximum.ts';

/** The longest run that is taken for a burst, packets: what is longer was an outage, and asks for no more than this. */
const MOST_RUN = 32;
/** Gaps up to here are not worth a note, ms. */
const SHORT_GAP_MS = 20;
/** Time constant of forgetting the longest run, ms. With less traffic it would ask for a time in which nothing is sent. */
const RUN_MS = 100_000;
/** What is lost in a burst is exposed at once or by a timer: a sender's RTO is longer than its RTT by so much, ms. */
const EXPOSED_MS = 200;
/**
 * A flow sends one or two packets again for an answer. With more at once it repeats a window after a timeout, most of it for
 * nothing.
 */
const MOST_AT_ONCE = 2;
/** Moments that are kept of a group. */
const ENTRIES = 32;
/** Between two of them, ms at least, and so many of an RTT. */
const LEAST_STEP_MS = 16;
const STEPS_AN_RTT = 8;
/** Of a moment that was not yet, ms before now: as far back as anything is asked. */
const LONG_AGO_MS = 1e6;

/** Runs of packets without an answer, by group. */
export class UnansweredRuns {
  /** Packets so far, modulo 2^32. */
  private readonly sent: Int32Array;
  /** By group, {@link ENTRIES} each: a moment, ms modulo 2^32, and what had been sent before it. */
  private readonly momentsMs: Int32Array;
  private readonly sentBefore: Int32Array;
  /** By group: which of them is the latest. */
  private readonly heads: Uint8Array;
  /** By group: how far apart moments were when the latest was kept, ms. */
  private readonly stepsMs: Float64Array;
  private readonly longest: FadingMaximum;
  /** Packets that exposed a loss soon after the run below ended. */
  private readonly exposed: Int32Array;
  /** By group: by which flow, and when, one was exposed last, and how many then. */
  private readonly exposedBy: Int32Array;
  private readonly exposedAtMs: Int32Array;
  private readonly exposedAtOnce: Uint8Array;
  /** By group: the longest run of late of which losses are to be seen yet, 0 = none; and when it ended. */
  private readonly endedRuns: Float64Array;
  private readonly endedAtMs: Int32Array;

  constructor(groupCount: number) {
    this.sent = new Int32Array(groupCount);
    this.momentsMs = new Int32Array(groupCount * ENTRIES);
    this.sentBefore = new Int32Array(groupCount * ENTRIES);
    this.heads = new Uint8Array(groupCount);
    this.stepsMs = new Float64Array(groupCount);
    this.longest = new FadingMaximum(groupCount, RUN_MS);
    this.exposed = new Int32Array(groupCount);
    this.exposedBy = new Int32Array(groupCount);
    this.exposedAtMs = new Int32Array(groupCount);
    this.exposedAtOnce = new Uint8Array(groupCount);
    this.endedRuns = new Float64Array(groupCount);
    this.endedAtMs = new Int32Array(groupCount);
  }

  /** Begins with a group that was made. @hotpath */
  begin(group: number, nowMs: number): void {
    const first = group * ENTRIES;
    this.sent[group] = 0;
    this.momentsMs.fill(nowMs - LONG_AGO_MS, first, first + ENTRIES);
    this.sentBefore.fill(0, first, first + ENTRIES);
    this.stepsMs[group] = LEAST_STEP_MS;
    this.longest.reset(group, nowMs);
    this.endedRuns[group] = 0;
  }

  /** A packet leaves by the route. @hotpath */
  noteSent(group: number, nowMs: number, rttMs: number): void {
    const latest = group * ENTRIES + this.heads[group];
    if (elapsedMs(this.momentsMs[latest], nowMs) >= this.stepsMs[group]) {
      const head = (this.heads[group] + 1) % ENTRIES;
      this.heads[group] = head;
      this.momentsMs[group * ENTRIES + head] = nowMs;
      this.sentBefore[group * ENTRIES + head] = this.sent[group];
      this.stepsMs[group] = Math.max(LEAST_STEP_MS, rttMs / STEPS_AN_RTT);
    }
    this.sent[group]++;
  }

  /** A packet of a flow exposes that one was lost. @hotpath */
  noteExposed(group: number, flow: number, nowMs: number, rttMs: number): void {
    if (this.exposedBy[group] !== flow || this.exposedAtMs[group] !== nowMs) this.exposedAtOnce[group] = 0;
    this.exposedBy[group] = flow;
    this.exposedAtMs[group] = nowMs;
    if (this.exposedAtOnce[group] === MOST_AT_ONCE) return;
    this.exposedAtOnce[group]++;
    if (elapsedMs(this.endedAtMs[group], nowMs) <= rttMs + EXPOSED_MS) this.exposed[group]++;
  }

  /** A packet of the route was answered, the first for so long, ms. @hotpath */
  noteAnswer(group: number, silenceMs: number, nowMs: number, rttMs: number): void {
    const ended = this.endedRuns[group];
    if (ended > 0 && elapsedMs(this.endedAtMs[group], nowMs) >= rttMs + EXPOSED_MS) {
      const run = Math.min(ended, this.exposed[group], MOST_RUN);
      this.endedRuns[group] = 0;
      if (run > this.longest.valueOf(group, nowMs)) this.longest.raise(group, run, nowMs);
    }
    if (silenceMs <= SHORT_GAP_MS) return;
    const run = this.runOf(group, silenceMs, nowMs, rttMs);
    if (run <= this.endedRuns[group]) return;
    this.endedRuns[group] = run;
    this.endedAtMs[group] = nowMs;
    this.exposed[group] = 0;
  }

  /** What ended is no measure. @hotpath */
  forgetEnded(group: number): void {
    this.endedRuns[group] = 0;
  }

  /**
   * What has stayed without an answer since one that came so long ago, ms, of what a burst does not explain: 1 = all.
   *
   * @param factor - so many times the longest run of a burst
   * @param known - packets that are known to have, of whatever was sent
   */
  shareOf(
    group: number,
    silenceMs: number,
    nowMs: number,
    rttMs: number,
    factor: number,
    known: number,
  ): number {
    const least = factor * this.longest.valueOf(group, nowMs);
    if (known >= least) return 1;
    return Math.min(1, Math.max(known, this.runOf(group, silenceMs, nowMs, rttMs)) / least);
  }

  /** Lets what is usual fade: once in 25 days at least. */
  fade(group: number, nowMs: number): void {
    this.longest.fade(group, nowMs);
  }

  /** Packets without an answer, of those for which there was time, when the last answer came so long ago, ms. */
  private runOf(group: number, silenceMs: number, nowMs: number, rttMs: number): number {
    return this.sentUntil(group, rttMs, nowMs) - this.sentUntil(group, rttMs + silenceMs, nowMs);
  }

  /** Packets sent until a moment so long ago, but for those before all moments that are kept. */
  private sentUntil(group: number, agoMs: number, nowMs: number): number {
    const first = group * ENTRIES;
    const head = this.heads[group];
    let next = this.sent[group];
    for (let i = 0; i < ENTRIES; i++) {
      const entry = first + ((head - i + ENTRIES) % ENTRIES);
      const before = this.sentBefore[entry];
      const sinceMs = elapsedMs(this.momentsMs[entry], nowMs) - agoMs;
      // What comes before the next moment was sent within a step.
      if (sinceMs >= 0) return before + (next - before) * Math.min(1, sinceMs / this.stepsMs[group]);
      next = before;
    }
    return next;
  }
}
