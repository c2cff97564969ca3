/**
 * Failure inferred from the marks: when most of the sampled flows on a route to a destination expose loss and
 * nothing comes back to them, the route is suspended for that destination at once.
 *
 * ```
 * noteLoss (LEx, repeated FNE)  -> an exposure, if the flow was quiet before -> evaluate
 * noteInbound                   -> an answer, if it shows that something arrived outside
 *
 *             evaluate: enough evidence, another route alive
 *    in use -------------------------------------------------> suspended: packets go over other routes,
 *       ^                                                          |      beta_E / N of the new flowlets probe
 *       +----------------------------------------------------------+
 *             three answers to probes in a row; or the last route left fails as well
 * ```
 *
 * What is evidence. A sender whose packets all vanish hears nothing, so its retransmissions are clocked by its
 * timer: LEx, or FNE again, after silence. Under congestion they are clocked by acknowledgments, which keep
 * coming, and after a timeout an answer comes within an RTT. So a flow is failing when it exposed loss after
 * `QUIET_MS` of silence, within the window, and was not answered since.
 *
 * How much evidence. If a flow is found failing with probability e in ordinary times, then k exposures that stay
 * without an answer among f of n flows come about by chance about as often as C(n, f) e^k. A route is suspended
 * when that is below exp(-EVIDENCE), and failing flows are `share` of those that are failing or were just
 * answered. e is measured on the route itself, so where timeouts are common, more is asked. Fewer than three
 * failing flows never suffice; a small sample needs several exposures of each flow.
 */

import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../wire/packet-view.ts';
import type { PacketView } from '../wire/packet-view.ts';
import { seqAfter } from '../wire/seq.ts';
import { FailureEvents } from './failure-events.ts';
import type { FailureDecision } from './failure-events.ts';
import {
  FLAG_ANSWERED,
  FLAG_ASKED,
  FLAG_DEPARTED,
  FLAG_PROBE,
  FLAG_SEEN,
  FlowSample,
  IDLE_MS,
  WORD_ACK,
  WORD_ANSWER,
  WORD_META,
  WORD_QUESTION,
  WORD_SEQ,
} from './failure-sample.ts';
import { Suspensions } from './suspensions.ts';
import type { RouteTable } from './route-table.ts';

/** Options of the detector, checked. */
export interface FailureSettings {
  readonly isOn: boolean;
  readonly windowNs: number;
  readonly share: number;
  readonly sample: number;
  readonly sampleEntries: number;
}

/** Silence before an exposure, ms: shorter than the 200 ms by which a sender's RTO exceeds its RTT. */
const QUIET_MS = 150;
/** An answer is recent for this part of the window, or for the route's RTT if that is longer. */
const RECENT_PART = 0.3;
/** -ln of the chance that is left: 2e-9. */
const EVIDENCE = 20;
/** Failing flows without which nothing is decided. */
const MIN_FAILING = 3;
/** Exposures of one flow that count at most; those that follow say little about the route. */
const MAX_COUNTED = 3;
/** Answers to probes in a row, each of another flow or QUIET_MS apart, that bring a route back. */
const ANSWERS_TO_RETURN = 3;
/** What is assumed of a route that nothing is known about. */
const FIRST_USUAL_SHARE = 0.05;
const LEAST_USUAL_SHARE = 0.01;
const MOST_USUAL_SHARE = 0.5;
/** Time constant of the usual share, ms. */
const USUAL_MS = 20_000;
/** How long after a suspension only new connections are probes, ms. */
const SETTLING_MS = 5000;
/** How long what is found at one exposure is taken to have lasted, ms at most. */
const LONGEST_STEP_MS = 250;
/** Evaluations while a decision waits, in a window. */
const TICKS = 20;
/** The longest RTT that is believed, ms. */
const MAX_RTT_MS = 2000;
const NS_PER_MS = 1e6;
const NONE = -1;

const ALIVE = 0;
const UNKNOWN = 1;
const SILENT = 2;

/** Watches a sample of flows and suspends routes. */
export class FailureDetector {
  readonly isOn: boolean;
  readonly events = new FailureEvents();
  readonly suspensions: Suspensions;
  readonly sample: FlowSample;
  private readonly table: RouteTable;
  private readonly settings: FailureSettings;
  private readonly windowMs: number;
  private readonly recentMs: number;
  private readonly tickNs: number;

  // By group.
  private readonly usualShares: Float64Array;
  private readonly usualAtMs: Int32Array;
  private readonly rttMs: Float64Array;
  private readonly probeAnswers: Int32Array;
  private readonly silentSinceMs: Int32Array;
  /** 0 no decision waits for other routes to show life, 1 it does, 2 and that is in the list of events. */
  private readonly silentStates: Uint8Array;

  /** Groups with evidence enough, whose decision waits for a moment. */
  private readonly waiting: Int32Array;
  private readonly isWaiting: Uint8Array;
  private waitingCount = 0;
  private readonly tickAtNs = new Float64Array([Infinity]);
  /** The time, ns; numbers as large as this one would be allocated if they were handed from function to function. */
  private readonly clockNs = new Float64Array(1);
  /** The time, ms modulo 2^32. */
  private nowMs = 0;
  /** Time of the last suspension, ms. */
  private suspendedAtMs = 0;

  // What count() found.
  private flows = 0;
  private failing = 0;
  private answered = 0;
  private exposures = 0;

  constructor(settings: FailureSettings, table: RouteTable, probeShare: (routeCount: number) => number) {
    this.isOn = settings.isOn;
    this.settings = settings;
    this.table = table;
    this.suspensions = new Suspensions(table, probeShare);
    this.sample = new FlowSample(settings.sampleEntries, settings.sample);
    this.windowMs = settings.windowNs / NS_PER_MS;
    this.recentMs = this.windowMs * RECENT_PART;
    this.tickNs = settings.windowNs / TICKS;
    const groups = this.sample.groupCount;
    this.usualShares = new Float64Array(groups);
    this.usualAtMs = new Int32Array(groups);
    this.rttMs = new Float64Array(groups);
    this.probeAnswers = new Int32Array(groups);
    this.silentSinceMs = new Int32Array(groups);
    this.silentStates = new Uint8Array(groups);
    this.waiting = new Int32Array(groups);
    this.isWaiting = new Uint8Array(groups);
  }

  /** Tells the time; before any note of that moment. @hotpath */
  setTime(nowNs: number): void {
    this.clockNs[0] = nowNs;
    this.nowMs = (nowNs / NS_PER_MS) | 0;
  }

  /**
   * A flow exposes loss on a route: LEx, or an FNE packet that repeats one sent on that route. @hotpath
   */
  noteLoss(destination: number, slot: number, h1: number, h2: number): void {
    const { sample } = this;
    const nowMs = this.nowMs;
    const group = this.groupOf(destination, slot, nowMs);
    if (group < 0) return;
    const flow = sample.find(h1, h2);
    if (flow < 0) {
      // Nothing is known of its silence: this is where it enters the sample.
      sample.join(h1, h2, group, 0, nowMs);
      return;
    }
    const quietMs = sample.quietMs(flow, nowMs);
    if (sample.groupOf(flow) !== group) {
      // Only of a flow that was seen to go there is it known that the loss is that route's.
      const hasCome = sample.hasFlag(flow, FLAG_DEPARTED) && sample.departedTo(flow) === slot;
      if (hasCome && quietMs < QUIET_MS && this.isWithinWindow(flow)) return;
      if (!sample.move(flow, group, 0, nowMs) || !hasCome) return;
    }
    if (quietMs < QUIET_MS) return;
    sample.addExposure(flow, nowMs);
    if (sample.isPinned[group] === 0) this.evaluate(group);
    else if (sample.hasFlag(flow, FLAG_PROBE)) this.probeAnswers[group] = 0;
    if (this.waitingCount > 0 && this.clockNs[0] >= this.tickAtNs[0]) this.tick();
  }

  /**
   * A flowlet begins on a route: its FNE packet leaves, or it is assigned.
   *
   * @returns whether it is in the sample; a flowlet that is not can be no probe
   * @hotpath
   */
  noteFlowlet(destination: number, slot: number, h1: number, h2: number): boolean {
    const { sample } = this;
    const nowMs = this.nowMs;
    const flow = sample.find(h1, h2);
    if (flow >= 0 && sample.exposuresOf(flow) > 0 && sample.words[flow + WORD_QUESTION] === nowMs) {
      // The FNE packet is itself an exposure: evidence that shall outlive the flow's departure.
      if (sample.slotOf(sample.groupOf(flow)) !== slot) sample.depart(flow, slot);
      return true;
    }
    const group = this.groupOf(destination, slot, nowMs);
    if (group < 0) {
      if (flow >= 0) sample.leave(flow);
      return false;
    }
    const flags = sample.isPinned[group] === 1 ? FLAG_ASKED | FLAG_PROBE : FLAG_ASKED;
    if (flow < 0) return sample.join(h1, h2, group, flags, nowMs) >= 0;
    if (sample.groupOf(flow) !== group) return sample.move(flow, group, flags, nowMs);
    if (sample.exposuresOf(flow) > 0) return true;
    sample.words[flow + WORD_META] |= flags;
    sample.words[flow + WORD_QUESTION] = nowMs;
    return true;
  }

  /**
   * A TCP segment from outside, of a flow of the sample. It counts as an answer when it shows that something of
   * the flow arrived: it acknowledges more than before, or it is nothing but an acknowledgment. New data counts
   * too, unless the flow is failing: a sender outside can go on for an RTT without hearing anything. Data or a
   * FIN that was there before shows the opposite.
   *
   * @hotpath
   */
  noteInbound(flow: number, packet: PacketView): void {
    const { words } = this.sample;
    const flags = packet.tcpFlags;
    const hasAck = (flags & TCP_ACK) !== 0;
    const sequenceLength = packet.payloadLength + ((flags >>> 1) & 1) + (flags & TCP_FIN);
    const end = (packet.seqNumber + sequenceLength) | 0;
    let isAnswer = hasAck && (sequenceLength === 0 || (flags & TCP_RST) !== 0);
    if ((words[flow + WORD_META] & FLAG_SEEN) === 0) {
      if (hasAck) {
        words[flow + WORD_META] |= FLAG_SEEN;
        words[flow + WORD_ACK] = packet.ackNumber;
        words[flow + WORD_SEQ] = end;
        if ((flags & TCP_SYN) !== 0) isAnswer = true;
      }
    } else {
      if (hasAck && seqAfter(packet.ackNumber, words[flow + WORD_ACK])) {
        words[flow + WORD_ACK] = packet.ackNumber;
        isAnswer = true;
      }
      if (seqAfter(end, words[flow + WORD_SEQ])) {
        words[flow + WORD_SEQ] = end;
        if (this.sample.exposuresOf(flow) === 0) isAnswer = true;
      }
    }
    if (isAnswer) this.noteAnswer(flow);
    if (this.waitingCount > 0 && this.clockNs[0] >= this.tickAtNs[0]) this.tick();
  }

  /**
   * Whether a flowlet may probe a suspended route. While connections that ran over it are still looking for
   * another way, only new ones may: a connection in trouble cannot always be told from one that begins a flowlet.
   * @hotpath
   */
  mayProbe(isNewConnection: boolean): boolean {
    return isNewConnection || ((this.nowMs - this.suspendedAtMs) | 0) > SETTLING_MS;
  }

  /** The slot on which a flow is known to be failing, -1 for none. @hotpath */
  failingSlot(destination: number, h1: number, h2: number): number {
    const { sample } = this;
    const flow = sample.find(h1, h2);
    if (flow < 0 || sample.exposuresOf(flow) === 0 || sample.hasFlag(flow, FLAG_DEPARTED)) return NONE;
    const group = sample.groupOf(flow);
    return sample.destinationOf(group) === destination ? sample.slotOf(group) : NONE;
  }

  /** Whether the flow is a probe of that suspended route, and has exposed no loss on it. @hotpath */
  isProbe(destination: number, slot: number, h1: number, h2: number): boolean {
    const { sample } = this;
    const flow = sample.find(h1, h2);
    if (flow < 0 || !sample.hasFlag(flow, FLAG_PROBE) || sample.exposuresOf(flow) > 0) return false;
    return sample.groupOf(flow) === sample.findGroup(destination, slot);
  }

  /** When {@link handleTimeout} has work, ns; Infinity for none. */
  pollTimeout(): number {
    return this.waitingCount > 0 ? this.tickAtNs[0] : Infinity;
  }

  /** Takes up decisions that waited. */
  handleTimeout(nowNs: number): void {
    this.setTime(nowNs);
    if (this.waitingCount > 0 && this.clockNs[0] >= this.tickAtNs[0]) this.tick();
  }

  /** A route was taken down, for one destination, or for all of them (-1): what it was suspended for is over. */
  withdraw(destination: number, slot: number): void {
    if (this.suspensions.count === 0) return;
    const { sample } = this;
    for (let group = 0; group < sample.groupCount; group++) {
      if (sample.isPinned[group] === 0 || sample.slotOf(group) !== slot) continue;
      if (destination >= 0 && sample.destinationOf(group) !== destination) continue;
      this.suspensions.end(sample.destinationOf(group), slot);
      this.flows = this.failing = this.answered = this.exposures = 0;
      this.log('withdrawn', group);
      sample.removeGroup(group);
    }
  }

  /** Forgets a destination that is removed. */
  forget(destination: number): void {
    for (let slot = 0; slot < this.table.routeCount; slot++) {
      const group = this.sample.findGroup(destination, slot);
      if (group >= 0) this.sample.removeGroup(group);
    }
    this.suspensions.forget(destination);
  }

  /** The group of a route, made if there is a place for it. @hotpath */
  private groupOf(destination: number, slot: number, nowMs: number): number {
    let group = this.sample.findGroup(destination, slot);
    if (group >= 0) return group;
    group = this.sample.makeGroup(destination, slot, nowMs);
    if (group < 0) return NONE;
    this.usualShares[group] = FIRST_USUAL_SHARE;
    this.usualAtMs[group] = nowMs;
    this.rttMs[group] = 0;
    this.silentStates[group] = 0;
    return group;
  }

  private noteAnswer(flow: number): void {
    const { sample } = this;
    const { words } = sample;
    const nowMs = this.nowMs;
    const exposures = sample.exposuresOf(flow);
    const sinceQuestionMs = (nowMs - words[flow + WORD_QUESTION]) | 0;
    let group = sample.groupOf(flow);
    if (sample.hasFlag(flow, FLAG_DEPARTED)) {
      words[flow + WORD_ANSWER] = nowMs;
      if (this.isWithinWindow(flow)) return;
      group = this.groupOf(sample.destinationOf(group), sample.departedTo(flow), nowMs);
      if (group < 0) sample.leave(flow);
      else if (sample.move(flow, group, 0, nowMs)) sample.noteAnswer(flow, nowMs);
      return;
    }
    const isFirst = !sample.hasFlag(flow, FLAG_ANSWERED);
    const isLater = ((nowMs - words[flow + WORD_ANSWER]) | 0) >= QUIET_MS;
    if ((exposures === 1 || (exposures === 0 && sample.hasFlag(flow, FLAG_ASKED))) && sinceQuestionMs >= 0) {
      this.measureRtt(group, sinceQuestionMs);
    }
    sample.noteAnswer(flow, nowMs);
    if (sample.isPinned[group] === 0 || !sample.hasFlag(flow, FLAG_PROBE) || !(isFirst || isLater)) return;
    if (++this.probeAnswers[group] >= ANSWERS_TO_RETURN) this.bringBack(group);
  }

  /** Smooths the time from a question to its answer. @see RFC 6298 section 2.3 */
  private measureRtt(group: number, sampleMs: number): void {
    const measured = sampleMs < MAX_RTT_MS ? sampleMs : MAX_RTT_MS;
    const before = this.rttMs[group];
    this.rttMs[group] = before === 0 ? measured : before + (measured - before) / 8;
  }

  /** Decides about a route that is in use. */
  private evaluate(group: number): void {
    const nowMs = this.nowMs;
    this.count(group, nowMs);
    const { answered, exposures, failing, flows, sample, settings, suspensions, table } = this;
    const usualShare = Math.min(MOST_USUAL_SHARE, Math.max(LEAST_USUAL_SHARE, this.usualShares[group]));
    const evidence = -Math.log(usualShare) * exposures - logChoose(flows, failing);
    if (failing < MIN_FAILING || evidence < EVIDENCE) {
      this.learnUsualShare(group, nowMs);
      this.silentStates[group] = 0;
      return;
    }
    if (failing < settings.share * (failing + answered)) {
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
    } else if (this.stateOfRoutes(destination, others, nowMs) === SILENT) {
      this.waitForLife(group);
    } else {
      this.count(group, nowMs);
      suspensions.begin(destination, slot);
      sample.isPinned[group] = 1;
      this.probeAnswers[group] = 0;
      this.suspendedAtMs = nowMs;
      this.log('suspended', group);
    }
  }

  /** Counts the flows of a group by what they show, and drops idle ones. */
  private count(group: number, nowMs: number): void {
    const { sample } = this;
    const { words } = sample;
    const recentMs = Math.max(this.recentMs, this.rttMs[group]);
    this.answered = 0;
    let failing = 0;
    let exposures = 0;
    let newFailing = 0;
    let newExposures = 0;
    for (let i = sample.sizes[group] - 1; i >= 0; i--) {
      const flow = sample.memberOf(group, i);
      const quietMs = sample.quietMs(flow, nowMs);
      const exposed = Math.min(sample.exposuresOf(flow), MAX_COUNTED);
      if (quietMs > IDLE_MS || quietMs < 0) sample.leave(flow);
      else if (exposed > 0) {
        if (!this.isWithinWindow(flow)) continue;
        if (sample.hasFlag(flow, FLAG_ANSWERED)) {
          failing++;
          exposures += exposed;
        } else {
          newFailing++;
          newExposures += exposed;
        }
      } else if (
        sample.hasFlag(flow, FLAG_ANSWERED) &&
        ((nowMs - words[flow + WORD_ANSWER]) | 0) <= recentMs
      ) {
        this.answered++;
      }
    }
    // Flows that were never answered may be calls to hosts that do not exist: they support, they do not decide.
    const supporters = Math.min(newFailing, failing);
    if (supporters > 0) exposures += Math.floor((newExposures * supporters) / newFailing);
    this.failing = failing + supporters;
    this.exposures = exposures;
    this.flows = sample.sizes[group] - (newFailing - supporters);
  }

  /** Whether the last exposure of a flow that has any is recent enough to be evidence. */
  private isWithinWindow(flow: number): boolean {
    return ((this.nowMs - this.sample.words[flow + WORD_QUESTION]) | 0) <= this.windowMs;
  }

  private learnUsualShare(group: number, nowMs: number): void {
    const elapsedMs = Math.max(0, (nowMs - this.usualAtMs[group]) | 0);
    const found = this.flows === 0 ? 0 : this.failing / this.flows;
    this.usualAtMs[group] = nowMs;
    this.usualShares[group] =
      this.usualShares[group] * Math.exp(-elapsedMs / USUAL_MS) +
      (found * Math.min(elapsedMs, LONGEST_STEP_MS)) / USUAL_MS;
  }

  /**
   * ALIVE when a flow on one of these routes was just answered; SILENT when none was, though some were active a
   * moment ago; else UNKNOWN.
   */
  private stateOfRoutes(destination: number, slots: number, nowMs: number): number {
    const { sample } = this;
    let state = UNKNOWN;
    for (let slot = 0; slots >>> slot !== 0; slot++) {
      const group = ((slots >>> slot) & 1) === 1 ? sample.findGroup(destination, slot) : NONE;
      if (group < 0) continue;
      this.count(group, nowMs);
      if (this.answered > 0) return ALIVE;
      for (let i = 0; i < sample.sizes[group] && state === UNKNOWN; i++) {
        const flow = sample.memberOf(group, i);
        const quietMs = sample.quietMs(flow, nowMs);
        if (sample.hasFlag(flow, FLAG_ANSWERED) && quietMs < this.windowMs + this.recentMs) state = SILENT;
      }
    }
    return state;
  }

  /** Nothing is decided while no other route shows life; it may be the destination itself that is gone. */
  private waitForLife(group: number): void {
    const nowMs = this.nowMs;
    if (this.silentStates[group] === 0) {
      this.silentStates[group] = 1;
      this.silentSinceMs[group] = nowMs;
    } else if (((nowMs - this.silentSinceMs[group]) | 0) * 2 > this.windowMs) {
      this.noteAllFailing(group);
    }
    this.wait(group);
  }

  private noteAllFailing(group: number): void {
    if (this.silentStates[group] === 2) return;
    this.silentStates[group] = 2;
    this.count(group, this.nowMs);
    this.log('allFailing', group);
  }

  private wait(group: number): void {
    if (this.isWaiting[group] === 1) return;
    if (this.waitingCount === 0) this.tickAtNs[0] = this.clockNs[0] + this.tickNs;
    this.isWaiting[group] = 1;
    this.waiting[this.waitingCount++] = group;
  }

  private tick(): void {
    const count = this.waitingCount;
    this.waitingCount = 0;
    for (let i = 0; i < count; i++) {
      const group = this.waiting[i];
      this.isWaiting[group] = 0;
      // Groups that wait on are put back below i.
      if (this.sample.isPinned[group] === 0 && this.sample.sizes[group] > 0) this.evaluate(group);
    }
    this.tickAtNs[0] = this.clockNs[0] + this.tickNs;
  }

  private bringBack(group: number): void {
    const { sample } = this;
    this.suspensions.end(sample.destinationOf(group), sample.slotOf(group));
    sample.isPinned[group] = 0;
    // Those that failed have gone over other routes since, and say nothing about this one.
    for (let i = sample.sizes[group] - 1; i >= 0; i--) {
      const flow = sample.memberOf(group, i);
      if (!sample.hasFlag(flow, FLAG_PROBE)) sample.leave(flow);
    }
    this.count(group, this.nowMs);
    this.exposures = this.probeAnswers[group];
    this.log('returned', group);
  }

  /** Uses the suspended routes of a destination as before. */
  private lift(destination: number): void {
    const { sample } = this;
    const mask = this.suspensions.maskOf(destination);
    this.suspensions.lift(destination);
    for (let slot = 0; mask >>> slot !== 0; slot++) {
      const group = ((mask >>> slot) & 1) === 1 ? sample.findGroup(destination, slot) : NONE;
      if (group < 0) continue;
      this.count(group, this.nowMs);
      this.log('lifted', group);
      sample.removeGroup(group);
    }
  }

  private log(decision: FailureDecision, group: number): void {
    this.events.add({
      timeNs: this.clockNs[0],
      destination: this.sample.destinationOf(group),
      pathId: this.table.pathIdOf[this.sample.slotOf(group)],
      decision,
      sampleFlows: this.flows,
      failingFlows: this.failing,
      answeredFlows: this.answered,
      exposures: this.exposures,
      usualFailingShare: this.usualShares[group],
      windowNs: this.settings.windowNs,
    });
  }
}

/** ln of the binomial coefficient, for up to 64 things. */
function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let i = 1; i <= k; i++) sum += Math.log((n - k + i) / i);
  return sum;
}
