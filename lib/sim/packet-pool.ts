/**
 * The memory of all packets in the simulated network: fixed slots of headers in one DataView.
 *
 *      | slot 0: 128 bytes | slot 1 | slot 2 | ... | slot n-1 | tail: 65,535 bytes |
 *
 * A packet's headers are real and its payload is not there, though its length field counts it. The cores parse with
 * that length; they check that it lies within the view, and never read payload. So a packet "covers" the slots behind
 * its own, and the tail takes up the last ones.
 *
 * A slot is two cache lines, so that the headers of nearly all packets are in one: what a run takes is mostly the time
 * that memory takes, and a packet is looked at by ten nodes and cores on its way.
 */

/** Bytes of a slot: an IPv4 header without options, and a TCP header with up to 60, fit with room to spare. */
export const SLOT_BYTES = 128;
const TAIL_BYTES = 65_535;
const TOTAL_LENGTH = 2;

/** Slots for packets, found free or given back in no time. */
export class PacketPool {
  /** Replaced when the pool grows: read it anew for every packet. Slot `i` begins at `i * SLOT_BYTES`. */
  view: DataView;
  #slots: number;
  #free: Int32Array;
  #freeCount = 0;
  #fresh = 0;

  /** @param slots - to begin with; the pool doubles when they are used up */
  constructor(slots = 4096) {
    this.view = new DataView(new ArrayBuffer(slots * SLOT_BYTES + TAIL_BYTES));
    this.#slots = slots;
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
   */
  take(): number {
    if (this.#freeCount > 0) return this.#free[--this.#freeCount];
    if (this.#fresh === this.#slots) this.#grow();
    return this.#fresh++;
  }

  /**
   * Bytes of the packet in a slot, by its IP header.
   *
   * @hotpath
   */
  lengthOf(slot: number): number {
    return this.view.getUint16(slot * SLOT_BYTES + TOTAL_LENGTH);
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
    const slots = this.#slots * 2;
    const bytes = new Uint8Array(slots * SLOT_BYTES + TAIL_BYTES);
    bytes.set(new Uint8Array(this.view.buffer, 0, this.#slots * SLOT_BYTES));
    this.view = new DataView(bytes.buffer);
    this.#slots = slots;
    const free = new Int32Array(slots);
    free.set(this.#free);
    this.#free = free;
  }
}
