/**
 * The routes of one IP version in several kernel tables, and for each prefix which of the tables lead there. Pure.
 *
 * ```
 *   NEW, DEL of a table ---> entries of (prefix, table), by metric ---> leads, refuses, nothing
 *                                                                          |
 *   fixed prefixes (routes without a table) -------------------------------+---> mask of the prefix's routes;
 *                                                                                changed prefixes wait in a queue
 * ```
 *
 * - The mask of a prefix has the routes whose tables have exactly that prefix: as with any router, the most specific
 *   prefix decides. Where nobody leads to a prefix, but some tables refuse it (blackhole, unreachable, prohibit, throw),
 *   it has the routes of the next shorter prefix without those.
 * - In a table the entry with the lowest metric counts; those whose devices are all down do not.
 * - A dump begins with {@link RouteBook.beginDump} and ends with {@link RouteBook.sweep}, which removes what the dump did
 *   not tell of. Until then everything stays in force.
 *
 * Everything stands in typed arrays: 300,000 entries of 100,000 prefixes take some 20 MB. Long because prefixes, entries
 * and the queue of changes are one structure.
 */
import { requireInteger } from '../errors.ts';
import type { Family, RouteMessage } from '../netns/index.ts';
import { mixBits } from '../pref/flow-hash.ts';
import { PrefixTrie } from '../pref/prefix-trie.ts';

/** Most tables of a book: one bit each in the masks. */
const MAX_TABLES = 16;
const FIRST_CAPACITY = 1024;

/** The kernel would use it. */
const LEADS = 1;
/** All its devices are down. */
const DEAD = 2;
/** Blackhole and its like. */
const REFUSES = 3;

/**
 * A prefix that may have changed.
 *
 * @param record - number of the prefix, until it is gone
 * @param words - the prefix, reused from call to call
 * @param mask - bit i: the route at position i leads there; 0: nobody knows the prefix, and the number is free after this
 */
export type VisitPrefix = (record: number, words: Int32Array, length: number, mask: number) => void;

/** Prefixes and their routes. Tables are known by their position. */
export class RouteBook {
  readonly family: Family;
  readonly #tableCount: number;
  readonly #keyWords: number;
  readonly #trie: PrefixTrie;

  // By record. A record is a prefix that some table has, or that is fixed.
  #words: Int32Array;
  #lengths = new Uint8Array(FIRST_CAPACITY);
  /** First entry of each table, 0 = none. */
  #heads: Int32Array;
  #fixed = new Uint16Array(FIRST_CAPACITY);
  #leads = new Uint16Array(FIRST_CAPACITY);
  #refuses = new Uint16Array(FIRST_CAPACITY);
  #isUsed = new Uint8Array(FIRST_CAPACITY);
  #isQueued = new Uint8Array(FIRST_CAPACITY);
  readonly #freeRecords: number[] = [];
  #nextRecord = 0;

  // By entry; number 0 is none.
  #next = new Int32Array(FIRST_CAPACITY);
  #metrics = new Uint32Array(FIRST_CAPACITY);
  #hopsHash = new Int32Array(FIRST_CAPACITY);
  #hopCounts = new Uint16Array(FIRST_CAPACITY);
  #kinds = new Uint8Array(FIRST_CAPACITY);
  /** Number of the dump in whose time the entry was told of last. */
  #seenIn = new Int32Array(FIRST_CAPACITY);
  #freeEntry = 0;
  #nextEntry = 1;

  #queue: number[] = [];
  #queueAt = 0;
  /** Prefixes that are refused and that nobody leads to: what they get depends on shorter ones. */
  readonly #refused = new Set<number>();
  #areRefusedDue = false;
  readonly #dumps: Int32Array;
  #sweepAt = 0;
  readonly #counts: Int32Array;
  readonly #prefix = new Int32Array(4);

  /** @param tableCount - 1..16 */
  constructor(family: Family, tableCount: number) {
    this.family = family;
    this.#tableCount = requireInteger('tableCount', tableCount, 1, MAX_TABLES);
    this.#keyWords = family === 4 ? 1 : 4;
    this.#trie = new PrefixTrie(this.#keyWords);
    this.#words = new Int32Array(FIRST_CAPACITY * this.#keyWords);
    this.#heads = new Int32Array(FIRST_CAPACITY * tableCount);
    this.#dumps = new Int32Array(tableCount);
    this.#counts = new Int32Array(tableCount);
  }

  /** Prefixes that some table has or that are fixed. */
  get size(): number {
    return this.#trie.size;
  }

  /** Entries of a table. */
  entryCount(table: number): number {
    return this.#counts[table];
  }

  /** Whether prefixes wait for {@link takeChanges}. */
  get hasChanges(): boolean {
    return this.#queueAt < this.#queue.length || this.#areRefusedDue;
  }

  /**
   * Takes over an RTM_NEWROUTE. What the table has already changes nothing.
   *
   * @param isOfDump - it comes in the kernel's own order, so behind those with the same metric
   */
  add(table: number, route: RouteMessage, isOfDump: boolean): void {
    const record = this.#recordOf(route.words, route.length);
    const hopsHash = hashOf(route);
    const kind = kindOf(route);
    let entry = this.#heads[record * this.#tableCount + table];
    let before = 0;
    for (; entry !== 0 && this.#metrics[entry] <= route.metric; entry = this.#next[entry]) {
      const hasMetric = this.#metrics[entry] === route.metric;
      // An IPv6 message tells all of a route with one metric; IPv4 may have several such routes.
      if (hasMetric && (this.family === 6 || route.isReplacement || this.#isSame(entry, hopsHash, kind)))
        break;
      if (!hasMetric || route.isAppended || isOfDump) before = entry;
    }
    if (entry === 0 || this.#metrics[entry] !== route.metric) {
      entry = this.#insert(record, table, before, route.metric);
    }
    this.#hopsHash[entry] = hopsHash;
    this.#hopCounts[entry] = route.hopCount;
    this.#kinds[entry] = kind;
    this.#seenIn[entry] = this.#dumps[table];
    this.#refresh(record, table);
  }

  /**
   * Takes over an RTM_DELROUTE.
   *
   * @returns false when the table has the prefix with that metric but not that route, so that only a dump can tell what
   *   is right
   */
  remove(table: number, route: RouteMessage): boolean {
    const record = this.#trie.valueOf(route.words, route.length);
    if (record < 0) return true;
    const hopsHash = hashOf(route);
    const kind = kindOf(route);
    let isOther = false;
    let before = 0;
    for (
      let entry = this.#heads[record * this.#tableCount + table];
      entry !== 0;
      before = entry, entry = this.#next[entry]
    ) {
      if (this.#metrics[entry] !== route.metric) continue;
      if (this.family === 6 && route.hopCount > 0 && route.hopCount < this.#hopCounts[entry]) {
        // One of several hops: the message tells those that went.
        this.#hopCounts[entry] -= route.hopCount;
        this.#hopsHash[entry] -= hopsHash;
        return true;
      }
      if (this.family === 4 && !this.#isSame(entry, hopsHash, kind)) {
        isOther = true;
        continue;
      }
      this.#unlink(record, table, before, entry);
      this.#refresh(record, table);
      return true;
    }
    return !isOther;
  }

  /** A dump of the table begins: what it does not tell of is gone at its end. */
  beginDump(table: number): void {
    this.#dumps[table]++;
    this.#sweepAt = 0;
  }

  /**
   * Removes what the table's last dump did not tell of, looking at so many prefixes at most.
   *
   * @returns whether all have been looked at
   */
  sweep(table: number, limit: number): boolean {
    const end = Math.min(this.#nextRecord, this.#sweepAt + limit);
    for (; this.#sweepAt < end; this.#sweepAt++) {
      const record = this.#sweepAt;
      let before = 0;
      let isChanged = false;
      for (let entry = this.#heads[record * this.#tableCount + table]; entry !== 0;) {
        const next = this.#next[entry];
        if (this.#seenIn[entry] === this.#dumps[table]) before = entry;
        else {
          this.#unlink(record, table, before, entry);
          isChanged = true;
        }
        entry = next;
      }
      if (isChanged) this.#refresh(record, table);
    }
    return this.#sweepAt >= this.#nextRecord;
  }

  /** Adds routes without a table to a prefix, or takes them away. @param mask - bit i: the route at position i */
  setFixed(words: Int32Array, length: number, mask: number): void {
    const record = mask === 0 ? this.#trie.valueOf(words, length) : this.#recordOf(words, length);
    if (record < 0 || this.#fixed[record] === mask) return;
    this.#fixed[record] = mask;
    this.#touch(record);
  }

  /**
   * Visits prefixes that have changed since they were visited last, each once whatever happened to it.
   *
   * @param limit - how many at most
   * @returns how many there were
   */
  takeChanges(limit: number, visit: VisitPrefix): number {
    let taken = 0;
    while (taken < limit) {
      if (this.#queueAt === this.#queue.length) {
        this.#queue = [];
        this.#queueAt = 0;
        if (!this.#areRefusedDue) break;
        // Once for all the changes before, not once for each.
        this.#areRefusedDue = false;
        for (const record of this.#refused) this.#enqueue(record);
        continue;
      }
      const record = this.#queue[this.#queueAt++];
      this.#isQueued[record] = 0;
      taken++;
      const mask = this.#maskOf(record);
      const length = this.#copyPrefix(record);
      visit(record, this.#prefix, length, mask);
      if (this.#isEmpty(record)) this.#free(record);
    }
    return taken;
  }

  /** The routes that lead to a prefix. */
  #maskOf(record: number): number {
    const own = this.#leads[record] | this.#fixed[record];
    let refused = this.#refuses[record];
    if (own !== 0 || refused === 0) return own;
    let length = this.#copyPrefix(record);
    while (length > 0) {
      const cover = this.#trie.coveringValue(this.#prefix, length - 1, 0);
      if (cover < 0) return 0;
      const leads = this.#leads[cover] | this.#fixed[cover];
      if (leads !== 0) return leads & ~refused;
      refused |= this.#refuses[cover];
      length = this.#lengths[cover];
    }
    return 0;
  }

  /** Works out anew what a table says of a prefix. */
  #refresh(record: number, table: number): void {
    let kind = 0;
    for (let entry = this.#heads[record * this.#tableCount + table]; entry !== 0; entry = this.#next[entry]) {
      kind = this.#kinds[entry];
      if (kind !== DEAD) break;
    }
    const bit = 1 << table;
    const leads = kind === LEADS ? this.#leads[record] | bit : this.#leads[record] & ~bit;
    const refuses = kind === REFUSES ? this.#refuses[record] | bit : this.#refuses[record] & ~bit;
    if (leads === this.#leads[record] && refuses === this.#refuses[record] && !this.#isEmpty(record)) return;
    this.#leads[record] = leads;
    this.#refuses[record] = refuses;
    this.#touch(record);
  }

  /** What depends on the prefix is to be looked at again. */
  #touch(record: number): void {
    const isRefused = this.#refuses[record] !== 0 && (this.#leads[record] | this.#fixed[record]) === 0;
    if (isRefused) this.#refused.add(record);
    else this.#refused.delete(record);
    if (this.#refused.size > 0) this.#areRefusedDue = true;
    this.#enqueue(record);
  }

  #enqueue(record: number): void {
    if (this.#isQueued[record] === 1) return;
    this.#isQueued[record] = 1;
    this.#queue.push(record);
  }

  #isSame(entry: number, hopsHash: number, kind: number): boolean {
    const isRefusal = this.#kinds[entry] === REFUSES;
    return this.#hopsHash[entry] === hopsHash && isRefusal === (kind === REFUSES);
  }

  #isEmpty(record: number): boolean {
    if (this.#fixed[record] !== 0) return false;
    for (let table = 0; table < this.#tableCount; table++) {
      if (this.#heads[record * this.#tableCount + table] !== 0) return false;
    }
    return true;
  }

  #recordOf(words: Int32Array, length: number): number {
    const known = this.#trie.valueOf(words, length);
    if (known >= 0) return known;
    const record = this.#freeRecords.pop() ?? this.#nextRecord++;
    if (record >= this.#lengths.length) this.#growRecords();
    this.#trie.insert(words, length, record);
    for (let i = 0; i < this.#keyWords; i++) this.#words[record * this.#keyWords + i] = words[i];
    this.#lengths[record] = length;
    this.#isUsed[record] = 1;
    return record;
  }

  #copyPrefix(record: number): number {
    for (let i = 0; i < this.#keyWords; i++) this.#prefix[i] = this.#words[record * this.#keyWords + i];
    return this.#lengths[record];
  }

  #free(record: number): void {
    if (this.#isUsed[record] === 0) return;
    this.#trie.remove(this.#prefix, this.#copyPrefix(record));
    this.#refused.delete(record);
    this.#isUsed[record] = 0;
    this.#freeRecords.push(record);
  }

  #insert(record: number, table: number, before: number, metric: number): number {
    let entry = this.#freeEntry;
    if (entry !== 0) this.#freeEntry = this.#next[entry];
    else {
      entry = this.#nextEntry++;
      if (entry >= this.#next.length) this.#growEntries();
    }
    const head = record * this.#tableCount + table;
    this.#next[entry] = before === 0 ? this.#heads[head] : this.#next[before];
    if (before === 0) this.#heads[head] = entry;
    else this.#next[before] = entry;
    this.#metrics[entry] = metric;
    this.#counts[table]++;
    return entry;
  }

  #unlink(record: number, table: number, before: number, entry: number): void {
    if (before === 0) this.#heads[record * this.#tableCount + table] = this.#next[entry];
    else this.#next[before] = this.#next[entry];
    this.#next[entry] = this.#freeEntry;
    this.#freeEntry = entry;
    this.#counts[table]--;
  }

  #growRecords(): void {
    const capacity = this.#lengths.length * 2;
    this.#words = grown(this.#words, capacity * this.#keyWords);
    this.#lengths = grown(this.#lengths, capacity);
    this.#heads = grown(this.#heads, capacity * this.#tableCount);
    this.#fixed = grown(this.#fixed, capacity);
    this.#leads = grown(this.#leads, capacity);
    this.#refuses = grown(this.#refuses, capacity);
    this.#isUsed = grown(this.#isUsed, capacity);
    this.#isQueued = grown(this.#isQueued, capacity);
  }

  #growEntries(): void {
    const capacity = this.#next.length * 2;
    this.#next = grown(this.#next, capacity);
    this.#metrics = grown(this.#metrics, capacity);
    this.#hopsHash = grown(this.#hopsHash, capacity);
    this.#hopCounts = grown(this.#hopCounts, capacity);
    this.#kinds = grown(this.#kinds, capacity);
    this.#seenIn = grown(this.#seenIn, capacity);
  }
}

function kindOf(route: RouteMessage): number {
  if (route.action === 'refuse') return REFUSES;
  if (route.hopCount === 0) return LEADS; // by a next hop object alone, of which nothing is told
  for (let i = 0; i < route.hopCount; i++) if (!route.hops[i].isDead) return LEADS;
  return DEAD;
}

/** A sum over the hops, so that their order does not matter and some can be taken away. */
function hashOf(route: RouteMessage): number {
  let sum = 0;
  for (let i = 0; i < route.hopCount; i++) {
    const { device, viaFamily, via } = route.hops[i];
    let hash = mixBits(device ^ Math.imul(viaFamily, 0x9e3779b1));
    for (let word = 0; word < 4; word++) hash = mixBits(hash ^ via[word]);
    sum = (sum + hash) | 0;
  }
  return sum;
}

function grown<T extends Int32Array | Uint32Array | Uint16Array | Uint8Array>(array: T, length: number): T {
  const larger = new (array.constructor as new (length: number) => T)(length);
  larger.set(array);
  return larger;
}
