/**
 * The system calls of UDP sockets that node:dgram does not have: many messages in one call, the traffic class of each
 * one, segmentation offload. Acts on descriptors that belong to somebody else (a dgram socket's handle).
 *
 * Only for 64-bit little-endian Linux, whose structures send-vector.ts and receive-vector.ts lay out by hand.
 *
 * @see sendmmsg(2), recvmmsg(2), udp(7)
 */
import { endianness } from 'node:os';
import { EPERM } from './errno.ts';
import { koffi, nativeCallsMissing } from './koffi.ts';
import { SocketWatch } from './socket-watch.ts';

const ENOSYS = 38;
const MSG_DONTWAIT = 0x40;
const INTERFACE_NAME_BYTES = 16;
/** Processors whose structures are those of x86-64. */
const SUPPORTED = ['x64', 'arm64', 'riscv64', 'loong64', 'ppc64'];

/** The calls. Those that fail return -1 and leave the reason in {@link DatagramCalls.lastErrno}. */
export interface DatagramCalls {
  /** Sends `count` messages of a vector of struct mmsghdr; returns how many. @hotpath */
  sendMessages(fd: number, address: number, count: number): number;
  /**
   * Sends one datagram without control messages, 0.2 us quicker than a vector of one; returns its bytes. `name` and
   * `nameBytes` are 0 on a connected socket. @hotpath
   */
  sendBytes(fd: number, address: number, bytes: number, name: number, nameBytes: number): number;
  /** Receives up to `count` messages into a vector of struct mmsghdr; returns how many. @hotpath */
  receiveMessages(fd: number, address: number, count: number): number;
  /** The error number of the last call that failed; ask before the next call. @hotpath */
  lastErrno(): number;
  /** Sets an option whose value is an int. Returns 0 or the error number. */
  setOption(fd: number, level: number, option: number, value: number): number;
  /** Index of an interface, 0 when there is none of that name. */
  interfaceIndex(name: string): number;
  /** Name of an interface, empty when there is none with that index. */
  interfaceName(index: number): string;
  /** Where a buffer's bytes are; see addressOf of libc.ts. */
  addressOf(buffer: ArrayBuffer): number;
  /** Watches a descriptor in the event loop. */
  watch(fd: number, onEvent: (isBroken: boolean) => void): SocketWatch;
}

let calls: DatagramCalls | string | undefined;

/** The calls, or in words why this platform has none. Asked once; nothing is thrown. */
export function loadDatagramCalls(): DatagramCalls | string {
  calls ??= probe();
  return calls;
}

function probe(): DatagramCalls | string {
  if (nativeCallsMissing !== undefined) return nativeCallsMissing;
  if (!SUPPORTED.includes(process.arch) || endianness() !== 'LE') {
    return `the processor is ${process.arch} (${endianness()}), not one of ${SUPPORTED.join(', ')}`;
  }
  try {
    const found = bindCalls();
    // No descriptor is -1: what works answers EBADF, what a sandbox refuses something else.
    const refused = [
      ['sendmmsg', found.sendMessages(-1, 0, 0)],
      ['recvmmsg', found.receiveMessages(-1, 0, 0)],
    ].find(([, result]) => result === -1 && [ENOSYS, EPERM].includes(found.lastErrno()));
    return refused === undefined ? found : `the system refuses ${refused[0]}`;
  } catch (error) {
    return `the system's library lacks a call: ${firstLine(error)}`;
  }
}

function bindCalls(): DatagramCalls {
  const libc = koffi.load(null);
  const bind = <T>(prototype: string): T => libc.func(prototype) as unknown as T;
  const cSendmmsg = bind<(fd: number, vector: number, count: number, flags: number) => number>(
    'int sendmmsg(int fd, uintptr_t vector, uint32_t count, int flags)',
  );
  const cSend = bind<(fd: number, address: number, bytes: number, flags: number) => number>(
    'long send(int fd, uintptr_t address, size_t bytes, int flags)',
  );
  const cSendto = bind<
    (fd: number, address: number, bytes: number, flags: number, name: number, nameBytes: number) => number
  >('long sendto(int fd, uintptr_t address, size_t bytes, int flags, uintptr_t name, uint32_t nameBytes)');
  const cRecvmmsg = bind<
    (fd: number, vector: number, count: number, flags: number, timeout: number) => number
  >('int recvmmsg(int fd, uintptr_t vector, uint32_t count, int flags, uintptr_t timeout)');
  const cSetsockopt = bind<
    (fd: number, level: number, option: number, value: Int32Array, length: number) => number
  >('int setsockopt(int fd, int level, int option, const void *value, uint32_t length)');
  const cNametoindex = bind<(name: string) => number>('uint32_t if_nametoindex(const char *name)');
  const cIndextoname = bind<(index: number, name: Uint8Array) => unknown>(
    'void *if_indextoname(uint32_t index, void *name)',
  );
  const lastErrno = koffi.errno as () => number;
  return {
    sendMessages: (fd, address, count) => cSendmmsg(fd, address, count, MSG_DONTWAIT),
    sendBytes: (fd, address, bytes, name, nameBytes) =>
      nameBytes === 0
        ? cSend(fd, address, bytes, MSG_DONTWAIT)
        : cSendto(fd, address, bytes, MSG_DONTWAIT, name, nameBytes),
    receiveMessages: (fd, address, count) => cRecvmmsg(fd, address, count, MSG_DONTWAIT, 0),
    lastErrno,
    setOption: (fd, level, option, value) =>
      cSetsockopt(fd, level, option, new Int32Array([value]), 4) < 0 ? lastErrno() : 0,
    interfaceIndex: (name) => cNametoindex(name),
    interfaceName: (index) => {
      const name = new Uint8Array(INTERFACE_NAME_BYTES);
      cIndextoname(index, name);
      return String.fromCharCode(...name.subarray(0, name.indexOf(0)));
    },
    addressOf: (buffer) => Number(koffi.address(new Uint8Array(buffer))),
    watch: (fd, onEvent) => new SocketWatch(fd, onEvent),
  };
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0]!;
}
