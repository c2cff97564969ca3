/**
 * Reads a BPF ring buffer (BPF_MAP_TYPE_RINGBUF): programs put records there, this process takes them away in order.
 *
 * ```
 *  mapped at 0         one page, written by us:       0 consumer position (u64)
 *  mapped at 1 page    one page, the kernel's:        0 producer position (u64)
 *                      then the records, twice one behind the other, so that none is cut at the end:
 *                      0 length (u32; bit 31 being written, bit 30 thrown away)  4 page offset  8 bytes of the record
 * ```
 *
 * @see Documentation/bpf/ringbuf.rst
 */
import { koffi } from './koffi.ts';
import { mapShared, pageBytes, unmap } from './shared-memory.ts';

const HEADER_BYTES = 8;
const BIT_BUSY = 0x8000_0000;
const BIT_DISCARD = 0x4000_0000;

/** The reading side of a ring buffer. */
export class RingBuffer {
  readonly #bytes: number;
  readonly #page = pageBytes();
  readonly #own: bigint;
  readonly #shared: bigint;
  readonly #position: BigUint64Array;
  readonly #produced: BigUint64Array;
  readonly #headers: Int32Array;
  readonly #records: DataView;
  #isOpen = true;

  /**
   * @param fd - of the map; stays the caller's, who polls it for being readable
   * @param bytes - max_entries of the map
   * @throws SystemError
   */
  constructor(fd: number, bytes: number) {
    this.#bytes = bytes;
    this.#own = mapShared(fd, this.#page, { isWritable: true });
    try {
      this.#shared = mapShared(fd, this.#page + 2 * bytes, { offset: this.#page });
    } catch (error) {
      unmap(this.#own, this.#page);
      throw error;
    }
    const shared = koffi.view(this.#shared, this.#page + 2 * bytes);
    this.#position = new BigUint64Array(koffi.view(this.#own, this.#page), 0, 1);
    this.#produced = new BigUint64Array(shared, 0, 1);
    this.#headers = new Int32Array(shared, this.#page);
    this.#records = new DataView(shared, this.#page);
  }

  /**
   * Takes records away.
   *
   * @param visit - called for each: the view, and where in it the record begins; neither holds after the call
   * @param limit - how many at most
   * @returns how many there were
   */
  take(visit: (view: DataView, at: number, length: number) => void, limit: number): number {
    if (!this.#isOpen) return 0;
    const produced = Atomics.load(this.#produced, 0);
    let position = this.#position[0];
    let taken = 0;
    while (position < produced && taken < limit) {
      const at = Number(position % BigInt(this.#bytes));
      const header = Atomics.load(this.#headers, at >> 2) >>> 0;
      if ((header & BIT_BUSY) !== 0) break;
      const length = header & ~BIT_DISCARD;
      if ((header & BIT_DISCARD) === 0) visit(this.#records, at + HEADER_BYTES, length);
      position += BigInt(HEADER_BYTES + Math.ceil(length / 8) * 8);
      // Each by itself: when a record's visit fails, it is not met again.
      Atomics.store(this.#position, 0, position);
      taken++;
    }
    return taken;
  }

  /** Gives the memory back. A second call does nothing. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    unmap(this.#own, this.#page);
    unmap(this.#shared, this.#page + 2 * this.#bytes);
  }
}
