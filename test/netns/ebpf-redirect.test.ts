/**
 * Packets that the gateway's program sends itself against the same ones behind the kernel's forwarding, in a network
 * namespace of this process: what leaves must be the same, to the byte.
 *
 *   port h0 ----- p0 [ pref_outbound ] ---- table 7210 ----> device
 */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { PacketBatch } from '../../lib/device/device.ts';
import { TunDevice } from '../../lib/device/tun-device.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { describeNetns } from '../support/netns.ts';
import {
  BY_KERNEL,
  BY_PROGRAM,
  ENDS,
  HOST_ADDRESS,
  INSIDE,
  MARKED,
  OutboundGateway,
  TABLE,
  addAddresses,
  etherType,
  ip,
  untilSome,
} from '../support/outbound-gateway.ts';
import { buildTcp, buildUdp } from '../support/packets.ts';
import type { UdpFields } from '../support/packets.ts';

const { 4: V4, 6: V6 } = ENDS;

describeNetns('a packet that the program sends itself', () => {
  const batch = new PacketBatch();
  let gateway: OutboundGateway;
  let device: TunDevice;

  beforeAll(async () => {
    gateway = new OutboundGateway();
    device = TunDevice.open({ name: `pfxd${process.pid}`, offload: false });
    // What comes back to the host is not to be forwarded again.
    writeFileSync('/proc/sys/net/ipv4/conf/h0/forwarding', '0');
    addAddresses(device.name, '10.99.0.1/24', 'fd99::1/64');
    for (const { src } of [V4, V6]) ip(`neigh add ${src} lladdr ${HOST_ADDRESS} dev ${INSIDE}`);
    for (const version of [4, 6]) ip(`-${version} route add default dev ${device.name} table ${TABLE}`);
    // So that the device has its neighbours.
    for (const ends of [V4, V6]) await passed(buildUdp({ ...ends, dscp: MARKED }));
  });
  beforeEach(() => {
    gateway.configure(BY_PROGRAM);
  });
  afterAll(() => {
    gateway.close();
    device.close();
  });

  /** What leaves by the device, or comes back to the host, when this packet comes in. */
  async function passed(packet: Uint8Array): Promise<{ left: Uint8Array[]; back: Uint8Array[] }> {
    gateway.send(packet);
    let left: Uint8Array[] = [];
    let back: Uint8Array[] = [];
    await untilSome(() => {
      left = takeAll();
      back = takeBack(packet[0] >> 4);
      return [...left, ...back];
    });
    return { left, back };
  }

  function takeAll(): Uint8Array[] {
    const packets: Uint8Array[] = [];
    while (device.read(batch) > 0) {
      for (let i = 0; i < batch.count; i++) packets.push(batch.packet(i).slice());
    }
    return packets.filter(isUnicast);
  }

  /** Packets of one IP version that came back to the host. */
  function takeBack(version: number): Uint8Array[] {
    const [high, low] = etherType(version);
    return gateway.host
      .take()
      .filter((frame) => frame[12] === high && frame[13] === low)
      .map((frame) => frame.subarray(ETHERNET_BYTES))
      .filter(isUnicast);
  }

  /** Sends a packet both ways. Returns what the program did, and what both let out. */
  async function sendBoth(packet: Uint8Array) {
    const before = gateway.redirected;
    const own = await passed(packet);
    const isRedirected = gateway.redirected > before;
    gateway.configure(BY_KERNEL);
    const forwarded = await passed(packet);
    gateway.configure(BY_PROGRAM);
    expect(gateway.redirected).toBe(before + (isRedirected ? 1 : 0));
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
      const before = gateway.redirected;
      gateway.configure({ ...BY_PROGRAM, redirectUntilNs });
      expect(await passed(buildUdp({ ...V4, dscp: MARKED }))).toMatchObject({ left: [expect.anything()] });
      return gateway.redirected > before;
    };
    const now = Number(process.hrtime.bigint());
    // The program's clock is late by a tick, 10 ms at most.
    const over = now - 20e6;
    expect([await sent(now + 60e9), await sent(over), await sent(0)]).toEqual([true, false, false]);
  });

  it('is left to the kernel as soon as the table of its route has no way', async () => {
    ip(`route del default dev ${device.name} table ${TABLE}`);
    try {
      const { isRedirected, own } = await sendBoth(buildUdp({ ...V4, dscp: MARKED }));
      expect(isRedirected).toBe(false);
      expect(own.left).toEqual([]);
      // By the main table now.
      ip(`route add default dev ${device.name}`);
      expect(await sendBoth(buildUdp({ ...V4, dscp: MARKED }))).toMatchObject({
        isRedirected: false,
        own: { left: [expect.anything()] },
      });
    } finally {
      ip(`route replace default dev ${device.name} table ${TABLE}`);
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

/** Not the kernel's reports of multicast groups, nor its search for neighbours. */
function isUnicast(packet: Uint8Array): boolean {
  return packet[0] >> 4 === 4 || (packet[24] !== 0xff && !(packet[6] === 58 && packet[40] >= 133));
}
