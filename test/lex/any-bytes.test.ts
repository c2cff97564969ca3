/** Whatever the bytes: nothing is thrown, nothing but the DSCP is written, nothing grows, everything is counted once. */
import { expect, test } from 'vitest';
import { LexHost } from '../../lib/lex/lex-host.ts';
import { PARSE_LATER_FRAGMENT, PARSE_OK, PacketView, parsePacket } from '../../lib/wire/packet-view.ts';
import { buildIcmp, buildTcp, buildUdp } from '../support/packets.ts';

const PACKETS = 120_000;
const CAPACITY = 500;
const GUARD = 16;

/** A seeded generator (Marsaglia's xorshift32). */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const TEMPLATES = [
  buildTcp({ tcpFlags: 2, mss: 1460, windowScale: 7, sackPermitted: true, timestamps: [1, 0] }),
  buildTcp({ payloadLength: 100, timestamps: [5, 6], sack: [[10, 20]] }),
  buildTcp({ src: 'fd00::1', dst: 'fd00:1::1', payloadLength: 60, timestamps: [5, 6] }),
  buildTcp({ src: 'fd00::1', dst: 'fd00:1::1', extensionHeaders: [{ type: 0 }, { type: 43 }, { type: 60 }] }),
  buildUdp({ payloadLength: 80 }),
  buildUdp({
    src: 'fd00::1',
    dst: 'fd00:1::1',
    fragment: { offset: 0, more: true, identification: 9 },
    payloadLength: 80,
  }),
  buildUdp({ fragment: { offset: 0, more: true, identification: 9 }, payloadLength: 80 }),
  buildIcmp({ payloadLength: 40 }),
];

test(`${PACKETS} random and mutated packets in both directions`, () => {
  const random = seeded(2463534242);
  const hosts = [
    new LexHost({ flowCapacity: CAPACITY }),
    new LexHost({ flowCapacity: CAPACITY, scheme: 'full' }),
  ];
  const pool = new Uint8Array(GUARD + 256 + GUARD);
  const view = new DataView(pool.buffer);
  const before = new Uint8Array(pool.length);
  const parsed = new PacketView();
  const handled = [0, 0, 0, 0];
  let unparsable = 0;
  let nowNs = 0;
  let heapAfterWarmUp = 0;
  for (let i = 0; i < PACKETS; i++) {
    pool.fill(0x5a);
    const length = i % 4 === 0 ? noise(random, pool) : mutated(random, pool);
    before.set(pool);
    const which = random(2);
    const host = hosts[which]!;
    nowNs += random(10) === 0 ? random(2 ** 31) * 100 : random(1e6);
    const code = parsePacket(view, GUARD, length, parsed);
    if (random(2) === 0) {
      host.handleInbound(view, GUARD, length, nowNs);
      handled[which]!++;
      expectSame(pool, before, []);
    } else {
      const verdict = host.handleOutbound(view, GUARD, length, nowNs, random(4));
      handled[2 + which]!++;
      const isIpv4 = before[GUARD]! >> 4 === 4;
      expectSame(pool, before, isIpv4 ? [1, 10, 11] : [0, 1]);
      if (code !== PARSE_OK && code !== PARSE_LATER_FRAGMENT) {
        unparsable++;
        if (verdict !== 0) throw new Error(`packet ${i} does not parse and has verdict ${verdict}`);
        expectSame(pool, before, []);
      }
    }
    if (i % 50 === 0) host.handleTimeout(nowNs);
    if (i === PACKETS / 4) heapAfterWarmUp = settledHeap();
  }
  const grown = settledHeap() - heapAfterWarmUp;
  expect(grown).toBeLessThan(200_000);
  hosts.forEach((host, which) => {
    expect(host.counters.inPackets.reduce((a, b) => a + b)).toBe(handled[which]);
    expect(host.counters.outPackets.reduce((a, b) => a + b)).toBe(handled[2 + which]);
    expect(host.counters.codepointPackets.reduce((a, b) => a + b)).toBe(handled[2 + which]);
    expect(host.flows.size).toBeLessThanOrEqual(CAPACITY);
    expect(host.flows.evicted + host.flows.expired).toBeGreaterThan(CAPACITY);
  });
  const passed = hosts.map((host) =>
    [1, 2, 3, 5].reduce((sum, code) => sum + host.counters.outPackets[code]!, 0),
  );
  expect(passed[0]! + passed[1]!).toBe(unparsable);
  expect(unparsable).toBeGreaterThan(PACKETS / 20);
});

/** Random bytes; returns the length given to the host, which may not be the true one. */
function noise(random: (below: number) => number, pool: Uint8Array): number {
  const length = random(130);
  for (let i = 0; i < length; i++) pool[GUARD + i] = random(256);
  if (length > 0 && random(3) > 0) pool[GUARD] = random(2) === 0 ? 0x45 : 0x60;
  return length;
}

/** A good packet with other ports and numbers and some bytes or its end spoilt. */
function mutated(random: (below: number) => number, pool: Uint8Array): number {
  const packet = TEMPLATES[random(TEMPLATES.length)]!;
  pool.set(packet, GUARD);
  const headerLength = packet[0]! >> 4 === 4 ? 20 : 40;
  pool[GUARD + headerLength + 1] = random(256);
  pool[GUARD + headerLength + random(14)] = random(256);
  if (random(2) === 0) for (let n = random(4); n >= 0; n--) pool[GUARD + random(packet.length)] = random(256);
  return random(4) === 0 ? random(packet.length + 10) : packet.length;
}

function expectSame(after: Uint8Array, before: Uint8Array, mayDiffer: readonly number[]): void {
  for (let i = 0; i < after.length; i++) {
    if (after[i] !== before[i] && !mayDiffer.includes(i - GUARD)) {
      throw new Error(`byte ${i - GUARD} was ${before[i]} and is ${after[i]}`);
    }
  }
}

function settledHeap(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
}
