import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FLOW_KEY_WORDS, hashFlowKey, loadInboundKey, loadOutboundKey } from '../../lib/flow/flow-key.ts';
import { PacketView, PARSE_OK, parsePacket } from '../../lib/wire/packet-view.ts';
import { buildTcp, buildUdp, viewOf } from '../support/packets.ts';

const port = fc.integer({ min: 1, max: 65535 });
const ipv4 = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((bytes) => bytes.join('.'));
const ipv6 = fc
  .array(fc.integer({ min: 1, max: 0xffff }), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.map((group) => group.toString(16)).join(':'));
const addresses = fc.oneof(fc.tuple(ipv4, ipv4), fc.tuple(ipv6, ipv6));

function keyOf(packet: Uint8Array, load: typeof loadOutboundKey): Int32Array {
  const view = viewOf(packet);
  const parsed = new PacketView();
  expect(parsePacket(view, 0, packet.length, parsed)).toBe(PARSE_OK);
  const key = new Int32Array(FLOW_KEY_WORDS).fill(-1);
  load(view, parsed, key);
  return key;
}

describe('a flow key', () => {
  test('is the same for a packet and for its answer', () => {
    fc.assert(
      fc.property(addresses, port, port, fc.boolean(), ([src, dst], srcPort, dstPort, isTcp) => {
        const build = isTcp ? buildTcp : buildUdp;
        const out = keyOf(build({ src, dst, srcPort, dstPort }), loadOutboundKey);
        const back = keyOf(build({ src: dst, dst: src, srcPort: dstPort, dstPort: srcPort }), loadInboundKey);
        expect(back).toEqual(out);
        expect(hashFlowKey(back, 7)).toBe(hashFlowKey(out, 7));
      }),
    );
  });

  test('differs when any one part of the 5-tuple differs', () => {
    const one = { src: 'fd00::1', dst: 'fd00:1::1', srcPort: 1000, dstPort: 80 };
    const others = [
      buildUdp(one),
      buildTcp({ ...one, srcPort: 1001 }),
      buildTcp({ ...one, dstPort: 81 }),
      buildTcp({ ...one, src: 'fd00::2' }),
      buildTcp({ ...one, src: 'fd00:0:1::1' }),
      buildTcp({ ...one, dst: 'fd00:1:0:0:1::1' }),
      buildTcp({ ...one, dst: 'fd00:1::2:0:1' }),
    ].map((packet) => keyOf(packet, loadOutboundKey).join());
    const keys = new Set([keyOf(buildTcp(one), loadOutboundKey).join(), ...others]);
    expect(keys.size).toBe(others.length + 1);
  });

  test('tells the two directions between one pair of ports apart', () => {
    const out = buildTcp({ src: '10.0.0.1', dst: '10.0.0.2', srcPort: 80, dstPort: 80 });
    const swapped = buildTcp({ src: '10.0.0.2', dst: '10.0.0.1', srcPort: 80, dstPort: 80 });
    expect(keyOf(swapped, loadOutboundKey)).not.toEqual(keyOf(out, loadOutboundKey));
  });

  test('of IPv4 never equals one of IPv6', () => {
    const v4 = keyOf(buildTcp({ src: '1.2.3.4', dst: '5.6.7.8' }), loadOutboundKey);
    const v6 = keyOf(buildTcp({ src: '102:304::', dst: '506:708::' }), loadOutboundKey);
    expect(v6.slice(2)).toEqual(v4.slice(2));
    expect(v6[0]).not.toBe(v4[0]);
  });

  test('leaves no words of an earlier, longer key behind', () => {
    const view = viewOf(buildTcp({ src: '1.2.3.4', dst: '5.6.7.8' }));
    const parsed = new PacketView();
    parsePacket(view, 0, view.byteLength, parsed);
    const used = new Int32Array(FLOW_KEY_WORDS).fill(0x55555555);
    const fresh = new Int32Array(FLOW_KEY_WORDS);
    loadOutboundKey(view, parsed, used);
    loadOutboundKey(view, parsed, fresh);
    expect(used).toEqual(fresh);
  });
});

describe('hashFlowKey', () => {
  test('depends on the seed', () => {
    const key = Int32Array.from([0x406, 1, 2, 0, 0, 0, 3, 0, 0, 0]);
    expect(hashFlowKey(key, 1)).not.toBe(hashFlowKey(key, 2));
  });

  test('spreads neighbouring ports and addresses evenly over the low bits', () => {
    const buckets = new Int32Array(256);
    for (let host = 0; host < 64; host++) {
      for (let srcPort = 0; srcPort < 256; srcPort++) {
        const key = Int32Array.from([
          0x406,
          ((32768 + srcPort) << 16) | 443,
          0x0a000000 + host,
          0,
          0,
          0,
          9,
          0,
          0,
          0,
        ]);
        buckets[hashFlowKey(key, 0) & 255]++;
      }
    }
    // 64 in each on average; chance keeps all of 256 within 6 standard deviations.
    expect(Math.max(...buckets)).toBeLessThan(64 + 6 * 8);
    expect(Math.min(...buckets)).toBeGreaterThan(64 - 6 * 8);
  });

  test('takes every word of an IPv6 key into account', () => {
    const key = Int32Array.from([0x606, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const whole = hashFlowKey(key, 0);
    for (let word = 0; word < FLOW_KEY_WORDS; word++) {
      const changed = Int32Array.from(key);
      changed[word] ^= word === 0 ? 0x11 : 1;
      expect(hashFlowKey(changed, 0)).not.toBe(whole);
    }
  });
});
