/**
 * Addresses and prefixes as text: strict reading, one spelling, containment. For configuration and plumbing only; the
 * packet path has its own binary forms.
 */
import { isIP, isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Family } from '../netns/index.ts';

/** A prefix in its one spelling, host bits cleared. */
export interface Prefix {
  readonly family: Family;
  /** For example `10.0.0.0/8` or `fd00::/64`. */
  readonly text: string;
  readonly length: number;
  readonly bytes: readonly number[];
}

/** An address in its one spelling (RFC 5952 for IPv6); undefined when it is none. Zones (`%eth0`) are not accepted. */
export function normalizeAddress(text: string): string | undefined {
  // ipaddr.js alone would take "1.2.3" for 1.2.0.3
  if (isIP(text) === 0 || text.includes('%')) return undefined;
  // Strictly read, an IPv4 address has one spelling.
  if (isIPv4(text)) return text;
  const address = ipaddr.parse(text);
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString();
}

/** A prefix such as `10.0.0.0/8`; undefined when it is none. Host bits must be zero unless `allowHostBits`. */
export function parsePrefix(text: string, allowHostBits = false): Prefix | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const address = match?.[1];
  if (address === undefined || isIP(address) === 0 || address.includes('%')) return undefined;
  const family: Family = isIPv4(address) ? 4 : 6;
  const length = Number(match?.[2]);
  if (length > (family === 4 ? 32 : 128)) return undefined;
  // Configuration files hold many of them: by ipaddr.js this function takes two and a half times as long.
  const given = family === 4 ? address.split('.').map(Number) : ipaddr.parse(address).toByteArray();
  const bytes = given.map((byte, index) => byte & maskByte(length, index));
  if (!allowHostBits && bytes.some((byte, index) => byte !== given[index])) return undefined;
  return {
    family,
    text: `${family === 4 ? bytes.join('.') : normalizeAddress(ipaddr.fromByteArray(bytes).toString())}/${length}`,
    length,
    bytes,
  };
}

/** A route's destination as iproute2 writes it (`default`, a bare address, a prefix) as a prefix. */
export function parseRoutePrefix(text: string, family: Family): Prefix | undefined {
  if (text === 'default') return parsePrefix(family === 4 ? '0.0.0.0/0' : '::/0');
  return parsePrefix(text.includes('/') ? text : `${text}/${family === 4 ? 32 : 128}`);
}

/** Whether `outer` covers all of `inner` (equal counts). */
export function coversPrefix(outer: Prefix, inner: Prefix): boolean {
  return (
    outer.family === inner.family &&
    outer.length <= inner.length &&
    outer.bytes.every((byte, index) => byte === ((inner.bytes[index] ?? 0) & maskByte(outer.length, index)))
  );
}

function maskByte(length: number, index: number): number {
  const bits = Math.min(8, Math.max(0, length - index * 8));
  return (0xff << (8 - bits)) & 0xff;
}
