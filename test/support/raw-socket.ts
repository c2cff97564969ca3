/** Raw sockets of the tests, non-blocking and closed on exec: whole frames of a device, or messages of a protocol. */
import { Fd } from '../../lib/sys/fd.ts';
import { closeFile, declareFunction, lastErrno } from '../../lib/sys/libc.ts';
import { bindSocket, makeSocket } from '../../lib/sys/socket-calls.ts';

const SOCK_RAW = 3 | 0o4000 | 0o2000000; // SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC

/** connect(2), as {@link bindSocket}. */
const connectSocket = declareFunction(
  'int connect(int fd, const void *address, uint32_t length)',
) as unknown as typeof bindSocket;

/** Which raw socket. */
export interface RawSocketOptions {
  readonly family: number;
  readonly protocol: number;
  /** A struct sockaddr of the family. */
  readonly address: Uint8Array;
  /** What the socket does with the address. */
  readonly use: 'bind' | 'connect';
}

/** Opens a raw socket in this thread's network namespace. @throws Error when the kernel refuses */
export function openRawSocket({ family, protocol, address, use }: RawSocketOptions): Fd {
  const fd = makeSocket(family, SOCK_RAW, protocol);
  if (fd < 0) throw new Error(`no raw socket of family ${family}: errno ${lastErrno()}`);
  const call = use === 'bind' ? bindSocket : connectSocket;
  if (call(fd, address, address.length) < 0) {
    const errno = lastErrno();
    closeFile(fd);
    throw new Error(`cannot ${use} a raw socket of family ${family}: errno ${errno}`);
  }
  return new Fd(fd, 'the raw socket');
}
