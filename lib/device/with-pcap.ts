/**
 * A device that also writes what passes through it to a pcap file, for tcpdump and Wireshark. Packets are stored as
 * they will be on the wire: checksums completed, super-packets cut, so that a reader sees no false errors.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { invalidOption, PreflexError, rejectUnknownKeys, requireNumber } from '../errors.ts';
import { clockEpochMs, nowNs } from '../sys/clock.ts';
import type { Device } from './device.ts';
import type { DeviceStats } from './device-stats.ts';
import type { PacketBatch } from './packet-batch.ts';
import {
  PCAP_FILE_HEADER_BYTES,
  PCAP_RECORD_HEADER_BYTES,
  writePcapFileHeader,
  writePcapRecordHeader,
} from './pcap.ts';
import { SoftwareOffload } from './software-offload.ts';

const BUFFER_BYTES = 262_144;

/** What {@link withPcap} takes. */
export interface PcapOptions {
  /** The file; it is overwritten. */
  path: string;
  /** Which packets to store, default `both`; `written` means those the device took. */
  direction?: 'read' | 'written' | 'both';
  /** Time of a packet, nanoseconds as nowNs gives them; default nowNs. */
  clock?: () => number;
  /** Wall clock when `clock` was 0, milliseconds since 1970; default clockEpochMs. */
  epochMs?: number;
}

/** A device with a capture file; see {@link withPcap}. */
export interface PcapDevice extends Device {
  /** Packets in the file so far. */
  readonly packetsCaptured: number;
  /** Why capturing ended early (the disk is full); undefined while it goes on. Packets pass all the same. */
  readonly captureError: Error | undefined;
  /** Writes what is still buffered to the file. */
  flush(): void;
}

/**
 * Wraps a device. Closing the wrapper completes the file and closes the device.
 *
 * @throws PreflexError ERR_INVALID_OPTION; ERR_SYSTEM when the file cannot be created
 */
export function withPcap(device: Device, options: PcapOptions): PcapDevice {
  return new CapturingDevice(device, options);
}

class CapturingDevice implements PcapDevice {
  packetsCaptured = 0;
  captureError: Error | undefined;
  readonly #device: Device;
  readonly #clock: () => number;
  // Whole seconds apart from the rest: a float64 cannot hold today's date in nanoseconds.
  readonly #epochSeconds: number;
  readonly #epochNs: number;
  readonly #storesRead: boolean;
  readonly #storesWritten: boolean;
  readonly #offload = new SoftwareOffload();
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  #used = 0;
  #fd: number;

  constructor(device: Device, options: PcapOptions) {
    rejectUnknownKeys('pcap', options, ['path', 'direction', 'clock', 'epochMs']);
    const direction = options.direction ?? 'both';
    if (!['read', 'written', 'both'].includes(direction)) {
      throw invalidOption('pcap.direction', direction, 'read, written or both');
    }
    this.#device = device;
    this.#storesRead = direction !== 'written';
    this.#storesWritten = direction !== 'read';
    this.#clock = options.clock ?? nowNs;
    const epochMs = requireNumber('pcap.epochMs', options.epochMs ?? clockEpochMs, 0, 4_294_967_295_000);
    this.#epochSeconds = Math.floor(epochMs / 1000);
    this.#epochNs = (epochMs - this.#epochSeconds * 1000) * 1e6;
    this.#fd = createFile(options.path);
    writePcapFileHeader(this.#view, 0);
    this.#used = PCAP_FILE_HEADER_BYTES;
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

  read(batch: PacketBatch): number {
    const count = this.#device.read(batch);
    if (count > 0 && this.#storesRead) {
      const now = this.#clock();
      for (let i = 0; i < count; i++) this.#store(batch, i, now);
    }
    return count;
  }

  write(batch: PacketBatch, i: number): boolean {
    const isTaken = this.#device.write(batch, i);
    if (isTaken && this.#storesWritten) this.#store(batch, i, this.#clock());
    return isTaken;
  }

  onReadable(callback: () => void): () => void {
    return this.#device.onReadable(callback);
  }

  flush(): void {
    if (this.#fd < 0) return;
    try {
      for (let at = 0; at < this.#used;) at += writeSync(this.#fd, this.#buffer, at, this.#used - at);
    } catch (error) {
      this.captureError = error as Error;
      this.#closeFile();
    }
    this.#used = 0;
  }

  close(): void {
    this.flush();
    this.#closeFile();
    this.#device.close();
  }

  #store(batch: PacketBatch, i: number, timeNs: number): void {
    if (this.#fd < 0) return;
    const count = this.#offload.prepare(batch, i);
    // What cannot be finished is stored as it is: the file is where one looks for the reason.
    if (count === 0) this.#append(batch.packet(i), timeNs);
    for (let k = 0; k < count; k++) this.#append(this.#offload.segment(k), timeNs);
  }

  #append(packet: Uint8Array, timeNs: number): void {
    if (this.#used + PCAP_RECORD_HEADER_BYTES + packet.length > BUFFER_BYTES) this.flush();
    const ns = Math.floor(this.#epochNs + timeNs);
    const seconds = this.#epochSeconds + Math.floor(ns / 1e9);
    writePcapRecordHeader(this.#view, this.#used, seconds, ns % 1e9, packet.length);
    this.#buffer.set(packet, this.#used + PCAP_RECORD_HEADER_BYTES);
    this.#used += PCAP_RECORD_HEADER_BYTES + packet.length;
    this.packetsCaptured++;
  }

  #closeFile(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

function createFile(path: string): number {
  try {
    return openSync(path, 'w');
  } catch (error) {
    throw new PreflexError('ERR_SYSTEM', `cannot create the capture file: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
