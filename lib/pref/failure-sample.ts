/**
 * A small sample of the TCP flows on each route of each destination: when each was last answered, and what loss
 * it has exposed since. It is what failures are inferred from (failure-detector.ts), and decides no packet's
 * path but that of a probe of a suspended route.
 *
 * ```
 * flow (8 int32, a set of two is one cache line)
 *   hash 1 | hash 2 | meta | last answer, ms | last question, ms | ack | seq end | sent, ms
 *   meta: group, position in it << 12, exposures since the last answer << 18, departed to slot << 21, flags
 *
 * group = a route of a destination: key, up to `groupSize` members (indices of flows), a set of four
 * ```
 * All of it is bounded. A flow or a group that has been silent for 2 s gives its place to another; one that finds
 * no place is not in the sample, which costs nothing but evidence.
 *
 * @see Holterbach et al., "Blink: Fast Connectivity Recovery Entirely in the Data Plane", NSDI 2019, section 4
 */

import { mixBits } from './flow-hash.ts';

/** Word of a flow: META_ fields and FLAG_ bits; 0 = the place is free. */
export const WORD_META = 2;
/** Word of a flow: time of the last inbound packet that shows that something arrived, ms modulo 2^32. */
export const WORD_ANSWER = 3;
/** Word of a flow: time of its last FNE packet or exposure, ms modulo 2^32. */
export const WORD_QUESTION = 4;
/** Word of a flow: highest acknowledgment number from outside. */
export const WORD_ACK = 5;
/** Word of a flow: where its highest segment from outside ends. */
export const WORD_SEQ = 6;
/** Word of a flow: when it was first seen to send since the last answer, ms modulo 2^32 and odd; 0 = it was not. */
export const WORD_SENT = 7;

const GROUP_MASK = 0xfff;
const POSITION_SHIFT = 12;
const POSITION_MASK = 0x3f;
const EXPOSURES_SHIFT = 18;
const DEPARTED_SHIFT = 21;
/** Exposures are counted up to here. */
export const MAX_EXPOSURES = 7;
/** The flow was answered at least once. */
export const FLAG_ANSWERED = 1 << 25;
/** A packet from outside was seen, so that WORD_ACK and WORD_SEQ hold. */
export const FLAG_SEEN = 1 << 26;
/** The flowlet was sent to find out whether a suspended route works. */
export const FLAG_PROBE = 1 << 27;
/** The flow was drawn another route after its last exposure; that one's slot is in the departed field. */
export const FLAG_DEPARTED = 1 << 28;
/** An FNE packet of the flow left at the time of its last question. */
export const FLAG_ASKED = 1 << 29;
const FLAG_USED = 1 << 30;

/** A flow or a group without any event for so long may be replaced, ms. @see Blink, section 4.2 */
export const IDLE_MS = 2000;
/** Silence before an exposure, ms: shorter than the 200 ms by which a sender's RTO exceeds its RTT. */
export const QUIET_MS = 150;

const WORDS = 8;
const WAYS = 2;
const GROUP_WAYS = 4;
/** How many members of a full group are looked at for a newcomer. */
const VICTIMS = 4;
const NONE = -1;

/** Sampled flows and their groups. A flow is named by the offset of its words. */
export class FlowSample {
  readonly words: Int32Array;
  readonly groupCount: number;
  /** By group: how many members it has. */
  readonly sizes: Int32Array;
  /** By group: 1 = may not be replaced, since its route is suspended. */
  readonly isPinned: Uint8Array;
  /** Exposures of all flows so far. */
  exposureCount = 0;

  /**
   * By place: 0 when it is free, else a few bits of the hash. Every inbound segment asks whether its flow is in the
   * sample; for nearly all that are not, these bytes say so, and they stay in the processor's nearest cache.
   */
  private readonly tags: Uint8Array;
  private readonly groupSize: number;
  private readonly setMask: number;
  private readonly groupSetMask: number;
  private readonly members: Int32Array;
  /** By group: (destination << 4 | slot) + 1, 0 = free. */
  private readonly keys: Int32Array;
  /** By group: time of its last exposure or newcomer, ms. */
  private readonly usedAtMs: Int32Array;
  /** By group: where the search for a victim goes on. */
  private readonly hands: Uint8Array;

  /**
   * @param entries - flows in all groups together, a power of 2 from 64 to 65,536; 32 bytes each
   * @param groupSize - flows in one group at most, 8 to 64
   */
  constructor(entries: number, groupSize: number) {
    this.words = new Int32Array(entries * WORDS);
    this.tags = new Uint8Array(entries);
    this.setMask = entries / WAYS - 1;
    this.groupSize = groupSize;
    this.groupCount = entries >>> 4;
    this.groupSetMask = this.groupCount / GROUP_WAYS - 1;
    this.members = new Int32Array(this.groupCount * groupSize);
    this.sizes = new Int32Array(this.groupCount);
    this.keys = new Int32Array(this.groupCount);
    this.usedAtMs = new Int32Array(this.groupCount);
    this.isPinned = new Uint8Array(this.groupCount);
    this.hands = new Uint8Array(this.groupCount);
  }

  /** Flows in the sample. */
  get size(): number {
    return this.sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Flows there is room for. */
  get capacity(): number {
    return this.tags.length;
  }

  /** The flow with this hash, -1 when it is not in the sample. @hotpath */
  find(h1: number, h2: number): number {
    const { tags, words } = this;
    const place = (h1 & this.setMask) << 1;
    const tag = (h2 >>> 24) | 1;
    const first = place << 3;
    if (tags[place] === tag && words[first] === h1 && words[first + 1] === h2) return first;
    const second = first + WORDS;
    if (tags[place + 1] === tag && words[second] === h1 && words[second + 1] === h2) return second;
    return NONE;
  }

  /** The group of a route of a destination, -1 when there is none. @hotpath */
  findGroup(destination: number, slot: number): number {
    const key = ((destination << 4) | slot) + 1;
    const first = (mixBits(key) & this.groupSetMask) * GROUP_WAYS;
    for (let group = first; group < first + GROUP_WAYS; group++) if (this.keys[group] === key) return group;
    return NONE;
  }

  /**
   * Makes the group of a route, in the place of one without events. The caller resets what else it keeps by group.
   *
   * @returns the group, -1 when there is no place
   * @hotpath
   */
  makeGroup(destination: number, slot: number, nowMs: number): number {
    const key = ((destination << 4) | slot) + 1;
    const first = (mixBits(key) & this.groupSetMask) * GROUP_WAYS;
    for (let group = first; group < first + GROUP_WAYS; group++) {
      if (this.keys[group] !== 0) {
        if (this.isPinned[group] === 1 || !this.isGroupIdle(group, nowMs)) continue;
        this.clearGroup(group);
      }
      this.keys[group] = key;
      this.usedAtMs[group] = nowMs;
      return group;
    }
    return NONE;
  }

  /** Takes all flows out of a group and gives its place free. */
  removeGroup(group: number): void {
    this.clearGroup(group);
    this.keys[group] = 0;
    this.isPinned[group] = 0;
  }

  /** The destination of a group. @hotpath */
  destinationOf(group: number): number {
    return (this.keys[group] - 1) >>> 4;
  }

  /** The slot of a group. @hotpath */
  slotOf(group: number): number {
    return (this.keys[group] - 1) & 0xf;
  }

  /** The i-th member of a group. @hotpath */
  memberOf(group: number, i: number): number {
    return this.members[group * this.groupSize + i];
  }

  /**
   * Takes a flow that is not in the sample into a group, with this time as its last question.
   *
   * @returns the flow, -1 when there is no place
   * @hotpath
   */
  join(h1: number, h2: number, group: number, flags: number, nowMs: number): number {
    const words = this.words;
    this.usedAtMs[group] = nowMs;
    let flow = (h1 & this.setMask) << 4;
    if (!this.isFree(flow, nowMs)) {
      flow += WORDS;
      if (!this.isFree(flow, nowMs)) return NONE;
    }
    if (this.sizes[group] === this.groupSize && !this.dropVictim(group, nowMs)) return NONE;
    if (words[flow + WORD_META] !== 0) this.leave(flow);
    words[flow] = h1;
    words[flow + 1] = h2;
    this.tags[flow >>> 3] = (h2 >>> 24) | 1;
    words[flow + WORD_META] = FLAG_USED | flags;
    words[flow + WORD_ANSWER] = nowMs;
    words[flow + WORD_QUESTION] = nowMs;
    words[flow + WORD_SENT] = 0;
    this.enter(flow, group);
    return flow;
  }

  /**
   * Puts a flow into another group, without what it exposed in the one before; what was seen of its answers
   * stays.
   *
   * @returns whether there was a place; if not, it is in the sample no more
   * @hotpath
   */
  move(flow: number, group: number, flags: number, nowMs: number): boolean {
    this.usedAtMs[group] = nowMs;
    const kept = this.words[flow + WORD_META] & (FLAG_ANSWERED | FLAG_SEEN);
    this.leave(flow);
    if (this.sizes[group] === this.groupSize && !this.dropVictim(group, nowMs)) return false;
    this.tags[flow >>> 3] = (this.words[flow + 1] >>> 24) | 1;
    this.words[flow + WORD_META] = FLAG_USED | kept | flags;
    this.words[flow + WORD_QUESTION] = nowMs;
    this.words[flow + WORD_SENT] = 0;
    this.enter(flow, group);
    return true;
  }

  /** Takes a flow out of the sample. @hotpath */
  leave(flow: number): void {
    const words = this.words;
    const meta = words[flow + WORD_META];
    const group = meta & GROUP_MASK;
    const position = (meta >>> POSITION_SHIFT) & POSITION_MASK;
    const base = group * this.groupSize;
    const last = this.members[base + --this.sizes[group]];
    this.members[base + position] = last;
    words[last + WORD_META] =
      (words[last + WORD_META] & ~(POSITION_MASK << POSITION_SHIFT)) | (position << POSITION_SHIFT);
    words[flow + WORD_META] = 0;
    this.tags[flow >>> 3] = 0;
  }

  /** The group a flow is in. @hotpath */
  groupOf(flow: number): number {
    return this.words[flow + WORD_META] & GROUP_MASK;
  }

  /** Whether a flow has one of these FLAG_ bits. @hotpath */
  hasFlag(flow: number, flag: number): boolean {
    return (this.words[flow + WORD_META] & flag) !== 0;
  }

  /** Exposures since the last answer, 0..MAX_EXPOSURES. @hotpath */
  exposuresOf(flow: number): number {
    return (this.words[flow + WORD_META] >>> EXPOSURES_SHIFT) & MAX_EXPOSURES;
  }

  /** Counts one exposure more, at this time. @hotpath */
  addExposure(flow: number, nowMs: number): void {
    if (this.exposuresOf(flow) < MAX_EXPOSURES) this.words[flow + WORD_META] += 1 << EXPOSURES_SHIFT;
    this.words[flow + WORD_QUESTION] = nowMs;
    this.usedAtMs[this.groupOf(flow)] = nowMs;
    this.exposureCount++;
  }

  /** Notes an answer at this time: what was exposed before is settled. @hotpath */
  noteAnswer(flow: number, nowMs: number): void {
    const words = this.words;
    words[flow + WORD_META] =
      (words[flow + WORD_META] & ~((MAX_EXPOSURES << EXPOSURES_SHIFT) | FLAG_ASKED)) | FLAG_ANSWERED;
    words[flow + WORD_ANSWER] = nowMs;
    words[flow + WORD_SENT] = 0;
  }

  /** Notes that the flow sends. @hotpath */
  noteSent(flow: number, nowMs: number): void {
    if (this.words[flow + WORD_SENT] === 0) this.words[flow + WORD_SENT] = nowMs | 1;
  }

  /** Forgets of all flows that they send. */
  forgetSent(): void {
    for (let flow = 0; flow < this.words.length; flow += WORDS) this.words[flow + WORD_SENT] = 0;
  }

  /** Notes that the flow goes on over another route, while its evidence stays here. @hotpath */
  depart(flow: number, slot: number): void {
    const meta = this.words[flow + WORD_META] & ~(0xf << DEPARTED_SHIFT);
    this.words[flow + WORD_META] = meta | FLAG_DEPARTED | (slot << DEPARTED_SHIFT);
  }

  /** The slot that a departed flow went to. @hotpath */
  departedTo(flow: number): number {
    return (this.words[flow + WORD_META] >>> DEPARTED_SHIFT) & 0xf;
  }

  /** Time since the last answer or question of a flow, whichever is later, ms. @hotpath */
  quietMs(flow: number, nowMs: number): number {
    const sinceAnswer = (nowMs - this.words[flow + WORD_ANSWER]) | 0;
    const sinceQuestion = (nowMs - this.words[flow + WORD_QUESTION]) | 0;
    // One of them may be further back than can be told, and looks as if it were to come.
    return sinceAnswer >>> 0 < sinceQuestion >>> 0 ? sinceAnswer : sinceQuestion;
  }

  private enter(flow: number, group: number): void {
    const position = this.sizes[group]++;
    this.members[group * this.groupSize + position] = flow;
    this.words[flow + WORD_META] |= group | (position << POSITION_SHIFT);
  }

  private isFree(flow: number, nowMs: number): boolean {
    return this.words[flow + WORD_META] === 0 || this.isFlowIdle(flow, nowMs);
  }

  private isFlowIdle(flow: number, nowMs: number): boolean {
    const quiet = this.quietMs(flow, nowMs);
    // Below 0 after 25 days of silence.
    return quiet > IDLE_MS || quiet < 0;
  }

  private isGroupIdle(group: number, nowMs: number): boolean {
    const quiet = (nowMs - this.usedAtMs[group]) | 0;
    if (quiet >= 0 && quiet <= IDLE_MS) return false;
    for (let i = 0; i < this.sizes[group]; i++) {
      if (!this.isFlowIdle(this.memberOf(group, i), nowMs)) return false;
    }
    return true;
  }

  /** Makes room in a full group. In a suspended one only probes are worth keeping. */
  private dropVictim(group: number, nowMs: number): boolean {
    for (let tries = 0; tries < VICTIMS; tries++) {
      const hand = this.hands[group] % this.groupSize;
      this.hands[group] = hand + 1;
      const flow = this.memberOf(group, hand);
      const isUseless = this.isPinned[group] === 1 && !this.hasFlag(flow, FLAG_PROBE);
      if (!isUseless && !this.isFlowIdle(flow, nowMs)) continue;
      this.leave(flow);
      return true;
    }
    return false;
  }

  private clearGroup(group: number): void {
    while (this.sizes[group] > 0) this.leave(this.memberOf(group, this.sizes[group] - 1));
  }
}
