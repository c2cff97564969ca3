/**
 * What the gateway's program keeps of the kernel's routing when it sends packets itself, and what it does not, in a
 * network namespace of this process:
 *
 *   port h0 ----- p0 [ pref_outbound ] ---- table 7210 ----> w0 ----- x0, w1 ----- x1
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { StructView } from '../../lib/ebpf/btf.ts';
import { mapSpec, perCpuStride } from '../../lib/ebpf/object-spec.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { FramePort } from '../support/frame-port.ts';
import { describeNetns } from '../support/netns.ts';
import {
  BY_PROGRAM,
  ENDS,
  MARKED,
  OutboundGateway,
  PATH,
  TABLE,
  addAddresses,
  ip,
  untilSome,
} from '../support/outbound-gateway.ts';
import { addressBytes, buildUdp } from '../support/packets.ts';

const WAYS = ['0', '1'] as const;
/** Of the next hops, which nobody has: so nobody forwards what comes there. */
const HOP_ADDRESSES = { 0: '02:00:00:00:01:00', 1: '02:00:00:00:01:01' } as const;
const HOPS = { 0: ['10.90.0.2', 'fd90::2'], 1: ['10.91.0.2', 'fd91::2'] } as const;
/** A jiffy is 10 ms at most (HZ=100). */
const LONGER_THAN_A_JIFFY_MS = 25;

describeNetns('the next hop of a packet that the program sends itself', () => {
  const own = { ...BY_PROGRAM, ownTables: new Set([PATH]) };
  let gateway: OutboundGateway;
  let ports: FramePort[];

  beforeAll(() => {
    gateway = new OutboundGateway();
    for (const way of WAYS) {
      ip(`link add w${way} type veth peer name x${way}`);
      addAddresses(`w${way}`, `10.9${way}.0.1/24`, `fd9${way}::1/64`);
      for (const end of ['w', 'x']) ip(`link set ${end}${way} mtu 1500 up`);
    }
    ports = WAYS.map((way) => new FramePort(`x${way}`));
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
    gateway.configure(own);
    await aJiffy();
  });
  afterAll(() => {
    gateway.close();
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

  /** Where a packet comes out, and whether the program sent it. */
  async function fateOf(packet: Uint8Array) {
    const before = gateway.redirected;
    gateway.send(packet);
    const dst = packet.slice(packet[0] >> 4 === 4 ? 16 : 24, packet[0] >> 4 === 4 ? 20 : 40);
    const [came = { way: undefined, hop: undefined }] = await untilSome(() =>
      ports.flatMap((port, way) =>
        port
          .take()
          .filter((frame) => hasDestination(frame, dst))
          .map((frame) => ({ way: String(way), hop: Buffer.from(frame.subarray(0, 6)).toString('hex') })),
      ),
    );
    return { ...came, isSentByProgram: gateway.redirected > before };
  }

  /** What is kept for packets of that version, on all processors together. */
  function kept(version: 4 | 6): { ifindex: number; mtu: number }[] {
    const spec = mapSpec(gateway.programs.spec, 'next_hops');
    const map = gateway.programs.map('next_hops');
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
    const map = gateway.programs.map('next_hops');
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
        gateway.send(packetOf(version));
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
        const before = gateway.redirected;
        gateway.send(packetOf(version));
        gateway.send(large);
        expect(gateway.redirected).toBe(before + 1);
      }
    });

    it(`counts no more a jiffy after its device went down: the kernel goes by the main table, IPv${version}`, async () => {
      ip(`-${version} route add default via ${HOPS[1][version === 4 ? 0 : 1]} dev w1`);
      try {
        gateway.send(packetOf(version));
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
      gateway.send(packetOf(version));
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
      gateway.send(packetOf(version));
      ip(`neigh del ${hop} dev w0`);
      await aJiffy();
      const before = gateway.redirected;
      gateway.send(packetOf(version));
      expect(gateway.redirected).toBe(before);
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
      gateway.configure(BY_PROGRAM);
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
