import { describe, expect, test } from 'vitest';
import { readDscp, writeDscp } from '../../lib/wire/ip.ts';
import { isTransportChecksumValid } from '../../lib/wire/checksum.ts';
import {
  PARSE_LATER_FRAGMENT,
  PARSE_NO_PORTS,
  PARSE_OK,
  PARSE_REASONS,
  PacketView,
  parsePacket,
} from '../../lib/wire/packet-view.ts';
import { wireBytes } from '../../lib/wire/wire-bytes.ts';
import { bytesAllocatedPerCall } from '../support/allocation.ts';
import { buildIcmp, buildRaw, buildTcp, buildUdp, viewOf } from '../support/packets.ts';

const more = { offset: 0, more: true };
const later = { offset: 8, more: true };
const SAMPLES = ['10.0.0.1', 'fd00::1'].flatMap((src) => [
  buildTcp({ src, tcpFlags: 2, mss: 1460, sackPermitted: true, timestamps: [1, 2], windowScale: 7 }),
  buildTcp({ src, timestamps: [3, 4], payloadLength: 60 }),
  buildTcp({ src, sack: [[1, 2], [3, 4]], ipOptions: [7, 7, 4, 0, 0, 0, 0] }), // prettier-ignore
  buildTcp({ src, extensionHeaders: [{ type: 0 }, { type: 43, body: [0, 0] }, { type: 60 }, { type: 51 }] }),
  buildTcp({ src, fragment: more, payloadLength: 8 }),
  buildUdp({ src, payloadLength: 30 }),
  buildUdp({ src, fragment: more, extensionHeaders: [{ type: 60 }] }),
  buildRaw({ src, protocol: 6, fragment: later, payloadLength: 40 }),
  buildIcmp({ src, payloadLength: 20 }),
  buildRaw({ src, protocol: 50, payloadLength: 40 }),
]);

/** mulberry32: small, seeded, good enough to spoil packets. Whole numbers below `bound`. */
function seededRandom(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % bound;
  };
}

const packet = new PacketView();
const AT = 13;
const room = new Uint8Array(AT + 300);
const view = viewOf(room);

/**
 * Parses `captured` bytes at AT and names the promise that is broken, or undefined. Written with plain comparisons,
 * because an assertion library called a million times would be the test.
 */
function brokenPromise(captured: number): string | undefined {
  const code = parsePacket(view, AT, captured, packet);
  if (PARSE_REASONS[code] === undefined) return `code ${code} is not documented`;
  if (packet.at !== AT) return 'the packet starts elsewhere';
  const end = AT + captured;
  if (packet.headerLength < 0 || packet.length < 0 || AT + packet.length > end)
    return 'the length leaves the capture';
  if (packet.headerLength > packet.length) return 'the IP header leaves the packet';
  for (const value of Object.values(packet) as number[])
    if ((value | 0) !== value) return 'a field is no int32';
  if (packet.sackBlocks < 0 || packet.sackBlocks > 4) return 'more than four SACK blocks';
  if (packet.windowScale < -1 || packet.windowScale > 14) return 'a window scale out of range';
  if (code === PARSE_OK) {
    if (packet.payloadAt < AT + packet.headerLength + 8) return 'the payload starts in the headers';
    if (packet.payloadLength < 0 || packet.payloadAt + packet.payloadLength > AT + packet.length) {
      return 'the payload leaves the packet';
    }
    if (wireBytes(packet, 100) < packet.length) return 'fewer bytes on the wire than in the packet';
  } else if (
    packet.srcPort !== 0 ||
    packet.dstPort !== 0 ||
    packet.payloadAt !== 0 ||
    packet.payloadLength !== 0
  ) {
    return 'ports or payload without PARSE_OK';
  }
  if (code === PARSE_OK || code === PARSE_LATER_FRAGMENT || code === PARSE_NO_PORTS) {
    if (packet.headerLength < 20) return 'no IP header';
    if (readDscp(view, AT) !== packet.dscp) return 'another DSCP';
    writeDscp(view, AT, 63 - packet.dscp);
    if (readDscp(view, AT) !== 63 - packet.dscp) return 'the DSCP was not rewritten';
    isTransportChecksumValid(view, AT);
  }
  return undefined;
}

describe('parsePacket never throws and keeps its promises', () => {
  test('on 60,000 packets of random bytes with a plausible first byte', () => {
    const random = seededRandom(1);
    for (let i = 0; i < 60_000; i++) {
      const captured = random(120);
      for (let b = 0; b < captured; b++) room[AT + b] = random(256);
      if (random(4) > 0) room[AT] = random(2) === 0 ? 0x45 : 0x60;
      // Half of them with lengths and protocols that let the parser reach the deeper headers.
      if (random(2) === 0) {
        view.setUint16(AT + 2, captured);
        view.setUint16(AT + 6, random(3) === 0 ? random(0x10000) : 0x4000);
        room[AT + 9] = random(2) === 0 ? 6 : 17;
        if (room[AT] === 0x60) {
          view.setUint16(AT + 4, Math.max(0, captured - 40));
          room[AT + 6] = [0, 6, 17, 43, 44, 51, 60][random(7)]!;
        }
      }
      const broken = brokenPromise(captured);
      if (broken !== undefined)
        expect.fail(`${broken}: ${Buffer.from(room.subarray(AT, AT + captured)).toString('hex')}`);
    }
    expect(packet.at).toBe(AT);
  });

  test('on 60,000 sound packets with up to eight bits flipped', () => {
    const random = seededRandom(2);
    const seen = new Set<number>();
    for (let i = 0; i < 60_000; i++) {
      const sample = SAMPLES[random(SAMPLES.length)]!;
      room.set(sample, AT);
      for (let flips = random(9); flips > 0; flips--) room[AT + random(sample.length)]! ^= 1 << random(8);
      const broken = brokenPromise(sample.length);
      if (broken !== undefined)
        expect.fail(`${broken}: ${Buffer.from(room.subarray(AT, AT + sample.length)).toString('hex')}`);
      seen.add(parsePacket(view, AT, sample.length, packet));
    }
    expect(seen).toEqual(new Set([0, 1, 2, 3, 4, 5]));
  });

  test('on every cut of every sample, in a view that ends at the cut', () => {
    for (const sample of SAMPLES) {
      for (let captured = 0; captured < sample.length; captured++) {
        const cut = sample.slice(0, captured);
        const code = parsePacket(viewOf(cut), 0, captured, packet);
        expect(PARSE_REASONS[code]).toBe(captured === 0 ? 'notIp' : 'truncated');
      }
    }
  });

  test('on 40,000 packets cut behind flipped bits, in a view that ends at the cut', () => {
    const random = seededRandom(3);
    for (let i = 0; i < 40_000; i++) {
      const whole = SAMPLES[random(SAMPLES.length)]!;
      const cut = whole.slice(0, 1 + random(whole.length));
      for (let flips = random(6); flips > 0; flips--) cut[random(cut.length)]! ^= 1 << random(8);
      const code = parsePacket(viewOf(cut), 0, cut.length, packet);
      if (PARSE_REASONS[code] === undefined || packet.length > cut.length) {
        expect.fail(`code ${code}, length ${packet.length}: ${Buffer.from(cut).toString('hex')}`);
      }
      if (packet.payloadAt + packet.payloadLength > cut.length) expect.fail(Buffer.from(cut).toString('hex'));
    }
    expect(packet.at).toBe(0);
  });
});

describe('the hot path allocates nothing', () => {
  const pool = new Uint8Array(SAMPLES.length * 256);
  SAMPLES.forEach((sample, i) => {
    pool.set(sample, i * 256);
  });
  const poolView = viewOf(pool);
  const lengths = Int32Array.from(SAMPLES, (sample) => sample.length);

  test('parsePacket and writeDscp, under one byte a call over every kind of packet', () => {
    const out = new PacketView();
    const bytes = bytesAllocatedPerCall((call) => {
      const i = call % lengths.length;
      parsePacket(poolView, i * 256, lengths[i]!, out);
      writeDscp(poolView, i * 256, call & 63);
    }, 300_000);
    expect(bytes).toBeLessThan(1);
  });

  test('wireBytes, under one byte a call', () => {
    const out = new PacketView();
    parsePacket(poolView, 256, lengths[1]!, out);
    let sum = 0;
    const bytes = bytesAllocatedPerCall((call) => {
      sum = (sum + wireBytes(out, call & 63)) | 0;
    }, 200_000);
    expect(bytes).toBeLessThan(1);
    expect(sum).not.toBe(0);
  });
});
