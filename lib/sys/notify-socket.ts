/**
 * Datagrams to a service manager: the socket that systemd names in NOTIFY_SOCKET, a file or (with `@` before its name) an
 * abstract one. Node has no Unix datagrams.
 *
 * @see sd_notify(3), unix(7)
 */
import { invalidOption } from '../errors.ts';
import { SystemError } from './errno.ts';
import { Fd } from './fd.ts';
import { declareFunction, lastErrno } from './libc.ts';
import { makeSocket } from './socket-calls.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** Longest name in struct sockaddr_un, bytes; a path ends with a zero byte within them. */
const MAX_NAME_BYTES = 108;
/** How long a message that matters waits for a manager that is busy, seconds. */
const WAIT_SECONDS = 1;

const cSetsockopt = declareFunction(
  'int setsockopt(int fd, int level, int option, const void *value, uint32_t length)',
) as unknown as (fd: number, level: number, option: number, value: BigInt64Array, length: number) => number;
const cSendto = declareFunction(
  'long sendto(int fd, const void *bytes, size_t length, int flags, const void *name, uint32_t nameBytes)',
) as unknown as (
  fd: number,
  bytes: Uint8Array,
  length: number,
  flags: number,
  name: Uint8Array,
  nameBytes: number,
) => number;

/** The sending end. */
export class NotifySocket {
  readonly #fd: Fd;
  readonly #name: Uint8Array;

  /**
   * @param address - as in NOTIFY_SOCKET: `/path` or `@name`
   * @throws PreflexError ERR_INVALID_OPTION for another kind of address; SystemError
   */
  static open(address: string): NotifySocket {
    const name = unixAddress(address);
    const fd = makeSocket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
    if (fd < 0) throw new SystemError('socket', lastErrno(), 'a Unix datagram socket');
    return new NotifySocket(new Fd(fd, 'the notify socket'), name);
  }

  private constructor(fd: Fd, name: Uint8Array) {
    this.#fd = fd;
    this.#name = name;
    // struct timeval
    const limit = new BigInt64Array([BigInt(WAIT_SECONDS), 0n]);
    cSetsockopt(fd.number, SOL_SOCKET, SO_SNDTIMEO, limit, limit.byteLength);
  }

  /**
   * Sends one message.
   *
   * @param mayWait - wait up to a second while the manager's queue is full
   * @returns false when it did not go: the manager is gone or busy
   */
  send(text: string, mayWait: boolean): boolean {
    const bytes = new TextEncoder().encode(text);
    const flags = mayWait ? MSG_NOSIGNAL : MSG_NOSIGNAL | MSG_DONTWAIT;
    return (
      cSendto(this.#fd.number, bytes, bytes.length, flags, this.#name, this.#name.length) === bytes.length
    );
  }

  close(): void {
    this.#fd.close();
  }
}

/**
 * struct sockaddr_un of a path or an abstract name, as long as it has to be.
 *
 * @throws PreflexError ERR_INVALID_OPTION
 */
export function unixAddress(address: string): Uint8Array {
  const name = Buffer.from(address);
  const isAbstract = address.startsWith('@');
  if ((!isAbstract && !address.startsWith('/')) || name.length < 2 || name.length >= MAX_NAME_BYTES) {
    throw invalidOption('NOTIFY_SOCKET', address, `/PATH or @NAME of at most ${MAX_NAME_BYTES - 1} bytes`);
  }
  const structure = new Uint8Array(2 + name.length + (isAbstract ? 0 : 1));
  new Uint16Array(structure.buffer, 0, 1)[0] = AF_UNIX;
  structure.set(name, 2);
  if (isAbstract) structure[2] = 0;
  return structure;
}
