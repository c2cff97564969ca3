/** Whole Ethernet frames by a packet socket: sent out of a device and taken as they come in to it. */
import { closeFile, declareFunction, lastErrno, readBytes, writeBytes } from '../../lib/sys/libc.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { makeSocket } from '../../lib/sys/socket-calls.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3 | 0o4000 | 0o2000000; // non-blocking, closed on exec
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;
const LARGEST_FRAME = 65_550;
/** struct sockaddr_ll. */
const ADDRESS_BYTES = 20;

const cBind = declareFunction('int bind(int fd, const void *address, uint32_t length)') as unknown as (
  fd: number,
  address: Uint8Array,
  length: number,
) => number;

/** A packet socket on one device of this thread's network namespace. */
export class FramePort {
  readonly #fd: Fd;
  readonly #buffer = new Uint8Array(LARGEST_FRAME);

  /** @throws Error when the kernel refuses */
  constructor(device: string) {
    const fd = makeSocket(AF_PACKET, SOCK_RAW, ALL_PROTOCOLS);
    if (fd < 0) throw new Error(`no packet socket: errno ${lastErrno()}`);
    const address = new DataView(new ArrayBuffer(ADDRESS_BYTES));
    address.setUint16(0, AF_PACKET, true);
    address.setUint16(2, ALL_PROTOCOLS, true);
    address.setInt32(4, interfaceIndex(device), true);
    if (cBind(fd, new Uint8Array(address.buffer), ADDRESS_BYTES) < 0) {
      const errno = lastErrno();
      closeFile(fd);
      throw new Error(`cannot bind a packet socket to ${device}: errno ${errno}`);
    }
    this.#fd = new Fd(fd, 'the packet socket');
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
