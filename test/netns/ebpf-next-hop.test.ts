/**
 * What the gateway's program keeps of the kernel's routing when it sends packets itself, and what it does not, in a
 * network namespace of this process:
 *
 *   port h0 ----- p0 [ pref_outbound ] ---- table 7210 ----> w0 ----- x0, w1 ----- x1
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { StructView } from '../../lib/ebpf/btf.ts';
import { GatewayPrograms } from '../../lib/ebpf/gateway-programs.ts';
import { DEFAULT_MARK_MASK } from '../../lib/ebpf/gateway-settings.ts';
import { mapSpec, perCpuStride } from '../../lib/ebpf/object-spec.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { WEIGHT_SCALE } from '../../lib/pref/route-table.ts';
import { createTcxLink } from '../../lib/sys/bpf.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { parsePrefix } from '../../lib/wire/addr.ts';
import { FramePort } from '../support/frame-port.ts';
import { describeNetns } from '../support/netns.ts';
import { addressBytes, buildUdp } from '../support/packets.ts';
import { enterForwardingNamespace } from '../support/tun-pair.ts';

const PATH = 1;
const TABLE = 7210;
/** LECT on path 1 in the scheme pool2. */
const MARKED = 11;
const INSIDE = 'p0';
const WAYS = ['0', '1'] as const;
const ENDS = {
  4: { src: '10.98.0.7', dst: '20.0.0.1' },
  6: { src: 'fd98::7', dst: 'fd20::1' },
} as const;
const [HOST_ADDRESS, GATEWAY_ADDRESS] = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
/** Of the next hops, which nobody has: so nobody forwards what comes there. */
const HOP_ADDRESSES = { 0: '02:00:00:00:01:00', 1: '02:00:00:00:01:01' } as const;
const HOPS = { 0: ['10.90.0.2', 'fd90::2'], 1: ['10.91.0.2', 'fd91::2'] } as const;
/** A jiffy is 10 ms at most (HZ=100). */
const LONGER_THAN_A_JIFFY_MS = 25;
const ARRIVAL_MS = 1000;

describeNetns('the next hop of a packet that the program sends itself', () => {
  const gateway = checkGatewayOptions({ routes: [{ name: 'a', pathId: PATH }], inferFailures: false });
  const kernel = { markMask: DEFAULT_MARK_MASK };
  const foreign = { ...kernel, redirectTables: new Map([[PATH, TABLE]]) };
  const own = { ...foreign, ownTables: new Set([PATH]) };
  let host: FramePort;
  let ports: FramePort[];
  let programs: GatewayPrograms;
  let link: Fd | number;
  const ip = (words: string): void => {
    execFileSync('ip', words.split(' '));
  };

  beforeAll(() => {
    enterForwardingNamespace();
    ip(`link add h0 address ${HOST_ADDRESS} type veth peer name ${INSIDE}`);
    ip(`link set ${INSIDE} address ${GATEWAY_ADDRESS}`);
    for (const way of WAYS) ip(`link add w${way} type veth peer name x${way}`);
    for (const [name, ...addresses] of [
      [INSIDE, '10.98.0.1/24', 'fd98::1/64'],
      ['w0', '10.90.0.1/24', 'fd90::1/64'],
      ['w1', '10.91.0.1/24', 'fd91::1/64'],
    ]) {
      writeFileSync(`/proc/sys/net/ipv6/conf/${name}/addr_gen_mode`, '1');
      writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '0');
      for (const address of addresses)
        ip(`addr add ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`);
    }
    for (const name of ['h0', INSIDE, 'w0', 'x0', 'w1', 'x1']) {
      ip(`link set ${name} mtu ${/[hp]/.test(name) ? 9000 : 1500} up`);
    }
    host = new FramePort('h0');
    ports = WAYS.map((way) => new FramePort(`x${way}`));
    for (const version of ['-4', '-6']) {
      ip(`${version} rule add iif ${INSIDE} fwmark ${PATH << 24}/${DEFAULT_MARK_MASK} lookup ${TABLE}`);
    }
    programs = new GatewayPrograms({ purpose: 'datapath', gateway, traffic: kernel, destinations: 1 });
    const ifindex = interfaceIndex(INSIDE);
    programs.setDevice(ifindex, { linkHeaderBytes: ETHERNET_BYTES, pathId: 0, isInside: true });
    programs.resetDestination(0, [0]);
    programs.setDestination(0, { allowedMask: 1, upMask: 1, suspendedMask: 0, weights: [WEIGHT_SCALE] });
    for (const prefix of ['20.0.0.0/8', 'fd20::/16']) programs.setPrefix(parsePrefix(prefix), 0);
    for (const prefix of ['10.98.0.0/24', 'fd98::/64']) programs.setInside(parsePrefix(prefix), 'domain');
    programs.publishPrefixes();
    link = createTcxLink(programs.programFd('outbound'), ifindex, 'ingress');
  });
  beforeEach(async () => {
    for (const way of WAYS) {
      ip(`link set w${way} up`);
      // A device that goes down loses those of IPv6. Neighbours are looked for from the one of the link.
      for (const address of [`fd9${way}::1/64`, 'fe80::1/64'])
        ip(`addr replace ${address} dev w${way} nodad`);
      for (const hop of HOPS[way]) ip(`neigh replace ${hop} lladdr ${HOP_ADDRESSES[way]} dev w${way}`);
    }
    for (const version of [4, 6] as const) {
      // A table without routes is none that could be flushed.
      routeBy('0', version);
      ip(`-${version} route flush table ${TABLE}`);
      routeBy('0', version);
    }
    programs.configure(gateway, own);
    await aJiffy();
  });
  afterAll(() => {
    if (link instanceof Fd) link.close();
    programs.close();
    host.close();
    for (const port of ports) port.close();
  });

  function routeBy(way: (typeof WAYS)[number], version: 4 | 6): void {
    ip(
      `-${version} route replace default via ${HOPS[way][version === 4 ? 0 : 1]} dev w${way} table ${TABLE}`,
    );
  }

  /** Until what was kept does not count any more; what came out meanwhile is forgotten. */
  async function aJiffy(): Promise<void> {
    await delay(LONGER_THAN_A_JIFFY_MS);
    for (const port of ports) port.take();
  }

  function send(packet: Uint8Array): void {
    const type = packet[0] >> 4 === 4 ? [0x08, 0x00] : [0x86, 0xdd];
    host.send(Uint8Array.of(...macOf(GATEWAY_ADDRESS), ...macOf(HOST_ADDRESS), ...type, ...packet));
  }

  /** Where a packet comes out, and whether the program sent it. */
  async function fateOf(packet: Uint8Array) {
    const before = programs.counters().redirected;
    send(packet);
    const dst = packet.slice(packet[0] >> 4 === 4 ? 16 : 24, packet[0] >> 4 === 4 ? 20 : 40);
    const end = performance.now() + ARRIVAL_MS;
    for (;;) {
      const came = ports.flatMap((port, way) =>
        port
          .take()
          .filter((frame) => hasDestination(frame, dst))
          .map((frame) => ({ way: String(way), hop: Buffer.from(frame.subarray(0, 6)).toString('hex') })),
      );
      const isSentByProgram = programs.counters().redirected > before;
      if (came.length > 0) return { ...came[0], isSentByProgram };
      if (performance.now() > end) return { way: undefined, hop: undefined, isSentByProgram };
      await delay(1);
    }
  }

  /** What is kept for packets of that version, on all processors together. */
  function kept(version: 4 | 6): { ifindex: number; mtu: number }[] {
    const spec = mapSpec(programs.spec, 'next_hops');
    const map = programs.map('next_hops');
    new DataView(map.key.buffer).setUint32(0, PATH * 2 + (version === 6 ? 1 : 0), true);
    map.lookup();
    const stride = perCpuStride(spec.value.size);
    return Array.from({ length: map.value.length / stride }, (_, i) => {
      const bytes = map.value.slice(i * stride, i * stride + spec.value.size);
      const view = new StructView(spec.value, bytes);
      return { ifindex: view.read('ifindex'), mtu: view.read('mtu') };
    }).filter(({ ifindex }) => ifindex !== 0);
  }

  function forgetKept(version: 4 | 6): void {
    const map = programs.map('next_hops');
    new DataView(map.key.buffer).setUint32(0, PATH * 2 + (version === 6 ? 1 : 0), true);
    map.value.fill(0);
    map.update();
  }

  const packetOf = (version: 4 | 6, fields: Parameters<typeof buildUdp>[0] = {}): Uint8Array =>
    buildUdp({ ...ENDS[version], dscp: MARKED, ...fields });
  const hopOf = (way: (typeof WAYS)[number]): string => HOP_ADDRESSES[way].replaceAll(':', '');

  for (const version of [4, 6] as const) {
    it(`is kept where the table is the gateway's own, with device and MTU, IPv${version}`, async () => {
      forgetKept(version);
      expect(await fateOf(packetOf(version))).toEqual({ way: '0', hop: hopOf('0'), isSentByProgram: true });
      expect(kept(version)).toContainEqual({ ifindex: interfaceIndex('w0'), mtu: 1500 });
    });

    it(`is another one a jiffy after the table says so, IPv${version}`, async () => {
      for (const way of ['1', '0'] as const) {
        send(packetOf(version));
        routeBy(way, version);
        await aJiffy();
        expect(await fateOf(packetOf(version))).toEqual({ way, hop: hopOf(way), isSentByProgram: true });
      }
    });

    it(`is not for packets above the MTU, directly behind one that it is kept of, IPv${version}`, async () => {
      const large = packetOf(version, {
        payloadLength: 1600,
        ...(version === 4 ? { dontFragment: true } : {}),
      });
      for (let i = 0; i < 50; i++) {
        const before = programs.counters().redirected;
        send(packetOf(version));
        send(large);
        expect(programs.counters().redirected).toBe(before + 1);
      }
    });

    it(`counts no more a jiffy after its device went down: the kernel goes by the main table, IPv${version}`, async () => {
      ip(`-${version} route add default via ${HOPS[1][version === 4 ? 0 : 1]} dev w1`);
      try {
        send(packetOf(version));
        ip('link set w0 down');
        await aJiffy();
        expect(await fateOf(packetOf(version))).toEqual({
          way: '1',
          hop: hopOf('1'),
          isSentByProgram: false,
        });
      } finally {
        ip(`-${version} route del default`);
      }
    });

    it(`has its new Ethernet address at once, IPv${version}`, async () => {
      const hop = HOPS[0][version === 4 ? 0 : 1];
      send(packetOf(version));
      ip(`neigh replace ${hop} lladdr 02:00:00:00:07:07 dev w0`);
      for (const port of ports) port.take();
      expect(await fateOf(packetOf(version))).toEqual({
        way: '0',
        hop: '020000000707',
        isSentByProgram: true,
      });
    });

    it(`is asked of the kernel again when its neighbour is gone, which then looks for it, IPv${version}`, async () => {
      const hop = HOPS[0][version === 4 ? 0 : 1];
      send(packetOf(version));
      ip(`neigh del ${hop} dev w0`);
      await aJiffy();
      const before = programs.counters().redirected;
      send(packetOf(version));
      expect(programs.counters().redirected).toBe(before);
      const searches = await untilSome(() => ports[0].take().filter((frame) => asksFor(frame, hop)));
      expect(searches.length).toBeGreaterThan(0);
    });

    it(`is the address itself behind a route without one, for each its own, IPv${version}`, async () => {
      ip(`-${version} route replace default dev w0 table ${TABLE}`);
      const [a, b] = version === 4 ? ['20.0.0.8', '20.0.0.9'] : ['fd20::8', 'fd20::9'];
      ip(`neigh replace ${a} lladdr 02:00:00:00:08:08 dev w0`);
      ip(`neigh replace ${b} lladdr 02:00:00:00:09:09 dev w0`);
      await aJiffy();
      forgetKept(version);
      const fates = [];
      for (const dst of [a, b, a]) fates.push(await fateOf(packetOf(version, { dst })));
      expect(fates.map(({ hop }) => hop)).toEqual(['020000000808', '020000000909', '020000000808']);
      expect(fates.every(({ isSentByProgram }) => isSentByProgram)).toBe(true);
      expect(kept(version)).toEqual([]);
    });

    it(`is asked for every packet where somebody else fills the table, prefix by prefix, IPv${version}`, async () => {
      const [prefix, other] = version === 4 ? ['20.1.0.0/16', '20.1.0.1'] : ['fd20:1::/32', 'fd20:1::1'];
      ip(`-${version} route add ${prefix} via ${HOPS[1][version === 4 ? 0 : 1]} dev w1 table ${TABLE}`);
      programs.configure(gateway, foreign);
      forgetKept(version);
      for (let i = 0; i < 10; i++) {
        expect(await fateOf(packetOf(version))).toMatchObject({ way: '0', isSentByProgram: true });
        expect(await fateOf(packetOf(version, { dst: other }))).toMatchObject({
          way: '1',
          isSentByProgram: true,
        });
      }
      expect(kept(version)).toEqual([]);
    });
  }
});

function macOf(address: string): number[] {
  return address.split(':').map((byte) => parseInt(byte, 16));
}

/** Whether a frame holds an IP packet to that address. */
function hasDestination(frame: Uint8Array, dst: Uint8Array): boolean {
  const at = ETHERNET_BYTES + (dst.length === 4 ? 16 : 24);
  const version = frame[ETHERNET_BYTES] >> 4;
  return version === (dst.length === 4 ? 4 : 6) && dst.every((byte, i) => frame[at + i] === byte);
}

/** Whether a frame is an ARP request or a neighbour solicitation for that address, which both end with or hold it. */
function asksFor(frame: Uint8Array, address: string): boolean {
  const wanted = Buffer.from(addressBytes(address));
  const isArp = frame[12] === 0x08 && frame[13] === 0x06;
  const isSolicitation =
    frame[12] === 0x86 && frame[ETHERNET_BYTES + 6] === 58 && frame[ETHERNET_BYTES + 40] === 135;
  return (isArp || isSolicitation) && Buffer.from(frame).includes(wanted, ETHERNET_BYTES + 20);
}

async function untilSome<T>(find: () => T[]): Promise<T[]> {
  const end = performance.now() + ARRIVAL_MS;
  for (;;) {
    const found = find();
    if (found.length > 0 || performance.now() > end) return found;
    await delay(1);
  }
}
