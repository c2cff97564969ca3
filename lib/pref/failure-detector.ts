/**
 * Failure inferred from the marks: when most of the sampled flows on a route to a destination expose loss and
 * nothing comes back to them, the route is suspended for that destination at once. Here is what happens to the flows
 * noted, and what is known of them told.
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
 * needed, failure-decisions.ts what follows.
 */

import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../wire/packet-view.ts';
import type { PacketView } from '../wire/packet-view.ts';
import { seqAfter } from '../wire/seq.ts';
import { FailureCore } from './failure-core.ts';
import type { FailureRules, FailureSettings } from './failure-core.ts';
import { FailureDecisions } from './failure-decisions.ts';
import { FallenGroups } from './fallen-groups.ts';
import type { EvidenceKind, EvidenceSum, FailureEvents } from './failure-events.ts';
import {
  FLAG_ANSWERED,
  FLAG_ASKED,
  FLAG_DEPARTED,
  FLAG_PROBE,
  FLAG_SEEN,
  QUIET_MS,
  WORD_ACK,
  WORD_ANSWER,
  WORD_META,
  WORD_QUESTION,
  WORD_SEQ,
} from './failure-sample.ts';
import type { FlowSample } from './failure-sample.ts';
import type { FlowHash } from './flow-hash.ts';
import type { RepeatWatch } from './repeat-watch.ts';
import type { RouteTable } from './route-table.ts';
import { SuspendedGroups } from './suspended-groups.ts';
import type { Suspensions } from './suspensions.ts';

/** What {@link FailureDetector.noteInbound} looks at of a TCP segment. */
export type TcpSegment = Pick<PacketView, 'tcpFlags' | 'payloadLength' | 'seqNumber' | 'ackNumber'>;

/** Packets of flows that only send that are looked at in a millisecond. */
const SAMPLED_A_MS = 8;
/** How long after a suspension only new connections are probes, ms. */
const SETTLING_MS = 5000;
const NONE = -1;

/** Watches a sample of flows and suspends routes. */
export class FailureDetector {
  isOn: boolean;
  readonly events: FailureEvents;
  readonly suspensions: Suspensions;
  readonly sample: FlowSample;
  /** Flows that receive. */
  readonly repeats: RepeatWatch;

  private readonly core: FailureCore;
  private readonly suspended: SuspendedGroups;
  private readonly fallen: FallenGroups;
  private readonly decisions: FailureDecisions;
  /** When a flow that only sends was looked at last, ms. */
  private sampledAtMs = 0;
  /** How many were in that millisecond. */
  private sampledCount = 0;

  /** @param probeShare - beta_E / N for N routes */
  constructor(settings: FailureSettings, table: RouteTable, probeShare: (routeCount: number) => number) {
    this.isOn = settings.isOn;
    this.core = new FailureCore(settings, table, probeShare);
    this.events = this.core.events;
    this.suspensions = this.core.suspensions;
    this.sample = this.core.sample;
    this.repeats = this.core.repeats;
    this.suspended = new SuspendedGroups(this.core);
    this.fallen = new FallenGroups(this.core, this.suspended);
    this.decisions = new FailureDecisions(this.core, this.suspended, this.fallen);
  }

  /** When a route was suspended last, ms, whole; 0 as long as none was. */
  get suspendedAtMs(): number {
    return this.suspended.suspendedAtMs;
  }

  set suspendedAtMs(timeMs: number) {
    this.suspended.suspendedAtMs = timeMs;
  }

  /** Takes other rules over. When nothing is to be inferred any more, suspended routes are used as before. */
  configure({ isOn, windowNs, share }: FailureRules): void {
    this.isOn = isOn;
    this.core.configure(windowNs, share);
    this.decisions.configure();
    if (isOn) return;
    this.repeats.clear();
    this.decisions.switchOff();
    this.suspended.switchOff();
  }

  /** Tells the time, ns; before any note of that moment. @hotpath */
  setTime(nowNs: number): void {
    this.core.clockNs[0] = nowNs;
    this.core.advance();
  }

  /** A flow exposes loss on a route: LEx, or an FNE packet that repeats one sent on that route. @hotpath */
  noteLoss(destination: number, slot: number, h1: number, h2: number): void {
    const { evidence, nowMs, sample } = this.core;
    const group = this.decisions.groupOf(destination, slot);
    if (group < 0) return;
    const flow = sample.find(h1, h2);
    if (flow < 0) {
      // Nothing is known of its silence: this is where it enters the sample.
      sample.join(h1, h2, group, 0, nowMs);
      return;
    }
    const quietMs = sample.quietMs(flow, nowMs);
    if (sample.groupOf(flow) === group) {
      evidence.noteSent(group, flow, true, nowMs);
    } else {
      // Only of a flow that was seen to go there is it known that the loss is that route's.
      const hasCome = sample.hasFlag(flow, FLAG_DEPARTED) && sample.departedTo(flow) === slot;
      if (hasCome && quietMs < QUIET_MS && evidence.isWithinWindow(flow, nowMs)) return;
      if (!sample.move(flow, group, 0, nowMs) || !hasCome) return;
    }
    if (quietMs < QUIET_MS) return;
    sample.addExposure(flow, nowMs);
    if (sample.isPinned[group] === 0) {
      this.fallen.noteLoss(group);
      this.decisions.evaluate(group);
    } else if (sample.hasFlag(flow, FLAG_PROBE)) this.suspended.noteProbeLost(group);
    this.decisions.tickIfDue();
  }

  /** Tells the time, and whether a flow that only sends is to be looked at: {@link SAMPLED_A_MS} are. @hotpath */
  isToSample(nowNs: number): boolean {
    this.setTime(nowNs);
    const { nowMs } = this.core;
    if (this.sampledAtMs !== nowMs) {
      this.sampledAtMs = nowMs;
      this.sampledCount = 0;
    }
    return this.sampledCount++ < SAMPLED_A_MS;
  }

  /**
   * A flow sends on a route, and exposes nothing: a few a millisecond are looked at, so that the sample is not only of
   * flows that begin or are in trouble. It enters a group that is there; for this alone none is made.
   *
   * @hotpath
   */
  noteSending(destination: number, slot: number, h1: number, h2: number): void {
    const { evidence, nowMs, sample } = this.core;
    const group = sample.findGroup(destination, slot);
    if (group < 0 || sample.isPinned[group] === 1) return;
    const flow = sample.find(h1, h2);
    if (flow < 0) sample.join(h1, h2, group, 0, nowMs);
    else if (sample.groupOf(flow) === group) {
      sample.noteSent(flow, nowMs);
      evidence.noteSent(group, flow, false, nowMs);
    }
    if (evidence.isQuiet(group, nowMs)) this.decisions.wait(group);
    this.decisions.tickIfDue();
  }

  /** Forgets which flows wait for an answer: one may have been missed. */
  forgetSending(): void {
    this.sample.forgetSent();
  }

  /**
   * A segment that only acknowledges leaves by a route.
   *
   * @hotpath
   */
  noteAck(destination: number, slot: number, h1: number, h2: number, ackNumber: number): void {
    this.repeats.noteAck(destination, slot, h1, h2, ackNumber, this.core.nowMs);
  }

  /**
   * A flowlet begins on a route: its FNE packet leaves, or it is assigned.
   *
   * @returns whether it is in the sample; a flowlet that is not can be no probe
   * @hotpath
   */
  noteFlowlet(destination: number, slot: number, h1: number, h2: number): boolean {
    const { nowMs, sample } = this.core;
    const flow = sample.find(h1, h2);
    if (flow >= 0 && sample.exposuresOf(flow) > 0 && sample.words[flow + WORD_QUESTION] === nowMs) {
      // The FNE packet is itself an exposure: evidence that shall outlive the flow's departure.
      if (sample.slotOf(sample.groupOf(flow)) !== slot) sample.depart(flow, slot);
      return true;
    }
    const group = this.decisions.groupOf(destination, slot);
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
    this.decisions.tickIfDue();
  }

  /**
   * A TCP segment with payload from outside, of a flow of {@link repeats}.
   *
   * @hotpath
   */
  noteInboundData(flow: number, packet: TcpSegment): void {
    const group = this.repeats.noteData(flow, packet, this.core.nowMs);
    if (group >= 0) this.decisions.evaluateRepeats(group);
  }

  /**
   * Whether a flowlet may probe a suspended route. While connections that ran over it are still looking for
   * another way, only new ones may: a connection in trouble cannot always be told from one that begins a flowlet.
   *
   * @hotpath
   */
  mayProbe(isNewConnection: boolean): boolean {
    return isNewConnection || this.core.wholeMs - this.suspended.suspendedAtMs > SETTLING_MS;
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

  /** As for {@link FallenGroups}. */
  noteInterval(destination: number, slots: number, bytes: Float64Array, ratios: Float64Array): void {
    if (this.isOn) this.fallen.noteInterval(destination, slots, bytes, ratios);
  }

  /** A destination has new ratios, at the end of an interval. */
  noteRatios(destination: number): void {
    if (this.isOn) this.fallen.noteRatios(destination);
  }

  /** What there was to decide about so far, by its kind. */
  sums(): Record<EvidenceKind, EvidenceSum> {
    const { evidence, repeats, sample } = this.core;
    return {
      losses: { exposures: sample.exposureCount, closest: evidence.closest },
      repeats: { exposures: repeats.sample.exposureCount, closest: repeats.evidence.closest },
    };
  }

  /** When {@link handleTimeout} has work, ns; Infinity for none. */
  pollTimeout(): number {
    return this.decisions.pollTimeout();
  }

  /** Takes up decisions that waited. */
  handleTimeout(nowNs: number): void {
    this.setTime(nowNs);
    this.decisions.tickIfDue();
  }

  /** A route was taken down, for one destination, or for all of them (-1): what it was suspended for is over. */
  withdraw(destination: number, slot: number): void {
    this.suspended.withdraw(destination, slot);
  }

  /** A route that is up was suspended before this detector began: its probes bring it back, to the ratio it has now. */
  resume(destination: number, slot: number): void {
    const group = this.isOn ? this.decisions.groupOf(destination, slot) : NONE;
    if (group < 0 || this.sample.isPinned[group] === 1) return;
    this.suspended.resume(group);
  }

  /** Forgets a destination that is removed. */
  forget(destination: number): void {
    const { repeats, sample, suspensions, table } = this.core;
    for (let slot = 0; slot < table.routeCount; slot++) {
      repeats.removeGroup(destination, slot);
      const group = sample.findGroup(destination, slot);
      if (group >= 0) sample.removeGroup(group);
    }
    suspensions.forget(destination);
  }

  private noteAnswer(flow: number): void {
    const { evidence, nowMs, sample } = this.core;
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
      this.suspended.noteProbeAnswer(group);
      return;
    }
    this.decisions.noteLife(group, exposures > 0);
    if (isFirst || isLater) this.fallen.noteAnswer(group);
  }

  /** An answer to a flow that was drawn another route: what it exposed here stays for the length of the window. */
  private noteAnswerElsewhere(flow: number, group: number): void {
    const { evidence, nowMs, sample } = this.core;
    sample.words[flow + WORD_ANSWER] = nowMs;
    if (evidence.isWithinWindow(flow, nowMs)) return;
    const next = this.decisions.groupOf(sample.destinationOf(group), sample.departedTo(flow));
    if (next < 0) sample.leave(flow);
    else if (sample.move(flow, next, 0, nowMs)) sample.noteAnswer(flow, nowMs);
  }
}
