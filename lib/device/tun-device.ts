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
import { EAGAIN, EBADFD, EBUSY, EINVAL, EINTR, ENOENT, EPERM, errnoName, SystemError } from '../sys/errno.ts';
import { Fd } from '../sys/fd.ts';
import {
  IFREQ_UNION,
  interfaceRequest,
  requireInterfaceName,
  setInterfaceUp,
  writeInterfaceMtu,
  writeInterfaceQueueLength,
} from '../sys/interface.ts';
import { ioctlBytes, ioctlNumber, O_NONBLOCK, O_RDWR, openFile } from '../sys/libc.ts';
import { Poll } from '../sys/poll.ts';
import { PoolMemory } from '../sys/pool-memory.ts';
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
    const memory = batch.poolMemory ?? mapPool(batch);
    const capacity = batch.capacity;
    let count = 0;
    let bytes = 0;
    while (count < capacity) {
      const taken = memory.read(
        fd,
        slotAt(count) - VIRTIO_HEADER_BYTES,
        VIRTIO_HEADER_BYTES + MAX_PACKET_BYTES,
      );
      if (taken > VIRTIO_HEADER_BYTES) {
        batch.accept(count++, taken - VIRTIO_HEADER_BYTES);
        bytes += taken - VIRTIO_HEADER_BYTES;
      } else if (taken !== -EINTR) {
        if (taken !== -EAGAIN) this.#readFailed(taken);
        break;
      }
    }
    batch.count = count;
    stats.packetsRead += count;
    stats.bytesRead += bytes;
    if (count === capacity) stats.fullReads++;
    return count;
  }

  /** See {@link Device.write}. @hotpath */
  write(batch: PacketBatch, i: number): boolean {
    const fd = this.#number;
    const stats = this.stats;
    if (fd < 0) {
      stats.countRefused(REFUSED_CLOSED);
      return false;
    }
    const memory = batch.poolMemory ?? mapPool(batch);
    const start = batch.at[i]! - VIRTIO_HEADER_BYTES;
    const length = batch.length[i]!;
    let taken = memory.write(fd, start, VIRTIO_HEADER_BYTES + length);
    while (taken === -EINTR) taken = memory.write(fd, start, VIRTIO_HEADER_BYTES + length);
    if (taken < 0) {
      stats.countRefused(-taken);
      // The interface was deleted under us.
      if (taken === -EBADFD) this.close();
      return false;
    }
    stats.packetsWritten++;
    stats.bytesWritten += length;
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

  #readFailed(taken: number): void {
    // The kernel hands out no packet without bytes; counted in case it ever does.
    this.stats.readErrors++;
    if (taken === -EBADFD) this.close();
  }
}

function mapPool(batch: PacketBatch): PoolMemory {
  const memory = new PoolMemory(batch.view.buffer);
  batch.poolMemory = memory;
  return memory;
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
  if (errno !== 0) throw new SystemError('ioctl TUNSETOFFLOAD', errno, name, 'open it with offload: false');
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
