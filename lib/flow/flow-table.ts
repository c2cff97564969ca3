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
 * a cache miss. An index entry is one word, `upper bits of the hash | record + 1`: the bits of the hash that are left
 * refuse nearly every wrong candidate without touching its record, and a short index stays in the cache for longer.
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

/** Options of a {@link FlowTable}. */
export interface FlowTableOptions {
  /** Largest number of flows, 1 to 16,777,216. A record takes 128 bytes, its index entries 8 to 16. */
  readonly capacity: number;
  /** Idle limits in ns by idle class (word {@link WORD_TAG}); a record idle for longer is swept. */
  readonly idleLimitsNs: readonly number[];
  /** Seed of the hash, any int32. */
  readonly seed: number;
}

/** Fixed-capacity table of flow records. Record numbers stay valid until the record is removed. */
export class FlowTable {
  readonly capacity: number;
  /** All records as int32 words; record r starts at `r * RECORD_WORDS`. */
  readonly words: Int32Array;
  /** The same memory as doubles; record r starts at `r * RECORD_WORDS / 2`. */
  readonly doubles: Float64Array;
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
  readonly #index: Int32Array;
  readonly #indexMask: number;
  /** Bits of an index entry that hold record + 1; the others are of the hash. */
  readonly #recordMask: number;
  readonly #free: Int32Array;
  #freeCount = 0;
  #used = 0;
  #hand = 0;
  #hash = 0;

  constructor(options: FlowTableOptions) {
    this.capacity = requireInteger('capacity', options.capacity, 1, 1 << 24);
    this.#seed = options.seed | 0;
    options.idleLimitsNs.forEach((limit, i) => requireNumber(`idleLimitsNs[${i}]`, limit, 1, Infinity));
    this.#idleLimitsNs = Float64Array.from(options.idleLimitsNs);
    const memory = new ArrayBuffer(this.capacity * RECORD_WORDS * 4);
    this.words = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    let slots = 4;
    while (slots < this.capacity * 2) slots *= 2;
    this.#index = new Int32Array(slots);
    this.#indexMask = slots - 1;
    this.#recordMask = (1 << (32 - Math.clz32(this.capacity))) - 1;
    this.#free = new Int32Array(this.capacity);
  }

  /**
   * Record of the flow whose key is in {@link key}, or -1.
   *
   * @hotpath
   */
  find(): number {
    const key = this.key;
    const hash = hashFlowKey(key, this.#seed);
    this.#hash = hash;
    const index = this.#index;
    const mask = this.#indexMask;
    const recordMask = this.#recordMask;
    let slot = hash & mask;
    for (;;) {
      const entry = index[slot];
      if (entry === 0) return -1;
      if (((entry ^ hash) & ~recordMask) === 0) {
        const record = (entry & recordMask) - 1;
        if (this.#matches(record * RECORD_WORDS)) return record;
      }
      slot = (slot + 1) & mask;
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
    const record = this.#allocate(nowNs);
    const base = record * RECORD_WORDS;
    const words = this.words;
    words.fill(0, base, base + RECORD_WORDS);
    for (let i = 0; i < FLOW_KEY_WORDS; i++) words[base + i] = this.key[i];
    words[base + WORD_HASH] = hash;
    this.doubles[(base >> 1) + DOUBLE_LAST_SEEN] = nowNs;
    const index = this.#index;
    const mask = this.#indexMask;
    let slot = hash & mask;
    while (index[slot] !== 0) slot = (slot + 1) & mask;
    index[slot] = (hash & ~this.#recordMask) | (record + 1);
    this.size++;
    return record;
  }

  /** Removes a record. Its number may be given to another flow afterwards. */
  remove(record: number): void {
    this.#unindex(record);
    // Protocol 0 with version 0 is no flow: it marks the record as unused.
    this.words[record * RECORD_WORDS] = 0;
    this.#free[this.#freeCount++] = record;
    this.size--;
  }

  /** True when `record` is in use. */
  isUsed(record: number): boolean {
    return record >= 0 && record < this.#used && this.words[record * RECORD_WORDS] !== 0;
  }

  /**
   * Looks at the next `steps` records in turn and removes those that were idle for longer than their class allows.
   *
   * @returns how many were removed
   */
  sweep(nowNs: number, steps: number): number {
    let removed = 0;
    const count = Math.min(steps, this.#used);
    for (let i = 0; i < count; i++) {
      const record = this.#advanceHand();
      if (this.words[record * RECORD_WORDS] !== 0 && this.#isExpired(record, nowNs)) {
        this.remove(record);
        removed++;
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

  #advanceHand(): number {
    const record = this.#hand;
    this.#hand = record + 1 >= this.#used ? 0 : record + 1;
    return record;
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

  #allocate(nowNs: number): number {
    if (this.#freeCount > 0) return this.#free[--this.#freeCount];
    if (this.#used < this.capacity) return this.#used++;
    // Every record is in use here, so every one that the hand meets is a candidate.
    let victim = this.#advanceHand();
    let oldestNs = this.#lastSeenNs(victim);
    for (let i = 1; i < EVICTION_SAMPLE; i++) {
      const record = this.#advanceHand();
      if (this.#lastSeenNs(record) < oldestNs) {
        victim = record;
        oldestNs = this.#lastSeenNs(record);
      }
    }
    if (this.#isExpired(victim, nowNs)) this.expired++;
    else this.evicted++;
    this.#unindex(victim);
    this.size--;
    return victim;
  }

  /** Takes a record out of the index, closing the gap so that no probe sequence is broken (Knuth 6.4, algorithm R). */
  #unindex(record: number): void {
    const index = this.#index;
    const mask = this.#indexMask;
    const recordMask = this.#recordMask;
    let gap = this.words[record * RECORD_WORDS + WORD_HASH] & mask;
    while ((index[gap] & recordMask) !== record + 1) gap = (gap + 1) & mask;
    let slot = gap;
    for (;;) {
      slot = (slot + 1) & mask;
      const entry = index[slot];
      if (entry === 0) break;
      const home = this.words[((entry & recordMask) - 1) * RECORD_WORDS + WORD_HASH] & mask;
      // Move the entry back unless its home lies cyclically in (gap, slot].
      if (((slot - home) & mask) >= ((slot - gap) & mask)) {
        index[gap] = entry;
        gap = slot;
      }
    }
    index[gap] = 0;
  }
}
