/** A service manager's end of a notify socket: a bound Unix datagram socket, and what came in. */
import { lastErrno, readBytes } from '../../lib/sys/libc.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { unixAddress } from '../../lib/sys/notify-socket.ts';
import { waitFor } from '../../lib/netns/index.ts';
import { bindSocket, makeSocket } from '../../lib/sys/socket-calls.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const MAX_DATAGRAM = 4096;

/** Receives until it is closed. */
export class NotifyReceiver {
  /** Every datagram so far, in order. */
  readonly messages: string[] = [];
  readonly #fd: Fd;

  /** @param address - `/path` or `@name` */
  constructor(address: string) {
    this.#fd = new Fd(makeSocket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), 'the notify receiver');
    const name = unixAddress(address);
    if (bindSocket(this.#fd.number, name, name.length) < 0)
      throw new Error(`bind ${address}: errno ${lastErrno()}`);
  }

  /** Waits for a message that begins like this, at or after position `from`. */
  async waitFor(start: string, from = 0, timeoutMs = 20_000): Promise<string> {
    return waitFor(
      `the message ${start}`,
      () => {
        this.receive();
        return this.messages.slice(from).find((message) => message.startsWith(start));
      },
      { timeoutMs },
    );
  }

  /** Takes what has come; returns how many messages there are now. */
  receive(): number {
    const bytes = new Uint8Array(MAX_DATAGRAM);
    for (;;) {
      const length = readBytes(this.#fd.number, bytes);
      if (length < 0) return this.messages.length;
      this.messages.push(new TextDecoder().decode(bytes.subarray(0, length)));
    }
  }

  close(): void {
    this.#fd.close();
  }
}
