import { describe, expect, test } from 'vitest';
import { PreflexError } from '../../lib/errors.ts';
import { reportLexCounters } from '../../lib/lex/counters.ts';
import { LexHost } from '../../lib/lex/lex-host.ts';
import type { LexHostOptions } from '../../lib/lex/options.ts';
import { REASON_CODEPOINT, REASON_COUNT, REASON_NAMES } from '../../lib/lex/reasons.ts';
import { ACK, FIN, OneHost, RST } from '../support/one-host.ts';
import { buildTcp, viewOf } from '../support/packets.ts';

describe('the options', () => {
  test.each([
    ['scheme', 'pool3'],
    ['flowCapacity', 0],
    ['flowCapacity', 1.5],
    ['flowletGapNs', 1000],
    ['flowletGapNs', NaN],
    ['fneAfterTimeouts', 0],
    ['fneAfterTimeouts', 16],
    ['keepPathWithoutAnswer', 1],
    ['idleLimitNs', 120e9],
    ['closedLimitNs', -1],
    ['datagramLimitNs', Infinity],
    ['seed', 2 ** 31],
  ])('%s = %s is refused with an error that names it', (field, value) => {
    const make = () => new LexHost({ [field]: value } as LexHostOptions);
    expect(make).toThrow(PreflexError);
    // The scheme is an argument of another function, which calls it marking.
    expect(make).toThrow(field === 'scheme' ? /pool3/ : field);
  });

  test('an unknown one is refused by name', () => {
    expect(() => new LexHost({ flowlettGapNs: 1e9 } as LexHostOptions)).toThrow(/flowlettGapNs/);
  });

  test('none are needed', () => {
    expect(new LexHost().flows).toEqual({ size: 0, capacity: 65_536, evicted: 0, expired: 0 });
  });
});

describe('forgetting flows', () => {
  /** Sweeps often enough to see every record. */
  function sweep(h: OneHost, fromSeconds: number, toSeconds: number): void {
    for (let tick = fromSeconds * 10; tick <= toSeconds * 10; tick++) h.host.handleTimeout(tick * 1e8);
  }

  test.each([
    ['an open flow', 600, (h: OneHost) => h.connect()],
    ['a half-closed flow', 600, (h: OneHost) => h.send(h.connect(), 1, 0, { tcpFlags: ACK | FIN })],
    ['a flow closed by both', 60, (h: OneHost) => close(h)],
    ['a flow that this side reset', 60, (h: OneHost) => h.send(h.connect(), 1, 0, { tcpFlags: RST })],
    ['a flow that the peer reset', 60, (h: OneHost) => h.ack(h.connect(), 1, { flags: RST | ACK })],
    ['a UDP flow', 180, (h: OneHost) => h.sendUdp(0)],
  ])('%s is forgotten after %d s of silence, not before', (_, limit, make) => {
    const h = new OneHost();
    make(h);
    sweep(h, 1, limit);
    expect(h.host.flows.size).toBe(1);
    sweep(h, limit + 1, limit + 4);
    expect(h.host.flows.size).toBe(0);
    expect(h.host.flows.expired).toBe(1);
  });

  test('a packet in either direction keeps a flow', () => {
    const h = new OneHost();
    h.connect();
    sweep(h, 1, 500);
    h.ack(500, 1);
    sweep(h, 500, 1000);
    h.send(1000, 1, 0);
    sweep(h, 1000, 1599);
    expect(h.host.flows.size).toBe(1);
  });

  test('a closed flow whose ports are used again is open again', () => {
    const h = new OneHost();
    close(h);
    h.isn += 10_000;
    h.connect(1);
    sweep(h, 1, 300);
    expect(h.host.flows.size).toBe(1);
  });

  test('pollTimeout says when there is work: never without flows, else each 0.1 s', () => {
    const h = new OneHost();
    expect(h.host.pollTimeout()).toBe(Infinity);
    h.connect();
    expect(h.host.pollTimeout()).toBeLessThanOrEqual(0.1e9);
    h.host.handleTimeout(5e9);
    expect(h.host.pollTimeout()).toBe(5.1e9);
  });

  test('a sweep is bounded: a large table is looked at in many steps', () => {
    const h = new OneHost({ flowCapacity: 2000 });
    for (let i = 0; i < 2000; i++) h.sendUdp(0, { srcPort: 1000 + i });
    h.host.handleTimeout(1000e9);
    expect(h.host.flows.expired).toBe(256);
    // Asked again too early, it does nothing.
    h.host.handleTimeout(1000.05e9);
    expect(h.host.flows.expired).toBe(256);
    for (let i = 1; i < 8; i++) h.host.handleTimeout(1000e9 + i * 1e8);
    expect(h.host.flows.size).toBe(0);
  });
});

describe('the counters', () => {
  test('a packet has one reason, and the sums agree', () => {
    const h = new OneHost();
    const t = h.connect(0, 0.1, { assign: 2 });
    h.send(t, 1, 100);
    h.send(t + 0.3, 1, 100);
    h.sendUdp(t);
    h.receiveUdp(t + 0.1);
    h.sendBytes(new Uint8Array(3), t);
    const report = reportLexCounters(h.host.counters);
    expect(report.out).toEqual({
      fneSyn: 1,
      lectAck: 1,
      lectData: 1,
      lexRetransmission: 1,
      fneFirstPacket: 1,
      notIp: 1,
    });
    expect(report.in).toEqual({ assignment: 1, feedback: 1 });
    expect(report.codepoints).toEqual({
      notLect: { packets: 1, bytes: 3 },
      lect: { packets: 2, bytes: 40 + 140 },
      lex: { packets: 1, bytes: 140 },
      fne: { packets: 2, bytes: 40 + 48 },
    });
    expect(report.pathPackets).toEqual({ 0: 2, 2: 3 });
    expect(report.assignments).toEqual({ 2: 1 });
    expect(report.lexPayloadBytes).toBe(100);
    expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  });

  test('every reason has a name of its own', () => {
    expect(new Set(REASON_NAMES).size).toBe(REASON_COUNT);
    expect(REASON_CODEPOINT.length).toBe(REASON_COUNT);
  });

  test.each(REASON_NAMES.map((name, reason) => [name, reason] as const))(
    'reason %s has the codepoint of its name',
    (name, reason) => {
      const expected = name.startsWith('lect') ? 1 : name.startsWith('lex') ? 2 : /^fne./.test(name) ? 3 : 0;
      expect(REASON_CODEPOINT[reason]).toBe(expected);
    },
  );

  test('the verdict is the codepoint', () => {
    const host = new LexHost();
    const packet = buildTcp({ tcpFlags: 2 });
    expect(host.handleOutbound(viewOf(packet), 0, packet.length, 0)).toBe(3);
    expect(host.handleOutbound(viewOf(packet), 0, 0, 0)).toBe(0);
  });
});

test('a packet that does not begin at the start of the buffer is marked where it is', () => {
  const packet = buildTcp({ tcpFlags: 2 });
  const pool = new Uint8Array(500).fill(0xaa);
  pool.set(packet, 100);
  new LexHost().handleOutbound(new DataView(pool.buffer), 100, packet.length, 0);
  expect(pool[101]! >> 2).toBe(7);
  expect(pool.subarray(0, 100).every((byte) => byte === 0xaa)).toBe(true);
  expect(pool.subarray(100 + packet.length).every((byte) => byte === 0xaa)).toBe(true);
});

test('two hosts with the same input do the same: nothing depends on a clock or on chance', () => {
  const marks = [new OneHost({ seed: 1 }), new OneHost({ seed: 2 })].map((h) => {
    const t = h.connect(0, 0.1, { assign: 3 });
    return [h.send(t, 1, 100), h.send(t + 0.3, 1, 100), h.send(t + 0.9, 1, 100), h.send(t + 5, 101, 10)];
  });
  expect(marks[0]).toEqual(marks[1]);
});

function close(h: OneHost): void {
  const t = h.connect();
  h.send(t, 1, 0, { tcpFlags: ACK | FIN });
  h.ack(t, 2, { flags: FIN | ACK });
}
