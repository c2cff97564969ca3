/**
 * Reads a capture and prints what a host would have done with each packet, and why:
 *
 *     node pcap-verdicts.js FILE.pcap ADDRESS_OF_THE_HOST
 *
 * Packets from that address are outbound, all others inbound. Takes captures of raw IP and of Ethernet.
 */
import { readFileSync } from 'node:fs';
import { CODEPOINT_NAMES, LexHost } from 'preflex';
import { LINKTYPE_RAW, readPcap } from 'preflex/device';
import { formatAddress, ipv4, ipv6 } from 'preflex/wire';

const ETHERNET_HEADER_BYTES = 14;
const [file = '', address = ''] = process.argv.slice(2);
const { linkType, records } = readPcap(readFileSync(file));
const at = linkType === LINKTYPE_RAW ? 0 : ETHERNET_HEADER_BYTES;
const host = new LexHost();

for (const { bytes, seconds, nanoseconds } of records) {
  // A copy: the host rewrites the DSCP in place.
  const view = new DataView(new Uint8Array(bytes).buffer);
  const length = bytes.length - at;
  const version = length > 0 ? view.getUint8(at) >> 4 : 0;
  const isWhole = (version === 4 && length >= 20) || (version === 6 && length >= 40);
  const src = isWhole ? formatAddress(view, at + (version === 4 ? 12 : 8), version) : '';
  // Seconds since 1970 in ns would lose the last digits of a double; a capture's own start does not.
  const nowNs = (seconds - records[0]!.seconds) * 1e9 + nanoseconds;
  let verdict: string;
  if (src === address) verdict = CODEPOINT_NAMES[host.handleOutbound(view, at, length, nowNs)]!;
  else {
    const pathId = host.handleInbound(view, at, length, nowNs);
    verdict = pathId === 0 ? 'in' : `in, path ${pathId}`;
  }
  const line = version === 6 ? ipv6.formatIpv6 : ipv4.formatIpv4;
  console.log(`${verdict} (${host.lastReasonName}): ${isWhole ? line(view, at) : 'no IP packet'}`);
}
