/**
 * The UDP header: check, accessors, setters, printer, writer.
 *
 * ```
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-------------------------------+-------------------------------+
 * |          Source port          |       Destination port        |  0
 * |            Length             |           Checksum            |  4
 * +-------------------------------+-------------------------------+
 * ```
 *
 * `at` is the offset of the UDP header. Accessors trust the caller: run {@link checkUdp} first.
 *
 * @see RFC 768
 */
import { PARSE_BAD_HEADER, PARSE_OK, PARSE_TRUNCATED } from './parse-code.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;

/** Bytes of the header. */
export const UDP_HEADER_LENGTH = 8;

/**
 * Whether the header's claims hold within `available` bytes: PARSE_OK, PARSE_TRUNCATED (less than it claims is
 * there) or PARSE_BAD_HEADER (a length below 8). @hotpath
 */
export function checkUdp(view: DataView, at: number, available: number): number {
  if (available < 8) return PARSE_TRUNCATED;
  const claimed = view.getUint16(at + LENGTH);
  if (claimed < 8) return PARSE_BAD_HEADER;
  return claimed > available ? PARSE_TRUNCATED : PARSE_OK;
}

/** Source port, 0..65535. @hotpath */
export function srcPort(view: DataView, at: number): number {
  return view.getUint16(at + SRC_PORT);
}

/** Destination port, 0..65535. @hotpath */
export function dstPort(view: DataView, at: number): number {
  return view.getUint16(at + DST_PORT);
}

/** Bytes of the datagram, header included. @hotpath */
export function datagramLength(view: DataView, at: number): number {
  return view.getUint16(at + LENGTH);
}

/** Checksum as it stands; 0 in IPv4 means that the sender computed none. @hotpath */
export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM);
}

/** Writes the checksum field. @hotpath */
export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM, value);
}

/** What {@link writeUdpHeader} writes. */
export interface UdpHeaderFields {
  readonly srcPort: number;
  readonly dstPort: number;
  /** Bytes of the datagram, header included. */
  readonly length: number;
}

/**
 * Writes a header with checksum 0 and returns its length, 8; `fillTransportChecksum` completes it once the payload
 * is there. For tools and tests: it trusts its caller with the ranges of the fields.
 */
export function writeUdpHeader(view: DataView, at: number, fields: UdpHeaderFields): number {
  view.setUint16(at + SRC_PORT, fields.srcPort);
  view.setUint16(at + DST_PORT, fields.dstPort);
  view.setUint16(at + LENGTH, fields.length);
  view.setUint16(at + CHECKSUM, 0);
  return UDP_HEADER_LENGTH;
}

/** One line about the header, for tools: `UDP 40000 > 53 length 30`. */
export function formatUdp(view: DataView, at: number): string {
  return `UDP ${srcPort(view, at)} > ${dstPort(view, at)} length ${datagramLength(view, at)}`;
}
