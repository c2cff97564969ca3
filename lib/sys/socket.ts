/**
 * Kernel TCP sockets made by hand, for the laboratory: Node's own cannot be given options before they connect (an
 * initial sequence number, a congestion control for the SYN, a DSCP). Once connected they become node sockets.
 *
 * ```
 *   TcpSocket.open(4) -> writeInitialSequence, writeTrafficClass, ... (fd) -> connect() -> intoNodeSocket()
 * ```
 */
import { isIP, Socket } from 'node:net';
import { invalidOption, requireInteger } from '../errors.ts';
import { parseAddress } from '../wire/addr.ts';
import { EAGAIN, EINPROGRESS, SystemError } from './errno.ts';
import { Fd } from './fd.ts';
import { declareFunction, lastErrno, readBytes, writeBytes } from './libc.ts';
import { Poll } from './poll.ts';
import { readSocketOption, SO_ERROR, SO_REUSEADDR, SOL_SOCKET, writeSocketOption } from './socket-options.ts';
import { bindSocket, makeSocket } from './socket-calls.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_FLAGS = 0o4000 | 0o2000000; // SOCK_NONBLOCK | SOCK_CLOEXEC
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;

type AddressCall = (fd: number, address: Uint8Array, length: number) => number;
const cConnect = declareFunction(
  'int connect(int fd, const void *address, uint32_t length)',
) as unknown as AddressCall;
const cListen = declareFunction('int listen(int fd, int backlog)') as unknown as (
  fd: number,
  n: number,
) => number;
const cShutdown = declareFunction('int shutdown(int fd, int how)') as unknown as (
  fd: number,
  how: number,
) => number;
const cGetsockname = declareFunction('int getsockname(int fd, void *address, void *length)') as unknown as (
  fd: number,
  address: Uint8Array,
  length: Uint32Array,
) => number;
const cAccept = declareFunction('int accept4(int fd, void *address, void *length, int flags)') as unknown as (
  fd: number,
  address: null,
  length: null,
  flags: number,
) => number;

/** A non-blocking TCP socket. */
export class TcpSocket {
  /** 4 or 6. */
  readonly version: 4 | 6;
  readonly #fd: Fd;
  // Ends the waits that are under way; libuv must not watch a number that the next open file may get.
  readonly #waits = new Set<() => void>();

  /** Makes a socket. @throws SystemError */
  static open(version: 4 | 6 = 4): TcpSocket {
    const fd = makeSocket(version === 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_FLAGS, 0);
    if (fd < 0) throw new SystemError('socket', lastErrno(), `TCP over IPv${version}`);
    return new TcpSocket(fd, version);
  }

  private constructor(fd: number, version: 4 | 6) {
    this.#fd = new Fd(fd, 'the TCP socket');
    this.version = version;
  }

  /** The descriptor, for lib/sys/socket-options.ts. @throws PreflexError after close or intoNodeSocket */
  get fd(): number {
    return this.#fd.number;
  }

  get isOpen(): boolean {
    return this.#fd.isOpen;
  }

  /** Port of the local end; 0 before it has one. @throws SystemError */
  get localPort(): number {
    const address = new Uint8Array(SOCKADDR_IN6_BYTES);
    if (cGetsockname(this.fd, address, new Uint32Array([address.length])) < 0)
      throw this.#failure('getsockname');
    return (address[2]! << 8) | address[3]!;
  }

  /** Takes a local address and port (0: the kernel chooses). @throws SystemError */
  bind(address: string, port = 0): void {
    writeSocketOption(this.fd, SOL_SOCKET, SO_REUSEADDR, 1);
    const socketAddress = this.#socketAddress(address, port, 0);
    if (bindSocket(this.fd, socketAddress, socketAddress.length) < 0)
      throw this.#failure(`bind to ${address} port ${port}`);
  }

  /** Accepts connections from now on. @throws SystemError */
  listen(backlog = 128): void {
    if (cListen(this.fd, backlog) < 0) throw this.#failure('listen');
  }

  /** The next connection, undefined when none waits. @throws SystemError */
  accept(): TcpSocket | undefined {
    const fd = cAccept(this.fd, null, null, SOCK_FLAGS);
    if (fd >= 0) return new TcpSocket(fd, this.version);
    if (lastErrno() === EAGAIN) return undefined;
    throw this.#failure('accept4');
  }

  /**
   * Connects.
   *
   * @param port - 1..65535
   * @throws SystemError, also as a rejection: ECONNREFUSED, ETIMEDOUT...
   */
  async connect(address: string, port: number): Promise<void> {
    const operation = `connect to ${address} port ${port}`;
    const socketAddress = this.#socketAddress(address, port, 1);
    if (cConnect(this.fd, socketAddress, socketAddress.length) < 0) {
      if (lastErrno() !== EINPROGRESS) throw this.#failure(operation);
      await this.#ready('writable');
      const errno = readSocketOption(this.fd, SOL_SOCKET, SO_ERROR);
      if (errno !== 0) throw new SystemError(operation, errno, 'a TCP socket');
    }
  }

  /** Waits until reading (or accepting) will not block. */
  readable(): Promise<void> {
    return this.#ready('readable');
  }

  /** Waits until writing will not block. */
  writable(): Promise<void> {
    return this.#ready('writable');
  }

  /** Reads what there is. Returns bytes, 0 at the end, or minus the errno (-EAGAIN: nothing waits). */
  read(bytes: Uint8Array): number {
    return readBytes(this.fd, bytes);
  }

  /** Writes what fits. Returns bytes, or minus the errno. A peer that reset gives -EPIPE; node ignores SIGPIPE. */
  write(bytes: Uint8Array): number {
    return writeBytes(this.fd, bytes);
  }

  /** Sends a FIN. @throws SystemError */
  shutdownWrite(): void {
    if (cShutdown(this.fd, 1) < 0) throw this.#failure('shutdown');
  }

  /** Hands a connected socket over to Node; this object counts as closed then. */
  intoNodeSocket(): Socket {
    for (const end of this.#waits) end();
    return new Socket({ fd: this.#fd.release(), readable: true, writable: true, allowHalfOpen: true });
  }

  /** Closes; whoever waits goes on and finds it closed. A second call does nothing. */
  close(): void {
    for (const end of this.#waits) end();
    this.#fd.close();
  }

  #ready(direction: 'readable' | 'writable'): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        poll.close();
        this.#waits.delete(end);
        resolve();
      };
      // A broken poll ends the wait too: the next call on the socket says what is wrong.
      const poll = new Poll(this.fd, direction, end, end);
      this.#waits.add(end);
    });
  }

  #socketAddress(address: string, port: number, minPort: number): Uint8Array {
    requireInteger('port', port, minPort, 65_535);
    if (isIP(address) !== this.version)
      throw invalidOption('address', address, `an IPv${this.version} address`);
    const bytes = new Uint8Array(this.version === 4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
    new Uint16Array(bytes.buffer, 0, 1)[0] = this.version === 4 ? AF_INET : AF_INET6;
    bytes[2] = port >> 8;
    bytes[3] = port & 0xff;
    bytes.set(parseAddress(address), this.version === 4 ? 4 : 8);
    return bytes;
  }

  #failure(operation: string): SystemError {
    return new SystemError(operation, lastErrno(), 'a TCP socket');
  }
}
