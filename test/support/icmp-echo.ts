/** ICMP echo requests by a raw socket, for machines without ping. */
import { internetChecksum } from '../../lib/wire/checksum.ts';
import { parseAddress } from '../../lib/wire/addr.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { closeFile, declareFunction, lastErrno, readBytes, writeBytes } from '../../lib/sys/libc.ts';
import { Poll } from '../../lib/sys/poll.ts';
import { withinNetns } from './in-netns.ts';
import { makeSocket } from '../../lib/sys/socket-calls.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW = 3 | 0o4000 | 0o2000000; // non-blocking, closed on exec
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const HEADER = 8;

const cConnect = declareFunction('int connect(int fd, const void *address, uint32_t length)') as unknown as (
  fd: number,
  address: Uint8Array,
  length: number,
) => number;

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
  const is4 = version === 4;
  const fd = makeSocket(is4 ? AF_INET : AF_INET6, SOCK_RAW, is4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  if (fd < 0) throw new Error(`no raw socket: errno ${lastErrno()}`);
  const socketAddress = new Uint8Array(is4 ? 16 : 28);
  new Uint16Array(socketAddress.buffer, 0, 1)[0] = is4 ? AF_INET : AF_INET6;
  socketAddress.set(parseAddress(address), is4 ? 4 : 8);
  if (cConnect(fd, socketAddress, socketAddress.length) < 0) {
    const errno = lastErrno();
    closeFile(fd);
    throw new Error(`cannot connect a raw socket to ${address}: errno ${errno}`);
  }
  return new Fd(fd, 'the raw socket');
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
