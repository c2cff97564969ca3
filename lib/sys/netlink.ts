/**
 * A netlink socket: requests go out, answers and notifications come in. What the bytes say is read by
 * lib/netns/rtnetlink.ts and its kin.
 *
 * ```
 *  struct sockaddr_nl (12 bytes):  0 nl_family (u16)   4 nl_pid (u32)   8 nl_groups (u32)
 * ```
 *
 * @see netlink(7), rtnetlink(7)
 */
import { EAGAIN, EINTR, EPERM, SystemError } from './errno.ts';
import { Fd } from './fd.ts';
import { declareFunction, lastErrno } from './libc.ts';
import { SO_RCVBUF, writeSocketOption } from './socket-options.ts';
import { SOL_SOCKET } from './socket-levels.ts';
import { bindSocket, makeSocket } from './socket-calls.ts';

/** Group of notifications: links. */
export const RTMGRP_LINK = 0x1;
/** Group of notifications: IPv4 addresses. */
export const RTMGRP_IPV4_IFADDR = 0x10;
/** Group of notifications: IPv4 routes. */
export const RTMGRP_IPV4_ROUTE = 0x40;
/** Group of notifications: IPv6 routes. */
export const RTMGRP_IPV6_ROUTE = 0x400;
/** Group of notifications: IPv6 addresses. */
export const RTMGRP_IPV6_IFADDR = 0x100;
/** Group of notifications: filters and queues of devices (tc). */
export const RTMGRP_TC = 0x8;
/** Group of notifications: IPv4 policy routing, RTNLGRP_IPV4_RULE as a bit. */
export const RTMGRP_IPV4_RULE = 0x80;
/** Group of notifications: IPv6 policy routing, RTNLGRP_IPV6_RULE as a bit. */
export const RTMGRP_IPV6_RULE = 0x4_0000;
/** Group of notifications of {@link NETLINK_NETFILTER}: nftables, NFNLGRP_NFTABLES as a bit. */
export const NFNLGRP_NFTABLES_BIT = 0x40;
/** Group of notifications of {@link NETLINK_XFRM}: policies. */
export const XFRMGRP_POLICY = 0x8;
/** Group of notifications: next hop objects (`ip nexthop`), RTNLGRP_NEXTHOP as a bit. */
export const RTMGRP_NEXTHOP = 0x8000_0000;

/** Family: links, addresses, routes, rules, tc. */
export const NETLINK_ROUTE = 0;
/** Family: IPsec. */
export const NETLINK_XFRM = 6;
/** Family: netfilter. */
export const NETLINK_NETFILTER = 12;

const AF_NETLINK = 16;
const SOCK_RAW_FLAGS = 3 | 0o4000 | 0o2000000; // SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC
const SOL_NETLINK = 270;
const NETLINK_GET_STRICT_CHK = 12;
const SO_RCVBUFFORCE = 33;
const MSG_TRUNC = 0x20;
const SOCKADDR_BYTES = 12;

const cGetsockname = declareFunction('int getsockname(int fd, void *address, void *length)') as unknown as (
  fd: number,
  address: Uint32Array,
  length: Uint32Array,
) => number;
const cSend = declareFunction(
  'long send(int fd, const void *bytes, size_t length, int flags)',
) as unknown as (fd: number, bytes: Uint8Array, length: number, flags: number) => number;
const cReceive = declareFunction(
  'long recvfrom(int fd, void *bytes, size_t length, int flags, void *address, void *addressLength)',
) as unknown as (
  fd: number,
  bytes: Uint8Array,
  length: number,
  flags: number,
  address: Uint32Array,
  addressLength: Uint32Array,
) => number;

/** A non-blocking socket in the network namespace of the calling thread. */
export class NetlinkSocket {
  /** Whether the kernel checks dump requests strictly, and so filters by table itself (Linux 4.20). */
  readonly isStrict: boolean;
  /** Its address: messages with it answer requests of this socket, others tell of what somebody did. */
  readonly port: number;
  readonly #fd: Fd;
  readonly #sender = new Uint32Array(SOCKADDR_BYTES / 4);
  readonly #senderLength = new Uint32Array(1);

  /**
   * Makes a socket that is subscribed to groups of notifications. NETLINK_ROUTE needs no privilege.
   *
   * @param groups - RTMGRP_ bits
   * @param receiveBytes - what the kernel may hold for it before it drops notifications (ENOBUFS); without
   *   CAP_NET_ADMIN at most net.core.rmem_max
   * @param family - default {@link NETLINK_ROUTE}
   * @throws SystemError, EPROTONOSUPPORT for a family that this kernel does not have
   */
  static open(groups: number, receiveBytes: number, family = NETLINK_ROUTE): NetlinkSocket {
    const number = makeSocket(AF_NETLINK, SOCK_RAW_FLAGS, family);
    if (number < 0) throw new SystemError('socket', lastErrno(), 'AF_NETLINK');
    const fd = new Fd(number, 'the netlink socket');
    try {
      return new NetlinkSocket(fd, groups, receiveBytes);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  private constructor(fd: Fd, groups: number, receiveBytes: number) {
    this.#fd = fd;
    this.isStrict = isTaken(() => writeSocketOption(fd.number, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1));
    if (!isTaken(() => writeSocketOption(fd.number, SOL_SOCKET, SO_RCVBUFFORCE, receiveBytes), EPERM))
      writeSocketOption(fd.number, SOL_SOCKET, SO_RCVBUF, receiveBytes);
    const words = new Uint32Array(SOCKADDR_BYTES / 4);
    new Uint16Array(words.buffer)[0] = AF_NETLINK;
    words[2] = groups;
    if (bindSocket(fd.number, new Uint8Array(words.buffer), SOCKADDR_BYTES) < 0)
      throw new SystemError('bind', lastErrno(), `netlink groups 0x${groups.toString(16)}`);
    if (cGetsockname(fd.number, words, new Uint32Array([SOCKADDR_BYTES])) < 0)
      throw new SystemError('getsockname', lastErrno(), 'the netlink socket');
    this.port = words[1];
  }

  /** The descriptor, for watching it. @throws PreflexError after close */
  get fd(): number {
    return this.#fd.number;
  }

  /** Sends a request. @throws SystemError */
  send(bytes: Uint8Array): void {
    if (cSend(this.#fd.number, bytes, bytes.length, 0) < 0)
      throw new SystemError('send', lastErrno(), 'the netlink socket');
  }

  /**
   * Receives the next datagram of the kernel; those of other processes are passed over.
   *
   * @param buffer - filled from its start
   * @returns its length, which is more than the buffer's when it was cut off; or minus the errno: -EAGAIN when nothing
   *   waits, -ENOBUFS once when notifications were dropped
   */
  receive(buffer: Uint8Array): number {
    for (;;) {
      this.#senderLength[0] = SOCKADDR_BYTES;
      const length = cReceive(
        this.#fd.number,
        buffer,
        buffer.length,
        MSG_TRUNC,
        this.#sender,
        this.#senderLength,
      );
      if (length < 0) {
        const errno = lastErrno();
        if (errno !== EINTR) return -errno;
      } else if (this.#sender[1] === 0) return length === 0 ? -EAGAIN : length;
    }
  }

  /** Closes; a second call does nothing. */
  close(): void {
    this.#fd.close();
  }
}

/** Whether an option can be set. @param errno - only this error is a no; default any */
function isTaken(set: () => void, errno?: number): boolean {
  try {
    set();
    return true;
  } catch (error) {
    if (error instanceof SystemError && (errno === undefined || error.errno === errno)) return false;
    throw error;
  }
}
