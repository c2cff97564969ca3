/** ICMP echo requests by a raw socket, for machines without ping. */
import { internetChecksum } from '../../lib/wire/checksum.ts';
import type { Fd } from '../../lib/sys/fd.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { readBytes, writeBytes } from '../../lib/sys/libc.ts';
import { Poll } from '../../lib/sys/poll.ts';
import { AF_INET, AF_INET6, encodeSocketAddress, socketAddressBytes } from '../../lib/sys/socket-address.ts';
import { withinNetns } from './in-netns.ts';
import { openRawSocket } from './raw-socket.ts';

const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const HEADER = 8;

/** Sends one echo request and waits for its answer. Returns the payload that came back. */
export async function pingOnce(netns: string, address: string, payload: Uint8Array): Promise<Buffer> {
  const version = address.includes(':') ? 6 : 4;
  const fd = withinNetns(netns, () => openRaw(version, address));
  try {
    const request = new Uint8Array(HEADER + payload.length);
    request[0] = version === 4 ? 8 : 128;
    request.set([0x50, 0x46, 0, 1], 4); // identifier and sequence number
    request.set(payload, HEADER);
    const view = new DataView(request.buffer);
    // The kernel does it for ICMPv6, whose checksum covers the addresses.
    if (version === 4) view.setUint16(2, internetChecksum(view, 0, request.length));
    const sent = writeBytes(fd.number, request);
    if (sent !== request.length) throw new Error(`cannot send to ${address}: errno ${-sent}`);
    return await answer(fd.number, version === 4 ? 0 : 129, version === 4 ? 20 : 0);
  } finally {
    fd.close();
  }
}

function openRaw(version: 4 | 6, address: string): Fd {
  const family = version === 4 ? AF_INET : AF_INET6;
  const words = encodeSocketAddress(family, address, 0, interfaceIndex);
  if (words === undefined) throw new Error(`${address} is no IPv${version} address`);
  return openRawSocket({
    family,
    protocol: version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
    address: new Uint8Array(words.buffer, 0, socketAddressBytes(family)),
    use: 'connect',
  });
}

/** The payload of the first message of that type; IPv4 sockets get the IP header before it. */
function answer(fd: number, type: number, headerAt: number): Promise<Buffer> {
  const buffer = new Uint8Array(65_536);
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer);
      poll.close();
    };
    const timer = setTimeout(() => {
      end();
      reject(new Error('no echo reply within five seconds'));
    }, 5000);
    const poll = new Poll(fd, 'readable', () => {
      const length = readBytes(fd, buffer);
      if (length < headerAt + HEADER || buffer[headerAt] !== type) return;
      end();
      resolve(Buffer.from(buffer.slice(headerAt + HEADER, length)));
    });
  });
}
