/**
 * Socket addresses as the kernel wants them, and as text the way Node writes them.
 *
 * ```
 *  struct sockaddr_in   (16 bytes):  0 family   2 port   4 address            8 zero
 *  struct sockaddr_in6  (28 bytes):  0 family   2 port   4 flow information   8 address[16]   24 scope
 * ```
 *
 * Held as int32 words of host order, the words that struct and memory share: {@link SOCKET_ADDRESS_WORDS} of them.
 */
import { isIP } from 'node:net';
import { parseAddress } from '../wire/addr.ts';

export const AF_INET = 2;
export const AF_INET6 = 10;
/** Words of the larger of the two structures. */
export const SOCKET_ADDRESS_WORDS = 7;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;
const MAPPED_PREFIX = 0xffff0000 | 0; // ::ffff as the word in host order

/** Bytes of the structure for a family. */
export function socketAddressBytes(family: number): number {
  return family === AF_INET ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES;
}

/**
 * The structure of an address and a port.
 *
 * @param family - AF_INET or AF_INET6
 * @param address - of exactly that family; IPv6 may carry a zone, `fe80::1%eth0`
 * @param port - 0..65535
 * @param interfaceIndex - finds the zone's interface
 * @returns undefined when the address is none of the family
 */
export function encodeSocketAddress(
  family: number,
  address: string,
  port: number,
  interfaceIndex: (name: string) => number,
): Int32Array | undefined {
  if (isIP(address) !== (family === AF_INET ? 4 : 6)) return undefined;
  const words = new Int32Array(SOCKET_ADDRESS_WORDS);
  const bytes = new Uint8Array(words.buffer);
  words[0] = family;
  bytes[2] = port >> 8;
  bytes[3] = port & 0xff;
  const zoneAt = address.indexOf('%');
  bytes.set(parseAddress(zoneAt < 0 ? address : address.slice(0, zoneAt)), family === AF_INET ? 4 : 8);
  if (zoneAt >= 0) words[6] = interfaceIndex(address.slice(zoneAt + 1));
  return words;
}

/** The port of a structure, 0..65535. @hotpath */
export function socketPort(words: Int32Array, at: number): number {
  const swapped = words[at]! >>> 16;
  return ((swapped & 0xff) << 8) | (swapped >> 8);
}

/** Whether the IPv6 structure holds an IPv4 address (`::ffff:192.0.2.1`), which then travels as IPv4. */
export function isMappedAddress(words: Int32Array): boolean {
  return (words[0]! & 0xffff) === AF_INET6 && words[2] === 0 && words[3] === 0 && words[4] === MAPPED_PREFIX;
}

/**
 * The address of a structure as Node's own sockets write it: libuv's inet_ntop, and the interface behind a link-local
 * address.
 *
 * @param interfaceName - finds the name of an interface by its index
 */
export function formatSocketAddress(words: Int32Array, interfaceName: (index: number) => string): string {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, SOCKADDR_IN6_BYTES);
  if ((words[0]! & 0xffff) === AF_INET) return bytes.subarray(4, 8).join('.');
  const text = formatIpv6(bytes.subarray(8, 24));
  const isLinkLocal = bytes[8] === 0xfe && (bytes[9]! & 0xc0) === 0x80;
  const name = isLinkLocal && words[6] !== 0 ? interfaceName(words[6]!) : '';
  return name === '' ? text : `${text}%${name}`;
}

/** The longest run of two or more zero groups, the first of equal ones, is written `::`. */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let bestAt = -1;
  let bestLength = 1;
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > bestLength) {
      bestAt = at;
      bestLength = length;
    }
  }
  const hasDottedTail = bestAt === 0 && (bestLength === 6 || (bestLength === 5 && groups[5] === 0xffff));
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  const tail = hasDottedTail ? bytes.subarray(12).join('.') : '';
  const end = hasDottedTail ? 6 : 8;
  if (bestAt < 0) return hex(0, 8);
  // A run of seven reaches into the dotted part.
  const rest = [hex(Math.min(bestAt + bestLength, end), end), tail].filter((part) => part !== '').join(':');
  return `${hex(0, bestAt)}::${rest}`;
}
