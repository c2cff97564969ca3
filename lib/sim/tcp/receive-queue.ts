/**
 * What a receiver holds beyond the next byte it waits for: ranges of sequence numbers in order, and the SACK blocks
 * that tell the sender of them.
 *
 * @see RFC 2018 section 4: the first block is the one that holds the newest segment, then the others by recency
 * @see RFC 2883: a duplicate is told as a first block of its own (D-SACK)
 */
import { seqBefore, seqMax } from '../../wire/seq.ts';

/** Blocks that fit beside no other option. */
export const MAX_SACK_BLOCKS = 4;
const FIRST_CAPACITY = 8;
const NOTHING = -1;
const NONE = new Int32Array(0);

/** Ranges received out of order. */
export class ReceiveQueue {
  /** Ranges held. */
  count = 0;
  /** A duplicate waits to be told: [duplicateLeft, duplicateRight). */
  hasDuplicate = false;
  duplicateLeft = 0;
  duplicateRight = 0;

  // Made with the first range: most connections never need one.
  #lefts = NONE;
  #rights = NONE;
  /** When a range was touched last, counted in touches. */
  #touches = NONE;
  #touch = 0;

  /** Forgets everything. */
  reset(): void {
    this.count = 0;
    this.hasDuplicate = false;
    this.#touch = 0;
  }

  /** Holds [left, right), joined with what it touches. Tells a duplicate when all of it was there. */
  insert(left: number, right: number): void {
    let at = 0;
    while (at < this.count && seqBefore(this.#rights[at], left)) at++;
    let last = at;
    let newLeft = left;
    let newRight = right;
    while (last < this.count && !seqBefore(right, this.#lefts[last])) {
      if (!seqBefore(left, this.#lefts[last]) && !seqBefore(this.#rights[last], right)) {
        this.noteDuplicate(left, right);
      }
      if (seqBefore(this.#lefts[last], newLeft)) newLeft = this.#lefts[last];
      newRight = seqMax(newRight, this.#rights[last]);
      last++;
    }
    this.#replace(at, last, 1);
    this.#lefts[at] = newLeft;
    this.#rights[at] = newRight;
    this.#touches[at] = ++this.#touch;
  }

  /** A segment came whose bytes were all there. */
  noteDuplicate(left: number, right: number): void {
    this.hasDuplicate = true;
    this.duplicateLeft = left;
    this.duplicateRight = right;
  }

  /** The next byte waited for, when all below `next` has come: takes out the ranges that join it. */
  advance(next: number): number {
    let reached = next;
    let joined = 0;
    while (joined < this.count && !seqBefore(reached, this.#lefts[joined])) {
      reached = seqMax(reached, this.#rights[joined]);
      joined++;
    }
    if (joined > 0) this.#replace(0, joined, 0);
    return reached;
  }

  /** Blocks that {@link writeBlocks} will write. */
  get blocks(): number {
    const all = this.count + (this.hasDuplicate ? 1 : 0);
    return all < MAX_SACK_BLOCKS ? all : MAX_SACK_BLOCKS;
  }

  /** Writes the blocks at `at`, eight bytes each; the duplicate is told once. */
  writeBlocks(view: DataView, at: number): void {
    let next = at;
    let room = this.blocks;
    if (this.hasDuplicate) {
      this.hasDuplicate = false;
      view.setInt32(next, this.duplicateLeft);
      view.setInt32(next + 4, this.duplicateRight);
      next += 8;
      room--;
    }
    let newerThan = this.#touch + 1;
    for (; room > 0; room--) {
      const range = this.#newestBefore(newerThan);
      newerThan = this.#touches[range];
      view.setInt32(next, this.#lefts[range]);
      view.setInt32(next + 4, this.#rights[range]);
      next += 8;
    }
  }

  #newestBefore(touch: number): number {
    let newest = NOTHING;
    for (let i = 0; i < this.count; i++) {
      if (this.#touches[i] < touch && (newest === NOTHING || this.#touches[i] > this.#touches[newest]))
        newest = i;
    }
    return newest;
  }

  /** Replaces the ranges [from, to) by `fresh` ones, whose content is up to the caller. */
  #replace(from: number, to: number, fresh: number): void {
    const count = this.count - (to - from) + fresh;
    if (count > this.#lefts.length) this.#grow();
    this.#lefts.copyWithin(from + fresh, to, this.count);
    this.#rights.copyWithin(from + fresh, to, this.count);
    this.#touches.copyWithin(from + fresh, to, this.count);
    this.count = count;
  }

  #grow(): void {
    const longer = (from: Int32Array): Int32Array<ArrayBuffer> => {
      const to = new Int32Array(from.length === 0 ? FIRST_CAPACITY : from.length * 2);
      to.set(from);
      return to;
    };
    this.#lefts = longer(this.#lefts);
    this.#rights = longer(this.#rights);
    this.#touches = longer(this.#touches);
  }
}
