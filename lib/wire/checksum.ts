/**
 * Transport checksums over whole packets; the plain one's complement sums come from ones-complement.ts and are
 * exported here too.
 *
 * A DSCP rewrite never needs these: the pseudo-header does not cover the traffic class. Tools, tests and devices
 * that finish an offloaded checksum do.
 *
 * @see RFC 9293 section 3.1
 * @see RFC 8200 section 8.1
 */
import { addBytes } from './ones-complement.ts';
import { FRAGMENT_NONE, PARSE_NO_PORTS, PARSE_OK, PacketView, parsePacket } from './packet-view.ts';
import {
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_ROUTING,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './protocol-numbers.ts';

export { internetChecksum, incrementalChecksum } from './ones-complement.ts';

// One view for all calls: nothing here runs while another call is under way.
const packet = new PacketView();

/**
 * The value that the checksum field of the transport should hold, from all of its bytes (0..65535), the field itself
 * counted as zero; -1 where there is none to compute: a fragment, a packet that does not parse, or a protocol other
 * than TCP, UDP, ICMP and ICMPv6.
 *
 * The packet ends where its own length says, within the view. A UDP result of 0 is given as 65535.
 *
 * @see RFC 768, RFC 9293 section 3.1, RFC 792, RFC 4443 section 2.3
 */
export function transportChecksum(view: DataView, packetAt: number): number {
  const field = checksumField(view, packetAt);
  if (field < 0) return -1;
  const at = packetAt + packet.headerLength;
  const length = transportLength(view);
  let sum = pseudoHeaderSum(view, length);
  sum = addBytes(sum, view, at, field - at);
  sum = addBytes(sum, view, field + 2, at + length - field - 2);
  const value = ~sum & 0xffff;
  return value === 0 && packet.protocol === PROTOCOL_UDP ? 0xffff : value;
}

/** Writes the transport checksum; false, with nothing written, where there is none to compute. */
export function fillTransportChecksum(view: DataView, packetAt: number): boolean {
  const value = transportChecksum(view, packetAt);
  if (value < 0) return false;
  view.setUint16(packetAt + packet.headerLength + fieldOffset(packet.protocol), value);
  return true;
}

/**
 * Whether the transport checksum is right. A UDP checksum of 0 over IPv4 means that none was computed and counts as
 * right; where there is none to compute the answer is false.
 */
export function isTransportChecksumValid(view: DataView, packetAt: number): boolean {
  const value = transportChecksum(view, packetAt);
  if (value < 0) return false;
  const held = view.getUint16(packetAt + packet.headerLength + fieldOffset(packet.protocol));
  if (held === 0 && packet.protocol === PROTOCOL_UDP && packet.version === 4) return true;
  return held === value;
}

/** Parses into `packet`; the offset of the checksum field, or -1 without one. */
function checksumField(view: DataView, packetAt: number): number {
  const code = parsePacket(view, packetAt, view.byteLength - packetAt, packet);
  if ((code !== PARSE_OK && code !== PARSE_NO_PORTS) || packet.fragment !== FRAGMENT_NONE) return -1;
  const offset = fieldOffset(packet.protocol);
  const isOfThisVersion = packet.protocol !== (packet.version === 4 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP);
  if (offset < 0 || !isOfThisVersion || packet.headerLength + offset + 2 > packet.length) return -1;
  return packetAt + packet.headerLength + offset;
}

function fieldOffset(protocol: number): number {
  if (protocol === PROTOCOL_TCP) return 16;
  if (protocol === PROTOCOL_UDP) return 6;
  return protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6 ? 2 : -1;
}

/** UDP counts its own length, which may leave a surplus area uncovered (RFC 9868); the others reach to the end. */
function transportLength(view: DataView): number {
  if (packet.protocol === PROTOCOL_UDP) return view.getUint16(packet.at + packet.headerLength + 4);
  return packet.length - packet.headerLength;
}

function pseudoHeaderSum(view: DataView, length: number): number {
  if (packet.protocol === PROTOCOL_ICMP) return 0;
  const isIpv4 = packet.version === 4;
  const addressLength = isIpv4 ? 4 : 16;
  const srcAt = packet.at + (isIpv4 ? 12 : 8);
  const sum = addBytes(packet.protocol + length, view, srcAt, addressLength);
  return addBytes(sum, view, isIpv4 ? srcAt + 4 : finalDestinationAt(view), addressLength);
}

/**
 * Offset of the IPv6 address that the sender put into its pseudo-header: the last hop of a routing header with
 * segments left, else the destination field.
 *
 * @see RFC 8200 section 8.1
 * @see RFC 8754 section 2
 */
function finalDestinationAt(view: DataView): number {
  const end = packet.at + packet.headerLength;
  let protocol = view.getUint8(packet.at + 6);
  let next = packet.at + 40;
  while (next + 24 <= end && isBeforeRouting(protocol)) {
    const length = (view.getUint8(next + 1) + 1) << 3;
    if (protocol === PROTOCOL_ROUTING && view.getUint8(next + 3) > 0 && length >= 24) {
      const type = view.getUint8(next + 2);
      // Type 0 lists the last hop last, mobility (2) has one, segment routing (4) lists it first.
      if (type === 0) return next + length - 16;
      if (type === 2 || type === 4) return next + 8;
    }
    protocol = view.getUint8(next);
    next += length;
  }
  return packet.at + 24;
}

/** Headers that a router on the listed path reads; a routing header stands behind no other. */
function isBeforeRouting(protocol: number): boolean {
  return (
    protocol === PROTOCOL_HOP_BY_HOP ||
    protocol === PROTOCOL_DESTINATION_OPTIONS ||
    protocol === PROTOCOL_ROUTING
  );
}
