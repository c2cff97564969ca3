/**
 * Data that comes again although it was acknowledged: evidence about the route that the acknowledgments take.
 *
 * ```
 *      sender outside                                   host inside
 *             ---- data, by a route that works ------------>         noteData: new data, an answer
 *             x <------ acknowledgment, by route i ---------         noteAck: i and the number
 *             (timeout)
 *             ---- the same data again -------------------->         noteData: an exposure on route i
 * ```
 *
 * A host that only receives exposes no loss itself: an acknowledgment is never sent again. But its peer, which hears
 * nothing, repeats by its timer what was acknowledged long ago. That is LEx of the peer, and it is seen here even where
 * the peer's marks do not get through: by sequence numbers, of a sample of flows. The routes of acknowledgments are
 * judged by the same measures as those of data (failure-evidence.ts), only that an answer is new data.
 *
 * Congestion on the way in makes the peer repeat what had not arrived, and so was not acknowledged; on the way out it
 * costs acknowledgments here and there, for which the next one stands in.
 *
 * A sample of its own, of the same size and as bounded as that of the flows that send.
 */

import type { PacketView } from '../wire/packet-view.ts';
import { seqAfter } from '../wire/seq.ts';
import { FailureEvidence } from './failure-evidence.ts';
import {
  FLAG_ANSWERED,
  FLAG_DEPARTED,
  FLAG_SEEN,
  FlowSample,
  WORD_ACK,
  WORD_ANSWER,
  WORD_META,
  WORD_SEQ,
  QUIET_MS,
} from './failure-sample.ts';

const NONE = -1;

/** Watches flows that receive. */
export class RepeatWatch {
  readonly sample: FlowSample;
  readonly evidence: FailureEvidence;
  /** When a flow was taken into the sample last, ms: one a millisecond is enough. */
  private joinedAtMs = 0;

  /**
   * @param entries - flows in all, as FlowSample takes it
   * @param groupSize - flows on one route of a destination
   * @param windowMs - within which exposures count
   * @param share - failing flows that are most, 0.5 to 1
   */
  constructor(entries: number, groupSize: number, windowMs: number, share: number) {
    this.sample = new FlowSample(entries, groupSize);
    this.evidence = new FailureEvidence(this.sample, windowMs, share);
  }

  /**
   * A segment without payload, and nothing but an acknowledgment, leaves by a route.
   *
   * @hotpath
   */
  noteAck(destination: number, slot: number, h1: number, h2: number, ackNumber: number, nowMs: number): void {
    const { sample } = this;
    let flow = sample.find(h1, h2);
    if (flow < 0) {
      if (this.joinedAtMs === nowMs) return;
      this.joinedAtMs = nowMs;
      const group = this.groupOf(destination, slot, nowMs);
      if (group >= 0) flow = sample.join(h1, h2, group, 0, nowMs);
      if (flow >= 0) sample.words[flow + WORD_ACK] = ackNumber;
      return;
    }
    const group = sample.groupOf(flow);
    if (sample.slotOf(group) !== slot || sample.destinationOf(group) !== destination) {
      // What was repeated until now tells of the route before, for the length of the window.
      if (sample.exposuresOf(flow) > 0 && this.evidence.isWithinWindow(flow, nowMs)) {
        sample.depart(flow, slot);
        this.raiseAck(flow, ackNumber);
        return;
      }
      const next = this.groupOf(destination, slot, nowMs);
      if (next < 0) sample.leave(flow);
      else if (sample.move(flow, next, 0, nowMs)) sample.words[flow + WORD_ACK] = ackNumber;
      return;
    }
    this.raiseAck(flow, ackNumber);
  }

  /**
   * A segment with payload comes in, of a flow of the sample.
   *
   * @returns the group of its route if it is an exposure, else -1
   * @hotpath
   */
  noteData(flow: number, packet: Pick<PacketView, 'payloadLength' | 'seqNumber'>, nowMs: number): number {
    const { evidence, sample } = this;
    const { words } = sample;
    const end = (packet.seqNumber + packet.payloadLength) | 0;
    const group = sample.groupOf(flow);
    const isSeen = (words[flow + WORD_META] & FLAG_SEEN) !== 0;
    if (!isSeen || seqAfter(end, words[flow + WORD_SEQ])) {
      words[flow + WORD_META] |= FLAG_SEEN;
      words[flow + WORD_SEQ] = end;
      if (seqAfter(end, words[flow + WORD_ACK])) {
        const exposures = sample.exposuresOf(flow);
        if ((words[flow + WORD_META] & FLAG_DEPARTED) !== 0) {
          // An answer to acknowledgments by another route.
          words[flow + WORD_ANSWER] = nowMs;
          return NONE;
        }
        sample.noteAnswer(flow, nowMs);
        evidence.noteAnswer(group, nowMs);
        if (exposures > 0) evidence.learnSurge(group, nowMs);
        return NONE;
      }
    }
    // One byte is a keep-alive of some hosts: it asks for an acknowledgment, whatever became of the one before.
    if (packet.payloadLength === 1 || seqAfter(end, words[flow + WORD_ACK])) return NONE;
    if ((words[flow + WORD_META] & FLAG_ANSWERED) === 0 || sample.quietMs(flow, nowMs) < QUIET_MS)
      return NONE;
    if ((words[flow + WORD_META] & FLAG_DEPARTED) !== 0) {
      const next = this.groupOf(sample.destinationOf(group), sample.departedTo(flow), nowMs);
      if (next < 0 || !sample.move(flow, next, 0, nowMs)) return NONE;
    }
    sample.addExposure(flow, nowMs);
    return sample.groupOf(flow);
  }

  /** Mask of the slot by which a flow acknowledged what came again then, 0 for none. @hotpath */
  repeatedMask(destination: number, h1: number, h2: number): number {
    const { sample } = this;
    const flow = sample.find(h1, h2);
    if (flow < 0 || sample.exposuresOf(flow) === 0 || sample.hasFlag(flow, FLAG_DEPARTED)) return 0;
    const group = sample.groupOf(flow);
    return sample.destinationOf(group) === destination ? 1 << sample.slotOf(group) : 0;
  }

  /** Whether new data came in a moment ago for flows whose acknowledgments take one of these routes. */
  isAlive(destination: number, slots: number, nowMs: number): boolean {
    const { evidence, sample } = this;
    for (let slot = 0; slots >>> slot !== 0; slot++) {
      const group = ((slots >>> slot) & 1) === 1 ? sample.findGroup(destination, slot) : NONE;
      if (group < 0) continue;
      evidence.count(group, nowMs);
      if (evidence.answered > 0) return true;
    }
    return false;
  }

  /** Forgets the flows on a route of a destination. */
  removeGroup(destination: number, slot: number): void {
    const group = this.sample.findGroup(destination, slot);
    if (group >= 0) this.sample.removeGroup(group);
  }

  /** Forgets all flows. */
  clear(): void {
    for (let group = 0; group < this.sample.groupCount; group++) this.sample.removeGroup(group);
  }

  private raiseAck(flow: number, ackNumber: number): void {
    const { words } = this.sample;
    if (seqAfter(ackNumber, words[flow + WORD_ACK])) words[flow + WORD_ACK] = ackNumber;
  }

  private groupOf(destination: number, slot: number, nowMs: number): number {
    const { evidence, sample } = this;
    let group = sample.findGroup(destination, slot);
    if (group >= 0) return group;
    group = sample.makeGroup(destination, slot, nowMs);
    if (group >= 0) evidence.begin(group, nowMs);
    return group;
  }
}
