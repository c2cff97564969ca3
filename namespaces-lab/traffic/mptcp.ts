/**
 * MPTCP sockets: the kernel makes them only for who asks for the protocol, and Node does not. A descriptor is made here
 * and handed to Node before it is connected, or when it has an address to listen at; everything after is as with TCP.
 *
 * @see RFC 8684, linux/mptcp.h
 */
import type { Server, SocketConstructorOpts } from 'node:net';
import { SystemError } from '../../lib/sys/errno.ts';
import { closeFile, declareFunction, lastErrno } from '../../lib/sys/libc.ts';
import { readTcpInfo } from '../../lib/sys/socket-options.ts';
import { parseTcpInfo, TCP_INFO_BYTES } from '../../lib/sys/tcp-info.ts';
import { bindSocket, makeSocket } from '../../lib/sys/socket-calls.ts';

const AF_INET = 2;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;
const IPPROTO_MPTCP = 262;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SOL_MPTCP = 284;
const MPTCP_TCPINFO = 2;
const SOCKADDR_IN_BYTES = 16;
/** struct mptcp_subflow_data, and subflows that it is followed by at most. */
const SUBFLOW_DATA_BYTES = 16;
const MAX_SUBFLOWS = 8;

const cSetsockopt = declareFunction(
  'int setsockopt(int fd, int level, int option, const void *value, uint32_t length)',
) as unknown as (fd: number, level: number, option: number, value: ArrayBufferView, length: number) => number;
const cGetsockopt = declareFunction(
  'int getsockopt(int fd, int level, int option, void *value, void *length)',
) as unknown as (
  fd: number,
  level: number,
  option: number,
  value: ArrayBufferView,
  length: Uint32Array,
) => number;

/** Makes an MPTCP socket over IPv4. The caller owns the descriptor. @throws SystemError when the kernel has none */
export function openMptcp(): number {
  const fd = makeSocket(AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, IPPROTO_MPTCP);
  if (fd < 0) {
    throw new SystemError('socket', lastErrno(), 'MPTCP over IPv4', 'it takes net.mptcp.enabled=1');
  }
  return fd;
}

/** Options of `net.connect` that make the connection one of MPTCP. Node owns the descriptor then. @throws SystemError */
export function mptcpOptions(): SocketConstructorOpts {
  // Without manualStart Node reads at once, before there is a connection.
  const options: SocketConstructorOpts & { readonly manualStart: boolean } = {
    fd: openMptcp(),
    manualStart: true,
  };
  return options;
}

/** Lets a server listen for MPTCP, and for TCP, at a port of all addresses. @throws SystemError */
export function listenMptcp(server: Server, port: number, backlog: number, onListening: () => void): void {
  const fd = openMptcp();
  const address = new Uint8Array(SOCKADDR_IN_BYTES);
  new DataView(address.buffer).setUint16(0, AF_INET, true);
  new DataView(address.buffer).setUint16(2, port);
  cSetsockopt(fd, SOL_SOCKET, SO_REUSEADDR, new Int32Array([1]), 4);
  if (bindSocket(fd, address, address.length) < 0) {
    const errno = lastErrno();
    closeFile(fd);
    throw new SystemError(`bind to port ${port}`, errno, 'an MPTCP socket');
  }
  server.listen({ fd, backlog }, onListening);
}

/** The kernel's account of a connection. */
export interface MptcpAccount {
  /** Subflows that it has now; 0: it has fallen back to TCP. */
  readonly subflows: number;
  /** Sum of their tcpi_bytes_retrans, or that of the TCP connection. */
  readonly bytesRetrans: number;
}

/** Reads the accounts of a connection's subflows. @throws SystemError */
export function readMptcpAccount(fd: number): MptcpAccount {
  const bytes = new Uint8Array(SUBFLOW_DATA_BYTES + MAX_SUBFLOWS * TCP_INFO_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, SUBFLOW_DATA_BYTES, true);
  view.setUint32(12, TCP_INFO_BYTES, true);
  const length = new Uint32Array([bytes.length]);
  // A connection that has fallen back is a TCP socket, which knows nothing of this level.
  if (cGetsockopt(fd, SOL_MPTCP, MPTCP_TCPINFO, bytes, length) < 0) {
    return { subflows: 0, bytesRetrans: readTcpInfo(fd).bytesRetrans };
  }
  return parseSubflows(bytes);
}

/** Reads struct mptcp_subflow_data and what follows it. Pure. */
export function parseSubflows(bytes: Uint8Array): MptcpAccount {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const subflows = view.getUint32(4, true);
  const first = view.getUint32(0, true);
  const each = view.getUint32(12, true);
  let bytesRetrans = 0;
  for (let i = 0; i < Math.min(subflows, MAX_SUBFLOWS); i++) {
    const at = first + i * each;
    bytesRetrans += parseTcpInfo(bytes.subarray(at, at + TCP_INFO_BYTES)).bytesRetrans;
  }
  return { subflows, bytesRetrans };
}
