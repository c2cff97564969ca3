/**
 * `preflex/wire`: the bytes of packets. Pure functions over a DataView, for any operating system; re-exports only.
 *
 * Header fields are free functions of `(view, at)`, where `at` is the offset of the packet's (`ipv4`, `ipv6`) or the
 * transport header's (`tcp`, `udp`) first byte. Nothing here allocates but what says so.
 */
export { PreflexError } from '../errors.ts';
export type { PreflexErrorCode } from '../errors.ts';
export * as ipv4 from './ipv4.ts';
export * as ipv6 from './ipv6.ts';
export * as tcp from './tcp.ts';
export * as tcpOptions from './tcp-options.ts';
export * as udp from './udp.ts';
export {
  fillTransportChecksum,
  incrementalChecksum,
  internetChecksum,
  isTransportChecksumValid,
  transportChecksum,
} from './checksum.ts';
export { formatAddress, formatPrefix, parseAddress, parsePrefix } from './addr.ts';
export type { AddressPrefix } from './addr.ts';
export { fragmentIdentification, isMulticastOrBroadcastDst, readDscp, writeDscp } from './ip.ts';
export { full } from './marking/full.ts';
export { pool2 } from './marking/pool2.ts';
export {
  CODEPOINT_FNE,
  CODEPOINT_LECT,
  CODEPOINT_LEX,
  CODEPOINT_NAMES,
  CODEPOINT_NOT_LECT,
  DSCP_UNCHANGED,
  encodeMark,
  isAssignment,
  markCodepoint,
  markingScheme,
  markPathId,
} from './marking/scheme.ts';
export type { MarkingScheme } from './marking/scheme.ts';
export {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  PacketView,
  PARSE_BAD_HEADER,
  PARSE_LATER_FRAGMENT,
  PARSE_NO_PORTS,
  PARSE_NOT_IP,
  PARSE_OK,
  PARSE_REASONS,
  PARSE_TRUNCATED,
  parsePacket,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
} from './packet-view.ts';
export {
  PROTOCOL_AUTHENTICATION,
  PROTOCOL_DESTINATION_OPTIONS,
  PROTOCOL_ESP,
  PROTOCOL_FRAGMENT,
  PROTOCOL_HOP_BY_HOP,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_NO_NEXT_HEADER,
  PROTOCOL_ROUTING,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './protocol-numbers.ts';
export { seqAfter, seqBefore, seqDelta, seqMax } from './seq.ts';
export { wireBytes, wireSegments } from './wire-bytes.ts';
