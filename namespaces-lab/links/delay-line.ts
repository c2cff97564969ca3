/**
 * The packets that are under way on one direction of an emulated link: copies in a ring, in the order in which they
 * arrive, which for a Link is the order in which they were accepted.
 *
 * ```
 *   slot:  | 2 bytes | virtio header (10) | packet, up to mtu bytes | up to a multiple of 64 |
 *                                         ^ slot + 12
 * ```
 * Copies go word by word between two pools, so that nothing is allocated: a subarray a packet would be.
 */
import { PacketBatch } from '../../lib/device/packet-batch.ts';
import { PreflexError } from '../../lib/errors.ts';

/** Words before the packet: two bytes of nothing and the virtio header. */
const HEADER_WORDS = 3;
const SLOT_ALIGNMENT_WORDS = 16;
const FIRST_SLOTS = 64;

/** A ring of packets with the times at which they are due; it grows as needed, and never shrinks. */
export class DelayLine {
  readonly #slotWords: number;
  readonly #mtu: number;
  #words: Int32Array;
  #due: Float64Array;
  #lengths: Int32Array;
  #outs: Int32Array;
  #head = 0;
  #size = 0;

  /** @param mtu - longest packet, bytes */
  constructor(mtu: number) {
    this.#mtu = mtu;
    const words = HEADER_WORDS + Math.ceil(mtu / 4);
    this.#slotWords = Math.ceil(words / SLOT_ALIGNMENT_WORDS) * SLOT_ALIGNMENT_WORDS;
    this.#words = new Int32Array(this.#slotWords * FIRST_SLOTS);
    this.#due = new Float64Array(FIRST_SLOTS);
    this.#lengths = new Int32Array(FIRST_SLOTS);
    this.#outs = new Int32Array(FIRST_SLOTS);
  }

  /** Packets under way. */
  get size(): number {
    return this.#size;
  }

  /** When the first packet is due, ns; Infinity when none is under way. @hotpath */
  headDueNs(): number {
    return this.#size === 0 ? Infinity : this.#due[this.#head];
  }

  /** Where the first packet goes: what {@link push} was given. @hotpath */
  headOut(): number {
    return this.#outs[this.#head];
  }

  /**
   * Takes a copy of packet i of a batch.
   *
   * @param dueNs - not smaller than that of the packet before
   * @param out - a number for the caller
   * @throws PreflexError when the packet is longer than the mtu. @hotpath
   */
  push(batch: WordBatch, i: number, dueNs: number, out: number): void {
    const length = batch.batch.length[i];
    if (length > this.#mtu) throw tooLong(length, this.#mtu);
    if (this.#size === this.#due.length) this.#grow();
    const slot = (this.#head + this.#size) & (this.#due.length - 1);
    copyWords(batch.words, wordOf(batch.batch.at[i]), this.#words, slot * this.#slotWords, length);
    this.#due[slot] = dueNs;
    this.#lengths[slot] = length;
    this.#outs[slot] = out;
    this.#size++;
  }

  /** Moves the first packet into slot 0 of a batch and forgets it. There must be one. @hotpath */
  shiftInto(batch: WordBatch): void {
    const slot = this.#head;
    const length = this.#lengths[slot];
    copyWords(this.#words, slot * this.#slotWords, batch.words, wordOf(batch.batch.at[0]), length);
    batch.batch.accept(0, length);
    batch.batch.count = 1;
    this.#head = (slot + 1) & (this.#due.length - 1);
    this.#size--;
  }

  #grow(): void {
    const count = this.#due.length;
    const words = new Int32Array(this.#slotWords * count * 2);
    const due = new Float64Array(count * 2);
    const lengths = new Int32Array(count * 2);
    const outs = new Int32Array(count * 2);
    for (let i = 0; i < count; i++) {
      const slot = (this.#head + i) & (count - 1);
      words.set(
        this.#words.subarray(slot * this.#slotWords, (slot + 1) * this.#slotWords),
        i * this.#slotWords,
      );
      due[i] = this.#due[slot];
      lengths[i] = this.#lengths[slot];
      outs[i] = this.#outs[slot];
    }
    this.#words = words;
    this.#due = due;
    this.#lengths = lengths;
    this.#outs = outs;
    this.#head = 0;
  }
}

/** A batch with its pool seen as words. */
export class WordBatch {
  readonly batch: PacketBatch;
  readonly words: Int32Array;

  constructor(batch: PacketBatch = new PacketBatch(1)) {
    this.batch = batch;
    this.words = new Int32Array(batch.view.buffer);
  }
}

/** The word at which the copy of a packet begins: packets of a batch start at multiples of four bytes. @hotpath */
function wordOf(at: number): number {
  return (at >> 2) - HEADER_WORDS;
}

/** Copies virtio header and packet; up to three bytes more, which no one reads. @hotpath */
function copyWords(from: Int32Array, fromAt: number, to: Int32Array, toAt: number, length: number): void {
  const count = HEADER_WORDS + ((length + 3) >> 2);
  for (let i = 0; i < count; i++) to[toAt + i] = from[fromAt + i];
}

function tooLong(length: number, mtu: number): PreflexError {
  return new PreflexError(
    'ERR_INVALID_OPTION',
    `a packet of ${length} bytes does not fit into a delay line with an MTU of ${mtu}`,
  );
}
