/**
 * A network interface's properties, by ioctl: what a TUN needs right after it was made. Addresses, routes and moves
 * between namespaces are done by lib/netns with iproute2. All functions act in the network namespace of the calling
 * thread.
 *
 * ```
 *  struct ifreq (40 bytes):  0 ifr_name[16]   16 union: ifr_flags (u16), ifr_ifindex, ifr_mtu, ifr_qlen (i32)
 * ```
 *
 * @see netdevice(7)
 */
import { invalidOption } from '../errors.ts';
import { ENODEV, EPERM, SystemError } from './errno.ts';
import { closeFile, ioctlBytes, lastErrno } from './libc.ts';
import { makeSocket } from './socket-calls.ts';

/** Bytes of struct ifreq on 64-bit Linux. */
export const IFREQ_BYTES = 40;
/** Where the union of struct ifreq starts. */
export const IFREQ_UNION = 16;

/** Interface flag: administratively up. */
export const IFF_UP = 0x1;
/** Interface flag: resources allocated; a TUN has it while up and attached to a descriptor. */
export const IFF_RUNNING = 0x40;

const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFMTU = 0x8921;
const SIOCSIFMTU = 0x8922;
const SIOCGIFHWADDR = 0x8927;
const SIOCGIFINDEX = 0x8933;
const SIOCGIFTXQLEN = 0x8942;
const SIOCSIFTXQLEN = 0x8943;

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;

/**
 * Checks an interface name by the kernel's rules: 1 to 15 bytes, no `/`, `:`, white space or `%` (a template), not
 * `.` or `..`.
 *
 * @throws PreflexError ERR_INVALID_OPTION
 */
export function requireInterfaceName(field: string, name: string): string {
  const isValid =
    typeof name === 'string' &&
    /^[\x21-\x7e]{1,15}$/.test(name) &&
    !/[/:%]/.test(name) &&
    name !== '.' &&
    name !== '..';
  if (!isValid) {
    throw invalidOption(
      field,
      name,
      'an interface name: 1 to 15 printable ASCII characters without space, "/", ":" or "%"',
    );
  }
  return name;
}

/** A struct ifreq with the name filled in. */
export function interfaceRequest(name: string): Uint8Array {
  const request = new Uint8Array(IFREQ_BYTES);
  for (let i = 0; i < name.length; i++) request[i] = name.charCodeAt(i);
  return request;
}

/** The interface's index, or 0 when there is none of that name. */
export function interfaceIndex(name: string): number {
  try {
    return readField(name, SIOCGIFINDEX, 'SIOCGIFINDEX');
  } catch (error) {
    if (error instanceof SystemError && error.errno === ENODEV) return 0;
    throw error;
  }
}

/** The IFF_ flags. @throws SystemError ENODEV when there is no such interface */
export function interfaceFlags(name: string): number {
  return readField(name, SIOCGIFFLAGS, 'SIOCGIFFLAGS') & 0xffff;
}

/** The largest packet, bytes. @throws SystemError */
export function interfaceMtu(name: string): number {
  return readField(name, SIOCGIFMTU, 'SIOCGIFMTU');
}

/** The length of the transmit queue, packets. @throws SystemError */
export function interfaceQueueLength(name: string): number {
  return readField(name, SIOCGIFTXQLEN, 'SIOCGIFTXQLEN');
}

/** The hardware type, ARPHRD_*: 1 for Ethernet, 65534 for a TUN. @see linux/if_arp.h @throws SystemError */
export function interfaceHardwareType(name: string): number {
  return readField(name, SIOCGIFHWADDR, 'SIOCGIFHWADDR') & 0xffff;
}

/** Sets the largest packet, bytes. @throws SystemError EINVAL outside what the device takes */
export function writeInterfaceMtu(name: string, mtu: number): void {
  writeField(name, SIOCSIFMTU, 'SIOCSIFMTU', mtu);
}

/** Sets the length of the transmit queue, packets. @throws SystemError */
export function writeInterfaceQueueLength(name: string, packets: number): void {
  writeField(name, SIOCSIFTXQLEN, 'SIOCSIFTXQLEN', packets);
}

/** Brings the interface up or takes it down; other flags stay. @throws SystemError */
export function setInterfaceUp(name: string, isUp = true): void {
  const flags = interfaceFlags(name);
  writeField(name, SIOCSIFFLAGS, 'SIOCSIFFLAGS', isUp ? flags | IFF_UP : flags & ~IFF_UP);
}

function readField(name: string, request: number, operation: string): number {
  const ifreq = interfaceRequest(requireInterfaceName('name', name));
  callSocketIoctl(request, ifreq, operation, name);
  return new DataView(ifreq.buffer).getInt32(IFREQ_UNION, isLittleEndian);
}

function writeField(name: string, request: number, operation: string, value: number): void {
  const ifreq = interfaceRequest(requireInterfaceName('name', name));
  new DataView(ifreq.buffer).setInt32(IFREQ_UNION, value, isLittleEndian);
  callSocketIoctl(request, ifreq, operation, name);
}

function callSocketIoctl(request: number, ifreq: Uint8Array, operation: string, name: string): void {
  // Made for each call: a socket belongs to the namespace it was made in, and these calls are rare.
  const fd = makeSocket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) throw new SystemError('socket', lastErrno(), 'AF_INET datagram');
  try {
    ioctlBytes(fd, request, ifreq, operation, name, remedyFor);
  } finally {
    closeFile(fd);
  }
}

function remedyFor(errno: number): string | undefined {
  if (errno === EPERM) return 'changing an interface needs root or CAP_NET_ADMIN';
  if (errno === ENODEV) return 'no interface of that name in this network namespace';
  return undefined;
}

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
