/**
 * The IPv4 header: check, accessors, setters, printer, writer. Nothing here looks behind the header.
 *
 * ```
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-------+-------+-----------+---+-------------------------------+
 * |Version|  IHL  |   DSCP    |ECN|         Total length          |  0
 * +-------+-------+-----------+---+-----+-------------------------+
 * |        Identification         |Flags|     Fragment offset     |  4
 * +---------------+---------------+-----+-------------------------+
 * | Time to live  |   Protocol    |        Header checksum        |  8
 * +---------------+---------------+-------------------------------+
 * |                        Source address                         | 12
 * |                      Destination address                      | 16
 * |                  Options, 0..40 bytes                         | 20
 * +---------------------------------------------------------------+
 * ```
 *
 * `at` is the offset of the packet's first byte. Accessors trust the caller: run {@link checkIpv4} first, or they may
 * throw RangeError on a short view.
 *
 * @see RFC 791 section 3.1
 * @see RFC 2474 section 3
 */
import { PARSE_BAD_HEADER, PARSE_NOT_IP, PARSE_OK, PARSE_TRUNCATED } from './parse-code.ts';
import { incrementalChecksum, internetChecksum } from './ones-complement.ts';

const TRAFFIC_CLASS = 1;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FLAGS_AND_OFFSET = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SRC = 12;
const DST = 16;
const OPTIONS = 20;

/** Bytes of a header without options. */
export const IPV4_MIN_HEADER_LENGTH = 20;
/** Bytes of a header with all the options it can hold. */
export const IPV4_MAX_HEADER_LENGTH = 60;

/**
 * Whether the header's own claims hold within `capturedLength` bytes: PARSE_OK, PARSE_NOT_IP, PARSE_TRUNCATED or
 * PARSE_BAD_HEADER. The checksum is not looked at; the kernel checks it before a packet gets here. @hotpath
 */
export function checkIpv4(view: DataView, at: number, capturedLength: number): number {
  if (capturedLength < 1) return PARSE_NOT_IP;
  if (capturedLength < 20) return view.getUint8(at) >>> 4 === 4 ? PARSE_TRUNCATED : PARSE_NOT_IP;
  const word = view.getInt32(at);
  if (word >>> 28 !== 4) return PARSE_NOT_IP;
  const header = (word >>> 22) & 0x3c;
  const total = word & 0xffff;
  if (header < 20 || total < header) return PARSE_BAD_HEADER;
  return total > capturedLength ? PARSE_TRUNCATED : PARSE_OK;
}

/** Bytes of the header with its options: 20..60 in a packet that passed the check. @hotpath */
export function headerLength(view: DataView, at: number): number {
  return (view.getUint8(at) & 0x0f) << 2;
}

/** Differentiated services codepoint, 0..63. @hotpath */
export function dscp(view: DataView, at: number): number {
  return view.getUint8(at + TRAFFIC_CLASS) >>> 2;
}

/** ECN field, 0..3. @see RFC 3168 section 5 @hotpath */
export function ecn(view: DataView, at: number): number {
  return view.getUint8(at + TRAFFIC_CLASS) & 3;
}

/** Bytes of the packet, header included. @hotpath */
export function totalLength(view: DataView, at: number): number {
  return view.getUint16(at + TOTAL_LENGTH);
}

/** Identification, shared by the fragments of one packet: 0..65535. @hotpath */
export function identification(view: DataView, at: number): number {
  return view.getUint16(at + IDENTIFICATION);
}

/** Whether the packet may not be fragmented. @hotpath */
export function isDontFragment(view: DataView, at: number): boolean {
  return (view.getUint8(at + FLAGS_AND_OFFSET) & 0x40) !== 0;
}

/** Whether more fragments follow this one. @hotpath */
export function hasMoreFragments(view: DataView, at: number): boolean {
  return (view.getUint8(at + FLAGS_AND_OFFSET) & 0x20) !== 0;
}

/** Fragment offset in units of 8 bytes, as on the wire: 0..8191. @hotpath */
export function fragmentOffset(view: DataView, at: number): number {
  return view.getUint16(at + FLAGS_AND_OFFSET) & 0x1fff;
}

/** Time to live, 0..255 hops. @hotpath */
export function ttl(view: DataView, at: number): number {
  return view.getUint8(at + TTL);
}

/** Protocol number of what follows the header. @hotpath */
export function protocol(view: DataView, at: number): number {
  return view.getUint8(at + PROTOCOL);
}

/** Header checksum as it stands. @hotpath */
export function headerChecksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM);
}

/** Source address as int32. @hotpath */
export function srcAddr(view: DataView, at: number): number {
  return view.getInt32(at + SRC);
}

/** Destination address as int32. @hotpath */
export function dstAddr(view: DataView, at: number): number {
  return view.getInt32(at + DST);
}

/**
 * Writes the DSCP and updates the header checksum incrementally; the ECN bits stay as they are.
 *
 * @param value - 0..63; anything else leaves the packet untouched, so that DSCP_UNCHANGED may be passed on. @hotpath
 */
export function setDscp(view: DataView, at: number, value: number): void {
  if (value >>> 0 > 63) return;
  const oldWord = view.getUint16(at);
  const newWord = (oldWord & 0xff03) | (value << 2);
  if (newWord === oldWord) return;
  view.setUint8(at + TRAFFIC_CLASS, newWord & 0xff);
  view.setUint16(at + CHECKSUM, incrementalChecksum(view.getUint16(at + CHECKSUM), oldWord, newWord));
}

/** Whether the header checksum is right. */
export function isHeaderChecksumValid(view: DataView, at: number): boolean {
  return internetChecksum(view, at, headerLength(view, at)) === 0;
}

/** Computes the header checksum from all of the header and writes it. */
export function fillHeaderChecksum(view: DataView, at: number): void {
  view.setUint16(at + CHECKSUM, 0);
  view.setUint16(at + CHECKSUM, internetChecksum(view, at, headerLength(view, at)));
}

/** What {@link writeIpv4Header} writes; a field left out is 0, the time to live 64. */
export interface Ipv4HeaderFields {
  readonly dscp?: number;
  readonly ecn?: number;
  /** Bytes of the whole packet. */
  readonly totalLength: number;
  readonly identification?: number;
  readonly isDontFragment?: boolean;
  readonly hasMoreFragments?: boolean;
  /** In units of 8 bytes. */
  readonly fragmentOffset?: number;
  readonly ttl?: number;
  readonly protocol: number;
  /** 4 bytes, as `parseAddress` returns them. */
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  /** A multiple of 4 bytes, at most 40; the caller pads. */
  readonly options?: Uint8Array;
}

/**
 * Writes a header with its checksum and returns its length in bytes. For tools and tests: it trusts its caller with
 * the ranges of the fields.
 */
export function writeIpv4Header(view: DataView, at: number, fields: Ipv4HeaderFields): number {
  const optionsLength = fields.options?.length ?? 0;
  const length = IPV4_MIN_HEADER_LENGTH + optionsLength;
  view.setUint8(at, 0x40 | (length >>> 2));
  view.setUint8(at + TRAFFIC_CLASS, ((fields.dscp ?? 0) << 2) | (fields.ecn ?? 0));
  view.setUint16(at + TOTAL_LENGTH, fields.totalLength);
  view.setUint16(at + IDENTIFICATION, fields.identification ?? 0);
  const flags =
    (fields.isDontFragment === true ? 0x4000 : 0) | (fields.hasMoreFragments === true ? 0x2000 : 0);
  view.setUint16(at + FLAGS_AND_OFFSET, flags | (fields.fragmentOffset ?? 0));
  view.setUint8(at + TTL, fields.ttl ?? 64);
  view.setUint8(at + PROTOCOL, fields.protocol);
  for (let i = 0; i < 4; i++) {
    view.setUint8(at + SRC + i, fields.src[i]!);
    view.setUint8(at + DST + i, fields.dst[i]!);
  }
  for (let i = 0; i < optionsLength; i++) view.setUint8(at + OPTIONS + i, fields.options![i]!);
  fillHeaderChecksum(view, at);
  return length;
}

/** One line about the header, for tools: `IPv4 10.0.0.1 > 10.0.0.2 protocol 6 length 60 ttl 64 dscp 3 ecn 0 id 7`. */
export function formatIpv4(view: DataView, at: number): string {
  const fragment =
    fragmentOffset(view, at) !== 0 || hasMoreFragments(view, at)
      ? ` fragment at ${fragmentOffset(view, at) * 8}${hasMoreFragments(view, at) ? '+' : ''}`
      : '';
  return (
    `IPv4 ${dotted(view, at + SRC)} > ${dotted(view, at + DST)} protocol ${protocol(view, at)}` +
    ` length ${totalLength(view, at)} ttl ${ttl(view, at)} dscp ${dscp(view, at)} ecn ${ecn(view, at)}` +
    ` id ${identification(view, at)}${isDontFragment(view, at) ? ' DF' : ''}${fragment}`
  );
}

function dotted(view: DataView, at: number): string {
  return `${view.getUint8(at)}.${view.getUint8(at + 1)}.${view.getUint8(at + 2)}.${view.getUint8(at + 3)}`;
}
