/**
 * Counters every device keeps. Plain numbers, incremented by the device and read by whoever reports them.
 */

/** The device's queue had no room. */
export const REFUSED_QUEUE_FULL = 200;
/** The device is closed. */
export const REFUSED_CLOSED = 201;
/** Checksum or segmentation could not be finished: the packet contradicts its virtio header. */
export const REFUSED_MALFORMED = 202;

const OWN_REASONS = ['queueFull', 'closed', 'malformed'];
const FIRST_OWN_REASON = 200;

/** What went through a device. `packets` are packets of a batch: a super-packet counts once, `segments` of it more. */
export class DeviceStats {
  packetsRead = 0;
  bytesRead = 0;
  packetsWritten = 0;
  bytesWritten = 0;
  /** Packets that write() refused, all reasons together. */
  packetsRefused = 0;
  /** Reads that failed, other than for want of packets. */
  readErrors = 0;
  /** Calls of read() that filled the whole batch: the loop is the bottleneck when this grows. */
  fullReads = 0;

  readonly #refused = new Float64Array(256);
  readonly #nameOf: (errno: number) => string;

  /** @param nameOf - names an errno, for devices that count them; default: its number */
  constructor(nameOf: (errno: number) => string = String) {
    this.#nameOf = nameOf;
  }

  /** Counts a refused packet: an errno, or one of the REFUSED_ constants. @hotpath */
  countRefused(reason: number): void {
    this.packetsRefused++;
    this.#refused[reason & 255]!++;
  }

  /** Refused packets by reason, those that occurred: `{ EIO: 3, queueFull: 1 }`. The values sum to `packetsRefused`. */
  get writeErrors(): Record<string, number> {
    const errors: Record<string, number> = {};
    for (let reason = 0; reason < this.#refused.length; reason++) {
      const count = this.#refused[reason]!;
      if (count > 0) errors[OWN_REASONS[reason - FIRST_OWN_REASON] ?? this.#nameOf(reason)] = count;
    }
    return errors;
  }
}
