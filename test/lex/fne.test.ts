/** Which packets are FNE: rules 2a to 2c, 2e and 2f of docs/protocol.md; the others are in given-up-paths.test.ts. */
import { beforeEach, describe, expect, test } from 'vitest';
import { HINT_NEW_FLOWLET } from '../../lib/lex/datagram.ts';
import { ACK, EVERY_KIND, FIN, OneHost, RST, SYN } from '../support/one-host.ts';
import type { LexHostOptions } from '../../lib/lex/options.ts';

describe.each(EVERY_KIND)('TCP over $name', ({ ends, scheme }) => {
  let h: OneHost;
  const hostWith = (options: LexHostOptions) => new OneHost({ scheme, ...options }, ends);
  beforeEach(() => {
    h = hostWith({});
  });

  describe('rule 2a: the first packet', () => {
    test('a SYN is FNE', () => {
      expect(h.syn(0)).toBe('FNE');
      expect(h.reason).toBe('fneSyn');
    });

    test('every repeat of a SYN is FNE', () => {
      h.syn(0);
      for (const t of [1, 3, 7]) {
        expect(h.syn(t)).toBe('FNE');
        expect(h.reason).toBe('fneSynRepeat');
      }
    });

    test('a SYN-ACK is FNE, and so is its repeat', () => {
      expect(h.send(0, 0, 0, { tcpFlags: SYN | ACK })).toBe('FNE');
      expect(h.send(1, 0, 0, { tcpFlags: SYN | ACK })).toBe('FNE');
      expect(h.reason).toBe('fneSynRepeat');
    });

    test('a SYN-ACK repeated once the flow is established is FNE still', () => {
      h.send(0, 0, 0, { tcpFlags: SYN | ACK });
      h.ack(0.1, 1);
      h.send(0.1, 1, 100);
      expect(h.send(0.2, 0, 0, { tcpFlags: SYN | ACK })).toBe('FNE');
    });

    test('the ACK of the handshake and the first data are LECT', () => {
      h.syn(0);
      h.ack(0.1, 1, { flags: SYN | ACK, seq: 0 });
      expect(h.send(0.1, 1, 0)).toBe('LECT');
      expect(h.reason).toBe('lectAck');
      expect(h.send(0.1, 1, 100)).toBe('LECT');
      expect(h.reason).toBe('lectData');
    });

    test.each([
      ['data', 100, ACK],
      ['a pure ACK', 0, ACK],
      ['a FIN', 0, ACK | FIN],
      ['a reset', 0, RST],
    ])('the first packet seen of a flow under way is FNE: %s', (_, length, tcpFlags) => {
      expect(h.send(0, 5000, length, { tcpFlags })).toBe('FNE');
      expect(h.reason).toBe('fneFirstPacket');
    });

    test('after a restart of the agent the next packet is FNE, not LEx, even when it repeats data', () => {
      const t = h.connect();
      h.send(t, 1, 100);
      h.restart();
      expect(h.send(t + 0.5, 1, 100)).toBe('FNE');
      expect(h.reason).toBe('fneFirstPacket');
      expect(h.host.counters.lexPayloadBytes).toBe(0);
      expect(h.send(t + 0.5, 101, 100)).toBe('LECT');
    });

    test('each direction has its own first packet: an inbound packet makes no flow', () => {
      expect(h.ack(0, 1)).toBe('unknownFlow');
      expect(h.host.flows.size).toBe(0);
      expect(h.send(0, 1, 0)).toBe('FNE');
    });

    test('an evicted flow starts again as FNE', () => {
      h = hostWith({ flowCapacity: 1 });
      h.send(0, 1, 100);
      h.ports = { srcPort: 40001, dstPort: 80 };
      expect(h.send(0, 1, 100)).toBe('FNE');
      h.ports = { srcPort: 40000, dstPort: 80 };
      expect(h.send(0.1, 101, 100)).toBe('FNE');
      expect(h.reason).toBe('fneFirstPacket');
      expect(h.host.flows.evicted).toBe(2);
    });

    test('a reused 4-tuple with a new initial sequence number starts afresh', () => {
      h.connect(0, 0.1, { assign: 3 });
      h.send(0.2, 1, 1000);
      h.isn += 500;
      expect(h.syn(0.3)).toBe('FNE');
      expect(h.reason).toBe('fneSyn');
      h.ack(0.4, 1, { flags: SYN | ACK, seq: 0 });
      // The path and the high-water mark of the earlier connection are gone.
      expect(h.send(0.4, 1, 100)).toBe('LECT');
      expect(h.send(0.4, 101, 100)).toBe('LECT');
    });

    test('a reused 4-tuple whose new numbers lie below the old ones starts afresh as well', () => {
      h.connect();
      h.send(0.2, 1, 1000);
      h.isn -= 100_000;
      h.connect(0.3);
      expect(h.send(0.5, 1, 100)).toBe('LECT');
    });
  });

  describe('rule 2b: the idle gap', () => {
    let t: number;
    beforeEach(() => {
      t = h.connect();
      h.send(t, 1, 100);
      h.ack(t + 0.1, 101);
    });

    test('data after more than a second of silence is FNE', () => {
      expect(h.send(t + 1.01, 101, 100)).toBe('FNE');
      expect(h.reason).toBe('fneIdleGap');
      expect(h.send(t + 1.01, 201, 100)).toBe('LECT');
    });

    test('data after a gap of exactly a second is not', () => {
      // Whole numbers keep the difference exact.
      const start = 8;
      h.send(start, 101, 100);
      h.ack(start + 0.1, 201);
      expect(h.send(start + 1, 201, 100)).toBe('LECT');
    });

    test('a pure ACK after the gap is FNE too', () => {
      expect(h.send(t + 5, 101, 0)).toBe('FNE');
      expect(h.reason).toBe('fneIdleGap');
    });

    test('a gap while data is outstanding is none', () => {
      h.send(t + 0.2, 101, 100);
      expect(h.send(t + 9, 201, 100)).toBe('LECT');
      expect(h.send(t + 19, 301, 0)).toBe('LECT');
    });

    test('inbound packets do not end the silence of this side', () => {
      for (const later of [0.5, 1, 1.5]) h.ack(t + later, 101, { length: 100 });
      expect(h.send(t + 2, 101, 0)).toBe('FNE');
    });

    test('the gap can be set', () => {
      h = hostWith({ flowletGapNs: 0.4e9 });
      h.connect();
      h.send(0.2, 1, 100);
      h.ack(0.3, 101);
      expect(h.send(0.55, 101, 100)).toBe('LECT');
      h.ack(0.65, 201);
      expect(h.send(0.96, 201, 100)).toBe('FNE');
    });

    test('a flow whose RTO is longer than the gap has that for its gap', () => {
      h = hostWith({});
      // One sample of 2 s: RTO = 2 + 4 * 1 = 6 s.
      const end = h.connect(0, 2);
      expect(h.send(end + 5.9, 1, 0)).toBe('LECT');
      expect(h.send(end + 5.9 + 6.1, 1, 0)).toBe('FNE');
    });
  });

  describe('rule 2c: keep-alives', () => {
    let t: number;
    beforeEach(() => {
      t = h.connect();
      h.send(t, 1, 100);
      h.ack(t + 0.1, 101);
    });

    test.each([
      ['of Linux, no byte', 0],
      ['of BSD, one byte', 1],
    ])('a keep-alive %s at una - 1 is FNE and not LEx', (_, length) => {
      for (const later of [0.5, 0.9, 75, 150]) {
        expect(h.send(t + later, 100, length)).toBe('FNE');
        expect(h.reason).toBe('fneKeepAlive');
      }
      expect(h.host.counters.lexPayloadBytes).toBe(0);
    });

    test('the high-water mark survives a keep-alive', () => {
      h.send(t + 0.5, 100, 1);
      expect(h.send(t + 0.6, 101, 100)).toBe('LECT');
      expect(h.send(t + 0.7, 101, 100)).toBe('LEx');
    });

    test('with data outstanding the same byte is a retransmission', () => {
      h.send(t + 0.2, 101, 100);
      expect(h.send(t + 0.5, 100, 1)).toBe('LEx');
    });

    test('two bytes at una - 2 are a retransmission', () => {
      expect(h.send(t + 0.5, 99, 2)).toBe('LEx');
    });

    test('a keep-alive within the gap leaves the path alone, one after the gap begins a flowlet (2b)', () => {
      h.ack(t + 0.2, 101, { assign: 4 });
      const fne = scheme === 'full' ? 'FNE/4' : 'FNE';
      expect(h.send(t + 0.5, 100, 0)).toBe(fne);
      expect(h.send(t + 0.6, 101, 0)).toBe('LECT/4');
      expect(h.send(t + 60, 100, 0)).toBe('FNE');
      expect(h.send(t + 60.01, 101, 0)).toBe('LECT');
    });
  });

  describe('rule 2f: the application asks', () => {
    test('a hint makes the packet FNE and begins a flowlet', () => {
      const t = h.connect(0, 0.1, { assign: 1 });
      expect(h.send(t, 1, 100, {}, HINT_NEW_FLOWLET)).toBe('FNE');
      expect(h.reason).toBe('fneApplication');
      expect(h.send(t, 101, 100)).toBe('LECT');
    });

    test('requestFlowlet makes the next packet FNE, once', () => {
      const t = h.connect(0, 0.1, { assign: 1 });
      const packet = h.segment(1, 0);
      const copy = packet.slice();
      const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
      expect(h.host.requestFlowlet(view, 0, packet.length)).toBe(true);
      expect(packet).toEqual(copy);
      expect(h.send(t, 1, 100)).toBe('FNE');
      expect(h.send(t, 101, 100)).toBe('LECT');
    });

    test('requestFlowlet says false for a flow that is not known', () => {
      const packet = h.segment(1, 0);
      expect(h.host.requestFlowlet(new DataView(packet.buffer), 0, packet.length)).toBe(false);
    });

    test('requestFlowlet refuses bytes that are no TCP or UDP packet', () => {
      expect(() => h.host.requestFlowlet(new DataView(new ArrayBuffer(4)), 0, 4)).toThrow(/TCP or UDP/);
    });

    test('a wish on the first packet is granted by it', () => {
      expect(h.send(0, 1, 100, {}, HINT_NEW_FLOWLET)).toBe('FNE');
      expect(h.send(0, 101, 100)).toBe('LECT');
    });
  });

  describe('rule 2e: the answer', () => {
    test('the first packet after an FNE of the peer is FNE, once', () => {
      const t = sendSteadily(h);
      h.ack(t, 1601, { fne: true });
      expect(h.reason).toBe('fne');
      expect(h.send(t, 1601, 100)).toBe('FNE');
      expect(h.reason).toBe('fneAnswer');
      expect(h.send(t, 1701, 100)).toBe('LECT');
    });

    test('there is none within a gap of an own FNE', () => {
      const t = h.connect();
      h.ack(t + 0.5, 1, { fne: true });
      expect(h.send(t + 0.5, 1, 100)).toBe('LECT');
    });

    test('an assignment is an FNE too', () => {
      const t = sendSteadily(h);
      h.ack(t, 1601, { assign: 3 });
      expect(h.send(t, 1601, 100)).toBe(scheme === 'full' ? 'FNE/3' : 'FNE');
      expect(h.reason).toBe('fneAnswer');
      expect(h.send(t, 1701, 100)).toBe('LECT/3');
    });

    test('an answer leaves the path of the flowlet as it is', () => {
      h.connect(0, 0.1, { assign: 6 });
      const t = sendSteadily(h);
      h.ack(t, 1601, { fne: true });
      expect(h.send(t, 1601, 100)).toBe(scheme === 'full' ? 'FNE/6' : 'FNE');
      expect(h.send(t, 1701, 100)).toBe('LECT/6');
    });

    test("an FNE of the host's own in the meantime is the answer", () => {
      const t = sendSteadily(h);
      h.ack(t, 1601, { fne: true });
      expect(h.send(t, 1601, 100, {}, HINT_NEW_FLOWLET)).toBe('FNE');
      expect(h.reason).toBe('fneApplication');
      expect(h.send(t, 1701, 100)).toBe('LECT');
    });

    test("with a round trip longer than the gap the peer's answer is not answered", () => {
      h.syn(0);
      h.ack(1.6, 1, { flags: SYN | ACK, seq: 0, fne: true });
      expect(h.send(1.6, 1, 100)).toBe('LECT');
    });
  });
});

/** Sends 1600 bytes in 1.6 s, all acknowledged, on a connection that began at 0; returns the time, next is byte 1601. */
function sendSteadily(h: OneHost): number {
  if (h.host.flows.size === 0) h.connect();
  for (let i = 0; i < 16; i++) {
    const t = 0.2 + i / 10;
    expect(h.send(t, 1 + i * 100, 100)).toMatch(/^LECT/);
    h.ack(t + 0.05, 101 + i * 100);
  }
  return 1.75;
}
