/**
 * Packets that the gateway's program sends itself against the same ones behind the kernel's forwarding, in a network
 * namespace of this process: what leaves must be the same, to the byte.
 *
 *   port h0 ----- p0 [ pref_outbound ] ---- table 7210 ----> device
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { PacketBatch } from '../../lib/device/device.ts';
import { TunDevice } from '../../lib/device/tun-device.ts';
import { GatewayPrograms } from '../../lib/ebpf/gateway-programs.ts';
import { DEFAULT_MARK_MASK } from '../../lib/ebpf/gateway-settings.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { WEIGHT_SCALE } from '../../lib/pref/route-table.ts';
import { createTcxLink } from '../../lib/sys/bpf.ts';
import { Fd } from '../../lib/sys/fd.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { parsePrefix } from '../../lib/wire/addr.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { FramePort } from '../support/frame-port.ts';
import { describeNetns } from '../support/netns.ts';
import { buildTcp, buildUdp } from '../support/packets.ts';
import type { UdpFields } from '../support/packets.ts';
import { enterForwardingNamespace } from '../support/tun-pair.ts';

const PATH = 1;
const TABLE = 7210;
/** LECT on path 1 in the scheme pool2. */
const MARKED = 11;
const [V4, V6] = [
  { src: '10.98.0.7', dst: '20.0.0.1' },
  { src: 'fd98::7', dst: 'fd20::1' },
];
/** Of h0 and p0. */
const [HOST_ADDRESS, GATEWAY_ADDRESS] = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
const INSIDE = 'p0';
/** Until what was written has come through the kernel, or has not. */
const ARRIVAL_MS = 1000;

describeNetns('a packet that the program sends itself', () => {
  const gateway = checkGatewayOptions({ routes: [{ name: 'a', pathId: PATH }], inferFailures: false });
  const kernel = { markMask: DEFAULT_MARK_MASK };
  const redirect = { ...kernel, redirectTables: new Map([[PATH, TABLE]]) };
  const batch = new PacketBatch();
  let port: FramePort;
  let device: TunDevice;
  let programs: GatewayPrograms;
  let link: Fd | number;
  const ip = (...words: string[]): void => {
    execFileSync('ip', words);
  };

  beforeAll(async () => {
    enterForwardingNamespace();
    ip('link', 'add', 'h0', 'address', HOST_ADDRESS, 'type', 'veth', 'peer', 'name', INSIDE);
    ip('link', 'set', INSIDE, 'address', GATEWAY_ADDRESS);
    device = TunDevice.open({ name: `pfxd${process.pid}`, offload: false });
    // What comes back to the host is not to be forwarded again.
    writeFileSync('/proc/sys/net/ipv4/conf/h0/forwarding', '0');
    for (const [name, ...addresses] of [
      [INSIDE, '10.98.0.1/24', 'fd98::1/64'],
      [device.name, '10.99.0.1/24', 'fd99::1/64'],
    ]) {
      writeFileSync(`/proc/sys/net/ipv6/conf/${name}/addr_gen_mode`, '1');
      writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '0');
      for (const address of addresses)
        ip('addr', 'add', address, 'dev', name, ...(address.includes(':') ? ['nodad'] : []));
    }
    for (const name of ['h0', INSIDE]) ip('link', 'set', name, 'mtu', '9000', 'up');
    for (const { src } of [V4, V6]) ip('neigh', 'add', src, 'lladdr', HOST_ADDRESS, 'dev', INSIDE);
    port = new FramePort('h0');
    for (const version of ['-4', '-6']) {
      ip(version, 'route', 'add', 'default', 'dev', device.name, 'table', String(TABLE));
      const mark = `${PATH << 24}/${DEFAULT_MARK_MASK}`;
      ip(version, 'rule', 'add', 'iif', INSIDE, 'fwmark', mark, 'lookup', String(TABLE));
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
    // So that the device has its neighbours.
    for (const ends of [V4, V6]) await passed(buildUdp({ ...ends, dscp: MARKED }));
  });
  beforeEach(() => {
    programs.configure(gateway, redirect);
  });
  afterAll(() => {
    if (link instanceof Fd) link.close();
    programs.close();
    port.close();
    device.close();
  });

  /** What leaves by the device, or comes back to the host, when this packet comes in. */
  async function passed(packet: Uint8Array): Promise<{ left: Uint8Array[]; back: Uint8Array[] }> {
    const version = packet[0] >> 4;
    port.send(
      Uint8Array.of(...bytesOf(GATEWAY_ADDRESS), ...bytesOf(HOST_ADDRESS), ...etherType(version), ...packet),
    );
    const end = performance.now() + ARRIVAL_MS;
    for (;;) {
      const back = port
        .take()
        .filter((frame) => frame[12] === etherType(version)[0] && frame[13] === etherType(version)[1])
        .map((frame) => frame.subarray(ETHERNET_BYTES));
      const found = { left: takeAll(), back: back.filter(isUnicast) };
      if (found.left.length + found.back.length > 0 || performance.now() > end) return found;
      await delay(1);
    }
  }

  function takeAll(): Uint8Array[] {
    const packets: Uint8Array[] = [];
    while (device.read(batch) > 0) {
      for (let i = 0; i < batch.count; i++) packets.push(batch.packet(i).slice());
    }
    return packets.filter(isUnicast);
  }

  /** Sends a packet both ways. Returns what the program did, and what both let out. */
  async function sendBoth(packet: Uint8Array) {
    const before = programs.counters().redirected;
    const own = await passed(packet);
    const isRedirected = programs.counters().redirected > before;
    programs.configure(gateway, kernel);
    const forwarded = await passed(packet);
    programs.configure(gateway, redirect);
    expect(programs.counters().redirected).toBe(before + (isRedirected ? 1 : 0));
    return { isRedirected, own, forwarded };
  }

  it('is the one that the kernel would have forwarded, of both IP versions and with any mark', async () => {
    for (const packet of [
      ...[V4, V6].flatMap((ends) => [
        buildUdp({ ...ends, dscp: MARKED, ttl: 64, payloadLength: 100 }),
        buildUdp({ ...ends, dscp: MARKED, ttl: 2, ecn: 2 }),
        buildUdp({ ...ends, dscp: 0, ttl: 255, payloadLength: 1 }),
        buildTcp({ ...ends, dscp: MARKED, tcpFlags: 2, payloadLength: 0 }),
        buildTcp({ ...ends, dscp: 63, ttl: 9, payloadLength: 1400 }),
      ]),
      buildUdp({
        ...V4,
        dscp: MARKED,
        identification: 7,
        fragment: { offset: 10, more: true },
        payloadLength: 64,
      }),
    ]) {
      const { isRedirected, own, forwarded } = await sendBoth(packet);
      expect(isRedirected).toBe(true);
      expect(forwarded.left).toHaveLength(1);
      expect(own).toEqual(forwarded);
    }
  });

  it('is none that asks more of a router: those the kernel forwards, answers or drops', async () => {
    const cases: readonly (readonly [string, Uint8Array, 'left' | 'back' | 'nothing'])[] = [
      ['a TTL that is over', buildUdp({ ...V4, dscp: MARKED, ttl: 1 }), 'back'],
      ['a hop limit that is over', buildUdp({ ...V6, dscp: MARKED, ttl: 1 }), 'back'],
      ['options', buildUdp({ ...V4, dscp: MARKED, ipOptions: [1, 1, 1, 1] }), 'left'],
      [
        'a header for every router',
        buildUdp({ ...V6, dscp: MARKED, extensionHeaders: [{ type: 0, body: [1, 4, 0, 0, 0, 0] }] }),
        'left',
      ],
      ['a wrong checksum', withWrongChecksum({ ...V4, dscp: MARKED }), 'nothing'],
      [
        'more than the MTU',
        buildUdp({ ...V4, dscp: MARKED, dontFragment: true, payloadLength: 1473 }),
        'back',
      ],
      ['more than the MTU, to be cut', buildUdp({ ...V4, dscp: MARKED, payloadLength: 1473 }), 'left'],
      ['more than the MTU of IPv6', buildUdp({ ...V6, dscp: MARKED, payloadLength: 1453 }), 'back'],
      ['a sender outside of the domain', buildUdp({ ...V4, src: '10.97.0.1', dscp: MARKED }), 'left'],
      ['no destination', buildUdp({ ...V4, dst: '30.0.0.1', dscp: MARKED }), 'back'],
    ];
    for (const [name, packet, fate] of cases) {
      const { isRedirected, own, forwarded } = await sendBoth(packet);
      expect(isRedirected, name).toBe(false);
      expect([own.left.length > 0, own.back.length > 0], name).toEqual([fate === 'left', fate === 'back']);
      expect(own.left.map(withoutIdentification), name).toEqual(forwarded.left.map(withoutIdentification));
    }
  });

  it('is left to the kernel when the time is over for which the program may send', async () => {
    const sent = async (redirectUntilNs: number): Promise<boolean> => {
      const before = programs.counters().redirected;
      programs.configure(gateway, { ...redirect, redirectUntilNs });
      expect(await passed(buildUdp({ ...V4, dscp: MARKED }))).toMatchObject({ left: [expect.anything()] });
      return programs.counters().redirected > before;
    };
    const now = Number(process.hrtime.bigint());
    // The program's clock is late by a tick, 10 ms at most.
    const over = now - 20e6;
    expect([await sent(now + 60e9), await sent(over), await sent(0)]).toEqual([true, false, false]);
  });

  it('is left to the kernel as soon as the table of its route has no way', async () => {
    ip('route', 'del', 'default', 'dev', device.name, 'table', String(TABLE));
    try {
      const { isRedirected, own } = await sendBoth(buildUdp({ ...V4, dscp: MARKED }));
      expect(isRedirected).toBe(false);
      expect(own.left).toEqual([]);
      // By the main table now.
      ip('route', 'add', 'default', 'dev', device.name);
      expect(await sendBoth(buildUdp({ ...V4, dscp: MARKED }))).toMatchObject({
        isRedirected: false,
        own: { left: [expect.anything()] },
      });
    } finally {
      ip('route', 'replace', 'default', 'dev', device.name, 'table', String(TABLE));
    }
  });
});

function withWrongChecksum(fields: UdpFields): Uint8Array {
  const packet = buildUdp(fields);
  packet[11] ^= 1;
  return packet;
}

/** The kernel numbers what it cuts itself, or answers. */
function withoutIdentification(packet: Uint8Array): Uint8Array {
  const copy = packet.slice();
  if (copy[0] >> 4 === 4) copy.fill(0, 4, 6).fill(0, 10, 12);
  return copy;
}

function bytesOf(address: string): number[] {
  return address.split(':').map((byte) => parseInt(byte, 16));
}

function etherType(version: number): number[] {
  return version === 4 ? [0x08, 0x00] : [0x86, 0xdd];
}

/** Not the kernel's reports of multicast groups, nor its search for neighbours. */
function isUnicast(packet: Uint8Array): boolean {
  return packet[0] >> 4 === 4 || (packet[24] !== 0xff && !(packet[6] === 58 && packet[40] >= 133));
}
