/**
 * The pool that packets live in between the device they are read from and the device they are written to.
 *
 * ```
 *   slot i:  | headroom (64 bytes)          | packet, up to 65,535 bytes                     |
 *            |        virtio header (10) -->|<-- at[i]                       at[i]+length[i] |
 * ```
 * One ArrayBuffer, one DataView and one Uint8Array over all of it: code on the hot path takes `(view, at[i],
 * length[i])` and allocates nothing.
 */
import { PreflexError, requireInteger } from '../errors.ts';
import type { PoolMemory } from '../sys/pool-memory.ts';
import { clearVirtioHeader, VIRTIO_HEADER_BYTES, virtioGsoSize } from './virtio-header.ts';

/** Bytes before each packet. The last ten hold its virtio header; the rest is free for whoever needs to prepend. */
export const PACKET_HEADROOM = 64;

/** The longest packet a slot holds, bytes: what the 16-bit length field of IPv4 can say. */
export const MAX_PACKET_BYTES = 65_535;

/** Bytes from one slot to the next; not a multiple of the page size, so slots do not share cache sets. */
const SLOT_BYTES = PACKET_HEADROOM + 65_536;

/** A pool of fixed slots and the packets of the last read. The one who made it owns it; devices only fill and drain it. */
export class PacketBatch {
  /** How many packets it can hold. */
  readonly capacity: number;
  /** Over the whole pool. */
  readonly view: DataView;
  /** Over the whole pool. */
  readonly bytes: Uint8Array;
  /** Packets in the batch, 0..capacity. */
  count = 0;
  /** Where packet i starts in the pool. A read puts it at the start of slot i; wrappers may reorder entries. */
  readonly at: Int32Array;
  /** Bytes of packet i as captured. */
  readonly length: Int32Array;
  /** Payload bytes a segment when packet i is a super-packet that will be cut; 0 when it is an ordinary packet. */
  readonly gsoSize: Int32Array;
  /** The pool as native calls see it; made by the first device that needs it. @internal */
  poolMemory: PoolMemory | undefined;

  /**
   * @param capacity - packets, 1..1024, default 64 (4.2 MB)
   * @throws PreflexError ERR_INVALID_OPTION
   */
  constructor(capacity = 64) {
    this.capacity = requireInteger('capacity', capacity, 1, 1024);
    const pool = new ArrayBuffer(capacity * SLOT_BYTES);
    this.view = new DataView(pool);
    this.bytes = new Uint8Array(pool);
    this.at = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
    this.gsoSize = new Int32Array(capacity);
    for (let i = 0; i < capacity; i++) this.at[i] = slotAt(i);
  }

  /**
   * Takes packet i, just stored at the start of slot i, into the batch: sets `at` and `length`, and `gsoSize` from
   * the virtio header before it. The caller sets `count` at the end. For devices. @hotpath
   */
  accept(i: number, length: number): void {
    const at = slotAt(i);
    this.at[i] = at;
    this.length[i] = length;
    this.gsoSize[i] = virtioGsoSize(this.view, at);
  }

  /**
   * Appends a copy of a packet. For tests, tools and the slower devices.
   *
   * @param packet - the IP packet
   * @param virtioHeader - its ten header bytes; left out: nothing was put off
   * @returns its index
   * @throws PreflexError ERR_INVALID_OPTION when the batch is full or the packet longer than a slot
   */
  push(packet: Uint8Array, virtioHeader?: Uint8Array): number {
    if (this.count === this.capacity || packet.length > MAX_PACKET_BYTES) {
      throw new PreflexError(
        'ERR_INVALID_OPTION',
        `a packet of ${packet.length} bytes does not fit: the batch holds ${this.count} of ${this.capacity} packets of up to ${MAX_PACKET_BYTES} bytes`,
      );
    }
    const i = this.count++;
    const at = slotAt(i);
    this.bytes.set(packet, at);
    if (virtioHeader === undefined) clearVirtioHeader(this.view, at);
    else this.bytes.set(virtioHeader.subarray(0, VIRTIO_HEADER_BYTES), at - VIRTIO_HEADER_BYTES);
    this.accept(i, packet.length);
    return i;
  }

  /** A view of packet i's bytes, valid until the next read. Allocates: not for the hot path. */
  packet(i: number): Uint8Array {
    return this.bytes.subarray(this.at[i]!, this.at[i]! + this.length[i]!);
  }

  /** A view of packet i's virtio header, valid until the next read. Allocates: not for the hot path. */
  virtioHeader(i: number): Uint8Array {
    return this.bytes.subarray(this.at[i]! - VIRTIO_HEADER_BYTES, this.at[i]!);
  }
}

/** Where the packet of slot i starts in the pool. @hotpath */
export function slotAt(i: number): number {
  return i * SLOT_BYTES + PACKET_HEADROOM;
}
