/**
 * The TCP header: check, accessors, setters, printer, writer. Options are in tcp-options.ts.
 *
 * ```
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-------------------------------+-------------------------------+
 * |          Source port          |       Destination port        |  0
 * |                        Sequence number                        |  4
 * |                     Acknowledgment number                     |  8
 * +-------+-------+-+-+-+-+-+-+-+-+-------------------------------+
 * | Data  | Reser-|C|E|U|A|P|R|S|F|                               |
 * | offset| ved   |W|C|R|C|S|S|Y|I|            Window             | 12
 * |       |       |R|E|G|K|H|T|N|N|                               |
 * +-------+-------+-+-+-+-+-+-+-+-+-------------------------------+
 * |           Checksum            |        Urgent pointer         | 16
 * |                     Options, 0..40 bytes                      | 20
 * +---------------------------------------------------------------+
 * ```
 *
 * `at` is the offset of the TCP header. Accessors trust the caller: run {@link checkTcp} first.
 *
 * @see RFC 9293 section 3.1
 */
import { PARSE_BAD_HEADER, PARSE_OK, PARSE_TRUNCATED } from './parse-code.ts';
import {
  maximumSegmentSize,
  sackBlockCount,
  sackLeftEdge,
  sackOption,
  sackRightEdge,
} from './tcp-options.ts';
import { timestampEcho, timestampsOption, timestampValue, windowScaleShift } from './tcp-options.ts';

const SRC_PORT = 0;
const DST_PORT = 2;
const SEQ_NUMBER = 4;
const ACK_NUMBER = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
const CHECKSUM = 16;
const URGENT_POINTER = 18;
const OPTIONS = 20;

/** Bytes of a header without options. */
export const TCP_MIN_HEADER_LENGTH = 20;
/** Bytes of a header with all the options it can hold. */
export const TCP_MAX_HEADER_LENGTH = 60;

/**
 * Whether the header's claims hold within `available` bytes: PARSE_OK, PARSE_TRUNCATED (less than it claims is
 * there) or PARSE_BAD_HEADER (a data offset below 5). @hotpath
 */
export function checkTcp(view: DataView, at: number, available: number): number {
  if (available < 20) return PARSE_TRUNCATED;
  const length = headerLength(view, at);
  if (length < 20) return PARSE_BAD_HEADER;
  return length > available ? PARSE_TRUNCATED : PARSE_OK;
}

/** Source port, 0..65535. @hotpath */
export function srcPort(view: DataView, at: number): number {
  return view.getUint16(at + SRC_PORT);
}

/** Destination port, 0..65535. @hotpath */
export function dstPort(view: DataView, at: number): number {
  return view.getUint16(at + DST_PORT);
}

/** Sequence number, int32. @hotpath */
export function seqNumber(view: DataView, at: number): number {
  return view.getInt32(at + SEQ_NUMBER);
}

/** Acknowledgment number, int32; it counts only with the ACK flag. @hotpath */
export function ackNumber(view: DataView, at: number): number {
  return view.getInt32(at + ACK_NUMBER);
}

/** Bytes of the header with its options: 20..60 in a segment that passed the check. @hotpath */
export function headerLength(view: DataView, at: number): number {
  return (view.getUint8(at + DATA_OFFSET) >>> 2) & 0x3c;
}

/** The eight flags, FIN 1 .. CWR 128. @hotpath */
export function flags(view: DataView, at: number): number {
  return view.getUint8(at + FLAGS);
}

/** Window as on the wire, unscaled: 0..65535. @hotpath */
export function windowField(view: DataView, at: number): number {
  return view.getUint16(at + WINDOW);
}

/** Checksum as it stands. @hotpath */
export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM);
}

/** Writes the checksum field. @hotpath */
export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM, value);
}

/** Urgent pointer; it counts only with the URG flag. @hotpath */
export function urgentPointer(view: DataView, at: number): number {
  return view.getUint16(at + URGENT_POINTER);
}

/** What {@link writeTcpHeader} writes; a field left out is 0. */
export interface TcpHeaderFields {
  readonly srcPort: number;
  readonly dstPort: number;
  /** Taken modulo 2^32. */
  readonly seqNumber?: number;
  /** Taken modulo 2^32. */
  readonly ackNumber?: number;
  readonly flags?: number;
  readonly windowField?: number;
  readonly urgentPointer?: number;
  /** A multiple of 4 bytes, at most 40; the caller pads. */
  readonly options?: Uint8Array;
}

/**
 * Writes a header with checksum 0 and returns its length; `fillTransportChecksum` completes it once the payload is
 * there. For tools and tests: it trusts its caller with the ranges of the fields.
 */
export function writeTcpHeader(view: DataView, at: number, fields: TcpHeaderFields): number {
  const optionsLength = fields.options?.length ?? 0;
  const length = TCP_MIN_HEADER_LENGTH + optionsLength;
  view.setUint16(at + SRC_PORT, fields.srcPort);
  view.setUint16(at + DST_PORT, fields.dstPort);
  view.setInt32(at + SEQ_NUMBER, fields.seqNumber ?? 0);
  view.setInt32(at + ACK_NUMBER, fields.ackNumber ?? 0);
  view.setUint8(at + DATA_OFFSET, length << 2);
  view.setUint8(at + FLAGS, fields.flags ?? 0);
  view.setUint16(at + WINDOW, fields.windowField ?? 0);
  view.setUint16(at + CHECKSUM, 0);
  view.setUint16(at + URGENT_POINTER, fields.urgentPointer ?? 0);
  for (let i = 0; i < optionsLength; i++) view.setUint8(at + OPTIONS + i, fields.options![i]!);
  return length;
}

const FLAG_NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'];

/** One line about the header, for tools: `TCP 40000 > 80 SYN seq 1 ack 0 window 1000 mss 1460 ts 5/0`. */
export function formatTcp(view: DataView, at: number): string {
  const set = FLAG_NAMES.filter((_, bit) => (flags(view, at) & (1 << bit)) !== 0);
  let line =
    `TCP ${srcPort(view, at)} > ${dstPort(view, at)} ${set.length === 0 ? 'none' : set.join(',')}` +
    ` seq ${seqNumber(view, at) >>> 0} ack ${ackNumber(view, at) >>> 0} window ${windowField(view, at)}`;
  const mss = maximumSegmentSize(view, at);
  if (mss >= 0) line += ` mss ${mss}`;
  const shift = windowScaleShift(view, at);
  if (shift >= 0) line += ` wscale ${shift}`;
  const timestamps = timestampsOption(view, at);
  if (timestamps >= 0)
    line += ` ts ${timestampValue(view, timestamps) >>> 0}/${timestampEcho(view, timestamps) >>> 0}`;
  const sack = sackOption(view, at);
  if (sack >= 0) {
    for (let i = 0; i < sackBlockCount(view, sack); i++) {
      line += ` sack ${sackLeftEdge(view, sack, i) >>> 0}-${sackRightEdge(view, sack, i) >>> 0}`;
    }
  }
  return line;
}
