/**
 * Packets on a device, captured by tcpdump and read back: what left by a route, with which marks and checksums.
 *
 * A capture is complete, or the test fails: {@link Capture.stop} waits until tcpdump has taken every packet that the
 * kernel has for it, and refuses a capture of which the kernel has dropped a part.
 */
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { LINKTYPE_RAW, readPcap } from '../../lib/device/pcap.ts';
import { run, waitFor } from '../../lib/netns/index.ts';
import { formatAddress } from '../../lib/wire/addr.ts';
import { PacketView, parsePacket } from '../../lib/wire/packet-view.ts';
import type { TestLab } from './netns.ts';

/** An IP packet of a capture. */
export interface CapturedPacket {
  readonly version: 4 | 6;
  readonly protocol: number;
  /** `10.0.0.1:80`, `[fd00::1]:80`; port 0 when there is none. */
  readonly src: string;
  readonly dst: string;
  readonly dscp: number;
  readonly ecn: number;
  /** Bytes of the IP packet; of a super-packet where the device carries those. */
  readonly length: number;
  /** FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER. */
  readonly fragment: number;
  readonly tcpFlags: number;
  /** First byte after the IP header: an ICMP message's type. */
  readonly firstByte: number;
  readonly payload: Uint8Array;
}

const LINKTYPE_ETHERNET = 1;
const ETHERNET_HEADER = 14;
/** Kernel buffer of a capture, KiB. */
const BUFFER_KIB = 65_536;

/** A running capture. */
export class Capture {
  /** The file. */
  readonly path: string;
  readonly #child: ChildProcess;
  #said = '';

  private constructor(child: ChildProcess, path: string) {
    this.path = path;
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#said += text));
  }

  /**
   * Captures whole packets of both directions until {@link stop}.
   *
   * @param maxBytes - of a packet. Short ones are taken at once, from a ring of equal slots; super-packets would fill
   *   that, and come in blocks, up to a second late.
   */
  static async start(
    lab: TestLab,
    netns: string,
    device: string,
    maxBytes: 2048 | 16_384 | 262_144 = 2048,
  ): Promise<Capture> {
    const path = join(lab.folder, `${device}-${started++}.pcap`);
    const words = ['-U', '-s', String(maxBytes), '-B', String(BUFFER_KIB), '-Z', 'root', '-w', path];
    if (maxBytes < 262_144) words.push('--immediate-mode');
    const child = lab.scope.spawn(['tcpdump', '-n', '-i', device, ...words], {
      netns,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const capture = new Capture(child, path);
    await waitFor(`tcpdump on ${device}`, () => (capture.#said.includes('listening on') ? true : undefined));
    return capture;
  }

  /** Ends the capture; the IP packets in the order of the device. */
  async stop(): Promise<CapturedPacket[]> {
    await waitFor(`all packets in ${this.path}`, () => this.#isCaughtUp(), { timeoutMs: 20_000 });
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGINT');
    await ended;
    if (!this.#said.trimEnd().endsWith('\n0 packets dropped by kernel')) {
      throw new Error(`the capture ${this.path} is not complete: ${this.#said}`);
    }
    return readCapture(this.path);
  }

  /** Asks tcpdump (SIGUSR1) whether it has taken all that the kernel has received for it. */
  async #isCaughtUp(): Promise<true | undefined> {
    const from = this.#said.length;
    this.#child.kill('SIGUSR1');
    const report = /(\d+) packets? captured, (\d+) packets? received by filter/;
    const [, taken, received] = await waitFor(
      'the counters of tcpdump',
      () => report.exec(this.#said.slice(from)) ?? undefined,
    );
    return taken === received ? true : undefined;
  }
}

/** Lines in which tcpdump -vv finds a checksum, a length or a header wrong. @param filter - in tcpdump's language */
export function wrongPackets(path: string, filter = ''): string[] {
  return explain(path, filter)
    .split('\n')
    .filter((line) => /incorrect|wrong|\bbad\b|invalid|truncated/i.test(line));
}

/** How many checksums of transports tcpdump -vv calls right; so that "none is wrong" means something. */
export function rightChecksums(path: string, filter = ''): number {
  return [...explain(path, filter).matchAll(/\(correct\)|udp sum ok|icmp6 sum ok/g)].length;
}

function explain(path: string, filter: string): string {
  return run(['tcpdump', '-nn', '-vv', '-r', path, ...(filter === '' ? [] : [filter])]);
}

/** The flow of a packet in its own direction. */
export function flowOf(packet: CapturedPacket): string {
  return `${packet.protocol} ${packet.src} > ${packet.dst}`;
}

/** The address of an end such as `10.0.0.1:80` or `[fd00::1]:80`. */
export function addressOf(end: string): string {
  return end.slice(0, end.lastIndexOf(':')).replace(/[[\]]/g, '');
}

/** Packets by what `key` says of them. */
export function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) group.push(item);
    else groups.set(key(item), [item]);
  }
  return groups;
}

/** How often each value occurs. */
export function tally(values: readonly (number | string)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}

let started = 0;

function readCapture(path: string): CapturedPacket[] {
  const { linkType, records } = readPcap(readFileSync(path));
  if (linkType !== LINKTYPE_RAW && linkType !== LINKTYPE_ETHERNET)
    throw new Error(`${path}: link type ${linkType}`);
  const start = linkType === LINKTYPE_ETHERNET ? ETHERNET_HEADER : 0;
  const packets: CapturedPacket[] = [];
  for (const { bytes } of records) {
    const packet = readPacket(bytes.subarray(start));
    if (packet) packets.push(packet);
  }
  return packets;
}

/** Undefined for what is not IP: ARP. */
function readPacket(bytes: Uint8Array): CapturedPacket | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields = new PacketView();
  parsePacket(view, 0, bytes.length, fields);
  const { version } = fields;
  if (version !== 4 && version !== 6) return undefined;
  const [srcAt, dstAt] = version === 4 ? [12, 16] : [8, 24];
  const end = (at: number, port: number): string => {
    const address = formatAddress(view, at, version);
    return version === 4 ? `${address}:${port}` : `[${address}]:${port}`;
  };
  return {
    version,
    protocol: fields.protocol,
    src: end(srcAt, fields.srcPort),
    dst: end(dstAt, fields.dstPort),
    dscp: fields.dscp,
    ecn: (version === 4 ? view.getUint8(1) : view.getUint8(1) >>> 4) & 3,
    length: fields.length,
    fragment: fields.fragment,
    tcpFlags: fields.tcpFlags,
    firstByte: bytes[fields.headerLength] ?? 0,
    payload: bytes.subarray(fields.payloadAt, fields.payloadAt + fields.payloadLength),
  };
}
