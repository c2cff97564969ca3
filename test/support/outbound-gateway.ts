/**
 * The gateway's outbound program on a device of a network namespace, for tests of where its packets come out. The calling
 * thread moves into a namespace of its own, which goes with the process; the ways out are the test's.
 *
 * ```
 *   test: send -->  port h0 ----- p0 [ pref_outbound ] ---- table 7210 ----> ways of the test
 *                   10.98.0.7     10.98.0.1/24                               to 20.0.0.0/8
 *                   fd98::7       fd98::1/64                                 and fd20::/16
 * ```
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { GatewayPrograms } from '../../lib/ebpf/gateway-programs.ts';
import type { GatewayTraffic } from '../../lib/ebpf/gateway-settings.ts';
import { DEFAULT_MARK_MASK } from '../../lib/ebpf/gateway-settings.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { WEIGHT_SCALE } from '../../lib/pref/route-table.ts';
import { createTcxLink } from '../../lib/sys/bpf.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { parsePrefix } from '../../lib/wire/addr.ts';
import { FramePort } from './frame-port.ts';
import { enterForwardingNamespace } from './tun-pair.ts';

/** Path ID of the one route. */
export const PATH = 1;
/** The routing table of the route, which is empty until the test fills it. */
export const TABLE = 7210;
/** DSCP of LECT on {@link PATH} in the scheme pool2. */
export const MARKED = 11;
/** Addresses of packets from inside to the one destination, by IP version. */
export const ENDS = {
  4: { src: '10.98.0.7', dst: '20.0.0.1' },
  6: { src: 'fd98::7', dst: 'fd20::1' },
} as const;
/** The device that the program is on. */
export const INSIDE = 'p0';
/** Of h0. */
export const HOST_ADDRESS = '02:00:00:00:00:01';
/** Of {@link INSIDE}. */
const GATEWAY_ADDRESS = '02:00:00:00:00:02';

/** The kernel forwards. */
export const BY_KERNEL: GatewayTraffic = { markMask: DEFAULT_MARK_MASK };
/** The program sends packets itself, by {@link TABLE}, which somebody else fills. */
export const BY_PROGRAM: GatewayTraffic = { ...BY_KERNEL, redirectTables: new Map([[PATH, TABLE]]) };

/** Until what was sent has come through the kernel, or has not. */
const ARRIVAL_MS = 1000;

/** The program with one route and one destination behind it; the kernel forwards until {@link configure}. */
export class OutboundGateway {
  /** The host's end, where frames come back. */
  readonly host: FramePort;
  readonly programs: GatewayPrograms;
  readonly #gateway = checkGatewayOptions({ routes: [{ name: 'a', pathId: PATH }], inferFailures: false });
  readonly #link: Fd | number;

  /** @throws Error when the kernel refuses */
  constructor() {
    enterForwardingNamespace();
    ip(`link add h0 address ${HOST_ADDRESS} type veth peer name ${INSIDE}`);
    ip(`link set ${INSIDE} address ${GATEWAY_ADDRESS}`);
    addAddresses(INSIDE, '10.98.0.1/24', 'fd98::1/64');
    for (const name of ['h0', INSIDE]) ip(`link set ${name} mtu 9000 up`);
    for (const version of [4, 6])
      ip(`-${version} rule add iif ${INSIDE} fwmark ${PATH << 24}/${DEFAULT_MARK_MASK} lookup ${TABLE}`);
    this.host = new FramePort('h0');
    this.programs = new GatewayPrograms({
      purpose: 'datapath',
      gateway: this.#gateway,
      traffic: BY_KERNEL,
      destinations: 1,
    });
    const { programs } = this;
    const ifindex = interfaceIndex(INSIDE);
    programs.setDevice(ifindex, { linkHeaderBytes: ETHERNET_BYTES, pathId: 0, isInside: true });
    programs.resetDestination(0, [0]);
    programs.setDestination(0, { allowedMask: 1, upMask: 1, suspendedMask: 0, weights: [WEIGHT_SCALE] });
    for (const prefix of ['20.0.0.0/8', 'fd20::/16']) programs.setPrefix(parsePrefix(prefix), 0);
    for (const prefix of ['10.98.0.0/24', 'fd98::/64']) programs.setInside(parsePrefix(prefix), 'domain');
    programs.publishPrefixes();
    this.#link = createTcxLink(programs.programFd('outbound'), ifindex, 'ingress');
  }

  /** Packets that the program has sent itself. */
  get redirected(): number {
    return this.programs.counters().redirected;
  }

  /** Who sends packets, from the next one on. */
  configure(traffic: GatewayTraffic): void {
    this.programs.configure(this.#gateway, traffic);
  }

  /** Sends an IP packet from the host to the program. */
  send(packet: Uint8Array): void {
    const header = [...bytesOf(GATEWAY_ADDRESS), ...bytesOf(HOST_ADDRESS), ...etherType(packet[0] >> 4)];
    this.host.send(Uint8Array.of(...header, ...packet));
  }

  close(): void {
    if (this.#link instanceof Fd) this.#link.close();
    this.programs.close();
    this.host.close();
  }
}

/** Runs `ip` with these words. @throws Error with what it said */
export function ip(words: string): void {
  execFileSync('ip', words.split(' '));
}

/** Gives a device addresses of both versions, which hold at once and are its only ones. */
export function addAddresses(device: string, ...addresses: readonly string[]): void {
  writeFileSync(`/proc/sys/net/ipv6/conf/${device}/addr_gen_mode`, '1');
  writeFileSync(`/proc/sys/net/ipv6/conf/${device}/disable_ipv6`, '0');
  for (const address of addresses)
    ip(`addr add ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`);
}

/** The two bytes of an Ethernet header that tell the IP version. */
export function etherType(version: number): number[] {
  return version === 4 ? [0x08, 0x00] : [0x86, 0xdd];
}

/** What `find` finds as soon as that is something, or nothing after a second. */
export async function untilSome<T>(find: () => T[]): Promise<T[]> {
  const end = performance.now() + ARRIVAL_MS;
  for (;;) {
    const found = find();
    if (found.length > 0 || performance.now() > end) return found;
    await delay(1);
  }
}

function bytesOf(address: string): number[] {
  return address.split(':').map((byte) => parseInt(byte, 16));
}
