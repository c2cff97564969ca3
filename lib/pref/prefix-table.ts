/**
 * Longest prefix match for IPv4 and IPv6: which destination an address belongs to. The surface over the
 * tries, which know every prefix, and the tables that lookups read.
 *
 * Values are whole numbers from 0; -1 always means "none".
 */

import { requireInteger } from '../errors.ts';
import { JumpTable } from './jump-table.ts';
import { PrefixTrie } from './prefix-trie.ts';
import { StrideTable } from './stride-table.ts';

/**
 * Prefixes of both IP versions with a whole number each. Grows by itself; removed prefixes leave room for new
 * ones. A million IPv4 prefixes take about 150 MB, a million IPv6 prefixes about 100 MB.
 */
export class PrefixTable {
  private readonly trie4 = new PrefixTrie(1);
  private readonly trie6 = new PrefixTrie(4);
  private readonly strideTable = new StrideTable();
  private readonly jumpTable = new JumpTable();

  /** Prefixes in the table. */
  get size(): number {
    return this.trie4.size + this.trie6.size;
  }

  /** Trie nodes and table units that memory is held for. */
  get capacity(): number {
    return this.trie4.capacity + this.trie6.capacity + this.strideTable.capacity;
  }

  /**
   * Sets the value of a prefix.
   *
   * @param words - the address, most significant word first (1 word is read for IPv4, 4 for IPv6); host bits
   *   must be 0
   * @param length - 0..32 or 0..128
   * @param value - 0..2^30
   * @returns the value it had before, -1 when it is new
   * @throws PreflexError ERR_INVALID_OPTION for a length or a value out of range
   */
  insert(version: 4 | 6, words: Int32Array, length: number, value: number): number {
    requireInteger('prefix length', length, 0, version === 4 ? 32 : 128);
    requireInteger('prefix value', value, 0, 1 << 30);
    const old = this.trie(version).insert(words, length, value);
    if (version === 4) this.strideTable.update(this.trie4, words, length, old < 0 ? 1 : 0);
    else this.jumpTable.update(this.trie6, words, length);
    return old;
  }

  /** Removes a prefix. Returns the value it had, -1 when it was not there. */
  remove(version: 4 | 6, words: Int32Array, length: number): number {
    const old = this.trie(version).remove(words, length);
    if (old < 0) return -1;
    if (version === 4) this.strideTable.update(this.trie4, words, length, -1);
    else this.jumpTable.update(this.trie6, words, length);
    return old;
  }

  /** Removes every prefix that has this value. Returns how many there were. */
  removeAllOf(value: number): number {
    const words = new Int32Array(4);
    let removed = 0;
    for (const version of [4, 6] as const) {
      const trie = this.trie(version);
      for (
        let length = trie.anyPrefixOf(value, words);
        length >= 0;
        length = trie.anyPrefixOf(value, words)
      ) {
        this.remove(version, words, length);
        removed++;
      }
    }
    return removed;
  }

  /** The value of exactly this prefix, -1 when it is not in the table. */
  valueOf(version: 4 | 6, words: Int32Array, length: number): number {
    return this.trie(version).valueOf(words, length);
  }

  /** Calls `visit` with each prefix that has this value; `words` has 4 words and is reused between calls. */
  forEachPrefixOf(value: number, visit: (version: 4 | 6, words: Int32Array, length: number) => void): void {
    this.trie4.forEachPrefixOf(value, (words, length) => visit(4, words, length));
    this.trie6.forEachPrefixOf(value, (words, length) => visit(6, words, length));
  }

  /**
   * The value of the longest prefix that covers an IPv4 address, -1 when none does.
   *
   * @param address - int32, as read by `view.getInt32`
   * @hotpath
   */
  lookup4(address: number): number {
    return this.strideTable.lookup(address);
  }

  /**
   * The value of the longest prefix that covers the IPv6 address at `at`, -1 when none does.
   *
   * @param at - absolute offset of the 16 address bytes; the caller has checked that they are there
   * @hotpath
   */
  lookup6(view: DataView, at: number): number {
    return this.jumpTable.lookup(this.trie6, view, at);
  }

  private trie(version: 4 | 6): PrefixTrie {
    return version === 4 ? this.trie4 : this.trie6;
  }
}
