/**
 * Options of a kernel socket by its descriptor: of a {@link TcpSocket}, or of a node net.Socket through
 * {@link socketFd}.
 *
 * @see socket(7), ip(7), tcp(7)
 */
import type { Socket } from 'node:net';
import { PreflexError, requireInteger } from '../errors.ts';
import { ENOENT, EPERM, SystemError } from './errno.ts';
import { declareFunction, lastErrno } from './libc.ts';
import { IP_TOS, IPV6_TCLASS, SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP } from './socket-levels.ts';
import { parseTcpInfo, TCP_INFO_BYTES, type TcpInfo } from './tcp-info.ts';

export { IP_TOS, IPV6_TCLASS, SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP };

export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_MARK = 36;
export const TCP_MAXSEG = 2;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_USER_TIMEOUT = 18;
const TCP_INFO = 11;
const TCP_CONGESTION = 13;
const TCP_REPAIR = 19;
const TCP_REPAIR_QUEUE = 20;
const TCP_QUEUE_SEQ = 21;
const TCP_SEND_QUEUE = 2;
/** The longest name of a congestion control, TCP_CA_NAME_MAX. */
const CONGESTION_NAME_BYTES = 16;

const cSetsockopt = declareFunction(
  'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)',
) as unknown as (fd: number, level: number, name: number, value: ArrayBufferView, length: number) => number;
const cGetsockopt = declareFunction(
  'int getsockopt(int fd, int level, int name, void *value, void *length)',
) as unknown as (
  fd: number,
  level: number,
  name: number,
  value: ArrayBufferView,
  length: Uint32Array,
) => number;

/**
 * The descriptor of a node socket that is connected or connecting. It stays node's: do not close it.
 *
 * @throws PreflexError ERR_INVALID_OPTION when the socket has none (not connecting yet, or destroyed)
 */
export function socketFd(socket: Socket): number {
  const fd = (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd;
  if (fd === undefined || fd < 0) {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      'the socket has no descriptor: it is not connected, or destroyed',
    );
  }
  return fd;
}

/** Sets an option whose value is an int. @throws SystemError */
export function writeSocketOption(fd: number, level: number, option: number, value: number): void {
  setOption(fd, level, option, new Int32Array([value]), `setsockopt level ${level} option ${option}`);
}

/** An option whose value is an int. @throws SystemError */
export function readSocketOption(fd: number, level: number, option: number): number {
  const value = new Int32Array(1);
  readOption(fd, level, option, value, `getsockopt level ${level} option ${option}`);
  return value[0]!;
}

/**
 * Reads an option of any shape.
 *
 * @param value - filled from its start
 * @returns bytes that the kernel filled in
 * @throws SystemError
 */
export function readSocketOptionBytes(fd: number, level: number, option: number, value: Uint8Array): number {
  return readOption(fd, level, option, value, `getsockopt level ${level} option ${option}`);
}

/** The name of the connection's congestion control. @throws SystemError */
export function readCongestionControl(fd: number): string {
  const name = new Uint8Array(CONGESTION_NAME_BYTES);
  readOption(fd, SOL_TCP, TCP_CONGESTION, name, 'getsockopt TCP_CONGESTION');
  const end = name.indexOf(0);
  return String.fromCharCode(...name.subarray(0, end < 0 ? name.length : end));
}

/**
 * Chooses the congestion control, `cubic` for example.
 *
 * @throws SystemError ENOENT when the kernel does not have it, EPERM when it is not allowed in this namespace
 */
export function writeCongestionControl(fd: number, name: string): void {
  const bytes = Uint8Array.from(name, (letter) => letter.charCodeAt(0));
  setOption(fd, SOL_TCP, TCP_CONGESTION, bytes, `setsockopt TCP_CONGESTION ${name}`, (errno) => {
    if (errno === ENOENT) return 'see sysctl net.ipv4.tcp_available_congestion_control';
    return errno === EPERM ? 'see sysctl net.ipv4.tcp_allowed_congestion_control, or run as root' : undefined;
  });
}

/** The kernel's account of the connection. @throws SystemError */
export function readTcpInfo(fd: number): TcpInfo {
  const bytes = new Uint8Array(TCP_INFO_BYTES);
  readOption(fd, SOL_TCP, TCP_INFO, bytes, 'getsockopt TCP_INFO');
  return parseTcpInfo(bytes);
}

/**
 * The traffic class byte that the socket sends: DSCP in the upper six bits.
 *
 * @param version - the socket's family; IPv4-mapped connections of an IPv6 socket count as 4
 */
export function readTrafficClass(fd: number, version: 4 | 6 = 4): number {
  return version === 4 ? readSocketOption(fd, SOL_IP, IP_TOS) : readSocketOption(fd, SOL_IPV6, IPV6_TCLASS);
}

/** Sets the traffic class byte, 0..255; TCP keeps the two ECN bits for itself. @throws SystemError */
export function writeTrafficClass(fd: number, trafficClass: number, version: 4 | 6 = 4): void {
  requireInteger('trafficClass', trafficClass, 0, 255);
  if (version === 4) writeSocketOption(fd, SOL_IP, IP_TOS, trafficClass);
  else writeSocketOption(fd, SOL_IPV6, IPV6_TCLASS, trafficClass);
}

/**
 * Chooses the sequence number of the SYN of a socket that is not connected yet, so that numbers can be made to wrap
 * in the middle of a short transfer. Uses TCP_REPAIR, which makes a socket's numbers writable.
 *
 * @param sequence - 1..2^32-1 (0 asks the kernel to choose)
 * @throws SystemError EPERM without CAP_NET_ADMIN
 * @see https://lwn.net/Articles/495304/ "TCP connection repair"
 */
export function writeInitialSequence(fd: number, sequence: number): void {
  requireInteger('sequence', sequence, 1, 0xffffffff);
  const setInt = (option: number, value: number, name: string): void =>
    setOption(fd, SOL_TCP, option, new Int32Array([value | 0]), `setsockopt ${name}`, (errno) =>
      errno === EPERM ? 'TCP_REPAIR needs CAP_NET_ADMIN and a socket that is not connected' : undefined,
    );
  setInt(TCP_REPAIR, 1, 'TCP_REPAIR');
  setInt(TCP_REPAIR_QUEUE, TCP_SEND_QUEUE, 'TCP_REPAIR_QUEUE');
  setInt(TCP_QUEUE_SEQ, sequence, 'TCP_QUEUE_SEQ');
  setInt(TCP_REPAIR, 0, 'TCP_REPAIR');
}

type Remedy = (errno: number) => string | undefined;

function setOption(
  fd: number,
  level: number,
  option: number,
  value: ArrayBufferView,
  operation: string,
  remedy?: Remedy,
): void {
  if (cSetsockopt(fd, level, option, value, value.byteLength) < 0) throw failure(operation, fd, remedy);
}

function readOption(
  fd: number,
  level: number,
  option: number,
  value: ArrayBufferView,
  operation: string,
): number {
  const length = new Uint32Array([value.byteLength]);
  if (cGetsockopt(fd, level, option, value, length) < 0) throw failure(operation, fd);
  return length[0]!;
}

function failure(operation: string, fd: number, remedy?: Remedy): SystemError {
  const errno = lastErrno();
  return new SystemError(operation, errno, `socket ${fd}`, remedy?.(errno));
}
