import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import { FIRST_INBOUND_REASON, REASON_NAMES } from '../../lib/pref/reasons.ts';
import { buildTcp, buildUdp, plainChecksum } from '../support/packets.ts';
import { MS, ROUTES, S, runTimeouts } from './gateway-fixture.ts';

const EXTERNAL = ['198.51.100.1', '198.51.100.2', '203.0.113.9', '192.0.2.1', '2001:db8::9', '2001:db8:1::9'];

function newGateway(scheme: string): PrefGateway {
  const gateway = new PrefGateway({
    routes: ROUTES,
    scheme,
    exposeTo: [2],
    fneRatePerDestination: 20,
    fneBurstPerDestination: 5,
    fneMemoryEntries: 8,
  });
  gateway.addDestination(['198.51.100.0/24', '2001:db8::/48'], [1, 2, 3]);
  gateway.addDestination(['203.0.113.0/24'], [1, 3]);
  return gateway;
}

const wholePacket = fc
  .record({
    outside: fc.constantFrom(...EXTERNAL),
    isOut: fc.boolean(),
    isTcp: fc.boolean(),
    port: fc.integer({ min: 1, max: 4 }),
    dscp: fc.nat(63),
    ecn: fc.nat(3),
    tcpFlags: fc.constantFrom(2, 18, 16, 17, 4),
    payloadLength: fc.nat(1400),
  })
  .map(({ outside, isOut, isTcp, port, ...rest }) => {
    const inside = outside.includes(':') ? 'fd00::1' : '10.0.0.1';
    const ports = isOut ? { srcPort: port, dstPort: 443 } : { srcPort: 443, dstPort: port };
    const fields = { src: isOut ? inside : outside, dst: isOut ? outside : inside, ...ports, ...rest };
    return { isOut, bytes: isTcp ? buildTcp(fields) : buildUdp(fields) };
  });

/** Whole packets, and such with bytes overwritten, cut or followed by rubbish; and bytes alone. */
const anyPacket = fc.oneof(
  { weight: 6, arbitrary: wholePacket },
  {
    weight: 3,
    arbitrary: fc
      .tuple(wholePacket, fc.array(fc.tuple(fc.nat(79), fc.nat(255)), { maxLength: 4 }), fc.nat(120))
      .map(([{ isOut, bytes }, edits, cut]) => {
        const copy = bytes.slice(0, Math.max(1, bytes.length - (cut > 60 ? cut - 60 : 0)));
        for (const [at, value] of edits) if (at < copy.length) copy[at] = value;
        return { isOut, bytes: copy };
      }),
  },
  { weight: 1, arbitrary: fc.record({ isOut: fc.boolean(), bytes: fc.uint8Array({ maxLength: 100 }) }) },
);

const step = fc.oneof(
  { weight: 30, arbitrary: fc.record({ packet: anyPacket, waitMs: fc.nat(500) }) },
  { weight: 1, arbitrary: fc.record({ pathId: fc.integer({ min: 1, max: 3 }), isUp: fc.boolean() }) },
);

/** Which bytes of a packet the gateway may change: the DSCP's, and in IPv4 the header checksum. */
function allowedMask(bytes: Uint8Array, at: number): number {
  const version = bytes[0] >>> 4;
  if (version === 4) return at === 1 ? 0xfc : at === 10 || at === 11 ? 0xff : 0;
  return at === 0 ? 0x0f : at === 1 ? 0xc0 : 0;
}

function reasonSum(gateway: PrefGateway, from: number, to: number): number {
  return gateway.counters.packets.subarray(from, to).reduce((sum, count) => sum + count, 0);
}

describe.each(['pool2', 'full'])('whatever the bytes, in the scheme %s', (scheme) => {
  test('nothing is thrown, nothing but the DSCP is written, and all is counted', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const gateway = newGateway(scheme);
        let nowNs = 0;
        let outbound = 0;
        let inbound = 0;
        for (const current of steps) {
          if ('pathId' in current) {
            gateway.setRouteUp(current.pathId, current.isUp);
            continue;
          }
          const { isOut, bytes } = current.packet;
          nowNs += current.waitMs * MS;
          runTimeouts(gateway, nowNs);
          const after = new Uint8Array(bytes.length + 8).fill(0xee);
          after.set(bytes, 4);
          const view = new DataView(after.buffer);
          const wasValid =
            bytes.length >= 20 && bytes[0] === 0x45 && plainChecksum(bytes.subarray(0, 20)) === 0;
          const verdict = isOut
            ? gateway.handleOutbound(view, 4, bytes.length, nowNs, 0)
            : gateway.handleInbound(view, 4, bytes.length, nowNs, 1, 0);
          if (isOut) outbound++;
          else inbound++;
          expect([0, 1, 2, 3]).toContain(verdict);
          expect(gateway.lastReason < FIRST_INBOUND_REASON).toBe(isOut);
          let changed = 0;
          for (let i = 0; i < after.length; i++) {
            const isPacket = i >= 4 && i < 4 + bytes.length;
            const before = isPacket ? bytes[i - 4] : 0xee;
            changed |= (after[i] ^ before) & ~(isPacket ? allowedMask(bytes, i - 4) : 0);
          }
          expect(changed).toBe(0);
          if (wasValid) expect(plainChecksum(after.subarray(4, 24))).toBe(0);
        }
        const { counters } = gateway;
        expect([counters.outboundPackets, counters.inboundPackets]).toEqual([outbound, inbound]);
        expect(reasonSum(gateway, 0, FIRST_INBOUND_REASON)).toBe(outbound);
        expect(reasonSum(gateway, FIRST_INBOUND_REASON, REASON_NAMES.length)).toBe(inbound);
      }),
      { numRuns: 100 },
    );
  });

  test('every byte that leaves is in exactly one meter, and ratios sum to 1', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(wholePacket, fc.nat(900)), { maxLength: 150 }), (packets) => {
        const gateway = newGateway(scheme);
        let nowNs = 0;
        let bytesOut = 0;
        for (const [{ isOut, bytes }, waitMs] of packets) {
          nowNs += waitMs * MS;
          runTimeouts(gateway, nowNs);
          const view = new DataView(bytes.buffer);
          if (isOut) {
            gateway.handleOutbound(view, 0, bytes.length, nowNs, 0);
            bytesOut += bytes.length;
          } else gateway.handleInbound(view, 0, bytes.length, nowNs, 1, 0);
        }
        runTimeouts(gateway, nowNs + 20 * S);
        const status = gateway.status();
        let counted = status.unroutedLexMarkedBytes + status.defaultRouteNotLectBytes;
        for (const route of status.routes) counted += route.total.bytes + route.notLectBytes;
        expect(counted).toBe(bytesOut);
        let perDestination = 0;
        for (const { routes } of status.destinations) {
          const sum = routes.reduce((total, route) => total + route.flowletRatio, 0);
          expect(Math.abs(sum - 1)).toBeLessThan(1e-12);
          for (const { total } of routes) {
            perDestination += total.bytes;
            expect(total.lexBytes).toBeLessThanOrEqual(total.bytes);
          }
        }
        expect(perDestination).toBe(status.routes.reduce((sum, route) => sum + route.total.bytes, 0));
      }),
      { numRuns: 60 },
    );
  });
});
