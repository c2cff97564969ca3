/**
 * The traffic class of the TCP segments that a kernel socket received, without root. What there is of it:
 *
 * ```
 *                        IPv4                                   IPv6
 *  accepted connection   of its SYN (TCP_SAVE_SYN)              of its SYN, and of the segment that came last
 *  connecting side       not kept by the kernel                 of the segment that came last, the SYN-ACK first
 * ```
 * On an IPv4 socket IP_RECVTOS and IP_PKTOPTIONS give the class of the third segment of the handshake for ever, and 0
 * on the connecting side. A kernel under SYN flood (SYN cookies) saves no SYN.
 *
 * @see tcp_v6_do_rcv, tcp_v4_syn_recv_sock and do_ip_getsockopt in Linux 6.18
 */
import { readSocketOptionBytes, SOL_IPV6, SOL_TCP, writeSocketOption } from './socket-options.ts';

const TCP_SAVE_SYN = 27;
const TCP_SAVED_SYN = 28;
const IPV6_2292PKTOPTIONS = 6;
const IPV6_RECVTCLASS = 66;
const IPV6_TCLASS = 67;

/** Bytes of the longest IPv4 and TCP headers; the kernel saves those of the SYN and nothing else. */
const SAVED_SYN_BYTES = 256;
const CONTROL_BYTES = 256;
/** struct cmsghdr on 64-bit Linux: length 8, level 4, type 4, data. */
const CMSG_LEVEL = 8;
const CMSG_TYPE = 12;
const CMSG_DATA = 16;

/** Has a listening socket keep the SYN of every connection that it takes from now on. @throws SystemError */
export function saveSyns(listeningFd: number): void {
  writeSocketOption(listeningFd, SOL_TCP, TCP_SAVE_SYN, 1);
}

/**
 * The traffic class of the SYN of an accepted connection. It can be read once: the kernel then forgets it.
 *
 * @returns 0..255, or undefined when the SYN was not saved or was read before
 * @throws SystemError
 */
export function takeSynClass(fd: number): number | undefined {
  const syn = new Uint8Array(SAVED_SYN_BYTES);
  if (readSocketOptionBytes(fd, SOL_TCP, TCP_SAVED_SYN, syn) < 2) return undefined;
  const isVersion4 = syn[0]! >> 4 === 4;
  return isVersion4 ? syn[1]! : ((syn[0]! & 0xf) << 4) | (syn[1]! >> 4);
}

/** Has the kernel note the class of each segment that an IPv6 socket receives. @throws SystemError */
export function noteReceivedClass(fd: number): void {
  writeSocketOption(fd, SOL_IPV6, IPV6_RECVTCLASS, 1);
}

/**
 * The traffic class of the last segment that came in order on an IPv6 socket after {@link noteReceivedClass}.
 *
 * @returns 0..255; 0 before the first
 * @throws SystemError
 */
export function readReceivedClass(fd: number): number {
  const control = new Uint8Array(CONTROL_BYTES);
  const length = readSocketOptionBytes(fd, SOL_IPV6, IPV6_2292PKTOPTIONS, control);
  const view = new DataView(control.buffer);
  for (let at = 0; at + CMSG_DATA <= length;) {
    const size = view.getUint32(at, isLittleEndian);
    const isClass =
      view.getInt32(at + CMSG_LEVEL, isLittleEndian) === SOL_IPV6 &&
      view.getInt32(at + CMSG_TYPE, isLittleEndian) === IPV6_TCLASS;
    if (isClass) return view.getInt32(at + CMSG_DATA, isLittleEndian) & 0xff;
    at += Math.max(CMSG_DATA, (size + 7) & ~7);
  }
  return 0;
}

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
