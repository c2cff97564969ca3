/**
 * Measures flowlet turnover without knowing the flowlets: which part of the LEx packets belongs to flowlets that
 * began in the same interval.
 *
 * The gateway counts what begins, but not what is active: it sees no ends. If flowlets end at a constant rate, a
 * flowlet that is active at time t of an interval began before it with probability e^(-r t); over the interval of
 * length D, with the turnover s = r D,
 *
 *     young part  y = 1 - (1 - e^(-s)) / s          s/2 for small s, 0.37 at s = 1
 *
 * so s follows from y, and y from a sample of active flowlets. The LEx packets are that sample: their flow is hashed
 * anyway, they are what the balancer acts on, and long flowlets count by what they send. Which flowlets began is a
 * bitmap of their hashes (a Bloom filter with one hash), emptied at the end of the interval.
 *
 *     FNE drawn --> bit of its hash set          LEx --> bit set? young : old
 *
 * Bounded: 128 kB, and 24 bytes for each destination with traffic, in chunks. Lossy: a bit may be another's, which is
 * taken out again by the part of bits set.
 */

import { CHUNK_BITS, CHUNK_MASK } from './route-table.ts';

const FILTER_BITS = 1 << 20;
/** With few LEx packets a destination is taken to be like all others; this many count half. */
const PRIOR_SAMPLES = 20;
/** A larger young part says no more than that nearly everything is new; turnover 20. */
const MAX_YOUNG_PART = 0.95;
const NEWTON_STEPS = 12;

const SAMPLED = 0;
const YOUNG = 1;
/** What {@link TurnoverMeter.take} said last. */
const TAKEN = 2;
const WIDTH = 3;

/** Turnover of each destination in the running interval. */
export class TurnoverMeter {
  private readonly filter = new Int32Array(FILTER_BITS >>> 5);
  private bitsSet = 0;
  /** Of all destinations: LEx packets, young ones among them. */
  private readonly all = new Float64Array(TAKEN);
  private readonly counts: (Float64Array | undefined)[] = [];
  /** Of the interval that ended: young part over all destinations, and how likely a bit was another's. */
  private youngPart = 0.5;
  private chance = 0;

  /** A flowlet begins. @param h1 - first word of its flow's hash @hotpath */
  noteFlowlet(h1: number): void {
    const bit = h1 & (FILTER_BITS - 1);
    const word = this.filter[bit >>> 5];
    const mask = 1 << (bit & 31);
    if ((word & mask) !== 0) return;
    this.filter[bit >>> 5] = word | mask;
    this.bitsSet++;
  }

  /** A packet marked LEx leaves. @hotpath */
  noteLoss(destination: number, h1: number): void {
    let counts = this.counts[destination >>> CHUNK_BITS];
    if (counts === undefined) counts = this.grow(destination >>> CHUNK_BITS);
    const at = (destination & CHUNK_MASK) * WIDTH;
    const bit = h1 & (FILTER_BITS - 1);
    counts[at + SAMPLED]++;
    this.all[SAMPLED]++;
    if (((this.filter[bit >>> 5] >>> (bit & 31)) & 1) === 0) return;
    counts[at + YOUNG]++;
    this.all[YOUNG]++;
  }

  /** Ends the interval; {@link take} then tells of it. */
  endInterval(): void {
    // The filter filled up during the interval, so on average half of it stood in the way.
    this.chance = this.bitsSet / FILTER_BITS / 2;
    // Half a packet of each kind: without any the turnover is taken for a high one.
    this.youngPart = this.withoutChance((this.all[YOUNG] + 0.5) / (this.all[SAMPLED] + 1));
    this.all.fill(0);
    this.filter.fill(0);
    this.bitsSet = 0;
  }

  /**
   * Turnover of a destination in the interval that ended, 0..20, and begins its next. What it exposed since the end
   * is counted with the interval that ended, as the meter does, but mostly as old; rounds are short.
   */
  take(destination: number): number {
    const counts = this.counts[destination >>> CHUNK_BITS];
    const at = (destination & CHUNK_MASK) * WIDTH;
    let sampled = 0;
    let young = 0;
    if (counts !== undefined) {
      sampled = counts[at + SAMPLED];
      young = sampled * this.withoutChance(sampled === 0 ? 0 : counts[at + YOUNG] / sampled);
      counts[at + SAMPLED] = 0;
      counts[at + YOUNG] = 0;
    }
    const turnover = turnoverOf((young + PRIOR_SAMPLES * this.youngPart) / (sampled + PRIOR_SAMPLES));
    if (counts !== undefined) counts[at + TAKEN] = turnover;
    return turnover;
  }

  /** What {@link take} said of a destination last; the turnover of all where it never had anything to say. */
  last(destination: number): number {
    const taken = this.counts[destination >>> CHUNK_BITS]?.[(destination & CHUNK_MASK) * WIDTH + TAKEN] ?? 0;
    return taken > 0 ? taken : turnoverOf(this.youngPart);
  }

  /** Forgets a destination that is removed. */
  forget(destination: number): void {
    const at = (destination & CHUNK_MASK) * WIDTH;
    this.counts[destination >>> CHUNK_BITS]?.fill(0, at, at + WIDTH);
  }

  private withoutChance(part: number): number {
    return Math.max(0, (part - this.chance) / (1 - this.chance));
  }

  private grow(chunk: number): Float64Array {
    const counts = new Float64Array(WIDTH << CHUNK_BITS);
    this.counts[chunk] = counts;
    return counts;
  }
}

/**
 * The turnover s at which the young part is y: solves y = 1 - (1 - e^(-s)) / s.
 *
 * @param youngPart - 0..1; above 0.95 counts as 0.95
 */
export function turnoverOf(youngPart: number): number {
  const y = Math.min(MAX_YOUNG_PART, youngPart);
  // The function is concave and below s / 2, so Newton's method climbs to the root from 2 y without passing it.
  let s = 2 * y;
  for (let step = 0; step < NEWTON_STEPS && s > 0; step++) s += (y - youngPartOf(s)) / youngSlope(s);
  return s;
}

/** The young part at a turnover, averaged over the interval. */
export function youngPartOf(turnover: number): number {
  // The series where the difference would be rounded away.
  if (turnover < 1e-4) return turnover / 2;
  return 1 + Math.expm1(-turnover) / turnover;
}

function youngSlope(s: number): number {
  if (s < 1e-4) return 0.5;
  return (-Math.expm1(-s) - s * Math.exp(-s)) / (s * s);
}
