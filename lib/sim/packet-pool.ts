/**
 * The memory of all packets in the simulated network: fixed slots of headers in one DataView.
 *
 *      | slot 0: 80 bytes | slot 1 | slot 2 | ... | slot n-1 | tail: 65,535 bytes |
 *
 * A packet's headers are real and its payload is not there, though its length field counts it. The cores parse with
 * that length; they check that it lies within the view, and never read payload. So a packet "covers" the slots behind
 * its own, and the tail takes up the last ones.
 */

/** Bytes of a slot: an IPv4 header without options and a TCP header with as many as fit. */
export const SLOT_BYTES = 80;
const TAIL_BYTES = 65_535;

/** Slots for packets, found free or given back in no time. */
export class PacketPool {
  /** Replaced when the pool grows: read it anew for every packet. Slot `i` begins at `i * SLOT_BYTES`. */
  view: DataView;
  /** Bytes of the packet in each slot by its IP header. Replaced when the pool grows. */
  lengths: Int32Array;
  #free: Int32Array;
  #freeCount = 0;
  #fresh = 0;

  /** @param slots - to begin with; the pool doubles when they are used up */
  constructor(slots = 4096) {
    this.view = new DataView(new ArrayBuffer(slots * SLOT_BYTES + TAIL_BYTES));
    this.lengths = new Int32Array(slots);
    this.#free = new Int32Array(slots);
  }

  /** Slots in use. */
  get used(): number {
    return this.#fresh - this.#freeCount;
  }

  /**
   * Takes a slot, whose bytes are whatever was there before.
   *
   * @hotpath
   * @param length - bytes of the packet by its IP header, up to 65,535
   */
  take(length: number): number {
    let slot = this.#fresh;
    if (this.#freeCount > 0) slot = this.#free[--this.#freeCount];
    else {
      if (slot === this.lengths.length) this.#grow();
      this.#fresh++;
    }
    this.lengths[slot] = length;
    return slot;
  }

  /**
   * Gives a slot back.
   *
   * @hotpath
   */
  release(slot: number): void {
    this.#free[this.#freeCount++] = slot;
  }

  #grow(): void {
    const slots = this.lengths.length * 2;
    const bytes = new Uint8Array(slots * SLOT_BYTES + TAIL_BYTES);
    bytes.set(new Uint8Array(this.view.buffer, 0, this.lengths.length * SLOT_BYTES));
    this.view = new DataView(bytes.buffer);
    const lengths = new Int32Array(slots);
    lengths.set(this.lengths);
    this.lengths = lengths;
    const free = new Int32Array(slots);
    free.set(this.#free);
    this.#free = free;
  }
}
