/**
 * A bounded first-in-first-out queue of packets that owns copies of their bytes. For the devices that keep packets:
 * in memory, behind a stream, or held back by a fault. It allocates for every packet; a TUN does not go through it.
 */
import { requireInteger } from '../errors.ts';
import type { PacketBatch } from './packet-batch.ts';
import { VIRTIO_HEADER_BYTES } from './virtio-header.ts';

/** A packet with its virtio header in front, in bytes of its own. */
export type StoredPacket = Uint8Array;

/** Copies packet i of a batch together with its virtio header. */
export function storePacket(batch: PacketBatch, i: number): StoredPacket {
  const at = batch.at[i]!;
  return batch.bytes.slice(at - VIRTIO_HEADER_BYTES, at + batch.length[i]!);
}

/** Appends a stored packet to a batch that has room. */
export function pushStored(batch: PacketBatch, stored: StoredPacket): number {
  return batch.push(stored.subarray(VIRTIO_HEADER_BYTES), stored.subarray(0, VIRTIO_HEADER_BYTES));
}

/** A bounded queue of stored packets. */
export class PacketQueue {
  readonly capacity: number;
  #packets: StoredPacket[] = [];
  #head = 0;

  /** @param capacity - packets, 1..1,000,000 */
  constructor(capacity: number, field = 'queueLength') {
    this.capacity = requireInteger(field, capacity, 1, 1_000_000);
  }

  /** Packets waiting. */
  get length(): number {
    return this.#packets.length - this.#head;
  }

  get isFull(): boolean {
    return this.length >= this.capacity;
  }

  /** Appends; false when the queue is full. */
  push(stored: StoredPacket): boolean {
    if (this.isFull) return false;
    this.#packets.push(stored);
    return true;
  }

  /** Removes the oldest packet, undefined when empty. */
  shift(): StoredPacket | undefined {
    if (this.length === 0) return undefined;
    const stored = this.#packets[this.#head++]!;
    // Array.shift moves every element; drop the consumed front now and then instead.
    if (this.#head > 1024 && this.#head * 2 > this.#packets.length) {
      this.#packets = this.#packets.slice(this.#head);
      this.#head = 0;
    }
    return stored;
  }

  /** Moves packets into the batch from slot 0 until it is full or the queue empty. Returns the batch's count. */
  drainInto(batch: PacketBatch): number {
    batch.count = 0;
    while (batch.count < batch.capacity && this.length > 0) pushStored(batch, this.shift()!);
    return batch.count;
  }

  /** Forgets everything. */
  clear(): void {
    this.#packets = [];
    this.#head = 0;
  }
}
