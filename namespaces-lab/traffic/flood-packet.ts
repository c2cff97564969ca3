/** The packets of a flood: empty UDP datagrams that ask for a path (FNE), each from another address. */
import { parseAddress } from '../../lib/wire/addr.ts';
import { fillHeaderChecksum, IPV4_MIN_HEADER_LENGTH, writeIpv4Header } from '../../lib/wire/ipv4.ts';
import { CODEPOINT_FNE, encodeMark, markingScheme } from '../../lib/wire/marking/scheme.ts';
import { PROTOCOL_UDP } from '../../lib/wire/protocol-numbers.ts';
import { UDP_HEADER_LENGTH, writeUdpHeader } from '../../lib/wire/udp.ts';

const LENGTH = IPV4_MIN_HEADER_LENGTH + UDP_HEADER_LENGTH;
const SRC = 12;
/** Sources are in 11.0.0.0/8. */
const SOURCES = 0x0b000000;

/** One packet, from 11.0.0.0, to the port for discarding. @param scheme - pool2 or full */
export function floodPacket(scheme: string, destination: string): Uint8Array {
  const packet = new Uint8Array(LENGTH);
  const view = new DataView(packet.buffer);
  writeIpv4Header(view, 0, {
    dscp: encodeMark(markingScheme(scheme), CODEPOINT_FNE, 0),
    totalLength: LENGTH,
    protocol: PROTOCOL_UDP,
    src: parseAddress('11.0.0.0'),
    dst: parseAddress(destination),
  });
  // Without checksum, which IPv4 allows: the source changes.
  writeUdpHeader(view, IPV4_MIN_HEADER_LENGTH, { srcPort: 1024, dstPort: 9, length: UDP_HEADER_LENGTH });
  return packet;
}

/** Gives a packet the source of a number; 2^24 of them follow each other in an order without pattern. */
export function writeSource(view: DataView, at: number, sequence: number): void {
  view.setUint32(at + SRC, SOURCES | (Math.imul(sequence, 0x9e3779b1) >>> 8));
  fillHeaderChecksum(view, at);
}
