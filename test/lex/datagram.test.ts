import { beforeEach, describe, expect, test } from 'vitest';
import { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from '../../lib/lex/datagram.ts';
import { EVERY_KIND, OneHost } from '../support/one-host.ts';
import { viewOf, buildUdp } from '../support/packets.ts';

describe.each(EVERY_KIND)('UDP over $name', ({ ends, scheme }) => {
  let h: OneHost;
  beforeEach(() => {
    h = new OneHost({ scheme }, ends);
  });

  test('the first datagram is FNE, the next ones are LECT', () => {
    expect(h.sendUdp(0)).toBe('FNE');
    expect(h.reason).toBe('fneFirstPacket');
    expect(h.sendUdp(0.1)).toBe('LECT');
    expect(h.reason).toBe('lectDatagram');
  });

  test('each 5-tuple is a flow', () => {
    h.sendUdp(0);
    expect(h.sendUdp(0, { srcPort: 40001 })).toBe('FNE');
    expect(h.sendUdp(0)).toBe('LECT');
    expect(h.host.flows.size).toBe(2);
  });

  test('a datagram after an idle gap is FNE', () => {
    h.sendUdp(0);
    expect(h.sendUdp(0.9)).toBe('LECT');
    expect(h.sendUdp(2)).toBe('FNE');
    expect(h.reason).toBe('fneIdleGap');
  });

  test('an empty datagram counts like any other', () => {
    expect(h.sendUdp(0, { payloadLength: 0 })).toBe('FNE');
    expect(h.sendUdp(0.1, { payloadLength: 0 })).toBe('LECT');
  });

  test('the same bytes sent twice are LECT: only the application knows', () => {
    h.sendUdp(0);
    expect(h.sendUdp(0.1)).toBe('LECT');
    expect(h.sendUdp(0.1)).toBe('LECT');
    expect(h.host.counters.lexPayloadBytes).toBe(0);
  });

  test('LEx when the application says so', () => {
    h.sendUdp(0);
    expect(h.sendUdp(0.1, {}, HINT_RETRANSMISSION)).toBe('LEx');
    expect(h.reason).toBe('lexApplication');
    expect(h.host.counters.lexPayloadBytes).toBe(20);
  });

  test('FNE goes before LEx', () => {
    expect(h.sendUdp(0, {}, HINT_RETRANSMISSION)).toBe('FNE');
    expect(h.sendUdp(5, {}, HINT_RETRANSMISSION)).toBe('FNE');
    expect(h.host.counters.lexPayloadBytes).toBe(0);
  });

  test('until something came back a wish is granted at most once a gap', () => {
    h.sendUdp(0);
    let fne = 0;
    for (let i = 1; i <= 50; i++) if (h.sendUdp(i / 10, {}, HINT_NEW_FLOWLET) === 'FNE') fne++;
    expect(fne).toBe(4);
  });

  test('once the peer was heard every wish is granted', () => {
    h.sendUdp(0);
    h.receiveUdp(0.05);
    for (let i = 1; i <= 10; i++) expect(h.sendUdp(i / 10, {}, HINT_NEW_FLOWLET)).toBe('FNE');
    expect(h.sendUdp(1.1)).toBe('LECT');
  });

  test('a postponed wish is granted later', () => {
    h.sendUdp(0);
    h.sendUdp(0.5, {}, HINT_NEW_FLOWLET);
    expect(h.reason).toBe('lectDatagram');
    h.sendUdp(0.9);
    expect(h.sendUdp(1.1)).toBe('FNE');
    expect(h.reason).toBe('fneApplication');
  });

  test('requestFlowlet works for datagrams', () => {
    h.sendUdp(0);
    h.receiveUdp(0.1);
    const packet = buildUdp({ src: ends.local, dst: ends.remote, srcPort: 40000, dstPort: 53 });
    expect(h.host.requestFlowlet(viewOf(packet), 0, packet.length)).toBe(true);
    expect(h.sendUdp(0.2)).toBe('FNE');
    expect(h.sendUdp(0.2)).toBe('LECT');
  });

  test('an FNE of the peer is answered, once', () => {
    h.sendUdp(0);
    sendOften(h, 3.5);
    h.receiveUdp(3.5, { fne: true });
    expect(h.sendUdp(3.5)).toBe('FNE');
    expect(h.reason).toBe('fneAnswer');
    expect(h.sendUdp(3.5)).toBe('LECT');
  });

  test.each([0.5, 1.5, 2.9])('an FNE %d s after an own one may be its answer and is not answered', (rtt) => {
    h.sendUdp(0);
    sendOften(h, rtt);
    h.receiveUdp(rtt, { fne: true });
    expect(h.sendUdp(rtt)).toBe('LECT');
  });

  test('a longer gap holds back answers as long', () => {
    h = new OneHost({ scheme, flowletGapNs: 5e9 }, ends);
    h.sendUdp(0);
    sendOften(h, 6);
    h.receiveUdp(4.9, { fne: true });
    expect(h.sendUdp(5)).toBe('LECT');
    h.receiveUdp(6, { fne: true });
    expect(h.sendUdp(6)).toBe('FNE');
  });

  test('the TCP flow with the same addresses and ports is another flow', () => {
    h.send(0, 0, 0, { dstPort: 53 });
    expect(h.sendUdp(0.1)).toBe('FNE');
    expect(h.host.flows.size).toBe(2);
  });
});

/** A datagram each 0.25 s from 0.25 s until before `end`, so that no gap is idle. */
function sendOften(h: OneHost, end: number): void {
  for (let t = 0.25; t < end; t += 0.25) h.sendUdp(t);
}
