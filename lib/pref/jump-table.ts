/**
 * What IPv6 lookups read first: for bits 3 to 18 of a global unicast address, where in the trie to go on.
 *
 * Global unicast addresses all begin with 001, so the 16 bits after that choose the slot. Other addresses
 * (unique local, link-local, 64:ff9b::/96) are few and start at the trie's root.
 *
 * @see RFC 4291 section 2.4
 */

import { HAS_VALUE, LENGTH_MASK, NODE_KEY, NODE_META } from './prefix-trie.ts';
import type { PrefixTrie } from './prefix-trie.ts';

const SKIPPED_BITS = 3;
const GLOBAL_UNICAST = 0b001;
const SLOTS = 1 << 16;
/** Bits that the slot has settled. */
const JUMP_LENGTH = SKIPPED_BITS + 16;

/** The lookup side of the IPv6 prefixes. */
export class JumpTable {
  /** Slot -> value + 1 of the longest prefix shorter than the jump that covers it, 0 = none. */
  private readonly leaves = new Int32Array(SLOTS);
  /** Slot -> topmost node of the trie at least as long as the jump, 0 = none. */
  private readonly starts = new Int32Array(SLOTS);

  /**
   * The value of the longest prefix that covers the IPv6 address at `at`, -1 when none does.
   *
   * @param at - absolute offset of the 16 address bytes; the caller has checked that they are there
   * @hotpath
   */
  lookup(trie: PrefixTrie, view: DataView, at: number): number {
    const nodes = trie.nodes;
    const word0 = view.getInt32(at);
    let best = 0;
    let leaf = 0;
    let node = trie.root;
    if (word0 >>> 29 === GLOBAL_UNICAST) {
      const slot = (word0 >>> 13) & (SLOTS - 1);
      leaf = this.leaves[slot];
      node = this.starts[slot];
    }
    while (node !== 0) {
      const start = node << 3;
      const meta = nodes[start + NODE_META];
      const length = meta & LENGTH_MASK;
      if (!isCovering(nodes, start + NODE_KEY, length, view, at, word0)) break;
      if ((meta & HAS_VALUE) !== 0) best = node;
      if (length === 128) break;
      const byteWithNextBit = view.getUint8(at + (length >>> 3));
      node = nodes[start + ((byteWithNextBit >>> (7 - (length & 7))) & 1)];
    }
    return best === 0 ? leaf - 1 : trie.values[best];
  }

  /** Takes over a change (new prefix, other value, removal) that the trie has already made. */
  update(trie: PrefixTrie, words: Int32Array, length: number): void {
    if (!isInRegion(words[0], length)) return;
    if (length >= JUMP_LENGTH) {
      this.starts[slotOf(words[0])] = trie.topmostUnder(words, JUMP_LENGTH);
      return;
    }
    // No long node changed: a node shorter than the jump came, went or got another value.
    this.fill(words[0], length, trie.coveringValue(words, length, 0) + 1);
    trie.forEachUnder(words, length, JUMP_LENGTH - 1, (word, longer, value) => {
      if (isInRegion(word, longer)) this.fill(word, longer, value + 1);
    });
  }

  private fill(word: number, length: number, leaf: number): void {
    if (length <= SKIPPED_BITS) {
      this.leaves.fill(leaf);
      return;
    }
    const first = slotOf(word);
    this.leaves.fill(leaf, first, first + (1 << (JUMP_LENGTH - length)));
  }
}

/** Whether a prefix covers global unicast addresses or lies within them. */
function isInRegion(word: number, length: number): boolean {
  const known = Math.min(length, SKIPPED_BITS);
  return known === 0 || word >>> (32 - known) === GLOBAL_UNICAST >>> (SKIPPED_BITS - known);
}

function slotOf(word: number): number {
  return (word >>> (32 - JUMP_LENGTH)) & (SLOTS - 1);
}

/** Whether the address begins with the first `length` bits of the key. @hotpath */
function isCovering(
  nodes: Int32Array,
  key: number,
  length: number,
  view: DataView,
  at: number,
  word0: number,
): boolean {
  let difference = word0 ^ nodes[key];
  if (length < 32) return length === 0 || difference >>> (32 - length) === 0;
  if (difference !== 0) return false;
  difference = view.getInt32(at + 4) ^ nodes[key + 1];
  if (length < 64) return length === 32 || difference >>> (64 - length) === 0;
  if (difference !== 0) return false;
  difference = view.getInt32(at + 8) ^ nodes[key + 2];
  if (length < 96) return length === 64 || difference >>> (96 - length) === 0;
  if (difference !== 0) return false;
  difference = view.getInt32(at + 12) ^ nodes[key + 3];
  return length === 96 || difference >>> (128 - length) === 0;
}
