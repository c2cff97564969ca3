/**
 * A device without a kernel, for tests and simulations of the datapath. Packets put in by one side come out of the
 * other in order, synchronously, without timers; the virtio headers go along.
 *
 * ```
 *   test: inject(packet) --> [ queue ] --> read(batch)   the code under test
 *   test: collect()      <-- [ queue ] <-- write(batch, i)
 *
 *   memoryPair():  a.write --> b.read,  b.write --> a.read
 * ```
 */
import { rejectUnknownKeys, requireInteger } from '../errors.ts';
import type { Device } from './device.ts';
import { DeviceStats, REFUSED_CLOSED, REFUSED_QUEUE_FULL } from './device-stats.ts';
import { MAX_PACKET_BYTES, type PacketBatch } from './packet-batch.ts';
import { PacketQueue, storePacket, type StoredPacket } from './packet-queue.ts';
import { ReadableCallback } from './readable-callback.ts';
import { VIRTIO_HEADER_BYTES } from './virtio-header.ts';

/** What {@link MemoryDevice} takes. */
export interface MemoryDeviceOptions {
  /** Default `memory`. */
  name?: string;
  /** 68..65535, default 1500. Told to whoever asks; not enforced. */
  mtu?: number;
  /** Packets each queue holds, 1..1,000,000, default 10,000. */
  queueLength?: number;
}

/** A packet that came out of the test's side. */
export interface CollectedPacket {
  readonly packet: Uint8Array;
  /** Ten bytes; all zero when nothing was put off. */
  readonly virtioHeader: Uint8Array;
}

/** See the top of the file. */
export class MemoryDevice implements Device {
  readonly name: string;
  readonly mtu: number;
  readonly stats = new DeviceStats();
  readonly #incoming: PacketQueue;
  readonly #outgoing: PacketQueue;
  readonly #readable: ReadableCallback;
  #peer: MemoryDevice | undefined;
  #isOpen = true;

  /** @throws PreflexError ERR_INVALID_OPTION */
  constructor(options: MemoryDeviceOptions = {}) {
    rejectUnknownKeys('memory', options, ['name', 'mtu', 'queueLength']);
    this.name = options.name ?? 'memory';
    this.mtu = requireInteger('memory.mtu', options.mtu ?? 1500, 68, MAX_PACKET_BYTES);
    const queueLength = options.queueLength ?? 10_000;
    this.#incoming = new PacketQueue(queueLength, 'memory.queueLength');
    this.#outgoing = new PacketQueue(queueLength, 'memory.queueLength');
    this.#readable = new ReadableCallback(this.name, () => this.#incoming.length > 0);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  read(batch: PacketBatch): number {
    this.#readable.noteRead();
    const count = this.#incoming.drainInto(batch);
    this.stats.packetsRead += count;
    for (let i = 0; i < count; i++) this.stats.bytesRead += batch.length[i]!;
    if (count === batch.capacity) this.stats.fullReads++;
    return count;
  }

  write(batch: PacketBatch, i: number): boolean {
    const refusal = this.#refusal();
    if (refusal !== 0) {
      this.stats.countRefused(refusal);
      return false;
    }
    const stored = storePacket(batch, i);
    if (this.#peer === undefined) this.#outgoing.push(stored);
    else this.#peer.#receive(stored);
    this.stats.packetsWritten++;
    this.stats.bytesWritten += batch.length[i]!;
    return true;
  }

  onReadable(callback: () => void): () => void {
    return this.#readable.set(callback);
  }

  close(): void {
    this.#isOpen = false;
    this.#readable.close();
    this.#incoming.clear();
  }

  /**
   * The test's side: makes a packet readable. Copies it.
   *
   * @param virtioHeader - ten bytes; default: nothing was put off
   * @returns false when the queue is full or the device closed
   */
  inject(packet: Uint8Array, virtioHeader?: Uint8Array): boolean {
    const stored = new Uint8Array(VIRTIO_HEADER_BYTES + packet.length);
    if (virtioHeader !== undefined) stored.set(virtioHeader.subarray(0, VIRTIO_HEADER_BYTES));
    stored.set(packet, VIRTIO_HEADER_BYTES);
    return this.#receive(stored);
  }

  /** The test's side: takes every packet written so far, oldest first. Of a device that has no peer. */
  collect(): CollectedPacket[] {
    const packets: CollectedPacket[] = [];
    for (let stored = this.#outgoing.shift(); stored !== undefined; stored = this.#outgoing.shift()) {
      packets.push({
        packet: stored.subarray(VIRTIO_HEADER_BYTES),
        virtioHeader: stored.subarray(0, VIRTIO_HEADER_BYTES),
      });
    }
    return packets;
  }

  /** Connects two devices: what one writes the other reads. @internal */
  static connect(a: MemoryDevice, b: MemoryDevice): void {
    a.#peer = b;
    b.#peer = a;
  }

  #refusal(): number {
    if (!this.#isOpen || this.#peer?.isOpen === false) return REFUSED_CLOSED;
    return (this.#peer === undefined ? this.#outgoing : this.#peer.#incoming).isFull ? REFUSED_QUEUE_FULL : 0;
  }

  #receive(stored: StoredPacket): boolean {
    if (!this.#isOpen || !this.#incoming.push(stored)) return false;
    this.#readable.notify();
    return true;
  }
}

/** Two connected devices, named `NAME.a` and `NAME.b`. Options as for {@link MemoryDevice}. */
export function memoryPair(options: MemoryDeviceOptions = {}): [MemoryDevice, MemoryDevice] {
  const name = options.name ?? 'memory';
  const a = new MemoryDevice({ ...options, name: `${name}.a` });
  const b = new MemoryDevice({ ...options, name: `${name}.b` });
  MemoryDevice.connect(a, b);
  return [a, b];
}
