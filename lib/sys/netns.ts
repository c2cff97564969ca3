/**
 * The network namespace of the calling thread. Node's files, timers and child processes made by this thread follow
 * it; other threads of the process stay where they are, so a process can hold a worker thread for each namespace.
 */
import { EPERM, SystemError } from './errno.ts';
import { Fd } from './fd.ts';
import { declareFunction, lastErrno, O_RDONLY, openFile } from './libc.ts';
import { makeSocket } from './socket-calls.ts';
import { readSocketOptionBytes, SOL_SOCKET } from './socket-options.ts';

const CLONE_NEWNET = 0x40000000;
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SO_NETNS_COOKIE = 71;
const cSetns = declareFunction('int setns(int fd, int type)') as unknown as (
  fd: number,
  type: number,
) => number;
const cUnshare = declareFunction('int unshare(int flags)') as unknown as (flags: number) => number;

/**
 * Moves this thread into a namespace.
 *
 * @param path - for example `/run/netns/NAME` or `/proc/PID/ns/net`
 * @throws SystemError
 */
export function enterNetworkNamespace(path: string): void {
  const fd = new Fd(openFile(path, O_RDONLY), path);
  try {
    if (cSetns(fd.number, CLONE_NEWNET) < 0) throw new SystemError('setns', lastErrno(), path, remedy());
  } finally {
    fd.close();
  }
}

/**
 * Runs `body` with this thread in a namespace, and moves it back. Whatever else the thread does meanwhile is there too.
 *
 * @param path - as for {@link enterNetworkNamespace}
 * @throws SystemError
 */
export async function withinNetworkNamespace<T>(path: string, body: () => Promise<T>): Promise<T> {
  const own = new Fd(openFile('/proc/thread-self/ns/net', O_RDONLY), 'the own namespace');
  try {
    enterNetworkNamespace(path);
    return await body();
  } finally {
    enterNetworkNamespace(`/proc/self/fd/${own.number}`);
    own.close();
  }
}

/**
 * Moves this thread into a new namespace without a name, with nothing but a loopback interface that is down. It goes
 * when nothing uses it any more.
 *
 * @throws SystemError
 */
export function enterNewNetworkNamespace(): void {
  if (cUnshare(CLONE_NEWNET) < 0)
    throw new SystemError('unshare', lastErrno(), 'a network namespace', remedy());
}

/**
 * A number of this thread's namespace that no other gets until the next boot, in decimal digits; its inode is given to
 * another one once it is gone. Undefined before Linux 5.14.
 *
 * @throws SystemError
 */
export function networkNamespaceCookie(): string | undefined {
  const number = makeSocket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (number < 0) throw new SystemError('socket', lastErrno(), 'AF_UNIX');
  const socket = new Fd(number, 'a socket');
  const bytes = new Uint8Array(new ArrayBuffer(8));
  try {
    readSocketOptionBytes(number, SOL_SOCKET, SO_NETNS_COOKIE, bytes);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  } finally {
    socket.close();
  }
  return String(new DataView(bytes.buffer).getBigUint64(0, true));
}

function remedy(): string | undefined {
  return lastErrno() === EPERM ? 'network namespaces need root or CAP_SYS_ADMIN' : undefined;
}
