/**
 * A path-compressed binary trie over address prefixes of one IP version, in typed arrays: the complete truth
 * about which prefix has which value.
 *
 * Here belong inserting and removing prefixes, the growth and reuse of nodes, and questions about what lies
 * above and below a prefix. A lookup that walked this trie from its root would miss the cache some 20 times
 * at a million prefixes; stride-table.ts (IPv4) and jump-table.ts (IPv6) hold what lookups read, and are
 * repainted from here.
 *
 * ```
 * node n, `stride` int32 from n * stride:
 *   +0 child for bit 0, 0 = none
 *   +1 child for bit 1
 *   +2 prefix length | HAS_VALUE
 *   +3 key words (1 in IPv4, 4 in IPv6), bits beyond the length are 0
 * ```
 * Node 0 is never used: 0 means "none" everywhere. A node without value is a branch and has two children, so
 * n prefixes need fewer than 2n nodes.
 */

import { ValueLists } from './value-lists.ts';

/** Offset of the child for a 0 bit; the child for a 1 bit follows. */
export const NODE_CHILD = 0;
/** Offset of the prefix length (low byte) and {@link HAS_VALUE}. */
export const NODE_META = 2;
/** Offset of the first key word. */
export const NODE_KEY = 3;
/** Bit of the meta word: a prefix ends here. */
export const HAS_VALUE = 0x100;
/** Mask of the meta word: the prefix length. */
export const LENGTH_MASK = 0xff;

const FIRST_CAPACITY = 256;

/** Prefixes of one IP version with a whole number each. Nothing here is for the packet path. */
export class PrefixTrie {
  /** Nodes; replaced when the trie grows, so read it anew for every use. */
  nodes: Int32Array;
  /** Value by node; -1 for a branch. Replaced when the trie grows. */
  values: Int32Array;
  /** Topmost node, 0 = empty. */
  root = 0;
  /** Prefixes in the trie. */
  size = 0;
  /** Words a node. */
  readonly stride: number;

  private readonly keyWords: number;
  private readonly lists = new ValueLists();
  private nextFresh = 1;
  private freeHead = 0;

  /** @param keyWords - 32-bit words of an address: 1 or 4 */
  constructor(keyWords: number) {
    this.keyWords = keyWords;
    this.stride = keyWords === 1 ? 4 : 8;
    this.nodes = new Int32Array(FIRST_CAPACITY * this.stride);
    this.values = new Int32Array(FIRST_CAPACITY);
  }

  /** Nodes that memory is held for, free ones included. */
  get capacity(): number {
    return this.values.length;
  }

  /**
   * Sets the value of a prefix. Returns the value it had, -1 when it is new. Bits beyond `length` must be 0.
   */
  insert(words: Int32Array, length: number, value: number): number {
    let parent = 0;
    let node = this.root;
    while (node !== 0) {
      const nodeLength = this.lengthOf(node);
      const common = this.commonBits(node, words, Math.min(nodeLength, length));
      if (common < nodeLength) break;
      if (nodeLength === length) return this.setValue(node, value);
      parent = node;
      node = this.child(node, bitOf(words, 0, nodeLength));
    }
    this.size++;
    const added = this.newNode(words, length, value);
    if (node === 0) this.replaceChild(parent, 0, words, added);
    else this.insertAbove(parent, node, words, added);
    return -1;
  }

  /** Removes a prefix and frees its nodes. Returns the value it had, -1 when it was not there. */
  remove(words: Int32Array, length: number): number {
    let grandparent = 0;
    let parent = 0;
    let node = this.root;
    while (node !== 0) {
      const nodeLength = this.lengthOf(node);
      if (nodeLength > length || this.commonBits(node, words, nodeLength) < nodeLength) return -1;
      if (nodeLength === length) break;
      grandparent = parent;
      parent = node;
      node = this.child(node, bitOf(words, 0, nodeLength));
    }
    if (node === 0 || this.values[node] < 0) return -1;

    const value = this.values[node];
    this.lists.remove(node, value);
    this.size--;
    this.nodes[node * this.stride + NODE_META] = length;
    this.values[node] = -1;
    // A leaf that goes may leave its parent a branch with one child, which then goes too.
    if (this.spliceOut(parent, node) && parent !== 0 && this.values[parent] < 0)
      this.spliceOut(grandparent, parent);
    return value;
  }

  /** The value of exactly this prefix, -1 when it is not there. */
  valueOf(words: Int32Array, length: number): number {
    return this.coveringValue(words, length, length);
  }

  /**
   * The value of the longest prefix that covers `words`/`length` (itself included) and has at least
   * `minLength` bits;
   * -1 when there is none.
   */
  coveringValue(words: Int32Array, length: number, minLength: number): number {
    let value = -1;
    let node = this.root;
    while (node !== 0) {
      const nodeLength = this.lengthOf(node);
      if (nodeLength > length || this.commonBits(node, words, nodeLength) < nodeLength) break;
      if (nodeLength >= minLength && this.values[node] >= 0) value = this.values[node];
      if (nodeLength === length) break;
      node = this.child(node, bitOf(words, 0, nodeLength));
    }
    return value;
  }

  /**
   * The topmost node, branches included, that has at least `length` bits and begins with those of `words`; 0
   * = none.
   */
  topmostUnder(words: Int32Array, length: number): number {
    let node = this.root;
    while (node !== 0 && this.lengthOf(node) < length)
      node = this.child(node, bitOf(words, 0, this.lengthOf(node)));
    return node !== 0 && this.commonBits(node, words, length) === length ? node : 0;
  }

  /**
   * Calls `visit` for each prefix under `words`/`length` (itself not) of at most `maxLength` bits, shorter
   * ones first.
   */
  forEachUnder(
    words: Int32Array,
    length: number,
    maxLength: number,
    visit: (firstWord: number, length: number, value: number) => void,
  ): void {
    const pending = [this.topmostUnder(words, length)];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      const nodeLength = this.lengthOf(node);
      if (node === 0 || nodeLength > maxLength) continue;
      const value = this.values[node];
      if (value >= 0 && nodeLength > length)
        visit(this.nodes[node * this.stride + NODE_KEY], nodeLength, value);
      pending.push(this.child(node, 1), this.child(node, 0));
    }
  }

  /** Copies some prefix that has this value into `words` and returns its length; -1 when there is none. */
  anyPrefixOf(value: number, words: Int32Array): number {
    const node = this.lists.first(value);
    return node === 0 ? -1 : this.copyPrefix(node, words);
  }

  /** Calls `visit` with each prefix that has this value; `words` is reused from call to call. */
  forEachPrefixOf(value: number, visit: (words: Int32Array, length: number) => void): void {
    const words = new Int32Array(4);
    for (let node = this.lists.first(value); node !== 0; node = this.lists.next(node)) {
      visit(words, this.copyPrefix(node, words));
    }
  }

  private copyPrefix(node: number, words: Int32Array): number {
    for (let i = 0; i < this.keyWords; i++) words[i] = this.nodes[node * this.stride + NODE_KEY + i];
    return this.lengthOf(node);
  }

  private lengthOf(node: number): number {
    return this.nodes[node * this.stride + NODE_META] & LENGTH_MASK;
  }

  private child(node: number, bit: number): number {
    return this.nodes[node * this.stride + NODE_CHILD + bit];
  }

  /** Leading bits, at most `limit`, that the node's key and `words` have in common. */
  private commonBits(node: number, words: Int32Array, limit: number): number {
    const key = node * this.stride + NODE_KEY;
    for (let bits = 0, i = 0; bits < limit; bits += 32, i++) {
      const difference = this.nodes[key + i] ^ words[i];
      if (difference !== 0) return Math.min(limit, bits + Math.clz32(difference));
    }
    return limit;
  }

  private setValue(node: number, value: number): number {
    const old = this.values[node];
    if (old >= 0) this.lists.remove(node, old);
    else this.size++;
    this.nodes[node * this.stride + NODE_META] |= HAS_VALUE;
    this.values[node] = value;
    this.lists.add(node, value);
    return old;
  }

  /** Puts `added` between `parent` and `node`: as `node`'s ancestor, or beside it under a new branch. */
  private insertAbove(parent: number, node: number, words: Int32Array, added: number): void {
    const length = this.lengthOf(added);
    const common = this.commonBits(node, words, Math.min(this.lengthOf(node), length));
    const top = common === length ? added : this.newNode(words, common, -1);
    const nodeBit = bitOf(this.nodes, node * this.stride + NODE_KEY, common);
    this.nodes[top * this.stride + NODE_CHILD + nodeBit] = node;
    if (top !== added) this.nodes[top * this.stride + NODE_CHILD + (nodeBit ^ 1)] = added;
    this.replaceChild(parent, node, words, top);
  }

  /** Puts `node` where `old` hung under `parent` (0: the root); with `old` 0, where `words` belongs. */
  private replaceChild(parent: number, old: number, words: Int32Array, node: number): void {
    if (parent === 0) {
      this.root = node;
      return;
    }
    const children = parent * this.stride + NODE_CHILD;
    const bit = old === 0 ? bitOf(words, 0, this.lengthOf(parent)) : this.nodes[children] === old ? 0 : 1;
    this.nodes[children + bit] = node;
  }

  /**
   * Frees a node without value that has at most one child. Returns whether it had none, so its parent lost a
   * child.
   */
  private spliceOut(parent: number, node: number): boolean {
    const left = this.child(node, 0);
    const right = this.child(node, 1);
    if (left !== 0 && right !== 0) return false;
    const only = left !== 0 ? left : right;
    if (parent === 0) this.root = only;
    else {
      const children = parent * this.stride + NODE_CHILD;
      this.nodes[children + (this.nodes[children] === node ? 0 : 1)] = only;
    }
    this.nodes[node * this.stride] = this.freeHead;
    this.freeHead = node;
    return only === 0;
  }

  /**
   * A fresh or reused node with the first `length` bits of `words` as its key; a branch when `value` is -1.
   */
  private newNode(words: Int32Array, length: number, value: number): number {
    let node = this.freeHead;
    if (node !== 0) this.freeHead = this.nodes[node * this.stride];
    else {
      node = this.nextFresh++;
      if (node === this.values.length) this.grow();
    }
    const at = node * this.stride;
    this.nodes[at] = 0;
    this.nodes[at + 1] = 0;
    this.nodes[at + NODE_META] = length | (value < 0 ? 0 : HAS_VALUE);
    for (let i = 0; i < this.keyWords; i++) {
      const bits = length - 32 * i;
      this.nodes[at + NODE_KEY + i] = bits >= 32 ? words[i] : bits <= 0 ? 0 : words[i] & (-1 << (32 - bits));
    }
    this.values[node] = value;
    if (value >= 0) this.lists.add(node, value);
    return node;
  }

  private grow(): void {
    const nodes = new Int32Array(this.nodes.length * 2);
    nodes.set(this.nodes);
    this.nodes = nodes;
    const values = new Int32Array(this.values.length * 2);
    values.set(this.values);
    this.values = values;
  }
}

/** Bit `index` of an address whose words start at `at`; bit 0 is the most significant. */
function bitOf(words: Int32Array, at: number, index: number): number {
  return (words[at + (index >>> 5)] >>> (31 - (index & 31))) & 1;
}
