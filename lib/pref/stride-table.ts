/**
 * What IPv4 lookups read: a table over the first 16 bits, and below it tables over 8, 4 and 4 more bits where
 * longer prefixes need them. Repainted from the trie at every change.
 *
 * A lookup of a prefix of up to 24 bits touches two words: one in 256 KiB that stay in the cache, one
 * anywhere. That is the point: a cache miss costs more than everything else in a lookup. The tables below 24
 * bits are one cache line each.
 *
 * ```
 * entry:  0       no prefix of this level here
 *         v + 1   the longest prefix of this level here has value v
 *         -u      a table for more bits is at unit u (a unit is 16 words); what the entry would hold is in heads[u]
 * level:  bits 0-16 (unit 0), 16-24 (16 units), 24-28, 28-32 (1 unit each)
 * ```
 * Memory: 256 KiB, 1 KiB for each /16 with prefixes longer than that (64 MiB at most), and up to 160 bytes
 * for each prefix longer than 24 bits. Changes write one level only: 65,536 words for a default route, at
 * most 256 beyond /16.
 */

import type { PrefixTrie } from './prefix-trie.ts';

const UNIT_BITS = 4;
const ROOT_UNITS = 1 << (16 - UNIT_BITS);
/** Where the bits of a level begin; the next one says where they end. */
const LEVEL_STARTS = [0, 16, 24, 28, 32] as const;

/** The lookup side of the IPv4 prefixes. */
export class StrideTable {
  private table = new Int32Array((ROOT_UNITS * 2) << UNIT_BITS);
  private heads = new Int32Array(ROOT_UNITS * 2);
  /** Prefixes inside the table that starts at this unit, those in deeper tables included. */
  private prefixCounts = new Int32Array(ROOT_UNITS * 2);
  /** Units free again, by the size of the table that stood there. */
  private readonly freeBig: number[] = [];
  private readonly freeSmall: number[] = [];
  private nextFresh = ROOT_UNITS;

  /** Units that memory is held for. */
  get capacity(): number {
    return this.heads.length;
  }

  /**
   * The value of the longest prefix that covers an IPv4 address, -1 when none does.
   *
   * @param address - int32, as read by `view.getInt32`
   * @hotpath
   */
  lookup(address: number): number {
    const table = this.table;
    const top = table[address >>> 16];
    if (top >= 0) return top - 1;
    const entry = table[(-top << UNIT_BITS) + ((address >>> 8) & 0xff)];
    if (entry > 0) return entry - 1;
    if (entry === 0) return this.heads[-top] - 1;
    const deep = this.lookupDeep(entry, address);
    return deep >= 0 ? deep : this.heads[-top] - 1;
  }

  /** Below 24 bits. @hotpath */
  private lookupDeep(entry: number, address: number): number {
    const next = this.table[(-entry << UNIT_BITS) + ((address >>> 4) & 0xf)];
    if (next > 0) return next - 1;
    if (next < 0) {
      const last = this.table[(-next << UNIT_BITS) + (address & 0xf)];
      if (last > 0) return last - 1;
      const head = this.heads[-next];
      if (head > 0) return head - 1;
    }
    return this.heads[-entry] - 1;
  }

  /**
   * Takes over a change that the trie has already made.
   *
   * @param delta - +1 the prefix is new, 0 its value changed, -1 it was removed
   */
  update(trie: PrefixTrie, words: Int32Array, length: number, delta: number): void {
    let unit = 0;
    let level = 0;
    let isTableGone = false;
    while (length > LEVEL_STARTS[level + 1]) {
      const index = this.indexIn(unit, level, words[0]);
      if (this.table[index] >= 0) {
        const fresh = this.allocate(level + 1);
        this.heads[fresh] = this.table[index];
        this.table[index] = -fresh;
      }
      level++;
      unit = -this.table[index];
      this.prefixCounts[unit] += delta;
      if (this.prefixCounts[unit] > 0) continue;
      // The tables below it are empty as well: the walk goes on and frees them.
      isTableGone = true;
      this.table[index] = this.heads[unit];
      (level === 1 ? this.freeBig : this.freeSmall).push(unit);
    }
    if (!isTableGone) this.repaint(trie, unit, level, words, length);
  }

  /**
   * Writes the entries of one level under a prefix anew: what covers them first, then longer and longer
   * prefixes.
   */
  private repaint(trie: PrefixTrie, unit: number, level: number, words: Int32Array, length: number): void {
    const shortest = level === 0 ? 0 : LEVEL_STARTS[level] + 1;
    this.fill(unit, level, words[0], length, trie.coveringValue(words, length, shortest) + 1);
    trie.forEachUnder(words, length, LEVEL_STARTS[level + 1], (word, longer, value) => {
      this.fill(unit, level, word, longer, value + 1);
    });
  }

  private fill(unit: number, level: number, word: number, length: number, leaf: number): void {
    const first = this.indexIn(unit, level, word);
    const end = first + (1 << (LEVEL_STARTS[level + 1] - length));
    for (let index = first; index < end; index++) {
      const entry = this.table[index];
      if (entry < 0) this.heads[-entry] = leaf;
      else this.table[index] = leaf;
    }
  }

  private indexIn(unit: number, level: number, word: number): number {
    const bits = LEVEL_STARTS[level + 1] - LEVEL_STARTS[level];
    return (unit << UNIT_BITS) + ((word >>> (32 - LEVEL_STARTS[level + 1])) & ((1 << bits) - 1));
  }

  /** The first unit of an empty table for this level. */
  private allocate(level: number): number {
    const units = level === 1 ? 16 : 1;
    let unit = (level === 1 ? this.freeBig : this.freeSmall).pop();
    if (unit === undefined) {
      unit = this.nextFresh;
      this.nextFresh += units;
      while (this.nextFresh > this.heads.length) this.grow();
    }
    this.table.fill(0, unit << UNIT_BITS, (unit + units) << UNIT_BITS);
    this.prefixCounts[unit] = 0;
    return unit;
  }

  private grow(): void {
    const { table, heads, prefixCounts } = this;
    this.table = new Int32Array(table.length * 2);
    this.table.set(table);
    this.heads = new Int32Array(heads.length * 2);
    this.heads.set(heads);
    this.prefixCounts = new Int32Array(prefixCounts.length * 2);
    this.prefixCounts.set(prefixCounts);
  }
}
