import { beforeEach, describe, expect, test } from 'vitest';
import { HINT_NEW_FLOWLET } from '../../lib/lex/datagram.ts';
import { ACK, EVERY_KIND, IPV4_ENDS, OneHost, SYN } from '../support/one-host.ts';
import { buildTcp } from '../support/packets.ts';
import type { TcpFields } from '../support/packets.ts';

describe.each(EVERY_KIND)('pinning over $name', ({ ends, scheme }) => {
  const lastPath = scheme === 'pool2' ? 6 : 15;
  let h: OneHost;
  beforeEach(() => {
    h = new OneHost({ scheme }, ends);
  });

  test('an assignment pins every later packet of the flowlet, whatever its codepoint', () => {
    for (let pathId = 1; pathId <= lastPath; pathId++) {
      h = new OneHost({ scheme }, ends);
      h.syn(0);
      expect(h.ack(0.1, 1, { flags: SYN | ACK, seq: 0, assign: pathId })).toBe('assignment');
      expect(h.taken).toBe(pathId);
      expect(h.send(0.1, 1, 0)).toBe(`LECT/${pathId}`);
      expect(h.send(0.1, 1, 100)).toBe(`LECT/${pathId}`);
      h.ack(0.2, 1);
      expect(h.send(0.2, 1, 100)).toBe(`LEx/${pathId}`);
      expect(h.host.counters.assignments[pathId]).toBe(1);
      expect(h.host.counters.pathPackets[pathId]).toBe(3);
    }
  });

  test('a later assignment moves the flow', () => {
    h.connect(0, 0.1, { assign: 1 });
    h.ack(0.2, 1, { assign: 4 });
    expect(h.send(0.2, 1, 100)).toBe('LECT/4');
  });

  test('inbound packets without an assignment leave the path alone', () => {
    h.connect(0, 0.1, { assign: 1 });
    h.send(0.1, 1, 100);
    h.ack(0.2, 101);
    h.ack(0.3, 101, { fne: true });
    expect(h.taken).toBe(0);
    expect(h.send(0.3, 101, 100)).toBe('LECT/1');
  });

  test('an assignment for an unknown flow is rejected and counted, and makes no flow', () => {
    expect(h.ack(0, 1, { assign: 2 })).toBe('rejectedAssignment');
    expect(h.taken).toBe(0);
    expect(h.host.flows.size).toBe(0);
    expect(h.host.counters.assignments[2]).toBe(0);
    expect(h.send(0, 1, 100)).toBe('FNE');
    expect(h.send(0, 101, 100)).toBe('LECT');
  });

  test('an assignment for one flow does not touch another', () => {
    h.connect();
    h.ports = { srcPort: 40001, dstPort: 80 };
    h.connect(0, 0.1, { assign: 5 });
    expect(h.send(0.2, 1, 100)).toBe('LECT/5');
    h.ports = { srcPort: 40000, dstPort: 80 };
    expect(h.send(0.2, 1, 100)).toBe('LECT');
  });

  test('only inbound packets assign: the DSCP of outbound ones is overwritten', () => {
    h.connect();
    for (let dscp = 0; dscp < 64; dscp++) {
      expect(h.send(0.2, 1, 0, { dscp })).toBe('LECT');
    }
  });

  test('of the 64 values only assignments are taken', () => {
    let taken = 0;
    h.connect();
    for (let dscp = 0; dscp < 64; dscp++) {
      h.host.handleInbound(inbound(h, dscp), 0, 1000, 0.2e9);
      taken += h.host.counters.assignments.reduce((a, b) => a + b) > taken ? 1 : 0;
    }
    expect(taken).toBe(lastPath);
  });

  describe('a new flowlet', () => {
    const begin: [string, (h: OneHost) => string][] = [
      ['after a gap', (one) => one.send(5, 1, 100)],
      ['on demand', (one) => one.send(0.5, 1, 100, {}, HINT_NEW_FLOWLET)],
    ];

    test.each(begin)('%s has no path until one is assigned', (_, start) => {
      h.connect(0, 0.1, { assign: 2 });
      expect(start(h)).toBe('FNE');
      expect(h.send(5.01, 101, 100)).toBe('LECT');
      h.ack(5.2, 201, { assign: 3 });
      expect(h.send(5.2, 201, 100)).toBe('LECT/3');
      expect(h.host.counters.keptPaths).toBe(0);
    });

    test.each(begin)('%s keeps the old path when the answer assigns none', (_, start) => {
      h.connect(0, 0.1, { assign: 2 });
      start(h);
      expect(h.send(5.01, 101, 100)).toBe('LECT');
      h.ack(5.2, 201);
      expect(h.send(5.2, 201, 100)).toBe('LECT/2');
      expect(h.host.counters.keptPaths).toBe(1);
    });

    test.each(begin)('%s keeps none with keepPathWithoutAnswer off', (_, start) => {
      h = new OneHost({ scheme, keepPathWithoutAnswer: false }, ends);
      h.connect(0, 0.1, { assign: 2 });
      start(h);
      h.ack(5.2, 101);
      expect(h.send(5.2, 101, 100)).toBe('LECT');
      expect(h.host.counters.keptPaths).toBe(0);
    });

    test('after another without an answer still knows the path before both', () => {
      h.connect(0, 0.1, { assign: 2 });
      expect(h.send(5, 1, 0)).toBe('FNE');
      expect(h.send(10, 1, 0)).toBe('FNE');
      h.ack(10.2, 1);
      expect(h.send(10.2, 1, 100)).toBe('LECT/2');
    });

    test('does not take what was under way already for an answer', () => {
      h.connect(0, 0.1, { assign: 2 });
      h.send(0.2, 1, 100);
      h.send(0.25, 101, 100, {}, HINT_NEW_FLOWLET);
      h.ack(0.3, 101);
      expect(h.send(0.3, 201, 100)).toBe('LECT');
      h.ack(0.35, 201);
      expect(h.send(0.35, 301, 100)).toBe('LECT/2');
    });

    test('has nothing to keep when the flow had no path', () => {
      h.connect();
      h.send(5, 1, 100);
      h.ack(5.2, 101);
      expect(h.send(5.2, 101, 100)).toBe('LECT');
      expect(h.host.counters.keptPaths).toBe(0);
    });
  });

  test('an FNE within the flowlet carries the path where the scheme can', () => {
    h.connect(0, 0.1, { assign: 2 });
    h.send(0.2, 0, 0);
    expect(h.reason).toBe('fneKeepAlive');
    expect(h.host.counters.pathPackets[2]).toBe(scheme === 'full' ? 2 : 1);
  });
});

test('UDP flows are pinned in the same way', () => {
  const h = new OneHost({}, IPV4_ENDS);
  expect(h.sendUdp(0)).toBe('FNE');
  expect(h.receiveUdp(0.1, { assign: 6 })).toBe('assignment');
  expect(h.sendUdp(0.2)).toBe('LECT/6');
  expect(h.sendUdp(5)).toBe('FNE');
  expect(h.sendUdp(5.1)).toBe('LECT');
  h.receiveUdp(5.2);
  expect(h.sendUdp(5.3)).toBe('LECT/6');
});

function inbound(h: OneHost, dscp: number): DataView {
  const [src, dst] = [h.ends.remote, h.ends.local];
  const packet = buildPadded({ src, dst, srcPort: 80, dstPort: 40000, dscp });
  return new DataView(packet.buffer);
}

function buildPadded(fields: TcpFields): Uint8Array {
  const padded = new Uint8Array(1000);
  padded.set(buildTcp(fields));
  return padded;
}
