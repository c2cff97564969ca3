/**
 * One pass over a packet: from its bytes to the numbers that the host and the gateway decide by.
 *
 * ```
 * parsePacket
 *   -> parseIpv4 | parseIpv6     lengths, fragment, protocol, DSCP
 *   -> parseTransport            TCP or UDP, or no ports
 *   -> parseTcp | parseUdp       ports, numbers, payload
 *   -> parseTcpOptions           timestamps, window scale, SACK
 * ```
 *
 * The bytes decide the code and nothing else: no packet makes these functions throw, and every offset they hand out
 * lies within the captured bytes.
 */
import { checkIpv4 } from './ipv4.ts';
import {
  checkIpv6,
  walkExtensionHeaders,
  walkedCode,
  walkedFragment,
  walkedHeaderLength,
  walkedProtocol,
} from './ipv6.ts';
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
import { PROTOCOL_TCP, PROTOCOL_UDP } from './protocol-numbers.ts';

export {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  PARSE_BAD_HEADER,
  PARSE_LATER_FRAGMENT,
  PARSE_NOT_IP,
  PARSE_NO_PORTS,
  PARSE_OK,
  PARSE_REASONS,
  PARSE_TRUNCATED,
} from './parse-code.ts';

/** What one packet says. One object is reused for all packets; every field is a small integer. */
export class PacketView {
  /** 4, 6, or 0 when the bytes are not IP. */
  version = 0;
  /** Offset of the packet's first byte in the view. */
  at = 0;
  /** Bytes of the packet by its own header, at most the captured length. */
  length = 0;
  /** Bytes of the IP header with options or extension headers: the transport starts at `at + headerLength`. */
  headerLength = 0;
  /** Transport protocol number, behind the extension headers. */
  protocol = 0;
  /** FRAGMENT_NONE, FRAGMENT_FIRST or FRAGMENT_LATER. */
  fragment = 0;
  /** Differentiated services codepoint, 0..63. */
  dscp = 0;
  /** Source port; 0 when there is none. */
  srcPort = 0;
  /** Destination port; 0 when there is none. */
  dstPort = 0;
  /** Offset of the transport payload in the view; 0 without ports. */
  payloadAt = 0;
  /** Bytes of transport payload in this packet; 0 without ports. */
  payloadLength = 0;
  /** TCP: sequence number, int32. */
  seqNumber = 0;
  /** TCP: acknowledgment number, int32. */
  ackNumber = 0;
  /** TCP: the eight flags as on the wire, TCP_FIN .. TCP_CWR. */
  tcpFlags = 0;
  /** TCP: window as on the wire, unscaled. */
  windowField = 0;
  /** TCP: shift count of the window scale option on a SYN, 0..14; -1 on any other segment. */
  windowScale = 0;
  /** TCP: TSval, int32. */
  timestampValue = 0;
  /** TCP: TSecr, int32. */
  timestampEcho = 0;
  /** TCP: 1 when the timestamps option is there, else 0. */
  hasTimestamp = 0;
  /** TCP: number of SACK blocks, 0..4. */
  sackBlocks = 0;
}

/** The segment is the sender's last. @see RFC 9293 section 3.1 */
export const TCP_FIN = 1;
/** Synchronises sequence numbers. */
export const TCP_SYN = 2;
/** Resets the connection. */
export const TCP_RST = 4;
/** Push. */
export const TCP_PSH = 8;
/** The acknowledgment number counts. */
export const TCP_ACK = 16;
/** The urgent pointer counts. */
export const TCP_URG = 32;
/** ECN echo. @see RFC 3168 section 6.1 */
export const TCP_ECE = 64;
/** Congestion window reduced. @see RFC 3168 section 6.1 */
export const TCP_CWR = 128;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_WINDOW_SCALE = 3;
const OPTION_SACK = 5;
const OPTION_TIMESTAMPS = 8;
/** NOP NOP timestamps(10): how nearly every stack sends the option. @see RFC 7323 appendix A */
const ALIGNED_TIMESTAMPS = 0x0101080a;
/** A larger shift count is read as this one. @see RFC 7323 section 2.3 */
const MAX_WINDOW_SCALE = 14;

/**
 * Parses the packet of `capturedLength` bytes at `at` once, into `out`.
 *
 * After PARSE_OK every field holds. After PARSE_LATER_FRAGMENT and PARSE_NO_PORTS the IP fields hold (version, at,
 * length, headerLength, protocol, fragment, dscp), so the DSCP may be rewritten. After the others nothing may be
 * rewritten. Fields that could not be read are 0. Bytes beyond the packet's own length (link padding) are ignored.
 *
 * @returns PARSE_*; PARSE_TRUNCATED as well when `at + capturedLength` is beyond the view. @hotpath
 */
export function parsePacket(view: DataView, at: number, capturedLength: number, out: PacketView): number {
  clear(out, at);
  if (capturedLength < 1) return PARSE_NOT_IP;
  if (at + capturedLength > view.byteLength) return PARSE_TRUNCATED;
  const version = view.getUint8(at) >>> 4;
  if (version === 4) return parseIpv4(view, at, capturedLength, out);
  if (version === 6) return parseIpv6(view, at, capturedLength, out);
  return PARSE_NOT_IP;
}

function clear(out: PacketView, at: number): void {
  out.version = 0;
  out.at = at;
  out.length = 0;
  out.headerLength = 0;
  out.protocol = 0;
  out.fragment = 0;
  out.dscp = 0;
  out.srcPort = 0;
  out.dstPort = 0;
  out.payloadAt = 0;
  out.payloadLength = 0;
  out.seqNumber = 0;
  out.ackNumber = 0;
  out.tcpFlags = 0;
  out.windowField = 0;
  out.windowScale = 0;
  out.timestampValue = 0;
  out.timestampEcho = 0;
  out.hasTimestamp = 0;
  out.sackBlocks = 0;
}

function parseIpv4(view: DataView, at: number, capturedLength: number, out: PacketView): number {
  out.version = 4;
  const code = checkIpv4(view, at, capturedLength);
  if (code !== PARSE_OK) return code;
  const word = view.getInt32(at);
  out.headerLength = (word >>> 22) & 0x3c;
  out.dscp = (word >>> 18) & 0x3f;
  out.length = word & 0xffff;
  out.protocol = view.getUint8(at + 9);
  const flagsAndOffset = view.getUint16(at + 6);
  if ((flagsAndOffset & 0x3fff) !== 0) {
    if ((flagsAndOffset & 0x1fff) !== 0) {
      out.fragment = FRAGMENT_LATER;
      return PARSE_LATER_FRAGMENT;
    }
    out.fragment = FRAGMENT_FIRST;
  }
  return parseTransport(view, out);
}

function parseIpv6(view: DataView, at: number, capturedLength: number, out: PacketView): number {
  out.version = 6;
  const code = checkIpv6(view, at, capturedLength);
  if (code !== PARSE_OK) return code;
  out.dscp = (view.getUint16(at) >>> 6) & 0x3f;
  out.length = 40 + view.getUint16(at + 4);
  const nextHeader = view.getUint8(at + 6);
  if (nextHeader === PROTOCOL_TCP || nextHeader === PROTOCOL_UDP) {
    out.headerLength = 40;
    out.protocol = nextHeader;
    return parseTransport(view, out);
  }
  const walk = walkExtensionHeaders(view, at, at + out.length);
  out.headerLength = walkedHeaderLength(walk);
  out.protocol = walkedProtocol(walk);
  out.fragment = walkedFragment(walk);
  const walked = walkedCode(walk);
  return walked === PARSE_OK ? parseTransport(view, out) : walked;
}

function parseTransport(view: DataView, out: PacketView): number {
  const transportAt = out.at + out.headerLength;
  const available = out.length - out.headerLength;
  if (out.protocol === PROTOCOL_TCP) return parseTcp(view, transportAt, available, out);
  if (out.protocol === PROTOCOL_UDP) return parseUdp(view, transportAt, available, out);
  return PARSE_NO_PORTS;
}

function parseTcp(view: DataView, transportAt: number, available: number, out: PacketView): number {
  if (available < 20) return tooShort(out);
  const offsetAndFlags = view.getUint16(transportAt + 12);
  const headerLength = (offsetAndFlags >>> 10) & 0x3c;
  if (headerLength < 20) return PARSE_BAD_HEADER;
  if (headerLength > available) return tooShort(out);
  out.srcPort = view.getUint16(transportAt);
  out.dstPort = view.getUint16(transportAt + 2);
  out.payloadAt = transportAt + headerLength;
  out.payloadLength = available - headerLength;
  out.seqNumber = view.getInt32(transportAt + 4);
  out.ackNumber = view.getInt32(transportAt + 8);
  out.tcpFlags = offsetAndFlags & 0xff;
  out.windowField = view.getUint16(transportAt + 14);
  out.windowScale = -1;
  if (headerLength === 20) return PARSE_OK;
  if (headerLength === 32 && view.getInt32(transportAt + 20) === ALIGNED_TIMESTAMPS) {
    out.timestampValue = view.getInt32(transportAt + 24);
    out.timestampEcho = view.getInt32(transportAt + 28);
    out.hasTimestamp = 1;
    return PARSE_OK;
  }
  parseTcpOptions(view, transportAt + 20, transportAt + headerLength, out);
  return PARSE_OK;
}

/** A malformed option ends the list, as in every stack; what came before it counts. @see RFC 9293 section 3.1 */
function parseTcpOptions(view: DataView, at: number, end: number, out: PacketView): void {
  let next = at;
  while (next < end) {
    const kind = view.getUint8(next);
    if (kind === OPTION_NOP) {
      next += 1;
      continue;
    }
    if (kind === OPTION_END || next + 2 > end) return;
    const length = view.getUint8(next + 1);
    if (length < 2 || next + length > end) return;
    if (kind === OPTION_TIMESTAMPS) {
      if (length === 10) {
        out.timestampValue = view.getInt32(next + 2);
        out.timestampEcho = view.getInt32(next + 6);
        out.hasTimestamp = 1;
      }
    } else if (kind === OPTION_SACK) {
      if (length >= 10 && ((length - 2) & 7) === 0) out.sackBlocks = (length - 2) >>> 3;
    } else if (kind === OPTION_WINDOW_SCALE) {
      if (length === 3 && (out.tcpFlags & 2) !== 0) {
        const shift = view.getUint8(next + 2);
        out.windowScale = shift > MAX_WINDOW_SCALE ? MAX_WINDOW_SCALE : shift;
      }
    }
    next += length;
  }
}

function parseUdp(view: DataView, transportAt: number, available: number, out: PacketView): number {
  if (available < 8) return tooShort(out);
  const length = view.getUint16(transportAt + 4);
  if (length < 8) return PARSE_BAD_HEADER;
  // The length of a fragmented datagram counts all of its fragments. A length below what is there is no lie: the
  // rest is the surplus area of RFC 9868.
  if (length > available && out.fragment === FRAGMENT_NONE) return PARSE_BAD_HEADER;
  out.srcPort = view.getUint16(transportAt);
  out.dstPort = view.getUint16(transportAt + 2);
  out.payloadAt = transportAt + 8;
  out.payloadLength = (length < available ? length : available) - 8;
  return PARSE_OK;
}

/** A whole packet too short for its transport header lies; a first fragment may well be that short. */
function tooShort(out: PacketView): number {
  return out.fragment === FRAGMENT_NONE ? PARSE_BAD_HEADER : PARSE_NO_PORTS;
}
