/** Marks packets: the first datagram of a flow asks for a path (FNE), a repeated one tells of loss (LEx). */
import { CODEPOINT_NAMES, HINT_RETRANSMISSION, LexHost } from 'preflex';
import { ipv4, parseAddress, PROTOCOL_UDP, readDscp, udp } from 'preflex/wire';

// A packet as a program that owns packets has it: bytes in a buffer. This one is a UDP datagram without payload.
const view = new DataView(new ArrayBuffer(28));
const [src, dst] = [parseAddress('192.0.2.1'), parseAddress('198.51.100.7')];
ipv4.writeIpv4Header(view, 0, { totalLength: 28, protocol: PROTOCOL_UDP, src, dst });
udp.writeUdpHeader(view, 20, { srcPort: 40_000, dstPort: 9000, length: 8 });

const host = new LexHost();
for (const hints of [0, 0, HINT_RETRANSMISSION]) {
  const codepoint = host.handleOutbound(view, 0, view.byteLength, performance.now() * 1e6, hints);
  console.log(`${CODEPOINT_NAMES[codepoint]} because ${host.lastReasonName}, DSCP ${readDscp(view, 0)}`);
}
