/**
 * A device that mistreats the packets of another: loses, repeats, delays, corrupts and cuts them, each with a
 * probability, from a generator that the caller seeds, so that a failing run can be repeated.
 *
 * ```
 *   packet --> drop? --> corrupt? --> truncate? --> duplicate? --> hold? --> out
 *                                                                   |
 *                                          let go after `holdPackets` further packets of the direction
 * ```
 * There are no timers: a held packet waits for later traffic, or for flush(). A super-packet is one packet here; wrap
 * a TUN with `offload: false` to have faults strike single segments. A corrupted packet has its checksum completed
 * first, so that a receiver can notice (a super-packet cannot be completed: it is passed uncorrupted and counted).
 */
import { rejectUnknownKeys, requireInteger, requireNumber } from '../errors.ts';
import type { Device } from './device.ts';
import type { DeviceStats } from './device-stats.ts';
import { PacketBatch } from './packet-batch.ts';
import { pushStored, storePacket, type StoredPacket } from './packet-queue.ts';
import { SoftwareOffload } from './software-offload.ts';
import { VIRTIO_HEADER_BYTES } from './virtio-header.ts';

/** How one direction is mistreated. Probabilities 0..1, default 0. */
export interface FaultOptions {
  drop?: number;
  duplicate?: number;
  /** Probability that a packet is held back, and so overtaken. */
  hold?: number;
  /** By how many packets it is overtaken, 1..1000, default 3. */
  holdPackets?: number;
  /** Probability that one byte, anywhere in the packet, gets another value. */
  corrupt?: number;
  /** Probability that the packet ends early; at least one byte is left. */
  truncate?: number;
}

/** What {@link withFaults} takes. */
export interface FaultyDeviceOptions {
  /** Numbers in [0, 1): `seededRandom(seed)`. */
  random: () => number;
  /** For packets read, default none. */
  read?: FaultOptions;
  /** For packets written, default none. */
  write?: FaultOptions;
}

/** What was done to the packets of one direction. passed + dropped + heldNow = packets + duplicated. */
export interface FaultCounters {
  /** Packets that came. */
  packets: number;
  /** Packets that went on, copies included. */
  passed: number;
  dropped: number;
  duplicated: number;
  held: number;
  corrupted: number;
  truncated: number;
  /** Super-packets that were to be corrupted and were not. */
  uncorruptible: number;
}

/** A device with faults; see {@link withFaults}. */
export interface FaultyDevice extends Device {
  readonly readFaults: Readonly<FaultCounters>;
  readonly writeFaults: Readonly<FaultCounters>;
  /** Packets held back at this moment, both directions. */
  readonly heldNow: number;
  /** Lets go of every held packet: those read come with the next read, those written are written now. */
  flush(): void;
}

/**
 * Wraps a device. Closing the wrapper closes the device; packets still held are lost.
 *
 * @throws PreflexError ERR_INVALID_OPTION
 */
export function withFaults(device: Device, options: FaultyDeviceOptions): FaultyDevice {
  return new MistreatingDevice(device, options);
}

class MistreatingDevice implements FaultyDevice {
  readonly #device: Device;
  readonly #reading: FaultLine;
  readonly #writing: FaultLine;
  // Packets read from the device and mistreated, which the last batch had no room for.
  readonly #ready: StoredPacket[] = [];
  readonly #inbox = new PacketBatch();
  readonly #outbox = new PacketBatch(1);
  #callback: (() => void) | undefined;

  constructor(device: Device, options: FaultyDeviceOptions) {
    rejectUnknownKeys('faults', options, ['random', 'read', 'write']);
    this.#device = device;
    this.#reading = new FaultLine('faults.read', options.read ?? {}, options.random);
    this.#writing = new FaultLine('faults.write', options.write ?? {}, options.random);
  }

  get name(): string {
    return this.#device.name;
  }

  get mtu(): number {
    return this.#device.mtu;
  }

  get isOpen(): boolean {
    return this.#device.isOpen;
  }

  get stats(): DeviceStats {
    return this.#device.stats;
  }

  get readFaults(): Readonly<FaultCounters> {
    return this.#reading.counters;
  }

  get writeFaults(): Readonly<FaultCounters> {
    return this.#writing.counters;
  }

  get heldNow(): number {
    return this.#reading.heldNow + this.#writing.heldNow;
  }

  read(batch: PacketBatch): number {
    batch.count = 0;
    // Until something is left over, or nothing waits: zero must mean that the device is empty.
    while (this.#ready.length === 0 && this.#device.read(this.#inbox) > 0) {
      for (let i = 0; i < this.#inbox.count; i++) this.#reading.pass(this.#inbox, i, this.#ready);
    }
    while (batch.count < batch.capacity && this.#ready.length > 0) pushStored(batch, this.#ready.shift()!);
    return batch.count;
  }

  write(batch: PacketBatch, i: number): boolean {
    const out: StoredPacket[] = [];
    this.#writing.pass(batch, i, out);
    return this.#writeAll(out);
  }

  onReadable(callback: () => void): () => void {
    this.#callback = callback;
    const stop = this.#device.onReadable(() => {
      callback();
      // Leftovers are in this wrapper, where the device below cannot see them.
      while (this.#ready.length > 0) {
        const before = this.#ready.length;
        callback();
        if (this.#ready.length >= before) break;
      }
    });
    return () => {
      if (this.#callback === callback) this.#callback = undefined;
      stop();
    };
  }

  flush(): void {
    this.#reading.release(this.#ready);
    if (this.#ready.length > 0) queueMicrotask(() => this.#callback?.());
    const out: StoredPacket[] = [];
    this.#writing.release(out);
    this.#writeAll(out);
  }

  close(): void {
    this.#callback = undefined;
    this.#device.close();
  }

  /** True when no packet was refused: a lost packet counts as taken. */
  #writeAll(packets: readonly StoredPacket[]): boolean {
    let isTaken = true;
    for (const stored of packets) {
      this.#outbox.count = 0;
      pushStored(this.#outbox, stored);
      if (!this.#device.write(this.#outbox, 0)) isTaken = false;
    }
    return isTaken;
  }
}

/** The faults of one direction. */
class FaultLine {
  readonly counters: FaultCounters = {
    packets: 0,
    passed: 0,
    dropped: 0,
    duplicated: 0,
    held: 0,
    corrupted: 0,
    truncated: 0,
    uncorruptible: 0,
  };
  readonly #faults: Required<FaultOptions>;
  readonly #random: () => number;
  readonly #offload = new SoftwareOffload();
  #held: { readonly stored: StoredPacket; readonly dueAt: number }[] = [];

  constructor(field: string, options: FaultOptions, random: () => number) {
    rejectUnknownKeys(field, options, ['drop', 'duplicate', 'hold', 'holdPackets', 'corrupt', 'truncate']);
    const probability = (key: 'drop' | 'duplicate' | 'hold' | 'corrupt' | 'truncate'): number =>
      requireNumber(`${field}.${key}`, options[key] ?? 0, 0, 1);
    this.#faults = {
      drop: probability('drop'),
      duplicate: probability('duplicate'),
      hold: probability('hold'),
      holdPackets: requireInteger(`${field}.holdPackets`, options.holdPackets ?? 3, 1, 1000),
      corrupt: probability('corrupt'),
      truncate: probability('truncate'),
    };
    this.#random = random;
  }

  get heldNow(): number {
    return this.#held.length;
  }

  /** Takes packet i and appends what comes out: nothing, the packet, or more. */
  pass(batch: PacketBatch, i: number, out: StoredPacket[]): void {
    const { counters } = this;
    counters.packets++;
    const stored = this.#damaged(batch, i);
    if (stored !== undefined) this.#send(stored, out);
    this.#releaseDue(out);
  }

  /** Lets go of everything held, in the order it was held. */
  release(out: StoredPacket[]): void {
    for (const { stored } of this.#held) this.#deliver(stored, out);
    this.#held = [];
  }

  #damaged(batch: PacketBatch, i: number): StoredPacket | undefined {
    if (this.#strikes(this.#faults.drop)) {
      this.counters.dropped++;
      return undefined;
    }
    let stored = storePacket(batch, i);
    if (this.#strikes(this.#faults.corrupt)) stored = this.#corrupted(batch, i, stored);
    if (this.#strikes(this.#faults.truncate)) stored = this.#truncated(stored);
    return stored;
  }

  #send(stored: StoredPacket, out: StoredPacket[]): void {
    if (this.#strikes(this.#faults.duplicate)) {
      this.counters.duplicated++;
      this.#deliver(stored.slice(), out);
    }
    if (this.#strikes(this.#faults.hold)) {
      this.counters.held++;
      this.#held.push({ stored, dueAt: this.counters.packets + this.#faults.holdPackets });
    } else {
      this.#deliver(stored, out);
    }
  }

  #releaseDue(out: StoredPacket[]): void {
    // Held in order of their due time, so only the first can be due.
    while (this.#held.length > 0 && this.#held[0]!.dueAt <= this.counters.packets) {
      this.#deliver(this.#held.shift()!.stored, out);
    }
  }

  #deliver(stored: StoredPacket, out: StoredPacket[]): void {
    this.counters.passed++;
    out.push(stored);
  }

  #corrupted(batch: PacketBatch, i: number, stored: StoredPacket): StoredPacket {
    if (stored.length === VIRTIO_HEADER_BYTES) return stored;
    if (batch.gsoSize[i]! > 0 || this.#offload.prepare(batch, i) !== 1) {
      this.counters.uncorruptible++;
      return stored;
    }
    this.counters.corrupted++;
    const damaged = withoutOffload(this.#offload.segment(0));
    const at = VIRTIO_HEADER_BYTES + Math.floor(this.#random() * (damaged.length - VIRTIO_HEADER_BYTES));
    damaged[at] = damaged[at]! ^ (1 + Math.floor(this.#random() * 255));
    return damaged;
  }

  #truncated(stored: StoredPacket): StoredPacket {
    const length = stored.length - VIRTIO_HEADER_BYTES;
    if (length < 2) return stored;
    this.counters.truncated++;
    const left = 1 + Math.floor(this.#random() * (length - 1));
    return withoutOffload(stored.subarray(VIRTIO_HEADER_BYTES, VIRTIO_HEADER_BYTES + left));
  }

  /** Draws nothing for a fault that is switched off: a run with one fault is the same whatever faults exist. */
  #strikes(probability: number): boolean {
    return probability > 0 && this.#random() < probability;
  }
}

/** Stores a packet whose virtio header says that nothing was put off. */
function withoutOffload(packet: Uint8Array): StoredPacket {
  const stored = new Uint8Array(VIRTIO_HEADER_BYTES + packet.length);
  stored.set(packet, VIRTIO_HEADER_BYTES);
  return stored;
}
