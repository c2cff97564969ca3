/** Whole Ethernet frames by a packet socket: sent out of a device and taken as they come in to it. */
import { interfaceIndex } from '../../lib/sys/interface.ts';
import type { Fd } from '../../lib/sys/fd.ts';
import { readBytes, writeBytes } from '../../lib/sys/libc.ts';
import { openRawSocket } from './raw-socket.ts';

const AF_PACKET = 17;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;
const LARGEST_FRAME = 65_550;
/** struct sockaddr_ll. */
const ADDRESS_BYTES = 20;

/** A packet socket on one device of this thread's network namespace. */
export class FramePort {
  readonly #fd: Fd;
  readonly #buffer = new Uint8Array(LARGEST_FRAME);

  /** @throws Error when the kernel refuses */
  constructor(device: string) {
    const address = new DataView(new ArrayBuffer(ADDRESS_BYTES));
    address.setUint16(0, AF_PACKET, true);
    address.setUint16(2, ALL_PROTOCOLS, true);
    address.setInt32(4, interfaceIndex(device), true);
    this.#fd = openRawSocket({
      family: AF_PACKET,
      protocol: ALL_PROTOCOLS,
      address: new Uint8Array(address.buffer),
      use: 'bind',
    });
  }

  /** Sends a frame out of the device. */
  send(frame: Uint8Array): void {
    const sent = writeBytes(this.#fd.number, frame);
    if (sent !== frame.length) throw new Error(`a frame was not sent: errno ${-sent}`);
  }

  /** Frames that came since the last call, as copies. */
  take(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (;;) {
      const taken = readBytes(this.#fd.number, this.#buffer);
      if (taken <= 0) return frames;
      frames.push(this.#buffer.slice(0, taken));
    }
  }

  close(): void {
    this.#fd.close();
  }
}
