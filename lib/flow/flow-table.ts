/**
 * The flow table: a fixed number of flow records in typed arrays, found by their key with open addressing.
 *
 * A record is 128 bytes, two cache lines, addressed as 32 int32 words or 16 doubles of the same memory:
 *
 *      word  0 ..  9   the key (flow-key.ts)
 *      word 10         hash of the key
 *      word 11         bits 0..7: idle class, the table's; the other bits belong to the table's user
 *      word 12, 13     double 6: lastSeenNs, time of the last packet in either direction
 *      word 14 .. 31   the user's; doubles must start at an even word
 *
 * Records are kept together rather than one array a field, because with a million flows each array touched is
 * a cache miss of some 200 ns. For the same reason there is no index beside them: a record stands at the place that
 * its hash says, or at one of the next if that is taken (linear probing), and the processor can fetch it before it
 * knows that it is the right one. A byte a place, 0 when it is free, else bits of the hash, refuses nearly all wrong
 * ones without touching them. One place in five stays free.
 *
 * The table never grows. A new flow that finds it full takes the place of the longest idle of
 * {@link EVICTION_SAMPLE} records looked at in turn ("sampled LRU"): the cost is bounded, and a flood of new flows
 * mostly evicts itself.
 */
import { requireInteger, requireNumber } from '../errors.ts';
import { FLOW_KEY_WORDS, hashFlowKey } from './flow-key.ts';

/** 32-bit words in a record. */
export const RECORD_WORDS = 32;
/** Word of a record whose low 8 bits are the idle class; the rest is the user's. */
export const WORD_TAG = 11;
/** First word of a record that belongs to the table's user. */
export const WORD_USER = 14;
/** Double of a record that holds the time of its last packet, in ns. */
export const DOUBLE_LAST_SEEN = 6;
/** Records looked at to find one to evict. */
export const EVICTION_SAMPLE = 16;

const WORD_HASH = 10;
const CLASS_MASK = 0xff;
/** Places a record: four in five are taken when the table is full. */
const PLACES_PER_RECORD = 1.25;
/** Free places that a sweep passes for one record. */
const PLACES_PER_STEP = 16;

/** Options of a {@link FlowTable}. */
export interface FlowTableOptions {
  /** Largest number of flows, 1 to 16,777,216; 161 bytes each. */
  readonly capacity: number;
  /** Idle limits in ns by idle class (word {@link WORD_TAG}); a record idle for longer is swept. */
  readonly idleLimitsNs: readonly number[];
  /** Seed of the hash, any int32. */
  readonly seed: number;
  /** Further doubles a record, which stand in {@link FlowTable.extras}; default 0. */
  readonly extraDoubles?: number;
}

/**
 * Fixed-capacity table of flow records. A record number is the place that the record stands at: it holds until the
 * next insert, remove or sweep, which may move records.
 */
export class FlowTable {
  readonly capacity: number;
  /** Record numbers are below this. */
  readonly places: number;
  /** All records as int32 words; record r starts at `r * RECORD_WORDS`. */
  readonly words: Int32Array;
  /** The same memory as doubles; record r starts at `r * RECORD_WORDS / 2`. */
  readonly doubles: Float64Array;
  /** What seldom changes of a record; record r starts at `r * extraDoubles`. Moves with it, 0 in a new one. */
  readonly extras: Float64Array;
  /** The key to look up: written by loadOutboundKey / loadInboundKey before {@link find} and {@link insert}. */
  readonly key = new Int32Array(FLOW_KEY_WORDS);
  /** Records in use. */
  size = 0;
  /** Records that were replaced because the table was full. */
  evicted = 0;
  /** Records removed by the sweep because they were idle. */
  expired = 0;

  readonly #seed: number;
  readonly #idleLimitsNs: Float64Array;
  readonly #extraDoubles: number;
  readonly #tags: Uint8Array;
  /** The same tags four at a time: 0 where four places are free. */
  readonly #tagWords: Int32Array;
  readonly #placesPerHash: number;
  #hand = 0;
  #hash = 0;

  constructor(options: FlowTableOptions) {
    this.capacity = requireInteger('capacity', options.capacity, 1, 1 << 24);
    this.#seed = options.seed | 0;
    options.idleLimitsNs.forEach((limit, i) => requireNumber(`idleLimitsNs[${i}]`, limit, 1, Infinity));
    this.#idleLimitsNs = Float64Array.from(options.idleLimitsNs);
    this.#extraDoubles = requireInteger('extraDoubles', options.extraDoubles ?? 0, 0, 64);
    this.places = Math.ceil(this.capacity * PLACES_PER_RECORD);
    this.#placesPerHash = this.places / 2 ** 32;
    const memory = new ArrayBuffer(this.places * RECORD_WORDS * 4);
    this.words = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    this.extras = new Float64Array(this.places * this.#extraDoubles);
    this.#tagWords = new Int32Array(Math.ceil(this.places / 4));
    this.#tags = new Uint8Array(this.#tagWords.buffer, 0, this.places);
  }

  /**
   * Record of the flow whose key is in {@link key}, or -1.
   *
   * @hotpath
   */
  find(): number {
    const hash = hashFlowKey(this.key, this.#seed);
    this.#hash = hash;
    const tags = this.#tags;
    const tag = tagOf(hash);
    let place = this.#placeOf(hash);
    for (;;) {
      const found = tags[place];
      if (found === tag && this.#matches(place * RECORD_WORDS)) return place;
      if (found === 0) return -1;
      place = this.#next(place);
    }
  }

  /**
   * Makes a record for {@link key}, which the last {@link find} did not find; its user words are zero.
   *
   * @hotpath
   * @param nowNs - becomes lastSeenNs
   * @returns the record's number
   */
  insert(nowNs: number): number {
    const hash = this.#hash;
    if (this.size === this.capacity) this.#evict(nowNs);
    const tags = this.#tags;
    let place = this.#placeOf(hash);
    while (tags[place] !== 0) place = this.#next(place);
    tags[place] = tagOf(hash);
    const base = place * RECORD_WORDS;
    const words = this.words;
    words.fill(0, base, base + RECORD_WORDS);
    for (let i = 0; i < FLOW_KEY_WORDS; i++) words[base + i] = this.key[i];
    words[base + WORD_HASH] = hash;
    this.doubles[(base >> 1) + DOUBLE_LAST_SEEN] = nowNs;
    const width = this.#extraDoubles;
    if (width > 0) this.extras.fill(0, place * width, (place + 1) * width);
    this.size++;
    return place;
  }

  /** Removes a record; others may move into the gap, so that no probe sequence is broken (Knuth 6.4, algorithm R). */
  remove(record: number): void {
    const { words } = this;
    const tags = this.#tags;
    const width = this.#extraDoubles;
    let gap = record;
    for (let place = this.#next(record); tags[place] !== 0; place = this.#next(place)) {
      const home = this.#placeOf(words[place * RECORD_WORDS + WORD_HASH]);
      // It stays when its home lies cyclically in (gap, place].
      if (this.#distance(home, place) < this.#distance(gap, place)) continue;
      tags[gap] = tags[place];
      words.copyWithin(gap * RECORD_WORDS, place * RECORD_WORDS, (place + 1) * RECORD_WORDS);
      if (width > 0) this.extras.copyWithin(gap * width, place * width, (place + 1) * width);
      gap = place;
    }
    tags[gap] = 0;
    this.size--;
  }

  /** True when a record stands at `record`. */
  isUsed(record: number): boolean {
    return record >= 0 && record < this.places && this.#tags[record] !== 0;
  }

  /**
   * Looks at the next `steps` records in turn, or fewer where most places are free, and removes those that were idle
   * for longer than their class allows.
   *
   * @returns how many were removed
   */
  sweep(nowNs: number, steps: number): number {
    let removed = 0;
    let looked = 0;
    let passes = Math.min(this.places, steps * PLACES_PER_STEP);
    while (looked < steps && passes > 0) {
      const place = this.#hand;
      if ((place & 3) === 0 && passes >= 4 && place + 4 < this.places && this.#tagWords[place >> 2] === 0) {
        // As four free places in turn, which most are.
        this.#hand = place + 4;
        passes -= 4;
        continue;
      }
      const isUsed = this.#tags[place] !== 0;
      if (isUsed) looked++;
      if (isUsed && this.#isExpired(place, nowNs)) {
        // Another record may have moved here, so the hand stays.
        this.remove(place);
        removed++;
      } else {
        this.#hand = this.#next(place);
        passes--;
      }
    }
    this.expired += removed;
    return removed;
  }

  #isExpired(record: number, nowNs: number): boolean {
    const idleClass = this.words[record * RECORD_WORDS + WORD_TAG] & CLASS_MASK;
    return nowNs - this.#lastSeenNs(record) > this.#idleLimitsNs[idleClass];
  }

  #lastSeenNs(record: number): number {
    return this.doubles[record * (RECORD_WORDS / 2) + DOUBLE_LAST_SEEN];
  }

  /** The upper bits of the hash; the tag has the lower ones. */
  #placeOf(hash: number): number {
    return ((hash >>> 0) * this.#placesPerHash) | 0;
  }

  #next(place: number): number {
    return place + 1 === this.places ? 0 : place + 1;
  }

  /** Steps from one place forward to another. */
  #distance(from: number, to: number): number {
    return to >= from ? to - from : to - from + this.places;
  }

  #matches(base: number): boolean {
    const words = this.words;
    const key = this.key;
    if (words[base] !== key[0] || words[base + 1] !== key[1]) return false;
    if (words[base + 2] !== key[2] || words[base + 6] !== key[6]) return false;
    if (key[0] >> 8 === 4) return true;
    return (
      words[base + 3] === key[3] &&
      words[base + 4] === key[4] &&
      words[base + 5] === key[5] &&
      words[base + 7] === key[7] &&
      words[base + 8] === key[8] &&
      words[base + 9] === key[9]
    );
  }

  /** Removes the longest idle of the next few records. The table is full, so they are not far. */
  #evict(nowNs: number): void {
    let victim = -1;
    let oldestNs = Infinity;
    for (let looked = 0; looked < EVICTION_SAMPLE; this.#hand = this.#next(this.#hand)) {
      if (this.#tags[this.#hand] === 0) continue;
      looked++;
      const seenNs = this.#lastSeenNs(this.#hand);
      if (seenNs >= oldestNs) continue;
      victim = this.#hand;
      oldestNs = seenNs;
    }
    if (this.#isExpired(victim, nowNs)) this.expired++;
    else this.evicted++;
    this.remove(victim);
  }
}

/** Bits of the hash, never 0. */
function tagOf(hash: number): number {
  return (hash & 0x7f) | 0x80;
}
