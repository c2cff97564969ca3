/**
 * A Linux TUN interface: IP packets that the kernel routes into it are read here, packets written here come out of it.
 *
 * Opened with IFF_VNET_HDR always, so that super-packets and unfinished checksums of any other device can be written
 * to it as they are. `offload` says only what this side is ready to read: with it, super-packets of up to 64 KiB and
 * deferred checksums; without it the kernel cuts and sums before the packet is read. Datagram segmentation (USO) is
 * never asked for: a burst of UDP datagrams read as one packet would get one marking decision, and a flow's first
 * burst would leave as many FNE packets where the protocol allows one.
 *
 * When this process is slower than the kernel the interface's queue (`queueLength` packets) fills, and further packets
 * are dropped by the kernel, counted in /sys/class/net/NAME/statistics/tx_dropped and nowhere in `stats`. TCP in the
 * same machine does not feel the queue (a TUN takes a packet out of TCP's small-queue accounting), so that is loss
 * made by the reader: hence the long default.
 *
 * Nothing persists: the interface goes when the last descriptor closes, also when the process is killed.
 */
import { PreflexError, rejectUnknownKeys, requireInteger } from '../errors.ts';
import { EAGAIN, EBADFD, EBUSY, EINVAL, EINTR, ENOENT, EPERM, errnoName } from '../sys/errno.ts';
import { Fd } from '../sys/fd.ts';
import {
  IFREQ_UNION,
  interfaceRequest,
  requireInterfaceName,
  setInterfaceUp,
  writeInterfaceMtu,
  writeInterfaceQueueLength,
} from '../sys/interface.ts';
import {
  addressOf,
  ioctlBytes,
  ioctlNumber,
  lastErrno,
  O_NONBLOCK,
  O_RDWR,
  openFile,
  readRaw,
  writeRaw,
} from '../sys/libc.ts';
import { Poll } from '../sys/poll.ts';
import type { Device } from './device.ts';
import { DeviceStats, REFUSED_CLOSED } from './device-stats.ts';
import { MAX_PACKET_BYTES, slotAt, type PacketBatch } from './packet-batch.ts';
import { VIRTIO_HEADER_BYTES } from './virtio-header.ts';

const TUN_PATH = '/dev/net/tun';
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETLE = 0x400454dc;
const IFF_TUN = 0x0001;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
/** Fail when the name exists, instead of attaching to it. */
const IFF_TUN_EXCL = 0x8000;
const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_TSO_ECN = 0x08;

/** What {@link TunDevice.open} takes. */
export interface TunOptions {
  /** Interface name, 1 to 15 characters; it must not exist yet. */
  name: string;
  /** Largest packet, bytes, 68..65535, default 1500. IPv6 needs 1280. */
  mtu?: number;
  /** Packets the kernel holds for the reader, 1..1,000,000, default 10,000. */
  queueLength?: number;
  /** Whether to read super-packets and unfinished checksums, default true. */
  offload?: boolean;
  /** Whether to bring the interface up, default true. One that is moved to another namespace has to be brought up there. */
  up?: boolean;
}

/** One queue of a TUN interface. */
export class TunDevice implements Device {
  readonly name: string;
  readonly mtu: number;
  readonly stats = new DeviceStats(errnoName);

  readonly #fd: Fd;
  // The descriptor's number again, -1 once closed: the hot path tests it without a call.
  #number: number;
  #poll: Poll | undefined;

  /**
   * Makes an interface with one queue.
   *
   * @throws PreflexError ERR_INVALID_OPTION; SystemError, for example EPERM, or EBUSY when the name is taken
   */
  static open(options: TunOptions): TunDevice {
    return openQueues(options, 1)[0]!;
  }

  /**
   * Makes an interface with several queues; the kernel spreads flows over them. Each queue is a device of its own,
   * with its own counters; the interface goes when all are closed.
   *
   * @param queues - 1..256
   * @throws as {@link TunDevice.open}
   */
  static openQueues(options: TunOptions, queues: number): TunDevice[] {
    return openQueues(options, requireInteger('queues', queues, 1, 256));
  }

  /** Use {@link TunDevice.open}. @internal */
  constructor(fd: Fd, name: string, mtu: number) {
    this.#fd = fd;
    this.#number = fd.number;
    this.name = name;
    this.mtu = mtu;
  }

  get isOpen(): boolean {
    return this.#number >= 0;
  }

  /** See {@link Device.read}. @hotpath */
  read(batch: PacketBatch): number {
    const fd = this.#number;
    const stats = this.stats;
    batch.count = 0;
    if (fd < 0) return 0;
    const base = poolAddress(batch) - VIRTIO_HEADER_BYTES;
    let count = 0;
    let bytes = 0;
    while (count < batch.capacity) {
      const taken = readRaw(fd, base + slotAt(count), VIRTIO_HEADER_BYTES + MAX_PACKET_BYTES);
      if (taken <= VIRTIO_HEADER_BYTES) {
        if (taken < 0 && lastErrno() === EINTR) continue;
        this.#endOfRead(taken);
        break;
      }
      batch.accept(count++, taken - VIRTIO_HEADER_BYTES);
      bytes += taken - VIRTIO_HEADER_BYTES;
    }
    batch.count = count;
    stats.packetsRead += count;
    stats.bytesRead += bytes;
    if (count === batch.capacity) stats.fullReads++;
    return count;
  }

  /** See {@link Device.write}. @hotpath */
  write(batch: PacketBatch, i: number): boolean {
    const fd = this.#number;
    if (fd < 0) {
      this.stats.countRefused(REFUSED_CLOSED);
      return false;
    }
    const length = batch.length[i]!;
    const start = poolAddress(batch) + batch.at[i]! - VIRTIO_HEADER_BYTES;
    let taken = writeRaw(fd, start, VIRTIO_HEADER_BYTES + length);
    while (taken < 0) {
      const errno = lastErrno();
      if (errno !== EINTR) {
        this.stats.countRefused(errno);
        // The interface was deleted under us.
        if (errno === EBADFD) this.close();
        return false;
      }
      taken = writeRaw(fd, start, VIRTIO_HEADER_BYTES + length);
    }
    this.stats.packetsWritten++;
    this.stats.bytesWritten += length;
    return true;
  }

  onReadable(callback: () => void): () => void {
    if (this.#poll !== undefined) {
      throw new PreflexError('ERR_INVALID_OPTION', `${this.name}: a readable callback is set already`);
    }
    const poll = new Poll(this.#fd.number, 'readable', callback, () => {
      this.close();
      // Once more, so that the loop sees isOpen turn false.
      callback();
    });
    this.#poll = poll;
    return () => {
      poll.close();
      if (this.#poll === poll) this.#poll = undefined;
    };
  }

  close(): void {
    // The poll first: libuv must not watch a number that the next open file may get.
    this.#poll?.close();
    this.#poll = undefined;
    this.#number = -1;
    this.#fd.close();
  }

  #endOfRead(taken: number): void {
    if (taken >= 0) {
      // The kernel hands out no packet without bytes; counted in case it ever does, so that the loop ends.
      this.stats.readErrors++;
      return;
    }
    const errno = lastErrno();
    if (errno === EAGAIN) return;
    this.stats.readErrors++;
    if (errno === EBADFD) this.close();
  }
}

/** Where the batch's pool is in memory. @hotpath */
function poolAddress(batch: PacketBatch): number {
  if (batch.poolAddress === 0) batch.poolAddress = addressOf(batch.view.buffer);
  return batch.poolAddress;
}

function openQueues(options: TunOptions, queues: number): TunDevice[] {
  rejectUnknownKeys('tun', options, ['name', 'mtu', 'queueLength', 'offload', 'up']);
  const name = requireInterfaceName('tun.name', options.name);
  const mtu = requireInteger('tun.mtu', options.mtu ?? 1500, 68, MAX_PACKET_BYTES);
  const queueLength = requireInteger('tun.queueLength', options.queueLength ?? 10_000, 1, 1_000_000);
  const flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
  const descriptors: Fd[] = [];
  try {
    for (let queue = 0; queue < queues; queue++) {
      const fd = new Fd(openFile(TUN_PATH, O_RDWR | O_NONBLOCK, remedyForOpen), `TUN ${name}`);
      descriptors.push(fd);
      attach(fd.number, name, queue === 0 ? flags | IFF_TUN_EXCL : flags);
      enableOffload(fd.number, name, options.offload ?? true);
    }
    writeInterfaceQueueLength(name, queueLength);
    writeInterfaceMtu(name, mtu);
    if (options.up ?? true) setInterfaceUp(name);
  } catch (error) {
    for (const fd of descriptors) fd.close();
    throw error;
  }
  return descriptors.map((fd) => new TunDevice(fd, name, mtu));
}

function attach(fd: number, name: string, flags: number): void {
  const request = interfaceRequest(name);
  // Native byte order; both flag bytes are set by number so that no endianness is assumed.
  new Uint16Array(request.buffer, IFREQ_UNION, 1)[0] = flags;
  ioctlBytes(fd, TUNSETIFF, request, 'TUNSETIFF', name, remedyForAttach);
}

function enableOffload(fd: number, name: string, offload: boolean): void {
  // The default byte order of the virtio header is the machine's; say little-endian on every machine.
  ioctlBytes(fd, TUNSETVNETLE, new Uint8Array(new Int32Array([1]).buffer), 'TUNSETVNETLE', name);
  const features = offload ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN : 0;
  const errno = ioctlNumber(fd, TUNSETOFFLOAD, features);
  if (errno !== 0) {
    throw new PreflexError(
      'ERR_SYSTEM',
      `ioctl TUNSETOFFLOAD failed for ${name}: ${errnoName(errno)}; open it with offload: false`,
    );
  }
}

function remedyForOpen(errno: number): string | undefined {
  if (errno === ENOENT) return 'load the driver: modprobe tun';
  if (errno === EPERM || errno === 13) return 'opening a TUN needs root or CAP_NET_ADMIN';
  return undefined;
}

function remedyForAttach(errno: number): string | undefined {
  if (errno === EPERM) return 'making an interface needs root or CAP_NET_ADMIN';
  if (errno === EBUSY || errno === EINVAL)
    return 'the name is taken by another interface, or the kernel lacks a TUN feature';
  return undefined;
}
