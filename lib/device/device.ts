/**
 * The contract between the packet loop and whatever packets come from and go to: a TUN, an in-memory twin, or a
 * wrapper around another device (capture, faults). Every one passes the same tests, test/device/contract.ts.
 *
 * A turn of the loop is: readable callback, read a batch, rewrite headers in place, write each packet somewhere.
 * A packet keeps its virtio header in the bytes before it, so a device with offload hands super-packets and
 * unfinished checksums on as they are; a device without finishes them before they leave (software-offload.ts).
 */
import type { DeviceStats } from './device-stats.ts';
import type { PacketBatch } from './packet-batch.ts';

export { DeviceStats } from './device-stats.ts';
export { PacketBatch, slotAt, MAX_PACKET_BYTES, PACKET_HEADROOM } from './packet-batch.ts';

/** Something that packets can be read from and written to. */
export interface Device {
  /** Name for people and metrics; a TUN's is its interface name. */
  readonly name: string;
  /** Largest packet, bytes, that the device sends on (a super-packet may be longer: it is cut to this). */
  readonly mtu: number;
  /** False once closed, or once the system took the device away (`ip link del`). Never true again. */
  readonly isOpen: boolean;
  /** Counters since the device was opened. */
  readonly stats: DeviceStats;

  /**
   * Fills the batch from slot 0 and sets `batch.count`. Does not block and never throws.
   *
   * @returns the count; 0 when nothing is waiting or the device is closed. A full batch means that more may be waiting.
   */
  read(batch: PacketBatch): number;

  /**
   * Sends packet i of the batch, whichever device it was read from. Does not block and never throws; the packet's
   * bytes are no longer needed when it returns, and are not changed.
   *
   * @returns false when the packet was refused; the reason is counted in `stats`
   */
  write(batch: PacketBatch, i: number): boolean;

  /**
   * Calls back, in the event loop, when packets are waiting, and again as long as some are left after a callback
   * that read. One callback at a time: a second call before the first one's stop is a mistake of the caller.
   *
   * @returns stops it; calling it twice does nothing
   * @throws PreflexError ERR_INVALID_OPTION when a callback is set already or the device is closed
   */
  onReadable(callback: () => void): () => void;

  /** Releases what the device holds; an interface goes away. A second call does nothing. */
  close(): void;
}
