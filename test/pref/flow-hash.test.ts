import { describe, expect, test } from 'vitest';
import { FlowHash, seedOf } from '../../lib/pref/flow-hash.ts';
import { PacketView, parsePacket } from '../../lib/wire/packet-view.ts';
import { buildTcp, buildUdp, viewOf } from '../support/packets.ts';

function hashOf(bytes: Uint8Array, { seed = 1, isInbound = false, hasPorts = true } = {}): string {
  const hash = new FlowHash(seed);
  const packet = new PacketView();
  parsePacket(viewOf(bytes), 0, bytes.length, packet);
  hash.compute(viewOf(bytes), packet, isInbound, hasPorts);
  return `${hash.h1} ${hash.h2}`;
}

const V4 = { src: '10.0.0.1', dst: '198.51.100.7', srcPort: 1000, dstPort: 443 };
const V6 = { src: 'fd00::1', dst: '2001:db8::7', srcPort: 1000, dstPort: 443 };
const reversed = ({ src, dst, srcPort, dstPort }: typeof V4): typeof V4 => ({
  src: dst,
  dst: src,
  srcPort: dstPort,
  dstPort: srcPort,
});

describe('FlowHash', () => {
  test.each([V4, V6])('is the same for both directions of a flow', (flow) => {
    expect(hashOf(buildTcp(reversed(flow)), { isInbound: true })).toBe(hashOf(buildTcp(flow)));
    expect(hashOf(buildTcp(reversed(flow)))).not.toBe(hashOf(buildTcp(flow)));
  });

  test.each([V4, V6])('does not depend on marks, flags or payload', (flow) => {
    expect(hashOf(buildTcp({ ...flow, dscp: 7, tcpFlags: 2, payloadLength: 99 }))).toBe(
      hashOf(buildTcp(flow)),
    );
  });

  test.each([V4, V6])('depends on each part of the 5-tuple and on the seed', (flow) => {
    const hashes = [
      hashOf(buildTcp(flow)),
      hashOf(buildUdp(flow)),
      hashOf(buildTcp({ ...flow, srcPort: 1001 })),
      hashOf(buildTcp({ ...flow, dstPort: 444 })),
      hashOf(buildTcp({ ...flow, src: flow.src.replace(/1$/, '2') })),
      hashOf(buildTcp({ ...flow, dst: flow.dst.replace(/7$/, '8') })),
      hashOf(buildTcp(flow), { seed: 2 }),
      hashOf(buildTcp(flow), { hasPorts: false }),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  test('hardly ever agrees for two flows of 20,000', () => {
    const words = new Set<string>();
    const low = Array<number>(64).fill(0);
    for (let i = 0; i < 20_000; i++) {
      const hash = hashOf(buildTcp({ ...V4, srcPort: i, dst: `198.51.${i >> 8}.${i & 255}` }));
      words.add(hash);
      low[Number(hash.split(' ')[0]) & 63]++;
    }
    expect(words.size).toBe(20_000);
    for (const count of low) expect(Math.abs(count - 312.5)).toBeLessThan(90);
  });

  test('tells its seed from what a datapath elsewhere knows of it', () => {
    for (const seed of [0, 1, 0x7fffffff, 0x80000000, 0xdeadbeef, 2 ** 32 - 1])
      expect(seedOf(new FlowHash(seed).seed1)).toBe(seed);
  });
});
