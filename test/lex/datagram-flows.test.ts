import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from '../../lib/lex/datagram.ts';
import type { DatagramPeer } from '../../lib/lex/datagram-flows.ts';
import { DatagramFlows, DSCP_OWN } from '../../lib/lex/datagram-flows.ts';
import { LexHost } from '../../lib/lex/lex-host.ts';
import { parseAddress } from '../../lib/wire/addr.ts';
import { bytesAllocatedPerCall } from '../support/allocation.ts';
import { assignmentDscp, dscpOf } from '../support/one-host.ts';
import { buildUdp, viewOf } from '../support/packets.ts';

const LOCAL = { 4: '10.0.0.1', 6: 'fd00::1' };
const HEADERS = { 4: 28, 6: 48 };

function peerOf(address: string, port: number): DatagramPeer {
  const bytes = parseAddress(address);
  const words = new Int32Array(4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < bytes.length / 4; i++) words[i] = view.getInt32(4 * i);
  return { version: bytes.length === 4 ? 4 : 6, port, address: words, isGroup: false };
}

const GROUP: DatagramPeer = { ...peerOf('224.0.0.1', 53), isGroup: true };
const PEER = peerOf('10.0.1.1', 53);

/** Seconds as nanoseconds. */
const s = (seconds: number): number => seconds * 1e9;

describe('DatagramFlows and LexHost', () => {
  const step = fc.record({
    action: fc.constantFrom('send', 'send', 'send', 'receive', 'request'),
    remote: fc.constantFrom('10.0.1.1', '10.0.1.2', 'fd00:1::1'),
    port: fc.constantFrom(53, 5353),
    length: fc.nat(1400),
    hints: fc.nat(3),
    dscp: fc.nat(63),
    waitMs: fc.constantFrom(0, 1, 200, 900, 1100, 3500),
  });

  test.each(['pool2', 'full'] as const)('mark alike and count alike, scheme %s', (scheme) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (script) => {
        const host = new LexHost({ scheme });
        const flows = new DatagramFlows({ scheme });
        let now = s(10);
        for (const { action, remote, port, length, hints, dscp, waitMs } of script) {
          now += waitMs * 1e6;
          const peer = peerOf(remote, port);
          const version = peer.version as 4 | 6;
          const there = { src: LOCAL[version], dst: remote, srcPort: 4000, dstPort: port };
          const back = { src: remote, dst: LOCAL[version], srcPort: port, dstPort: 4000 };
          const out = buildUdp({ ...there, payloadLength: length });
          if (action === 'send') {
            host.handleOutbound(viewOf(out), 0, out.length, now, hints);
            expect(flows.send(peer, length, length + HEADERS[version], now, hints)).toBe(dscpOf(out));
            expect(flows.lastReason).toBe(host.lastReason);
          } else if (action === 'receive') {
            const packet = buildUdp({ ...back, payloadLength: length, dscp });
            host.handleInbound(viewOf(packet), 0, packet.length, now);
            flows.receive(peer, dscp, now);
            expect(flows.lastReason).toBe(host.lastReason);
          } else {
            expect(flows.requestFlowlet(peer) === 1).toBe(host.requestFlowlet(viewOf(out), 0, out.length));
          }
        }
        expect(flows.counters).toEqual(host.counters);
        expect(flows.size).toBe(host.flows.size);
      }),
      { numRuns: 200 },
    );
  });
});

describe('DatagramFlows', () => {
  const send = (flows: DatagramFlows, t: number, hints = 0, peer = PEER): number =>
    flows.send(peer, 100, 128, s(t), hints);

  test('a group or everybody is not marked', () => {
    const flows = new DatagramFlows();
    expect(send(flows, 0, 0, GROUP)).toBe(DSCP_OWN);
    expect(flows.size).toBe(0);
    expect(flows.counters.codepointPackets[0]).toBe(1);
  });

  test('grows to thousands of peers and forgets none of their paths', () => {
    const flows = new DatagramFlows();
    const peers = Array.from({ length: 3000 }, (_, i) => peerOf(`10.1.${i >> 8}.${i & 255}`, 1000 + i));
    for (const [i, peer] of peers.entries()) {
      send(flows, 0, 0, peer);
      flows.receive(peer, assignmentDscp('pool2', 1 + (i % 6)), s(0.1));
    }
    expect(flows.size).toBe(3000);
    for (const [i, peer] of peers.entries()) {
      expect(flows.report(peer)).toMatchObject({ pathId: 1 + (i % 6), sentPackets: 1, assignments: 1 });
    }
  });

  test('holds no more peers than its capacity', () => {
    const flows = new DatagramFlows({ flowCapacity: 10 });
    for (let i = 0; i < 100; i++) send(flows, i / 1000, 0, peerOf('10.0.1.1', 1000 + i));
    expect(flows.size).toBe(10);
    expect(send(flows, 0.2, 0, peerOf('10.0.1.1', 1099))).toBe(3);
  });

  test('forgets idle peers before it grows', () => {
    const flows = new DatagramFlows({ datagramLimitNs: s(60) });
    for (let i = 0; i < 1000; i++) send(flows, i * 61, 0, peerOf('10.0.1.1', 1000 + i));
    expect(flows.size).toBeLessThanOrEqual(4);
  });

  test('feedback counts as having heard the peer', () => {
    const flows = new DatagramFlows();
    expect(flows.feedback(PEER, s(0), 0)).toBe(false);
    send(flows, 0);
    expect(send(flows, 0.1, HINT_NEW_FLOWLET)).toBe(3);
    expect(flows.feedback(PEER, s(0.2), 0)).toBe(true);
    expect(flows.report(PEER)?.isHeard).toBe(true);
    expect(send(flows, 0.3)).toBe(7);
    expect(send(flows, 0.4, HINT_NEW_FLOWLET)).toBe(7);
  });

  test('feedback keeps the path of the flowlet before when the gateway assigned none', () => {
    const flows = new DatagramFlows();
    send(flows, 0);
    flows.receive(PEER, assignmentDscp('pool2', 2), s(0.1));
    expect(send(flows, 0.2, HINT_NEW_FLOWLET)).toBe(7);
    expect(send(flows, 0.3)).toBe(3);
    flows.feedback(PEER, s(0.4), 0);
    expect(send(flows, 0.5)).toBe(8 * 2 + 3);
  });

  test('a measured RTT lengthens the flowlet gap to the retransmission timeout', () => {
    const flows = new DatagramFlows();
    send(flows, 0);
    flows.feedback(PEER, s(0.5), s(1));
    expect(send(flows, 2)).toBe(3);
    expect(send(flows, 5.1)).toBe(7);
  });

  test('every flow is told of a new flowlet when no peer is named', () => {
    const flows = new DatagramFlows();
    const other = peerOf('10.0.1.2', 53);
    for (const peer of [PEER, other]) {
      send(flows, 0, 0, peer);
      flows.receive(peer, 0, s(0.1));
    }
    expect(flows.requestFlowlet()).toBe(2);
    expect([send(flows, 0.2), send(flows, 0.2, 0, other), send(flows, 0.2)]).toEqual([7, 7, 3]);
  });

  test('counts what the application said, what was marked, and the whole packets', () => {
    const flows = new DatagramFlows();
    send(flows, 0, HINT_RETRANSMISSION);
    send(flows, 0.1, HINT_RETRANSMISSION);
    send(flows, 0.2);
    expect(flows.report(PEER)).toEqual({
      pathId: 0,
      isHeard: false,
      sentPackets: 3,
      sentBytes: 300,
      retransmittedPackets: 2,
      retransmittedBytes: 200,
      lexPayloadBytes: 100,
      lexPacketBytes: 128,
      flowlets: 1,
      assignments: 0,
      receivedPackets: 0,
    });
    expect(flows).toMatchObject({ sentBytes: 300, retransmittedPackets: 2, retransmittedBytes: 200 });
  });

  test('what the system refused is taken out of every counter', () => {
    const flows = new DatagramFlows();
    send(flows, 0);
    flows.receive(PEER, assignmentDscp('pool2', 2), s(0.05));
    const before = structuredClone({ counters: { ...flows.counters }, peer: flows.report(PEER) });
    for (const hints of [0, HINT_RETRANSMISSION, HINT_NEW_FLOWLET, HINT_NEW_FLOWLET | HINT_RETRANSMISSION]) {
      const dscp = send(flows, 0.1, hints);
      flows.takeBack(PEER, 100, 128, flows.lastTicket, dscp);
    }
    const dscp = send(flows, 0.1, 0, GROUP);
    flows.takeBack(GROUP, 100, 128, flows.lastTicket, dscp);
    expect({ ...flows.counters }).toEqual(before.counters);
    expect({ ...flows.report(PEER), pathId: 2 }).toEqual(before.peer);
    expect(flows).toMatchObject({ sentBytes: 100, retransmittedPackets: 0, retransmittedBytes: 0 });
  });

  test('an FNE that the system refused is due again', () => {
    const flows = new DatagramFlows();
    let dscp = send(flows, 0);
    flows.takeBack(PEER, 100, 128, flows.lastTicket, dscp);
    expect(flows.size).toBe(0);
    expect(send(flows, 0.1)).toBe(7);
    flows.receive(PEER, 0, s(0.2));
    dscp = send(flows, 2);
    expect(dscp).toBe(7);
    flows.takeBack(PEER, 100, 128, flows.lastTicket, dscp);
    expect(send(flows, 2.1)).toBe(7);
    expect(send(flows, 2.2)).toBe(3);
  });

  test('a datagram allocates under one byte', () => {
    const flows = new DatagramFlows();
    const peers = Array.from({ length: 64 }, (_, i) => peerOf('10.0.1.1', 1000 + i));
    // The clock is read once a batch, and a boxed number is what reading it costs.
    let now = s(1);
    const bytes = bytesAllocatedPerCall((call) => {
      if ((call & 63) === 0) now += 1e6;
      const peer = peers[call & 63]!;
      return (call & 64) === 0 ? flows.send(peer, 100, 128, now, 0) : flows.receive(peer, 11, now);
    }, 200_000);
    expect(bytes).toBeLessThan(1);
  });
});
