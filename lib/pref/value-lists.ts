/**
 * Doubly linked lists of trie nodes, one list a value, in typed arrays: so that all prefixes of one
 * destination can be found and removed without walking a million others.
 */

/** Lists of node numbers (> 0) by value (>= 0). A node is in at most one list. */
export class ValueLists {
  private heads = new Int32Array(64);
  private nexts = new Int32Array(64);
  private previous = new Int32Array(64);

  /** The node added last with this value, 0 when there is none. */
  first(value: number): number {
    return value < this.heads.length ? this.heads[value] : 0;
  }

  /** The node that follows in the same list, 0 at the end. */
  next(node: number): number {
    return this.nexts[node];
  }

  /** Adds a node that is in no list. */
  add(node: number, value: number): void {
    if (value >= this.heads.length) this.heads = grown(this.heads, value);
    if (node >= this.nexts.length) {
      this.nexts = grown(this.nexts, node);
      this.previous = grown(this.previous, node);
    }
    const head = this.heads[value];
    this.nexts[node] = head;
    this.previous[node] = 0;
    if (head !== 0) this.previous[head] = node;
    this.heads[value] = node;
  }

  /** Takes a node out of the list of `value`, in which it must be. */
  remove(node: number, value: number): void {
    const next = this.nexts[node];
    const before = this.previous[node];
    if (next !== 0) this.previous[next] = before;
    if (before !== 0) this.nexts[before] = next;
    else this.heads[value] = next;
  }
}

function grown(array: Int32Array, index: number): Int32Array<ArrayBuffer> {
  let length = array.length;
  while (length <= index) length *= 2;
  const copy = new Int32Array(length);
  copy.set(array);
  return copy;
}
