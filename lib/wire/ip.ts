/**
 * What can be asked of an IP packet without knowing its version: the DSCP, and whether its destination is one host.
 */
import {
  dscp as ipv4Dscp,
  dstAddr,
  fragmentOffset,
  identification,
  hasMoreFragments,
  setDscp as setIpv4Dscp,
} from './ipv4.ts';
import { dscp as ipv6Dscp, dstWord, isExtensionHeader, nextHeader, setDscp as setIpv6Dscp } from './ipv6.ts';
import { PROTOCOL_AUTHENTICATION, PROTOCOL_FRAGMENT } from './protocol-numbers.ts';

/** The packet's DSCP, 0..63; 0 when the version nibble is neither 4 nor 6. @hotpath */
export function readDscp(view: DataView, at: number): number {
  const version = view.getUint8(at) >>> 4;
  if (version === 4) return ipv4Dscp(view, at);
  return version === 6 ? ipv6Dscp(view, at) : 0;
}

/**
 * Writes the DSCP into a packet that parsePacket let through (PARSE_OK, PARSE_LATER_FRAGMENT, PARSE_NO_PORTS).
 *
 * The ECN bits stay as they are; the IPv4 header checksum is updated by RFC 1624; transport checksums do not cover
 * the DSCP. Does nothing when the version nibble is neither 4 nor 6.
 *
 * @param dscp - 0..63; anything else, DSCP_UNCHANGED among it, leaves the packet untouched. @hotpath
 */
export function writeDscp(view: DataView, at: number, dscp: number): void {
  const version = view.getUint8(at) >>> 4;
  if (version === 4) setIpv4Dscp(view, at, dscp);
  else if (version === 6) setIpv6Dscp(view, at, dscp);
}

/**
 * Whether the destination is a multicast group or the limited broadcast address: 224.0.0.0/4, 255.255.255.255,
 * ff00::/8. A directed broadcast looks like a host from outside its subnet and is not recognised.
 *
 * @param version - 4 or 6, as PacketView gives it; anything else answers false. @hotpath
 * @see RFC 5771, RFC 919 section 7, RFC 4291 section 2.7
 */
export function isMulticastOrBroadcastDst(view: DataView, at: number, version: number): boolean {
  if (version === 4) {
    const addr = dstAddr(view, at);
    return addr >>> 28 === 0xe || addr === -1;
  }
  return version === 6 && dstWord(view, at, 0) >>> 24 === 0xff;
}

/**
 * The identification that the fragments of one packet share, as int32 (16 bits in IPv4, 32 in IPv6), or -1 when the
 * packet is no fragment. For packets with PacketView.fragment set; -1 is also a possible IPv6 value, so ask that
 * first. @hotpath
 *
 * @see RFC 791 section 2.3
 * @see RFC 8200 section 4.5
 */
export function fragmentIdentification(view: DataView, at: number, headerLength: number): number {
  if (view.getUint8(at) >>> 4 === 4) {
    const isFragment = fragmentOffset(view, at) !== 0 || hasMoreFragments(view, at);
    return isFragment ? identification(view, at) : -1;
  }
  const end = at + headerLength;
  let protocol = nextHeader(view, at);
  let next = at + 40;
  while (next + 8 <= end && isExtensionHeader(protocol)) {
    if (protocol === PROTOCOL_FRAGMENT) return view.getInt32(next + 4);
    const units = view.getUint8(next + 1);
    const length = protocol === PROTOCOL_AUTHENTICATION ? (units + 2) << 2 : (units + 1) << 3;
    protocol = view.getUint8(next);
    next += length;
  }
  return -1;
}
