/**
 * Failure inferred from the marks: when most of the sampled flows on a route to a destination expose loss and
 * nothing comes back to them, the route is suspended for that destination at once.
 *
 * ```
 * noteLoss (LEx, repeated FNE)  -> an exposure, if the flow was quiet before -> evaluate
 * noteInbound                   -> an answer, if it shows that something arrived outside
 *
 *             evaluate: enough evidence, most failing, another route alive
 *    in use -------------------------------------------------> suspended: packets go over other routes,
 *       ^                                                          |      beta_E / N of the new flowlets probe
 *       +----------------------------------------------------------+
 *             three answers to probes in a row; or the last route left fails as well
 * ```
 *
 * What is evidence. A sender whose packets all vanish hears nothing, so its retransmissions are clocked by its
 * timer: LEx, or FNE again, after silence. Under congestion they are clocked by acknowledgments, which keep
 * coming, and after a timeout an answer comes within an RTT. So a flow is failing when it exposed loss after
 * `QUIET_MS` of silence, within the window, and was not answered since. failure-evidence.ts says how much of it is
 * needed.
 *
 * Long because the notes and the decisions share the clock and the groups.
 */

import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../wire/packet-view.ts';
import type { PacketView } from '../wire/packet-view.ts';
import { seqAfter } from '../wire/seq.ts';
import { FailureEvents } from './failure-events.ts';
import type { EvidenceKind, EvidenceSum, FailureDecision } from './failure-events.ts';
import { FailureEvidence } from './failure-evidence.ts';
import {
  FLAG_ANSWERED,
  FLAG_ASKED,
  FLAG_DEPARTED,
  FLAG_PROBE,
  FLAG_SEEN,
  FlowSample,
  QUIET_MS,
  WORD_ACK,
  WORD_ANSWER,
  WORD_META,
  WORD_QUESTION,
  WORD_SEQ,
} from './failure-sample.ts';
import type { FlowHash } from './flow-hash.ts';
import { RepeatWatch } from './repeat-watch.ts';
import type { RouteTable } from './route-table.ts';
import { Suspensions } from './suspensions.ts';

/** What a detector can take over while it runs, checked. */
export interface FailureRules {
  readonly isOn: boolean;
  /** 0.2e9 to 0.8e9. */
  readonly windowNs: number;
  /** 0.5 to 1. */
  readonly share: number;
}

/** Options of the detector, checked. */
export interface FailureSettings extends FailureRules {
  /** Flows in a group, 8 to 64. */
  readonly sample: number;
  /** Flows in all, a power of 2 from 64 to 65,536. */
  readonly sampleEntries: number;
}

/** What {@link FailureDetector.noteInbound} looks at of a TCP segment. */
export type TcpSegment = Pick<PacketView, 'tcpFlags' | 'payloadLength' | 'seqNumber' | 'ackNumber'>;

/** Answers to probes in a row, each of another flow or QUIET_MS apart, that bring a route back. */
const ANSWERS_TO_RETURN = 3;
/** How long after a suspension only new connections are probes, ms. */
const SETTLING_MS = 5000;
/** Intervals whose mean ratio a route gets back: one interval's is chance where losses are few. */
const USUAL_INTERVALS = 16;
/** Evaluations while a decision waits, in a window. */
const TICKS = 20;
const NS_PER_MS = 1e6;
const NONE = -1;

/**
 * Without a packet for so long, ms, this gateway may have stood still itself; then answers may wait to be read, and what
 * is overdue says nothing until it has run on for some time, ms.
 */
const STEADY_STEP_MS = 50;
const STEADY_MS = 100;

/** No decision waits for other routes to show life. */
const LIFE_KNOWN = 0;
/** One does. */
const LIFE_AWAITED = 1;
/** All routes were found to fail, and nothing was answered since. */
const LIFE_MISSED = 2;

/** Watches a sample of flows and suspends routes. */
export class FailureDetector {
  isOn: boolean;
  readonly events = new FailureEvents();
  readonly suspensions: Suspensions;
  readonly sample: FlowSample;
  /** Flows that receive. */
  readonly repeats: RepeatWatch;

  private readonly evidence: FailureEvidence;
  private readonly table: RouteTable;
  private windowNs: number;
  private windowMs: number;
  private tickNs: number;

  // By group.
  /** Of a suspended one: 1 = it was what came again that said so. */
  private readonly byRepeats: Uint8Array;
  private readonly probeAnswers: Int32Array;
  private readonly probesLost: Int32Array;
  private readonly lifeStates: Uint8Array;
  private readonly awaitedSinceMs: Int32Array;
  /** Mean of the route's ratios over some {@link USUAL_INTERVALS} intervals; 0 before the first. */
  private readonly usualRatios: Float64Array;

  /** Groups with evidence enough, whose decision waits for a moment. */
  private readonly waiting: Int32Array;
  private readonly isWaiting: Uint8Array;
  private waitingCount = 0;
  private readonly tickAtNs = new Float64Array([Infinity]);
  /** The time, ns; a number as large as this would be allocated if it were handed from function to function. */
  private readonly clockNs = new Float64Array(1);
  /** The time, ms modulo 2^32. */
  private nowMs = 0;
  /** When a route was suspended last, ms modulo 2^32; 0 as long as none was. */
  suspendedAtMs = 0;
  /** When the time last went on by more than a step, ms. */
  private unsteadyAtMs = 0;
  /** When a route was answered again after all had failed, ms. */
  private revivedAtMs = 0;
  /** When a flow that only sends was looked at last, ms. */
  private sampledAtMs = 0;

  constructor(settings: FailureSettings, table: RouteTable, probeShare: (routeCount: number) => number) {
    this.isOn = settings.isOn;
    this.windowNs = settings.windowNs;
    this.table = table;
    this.windowMs = settings.windowNs / NS_PER_MS;
    this.tickNs = settings.windowNs / TICKS;
    this.suspensions = new Suspensions(table, probeShare);
    this.sample = new FlowSample(settings.sampleEntries, settings.sample);
    this.evidence = new FailureEvidence(this.sample, this.windowMs, settings.share);
    this.repeats = new RepeatWatch(settings.sampleEntries, settings.sample, this.windowMs, settings.share);
    const { groupCount } = this.sample;
    this.byRepeats = new Uint8Array(groupCount);
    this.probeAnswers = new Int32Array(groupCount);
    this.probesLost = new Int32Array(groupCount);
    this.lifeStates = new Uint8Array(groupCount);
    this.awaitedSinceMs = new Int32Array(groupCount);
    this.usualRatios = new Float64Array(groupCount);
    this.waiting = new Int32Array(groupCount);
    this.isWaiting = new Uint8Array(groupCount);
  }

  /** Takes other rules over. When nothing is to be inferred any more, suspended routes are used as before. */
  configure({ isOn, windowNs, share }: FailureRules): void {
    this.isOn = isOn;
    this.windowNs = windowNs;
    this.windowMs = windowNs / NS_PER_MS;
    this.tickNs = windowNs / TICKS;
    this.evidence.configure(this.windowMs, share);
    this.repeats.evidence.configure(this.windowMs, share);
    if (isOn) return;
    this.repeats.clear();
    this.waitingCount = 0;
    this.isWaiting.fill(0);
    const { sample } = this;
    for (let group = 0; group < sample.groupCount; group++) {
      if (sample.isPinned[group] === 0) continue;
      this.suspensions.restore(sample.destinationOf(group), sample.slotOf(group));
      this.log('switchedOff', group);
      sample.removeGroup(group);
    }
  }

  /** Tells the time, ns; before any note of that moment. @hotpath */
  setTime(nowNs: number): void {
    this.clockNs[0] = nowNs;
    const nowMs = (nowNs / NS_PER_MS) | 0;
    if (((nowMs - this.nowMs) | 0) > STEADY_STEP_MS) this.unsteadyAtMs = nowMs;
    this.nowMs = nowMs;
  }

  /** A flow exposes loss on a route: LEx, or an FNE packet that repeats one sent on that route. @hotpath */
  noteLoss(destination: number, slot: number, h1: number, h2: number): void {
    const { evidence, nowMs, sample } = this;
    const group = this.groupOf(destination, slot);
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
      if (hasCome && quietMs < QUIET_MS && evidence.isWithinWindow(flow, nowMs)) return;
      if (!sample.move(flow, group, 0, nowMs) || !hasCome) return;
    }
    if (quietMs < QUIET_MS) return;
    sample.addExposure(flow, nowMs);
    if (sample.isPinned[group] === 0) this.evaluate(group);
    else if (sample.hasFlag(flow, FLAG_PROBE)) {
      this.probeAnswers[group] = 0;
      this.probesLost[group]++;
    }
    this.tickIfDue();
  }

  /** Tells the time, and whether the millisecond is another one than at the last call. @hotpath */
  isToSample(nowNs: number): boolean {
    this.setTime(nowNs);
    if (this.sampledAtMs === this.nowMs) return false;
    this.sampledAtMs = this.nowMs;
    return true;
  }

  /**
   * A flow sends on a route, and exposes nothing: one a millisecond is looked at, so that the sample is not only of
   * flows that begin or are in trouble. It enters a group that is there; for this alone none is made.
   *
   * @hotpath
   */
  noteSending(destination: number, slot: number, h1: number, h2: number): void {
    const { evidence, nowMs, sample } = this;
    const group = sample.findGroup(destination, slot);
    if (group < 0 || sample.isPinned[group] === 1) return;
    const flow = sample.find(h1, h2);
    if (flow < 0) sample.join(h1, h2, group, 0, nowMs);
    else if (sample.groupOf(flow) === group) sample.noteSent(flow, nowMs);
    if (evidence.isQuiet(group, nowMs)) this.wait(group);
    this.tickIfDue();
  }

  /**
   * A segment that only acknowledges leaves by a route.
   *
   * @hotpath
   */
  noteAck(destination: number, slot: number, h1: number, h2: number, ackNumber: number): void {
    this.repeats.noteAck(destination, slot, h1, h2, ackNumber, this.nowMs);
  }

  /**
   * A flowlet begins on a route: its FNE packet leaves, or it is assigned.
   *
   * @returns whether it is in the sample; a flowlet that is not can be no probe
   * @hotpath
   */
  noteFlowlet(destination: number, slot: number, h1: number, h2: number): boolean {
    const { nowMs, sample } = this;
    const flow = sample.find(h1, h2);
    if (flow >= 0 && sample.exposuresOf(flow) > 0 && sample.words[flow + WORD_QUESTION] === nowMs) {
      // The FNE packet is itself an exposure: evidence that shall outlive the flow's departure.
      if (sample.slotOf(sample.groupOf(flow)) !== slot) sample.depart(flow, slot);
      return true;
    }
    const group = this.groupOf(destination, slot);
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
  noteInbound(flow: number, packet: TcpSegment): void {
    const { words } = this.sample;
    const flags = packet.tcpFlags;
    const hasAck = (flags & TCP_ACK) !== 0;
    const isSyn = (flags & TCP_SYN) !== 0;
    const sequenceLength = packet.payloadLength + (isSyn ? 1 : 0) + (flags & TCP_FIN);
    const end = (packet.seqNumber + sequenceLength) | 0;
    let isAnswer = hasAck && (sequenceLength === 0 || (flags & TCP_RST) !== 0);
    const isUnseen = (words[flow + WORD_META] & FLAG_SEEN) === 0;
    if (isUnseen || (isSyn && packet.ackNumber !== words[flow + WORD_ACK])) {
      if (hasAck) {
        words[flow + WORD_META] |= FLAG_SEEN;
        words[flow + WORD_ACK] = packet.ackNumber;
        words[flow + WORD_SEQ] = end;
        if (isSyn) isAnswer = true;
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
    this.tickIfDue();
  }

  /**
   * A TCP segment with payload from outside, of a flow of {@link repeats}.
   *
   * @hotpath
   */
  noteInboundData(flow: number, packet: TcpSegment): void {
    const group = this.repeats.noteData(flow, packet, this.nowMs);
    if (group >= 0) this.evaluateRepeats(group);
  }

  /**
   * Whether a flowlet may probe a suspended route. While connections that ran over it are still looking for
   * another way, only new ones may: a connection in trouble cannot always be told from one that begins a flowlet.
   *
   * @hotpath
   */
  mayProbe(isNewConnection: boolean): boolean {
    return isNewConnection || ((this.nowMs - this.suspendedAtMs) | 0) > SETTLING_MS;
  }

  /** Whether what a flow acknowledged came again since there was new data. @hotpath */
  isRepeated({ h1, h2 }: Pick<FlowHash, 'h1' | 'h2'>): boolean {
    const { sample } = this.repeats;
    const flow = sample.find(h1, h2);
    return flow >= 0 && sample.exposuresOf(flow) > 0;
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

  /** A destination has new ratios, at the end of an interval. */
  noteRatios(destination: number): void {
    const { sample, suspensions, table } = this;
    if (!this.isOn || suspensions.maskOf(destination) !== 0) return;
    for (let slot = 0; slot < table.routeCount; slot++) {
      const group = sample.findGroup(destination, slot);
      if (group < 0) continue;
      const ratio = table.ratio(destination, slot);
      const usual = this.usualRatios[group];
      this.usualRatios[group] = usual === 0 ? ratio : usual + (ratio - usual) / USUAL_INTERVALS;
    }
  }

  /** What there was to decide about so far, by its kind. */
  sums(): Record<EvidenceKind, EvidenceSum> {
    const { evidence, repeats, sample } = this;
    return {
      losses: { exposures: sample.exposureCount, closest: evidence.closest },
      repeats: { exposures: repeats.sample.exposureCount, closest: repeats.evidence.closest },
    };
  }

  /** When {@link handleTimeout} has work, ns; Infinity for none. */
  pollTimeout(): number {
    return this.waitingCount > 0 ? this.tickAtNs[0] : Infinity;
  }

  /** Takes up decisions that waited. */
  handleTimeout(nowNs: number): void {
    this.setTime(nowNs);
    this.tickIfDue();
  }

  /** A route was taken down, for one destination, or for all of them (-1): what it was suspended for is over. */
  withdraw(destination: number, slot: number): void {
    if (this.suspensions.count === 0) return;
    const { sample } = this;
    for (let group = 0; group < sample.groupCount; group++) {
      if (sample.isPinned[group] === 0 || sample.slotOf(group) !== slot) continue;
      if (destination >= 0 && sample.destinationOf(group) !== destination) continue;
      this.suspensions.end(sample.destinationOf(group), slot);
      this.log('withdrawn', group);
      sample.removeGroup(group);
    }
  }

  /** A route that is up was suspended before this detector began: its probes bring it back, to the ratio it has now. */
  resume(destination: number, slot: number): void {
    const group = this.isOn ? this.groupOf(destination, slot) : NONE;
    if (group < 0 || this.sample.isPinned[group] === 1) return;
    this.suspensions.begin(destination, slot);
    this.sample.isPinned[group] = 1;
    this.byRepeats[group] = 0;
    this.probeAnswers[group] = 0;
    this.probesLost[group] = 0;
  }

  /** Forgets a destination that is removed. */
  forget(destination: number): void {
    for (let slot = 0; slot < this.table.routeCount; slot++) {
      this.repeats.removeGroup(destination, slot);
      const group = this.sample.findGroup(destination, slot);
      if (group >= 0) this.sample.removeGroup(group);
    }
    this.suspensions.forget(destination);
  }

  /** The group of a route, made if there is a place for it. */
  private groupOf(destination: number, slot: number): number {
    const { nowMs, sample } = this;
    let group = sample.findGroup(destination, slot);
    if (group >= 0) return group;
    group = sample.makeGroup(destination, slot, nowMs);
    if (group < 0) return NONE;
    this.evidence.begin(group, nowMs);
    this.lifeStates[group] = LIFE_KNOWN;
    this.usualRatios[group] = 0;
    return group;
  }

  private noteAnswer(flow: number): void {
    const { evidence, nowMs, sample } = this;
    const { words } = sample;
    const group = sample.groupOf(flow);
    if (sample.hasFlag(flow, FLAG_DEPARTED)) {
      this.noteAnswerElsewhere(flow, group);
      return;
    }
    const exposures = sample.exposuresOf(flow);
    const isFirst = !sample.hasFlag(flow, FLAG_ANSWERED);
    const isLater = ((nowMs - words[flow + WORD_ANSWER]) | 0) >= QUIET_MS;
    if (exposures === 1 || (exposures === 0 && sample.hasFlag(flow, FLAG_ASKED))) {
      const sampleMs = (nowMs - words[flow + WORD_QUESTION]) | 0;
      if (sampleMs >= 0) evidence.measureRtt(group, sampleMs);
    }
    sample.noteAnswer(flow, nowMs);
    evidence.noteAnswer(group, nowMs);
    if (sample.isPinned[group] === 1) {
      if (!sample.hasFlag(flow, FLAG_PROBE) || !(isFirst || isLater)) return;
      if (++this.probeAnswers[group] >= ANSWERS_TO_RETURN) this.bringBack(group);
      return;
    }
    if (this.lifeStates[group] !== LIFE_KNOWN) {
      // What was seen while all routes failed was a failure, and is no reason to ask for more.
      if (this.lifeStates[group] === LIFE_MISSED) this.revivedAtMs = nowMs;
      this.lifeStates[group] = LIFE_KNOWN;
      evidence.dropSurge(group);
    } else if (exposures > 0) evidence.learnSurge(group, nowMs);
  }

  /** An answer to a flow that was drawn another route: what it exposed here stays for the length of the window. */
  private noteAnswerElsewhere(flow: number, group: number): void {
    const { evidence, nowMs, sample } = this;
    sample.words[flow + WORD_ANSWER] = nowMs;
    if (evidence.isWithinWindow(flow, nowMs)) return;
    const next = this.groupOf(sample.destinationOf(group), sample.departedTo(flow));
    if (next < 0) sample.leave(flow);
    else if (sample.move(flow, next, 0, nowMs)) sample.noteAnswer(flow, nowMs);
  }

  /** Decides about a route that is in use. */
  private evaluate(group: number): void {
    const { evidence, nowMs, sample, suspensions } = this;
    evidence.count(group, nowMs);
    if (((nowMs - this.unsteadyAtMs) | 0) < STEADY_MS) evidence.dropOverdue();
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
    if (this.lifeStates[group] === LIFE_MISSED && sinceRevivalMs >= 0 && sinceRevivalMs < this.windowMs) {
      this.wait(group);
      return;
    }
    const destination = sample.destinationOf(group);
    const slot = sample.slotOf(group);
    const up = this.table.upMask(destination);
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

  /** Decides about a route whose acknowledgments seem not to arrive. */
  private evaluateRepeats(watched: number): void {
    const { nowMs, repeats, suspensions } = this;
    const destination = repeats.sample.destinationOf(watched);
    const slot = repeats.sample.slotOf(watched);
    const up = this.table.upMask(destination);
    const suspended = suspensions.maskOf(destination);
    if ((((up & ~suspended) >>> slot) & 1) === 0) return;
    const group = this.groupOf(destination, slot);
    if (group < 0) return;
    // How long an answer takes is measured where something is asked.
    repeats.evidence.useRtt(watched, this.evidence.rttMsOf(group));
    repeats.evidence.count(watched, nowMs);
    if (!repeats.evidence.isEnough(watched, nowMs) || !repeats.evidence.areMost) return;
    const others = up & ~suspended & ~(1 << slot);
    if (others === 0) {
      this.noteAllFailing(group);
      this.lift(destination);
    } else if (repeats.isAlive(destination, others, nowMs)) this.suspend(group, true);
  }

  private suspend(group: number, isByRepeats: boolean): void {
    const { sample } = this;
    this.suspensions.begin(sample.destinationOf(group), sample.slotOf(group), this.usualRatios[group]);
    this.lifeStates[group] = LIFE_KNOWN;
    sample.isPinned[group] = 1;
    this.byRepeats[group] = isByRepeats ? 1 : 0;
    this.probeAnswers[group] = 0;
    this.probesLost[group] = 0;
    this.suspendedAtMs = this.nowMs;
    this.log('suspended', group);
  }

  /**
   * Whether nothing was answered on these routes a moment ago, though there was traffic just before, or nothing
   * since all were found to fail.
   */
  private areSilent(destination: number, slots: number): boolean {
    const { evidence, nowMs, sample } = this;
    let isSilent = false;
    for (let slot = 0; slots >>> slot !== 0; slot++) {
      const group = ((slots >>> slot) & 1) === 1 ? sample.findGroup(destination, slot) : NONE;
      if (group < 0) continue;
      evidence.count(group, nowMs);
      if (evidence.answered > 0) return false;
      if (this.lifeStates[group] === LIFE_MISSED) isSilent = true;
      const activeMs = this.windowMs + evidence.recentMsOf(group);
      for (let i = 0; i < sample.sizes[group]; i++) {
        const flow = sample.memberOf(group, i);
        if (sample.hasFlag(flow, FLAG_ANSWERED) && sample.quietMs(flow, nowMs) < activeMs) isSilent = true;
      }
    }
    return isSilent;
  }

  /** Nothing is decided while no other route shows life: it may be the destination itself that is gone. */
  private awaitLife(group: number): void {
    if (this.lifeStates[group] === LIFE_KNOWN) {
      this.lifeStates[group] = LIFE_AWAITED;
      this.awaitedSinceMs[group] = this.nowMs;
    } else if (((this.nowMs - this.awaitedSinceMs[group]) | 0) * 2 > this.windowMs) {
      this.noteAllFailing(group);
    }
    this.wait(group);
  }

  private noteAllFailing(group: number): void {
    if (this.lifeStates[group] === LIFE_MISSED) return;
    this.lifeStates[group] = LIFE_MISSED;
    this.log('allFailing', group);
  }

  private wait(group: number): void {
    if (this.isWaiting[group] === 1) return;
    if (this.waitingCount === 0) this.tickAtNs[0] = this.clockNs[0] + this.tickNs;
    this.isWaiting[group] = 1;
    this.waiting[this.waitingCount++] = group;
  }

  private tickIfDue(): void {
    if (this.waitingCount === 0 || this.clockNs[0] < this.tickAtNs[0]) return;
    const count = this.waitingCount;
    this.waitingCount = 0;
    for (let i = 0; i < count; i++) {
      const group = this.waiting[i];
      this.isWaiting[group] = 0;
      // Groups that wait on are put back, below i.
      if (this.sample.isPinned[group] === 1 || this.sample.sizes[group] === 0) continue;
      this.evaluate(group);
      if (this.sample.isPinned[group] === 0 && this.evidence.isQuiet(group, this.nowMs)) this.wait(group);
    }
    this.tickAtNs[0] = this.clockNs[0] + this.tickNs;
  }

  private bringBack(group: number): void {
    const { evidence, nowMs, sample } = this;
    this.suspensions.restore(sample.destinationOf(group), sample.slotOf(group));
    const watched = this.repeats.sample.findGroup(sample.destinationOf(group), sample.slotOf(group));
    const isByRepeats = this.byRepeats[group] === 1;
    // Not one probe was lost: it was over before it was decided, and next time more is asked.
    if (this.probesLost[group] === 0 && !isByRepeats) evidence.learnSurge(group, nowMs);
    else evidence.dropSurge(group);
    if (watched >= 0) {
      if (this.probesLost[group] === 0 && isByRepeats) this.repeats.evidence.learnSurge(watched, nowMs);
      else this.repeats.evidence.dropSurge(watched);
    }
    this.release(group);
    this.log('returned', group);
  }

  /** Takes the group of a route that was suspended into ordinary use. */
  private release(group: number): void {
    const { sample } = this;
    sample.isPinned[group] = 0;
    for (let i = sample.sizes[group] - 1; i >= 0; i--) {
      const flow = sample.memberOf(group, i);
      // Those that failed have gone over other routes since, and say nothing about this one.
      if (sample.hasFlag(flow, FLAG_PROBE)) sample.words[flow + WORD_META] &= ~FLAG_PROBE;
      else sample.leave(flow);
    }
  }

  /** Uses the suspended routes of a destination as before. */
  private lift(destination: number): void {
    const { sample } = this;
    const mask = this.suspensions.maskOf(destination);
    this.suspensions.lift(destination);
    for (let slot = 0; mask >>> slot !== 0; slot++) {
      const group = ((mask >>> slot) & 1) === 1 ? sample.findGroup(destination, slot) : NONE;
      if (group < 0) continue;
      this.evidence.dropSurge(group);
      this.release(group);
      this.lifeStates[group] = LIFE_MISSED;
      this.log('lifted', group);
    }
  }

  private log(decision: FailureDecision, group: number): void {
    const { sample } = this;
    const watched = this.repeats.sample.findGroup(sample.destinationOf(group), sample.slotOf(group));
    const isByRepeats = decision === 'suspended' && this.byRepeats[group] === 1 && watched >= 0;
    const evidence = isByRepeats ? this.repeats.evidence : this.evidence;
    const judged = isByRepeats ? watched : group;
    evidence.count(judged, this.nowMs);
    this.events.add({
      timeNs: this.clockNs[0],
      destination: sample.destinationOf(group),
      pathId: this.table.pathIdOf[sample.slotOf(group)],
      decision,
      by: isByRepeats ? 'repeats' : 'losses',
      sampleFlows: evidence.flows,
      failingFlows: evidence.failing,
      overdueFlows: evidence.overdue,
      answeredFlows: evidence.answered,
      exposures: evidence.exposures,
      silenceNs: evidence.silenceMsOf(judged, this.nowMs) * NS_PER_MS,
      probeAnswers: decision === 'returned' ? this.probeAnswers[group] : 0,
      usualFailingShare: evidence.usualShareOf(judged),
      windowNs: this.windowNs,
    });
  }
}
