/**
 * Makes a device of a stream-shaped TUN such as the `Tun` class of node-tuntap2: it emits `data` with one IP packet a
 * chunk and takes one packet a `write`. For machines without koffi's binaries, and for tests; about a hundred times
 * slower than TunDevice (docs: 0.1 against 10 Gbit/s), since every packet crosses the streams machinery alone.
 *
 * ```
 *   stream 'data' --> [ queue, `queueLength` packets ] --> read(batch)
 *        paused while the queue is full: the kernel's own queue fills then, and drops
 *   write(batch, i) --> finish offload --> stream.write
 *        while the stream says "full": [ queue, `queueLength` packets ] until 'drain'
 * ```
 */
import { rejectUnknownKeys, requireInteger } from '../errors.ts';
import type { Device } from './device.ts';
import { DeviceStats, REFUSED_CLOSED, REFUSED_MALFORMED, REFUSED_QUEUE_FULL } from './device-stats.ts';
import { MAX_PACKET_BYTES, type PacketBatch } from './packet-batch.ts';
import { PacketQueue } from './packet-queue.ts';
import { ReadableCallback } from './readable-callback.ts';
import { SoftwareOffload } from './software-offload.ts';
import { VIRTIO_HEADER_BYTES } from './virtio-header.ts';

/** What this adapter needs of a stream: the part of node:stream's Duplex that node-tuntap2's Tun has. */
export interface PacketStream {
  /** One IP packet a chunk. */
  on(event: 'data', listener: (packet: Uint8Array) => void): unknown;
  /** The stream takes packets again, or has ended. */
  on(event: 'drain' | 'close' | 'end', listener: () => void): unknown;
  /** The stream is broken. */
  on(event: 'error', listener: (error: Error) => void): unknown;
  /** False when the stream wants no more before `drain`. */
  write(packet: Uint8Array): boolean;
  /** Stops `data` while the adapter's queue is full. */
  pause?(): unknown;
  /** Lets `data` come again. */
  resume?(): unknown;
  /** Closes the stream, where there is no `release`. */
  destroy?(): unknown;
  /** node-tuntap2 closes its descriptor here. */
  release?(): unknown;
}

/** What {@link DuplexDevice} takes. */
export interface DuplexDeviceOptions {
  /** Default `duplex`. */
  name?: string;
  /** 68..65535, default 1500. */
  mtu?: number;
  /** Packets each of the two queues holds, 1..1,000,000, default 512. */
  queueLength?: number;
}

/** See the top of the file. */
export class DuplexDevice implements Device {
  readonly name: string;
  readonly mtu: number;
  readonly stats = new DeviceStats();
  /** Packets from the stream that found the queue full although the stream was paused, or came too long. */
  packetsDropped = 0;
  /** The last error the stream emitted; it closes the device. */
  streamError: Error | undefined;

  readonly #stream: PacketStream;
  readonly #incoming: PacketQueue;
  readonly #outgoing: PacketQueue;
  readonly #readable: ReadableCallback;
  readonly #offload = new SoftwareOffload();
  #isOpen = true;
  #isPaused = false;
  #isBlocked = false;

  /** @throws PreflexError ERR_INVALID_OPTION */
  constructor(stream: PacketStream, options: DuplexDeviceOptions = {}) {
    rejectUnknownKeys('duplex', options, ['name', 'mtu', 'queueLength']);
    this.name = options.name ?? 'duplex';
    this.mtu = requireInteger('duplex.mtu', options.mtu ?? 1500, 68, MAX_PACKET_BYTES);
    const queueLength = options.queueLength ?? 512;
    this.#incoming = new PacketQueue(queueLength, 'duplex.queueLength');
    this.#outgoing = new PacketQueue(queueLength, 'duplex.queueLength');
    this.#readable = new ReadableCallback(this.name, () => this.#incoming.length > 0);
    this.#stream = stream;
    stream.on('error', (error) => {
      this.streamError = error;
      this.#ended();
    });
    stream.on('end', () => this.#ended());
    stream.on('close', () => this.#ended());
    stream.on('drain', () => this.#drain());
    stream.on('data', (packet) => this.#receive(packet));
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
    if (this.#isPaused && this.#incoming.length * 2 <= this.#incoming.capacity) {
      this.#isPaused = false;
      this.#stream.resume?.();
    }
    return count;
  }

  write(batch: PacketBatch, i: number): boolean {
    const refusal = this.#send(batch, i);
    if (refusal !== 0) {
      this.stats.countRefused(refusal);
      return false;
    }
    this.stats.packetsWritten++;
    this.stats.bytesWritten += batch.length[i]!;
    return true;
  }

  onReadable(callback: () => void): () => void {
    return this.#readable.set(callback);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#readable.close();
    this.#incoming.clear();
    this.#outgoing.clear();
    if (this.#stream.release !== undefined) this.#stream.release();
    else this.#stream.destroy?.();
  }

  /** Sends all packets that packet i becomes, or none. Returns the reason of a refusal, 0 when taken. */
  #send(batch: PacketBatch, i: number): number {
    if (!this.#isOpen) return REFUSED_CLOSED;
    const count = this.#offload.prepare(batch, i);
    if (count === 0) return REFUSED_MALFORMED;
    // Half a super-packet would be a loss that TCP has to repair: look for room before cutting.
    if (this.#isBlocked && this.#outgoing.length + count > this.#outgoing.capacity) return REFUSED_QUEUE_FULL;
    const isBlocked = this.#isBlocked;
    for (let k = 0; k < count; k++) {
      const packet = this.#offload.segment(k);
      // The rest of a super-packet follows its first segment even if the stream says "full" in between.
      if (isBlocked) this.#outgoing.push(packet);
      else if (!this.#stream.write(packet)) this.#isBlocked = true;
    }
    return 0;
  }

  #drain(): void {
    this.#isBlocked = false;
    while (!this.#isBlocked && this.#outgoing.length > 0) {
      this.#isBlocked = !this.#stream.write(this.#outgoing.shift()!);
    }
  }

  #receive(packet: Uint8Array): void {
    if (!this.#isOpen) return;
    if (packet.length > MAX_PACKET_BYTES || this.#incoming.isFull) {
      this.packetsDropped++;
      return;
    }
    const stored = new Uint8Array(VIRTIO_HEADER_BYTES + packet.length);
    stored.set(packet, VIRTIO_HEADER_BYTES);
    this.#incoming.push(stored);
    if (this.#incoming.isFull && !this.#isPaused) {
      this.#isPaused = true;
      this.#stream.pause?.();
    }
    this.#readable.notify();
  }

  #ended(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    // What waits can still be read, and the loop is told once that the device has closed.
    this.#readable.notifyOnce();
  }
}
