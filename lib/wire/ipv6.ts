/**
 * The IPv6 header and the walk over its extension headers: check, accessors, setters, printer, writer.
 *
 * ```
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-------+-----------+---+---------------------------------------+
 * |Version|   DSCP    |ECN|              Flow label               |  0
 * +-------+-----------+---+-------+---------------+---------------+
 * |         Payload length        |  Next header  |   Hop limit   |  4
 * +-------------------------------+---------------+---------------+
 * |                   Source address, 16 bytes                    |  8
 * |                 Destination address, 16 bytes                 | 24
 * +---------------------------------------------------------------+
 * ```
 *
 * `at` is the offset of the packet's first byte. Accessors trust the caller: run {@link checkIpv6} first, or they may
 * throw RangeError on a short view.
 *
 * @see RFC 8200 section 3
 */
import {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  PARSE_BAD_HEADER,
  PARSE_LATER_FRAGMENT,
  PARSE_NOT_IP,
  PARSE_NO_PORTS,
  PARSE_OK,
  PARSE_TRUNCATED,
} from './parse-code.ts';
import {
  PROTOCOL_AUTHENTICATION,
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_FRAGMENT,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_ROUTING,
} from './protocol-numbers.ts';

const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
const SRC = 8;
const DST = 24;

/** Bytes of the fixed header. */
export const IPV6_HEADER_LENGTH = 40;
/**
 * Extension headers that are walked before the transport is taken as out of reach. Real packets carry one or two; a
 * bound keeps a crafted packet cheap.
 *
 * @see RFC 8504 section 5.3
 */
export const MAX_EXTENSION_HEADERS = 8;

/**
 * Whether the fixed header's claims hold within `capturedLength` bytes: PARSE_OK, PARSE_NOT_IP or PARSE_TRUNCATED.
 * @hotpath
 */
export function checkIpv6(view: DataView, at: number, capturedLength: number): number {
  if (capturedLength < 1 || view.getUint8(at) >>> 4 !== 6) return PARSE_NOT_IP;
  if (capturedLength < 40) return PARSE_TRUNCATED;
  return 40 + view.getUint16(at + PAYLOAD_LENGTH) > capturedLength ? PARSE_TRUNCATED : PARSE_OK;
}

/** Differentiated services codepoint, 0..63. @hotpath */
export function dscp(view: DataView, at: number): number {
  return (view.getUint16(at) >>> 6) & 0x3f;
}

/** ECN field, 0..3. @see RFC 3168 section 5 @hotpath */
export function ecn(view: DataView, at: number): number {
  return (view.getUint8(at + 1) >>> 4) & 3;
}

/** Flow label, 0..2^20 - 1. @see RFC 6437 @hotpath */
export function flowLabel(view: DataView, at: number): number {
  return view.getInt32(at) & 0xfffff;
}

/** Bytes behind the fixed header, extension headers included; 0 in a jumbogram. @hotpath */
export function payloadLength(view: DataView, at: number): number {
  return view.getUint16(at + PAYLOAD_LENGTH);
}

/** Number of the first header behind the fixed one. @hotpath */
export function nextHeader(view: DataView, at: number): number {
  return view.getUint8(at + NEXT_HEADER);
}

/** Hop limit, 0..255. @hotpath */
export function hopLimit(view: DataView, at: number): number {
  return view.getUint8(at + HOP_LIMIT);
}

/** Word `i` (0..3, the first is the most significant) of the source address as int32. @hotpath */
export function srcWord(view: DataView, at: number, i: number): number {
  return view.getInt32(at + SRC + (i << 2));
}

/** Word `i` (0..3, the first is the most significant) of the destination address as int32. @hotpath */
export function dstWord(view: DataView, at: number, i: number): number {
  return view.getInt32(at + DST + (i << 2));
}

/**
 * Writes the DSCP; the ECN bits, the version and the flow label stay as they are. IPv6 has no header checksum.
 *
 * @param value - 0..63; anything else leaves the packet untouched, so that DSCP_UNCHANGED may be passed on. @hotpath
 */
export function setDscp(view: DataView, at: number, value: number): void {
  if (value >>> 0 > 63) return;
  view.setUint16(at, (view.getUint16(at) & 0xf03f) | (value << 6));
}

/** Whether `protocol` is an extension header that {@link walkExtensionHeaders} walks over. @hotpath */
export function isExtensionHeader(protocol: number): boolean {
  return (
    protocol === PROTOCOL_HOP_BY_HOP ||
    protocol === PROTOCOL_ROUTING ||
    protocol === PROTOCOL_FRAGMENT ||
    protocol === PROTOCOL_DESTINATION_OPTIONS ||
    protocol === PROTOCOL_AUTHENTICATION
  );
}

/**
 * Walks from the fixed header to the transport of a packet that passed {@link checkIpv6} and ends before `end`.
 *
 * Hop-by-hop, routing, destination options, authentication and fragment headers are walked. The result is one
 * number, so that nothing is allocated; the `walked*` functions take it apart:
 * PARSE_OK at anything that is not an extension header, PARSE_LATER_FRAGMENT behind a fragment header with an
 * offset, PARSE_NO_PORTS after {@link MAX_EXTENSION_HEADERS} or where a first fragment ends inside the chain, and
 * PARSE_BAD_HEADER where the chain runs beyond the packet. @hotpath
 *
 * @see RFC 8200 section 4
 */
export function walkExtensionHeaders(view: DataView, at: number, end: number): number {
  let protocol = view.getUint8(at + NEXT_HEADER);
  let next = at + 40;
  let fragment: number = FRAGMENT_NONE;
  for (let walked = 0; walked < MAX_EXTENSION_HEADERS; walked++) {
    if (!isExtensionHeader(protocol)) return packWalk(PARSE_OK, fragment, protocol, next - at);
    // A first fragment may be cut inside the chain, against RFC 7112; only a whole packet lies by that.
    const cut = fragment === FRAGMENT_FIRST ? PARSE_NO_PORTS : PARSE_BAD_HEADER;
    if (next + 8 > end) return packWalk(cut, fragment, protocol, next - at);
    if (protocol === PROTOCOL_FRAGMENT) {
      const offsetAndMore = view.getUint16(next + 2);
      protocol = view.getUint8(next);
      next += 8;
      if ((offsetAndMore & 0xfff8) !== 0) {
        return packWalk(PARSE_LATER_FRAGMENT, FRAGMENT_LATER, protocol, next - at);
      }
      if ((offsetAndMore & 1) !== 0) fragment = FRAGMENT_FIRST;
    } else {
      const units = view.getUint8(next + 1);
      const length = protocol === PROTOCOL_AUTHENTICATION ? (units + 2) << 2 : (units + 1) << 3;
      if (next + length > end) return packWalk(cut, fragment, protocol, next - at);
      protocol = view.getUint8(next);
      next += length;
    }
  }
  return packWalk(isExtensionHeader(protocol) ? PARSE_NO_PORTS : PARSE_OK, fragment, protocol, next - at);
}

/** The PARSE_* code of a walk. @hotpath */
export function walkedCode(walk: number): number {
  return walk & 7;
}

/** FRAGMENT_NONE, FRAGMENT_FIRST or FRAGMENT_LATER. @hotpath */
export function walkedFragment(walk: number): number {
  return (walk >>> 3) & 3;
}

/** The protocol number at which the walk ended. @hotpath */
export function walkedProtocol(walk: number): number {
  return (walk >>> 5) & 0xff;
}

/** Bytes from the packet's start to where the walk ended: the fixed header and the extension headers. @hotpath */
export function walkedHeaderLength(walk: number): number {
  return walk >>> 13;
}

// 3 + 2 + 8 bits and a length below 40 + 8 * 2048: together below 2^31, hence a small integer.
function packWalk(code: number, fragment: number, protocol: number, length: number): number {
  return code | (fragment << 3) | (protocol << 5) | (length << 13);
}

/** What {@link writeIpv6Header} writes; a field left out is 0, the hop limit 64. */
export interface Ipv6HeaderFields {
  readonly dscp?: number;
  readonly ecn?: number;
  readonly flowLabel?: number;
  /** Bytes behind the fixed header. */
  readonly payloadLength: number;
  readonly nextHeader: number;
  readonly hopLimit?: number;
  /** 16 bytes, as `parseAddress` returns them. */
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
}

/**
 * Writes the fixed header and returns its length, 40. For tools and tests: it trusts its caller with the ranges of
 * the fields. Extension headers are the caller's.
 */
export function writeIpv6Header(view: DataView, at: number, fields: Ipv6HeaderFields): number {
  const trafficClass = ((fields.dscp ?? 0) << 2) | (fields.ecn ?? 0);
  view.setInt32(at, (6 << 28) | (trafficClass << 20) | (fields.flowLabel ?? 0));
  view.setUint16(at + PAYLOAD_LENGTH, fields.payloadLength);
  view.setUint8(at + NEXT_HEADER, fields.nextHeader);
  view.setUint8(at + HOP_LIMIT, fields.hopLimit ?? 64);
  for (let i = 0; i < 16; i++) {
    view.setUint8(at + SRC + i, fields.src[i]!);
    view.setUint8(at + DST + i, fields.dst[i]!);
  }
  return IPV6_HEADER_LENGTH;
}

/** One line about the fixed header, for tools; the addresses are written out in full, eight groups each. */
export function formatIpv6(view: DataView, at: number): string {
  return (
    `IPv6 ${groups(view, at + SRC)} > ${groups(view, at + DST)} next ${nextHeader(view, at)}` +
    ` payload ${payloadLength(view, at)} hops ${hopLimit(view, at)} dscp ${dscp(view, at)} ecn ${ecn(view, at)}` +
    ` label ${flowLabel(view, at)}`
  );
}

function groups(view: DataView, at: number): string {
  const text: string[] = [];
  for (let i = 0; i < 16; i += 2) text.push(view.getUint16(at + i).toString(16));
  return text.join(':');
}
