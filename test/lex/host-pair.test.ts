/** Rule 2e and the paths between two hosts: nobody answers an answer, and both ends come to their paths. */
import { describe, expect, test } from 'vitest';
import { HostPair, smallGateway } from '../support/host-pair.ts';
import type { HostPairOptions, Side } from '../support/host-pair.ts';
import type { SchemeName } from '../support/one-host.ts';
import { buildTcp, buildUdp } from '../support/packets.ts';

const SECOND = 1e9;
const SCHEMES: SchemeName[] = ['pool2', 'full'];
const RTTS = [0.05, 1.1, 2.8];

function ends(from: Side) {
  return from === 'a'
    ? { src: '10.0.0.1', dst: '10.0.1.1', srcPort: 40000, dstPort: 80 }
    : { src: '10.0.1.1', dst: '10.0.0.1', srcPort: 80, dstPort: 40000 };
}

/** Both sides send a datagram each 100 ms. */
function streamDatagrams(pair: HostPair, endNs: number): void {
  for (const from of ['a', 'b'] as const) {
    for (let t = from === 'a' ? 0 : 7e6; t < endNs; t += 100e6) {
      pair.at(t, () => pair.send(from, buildUdp({ ...ends(from), payloadLength: 20 })));
    }
  }
}

/** Both sides send 100 bytes each 100 ms and acknowledge what arrived; nothing is lost. */
function streamSegments(pair: HostPair, startNs: number, endNs: number): void {
  const next = { a: 1, b: 1 };
  const received = { a: 1, b: 1 };
  pair.onDeliver = (to, packet) => {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    received[to] = Math.max(received[to], view.getUint32(24) + packet.length - 40);
  };
  for (const from of ['a', 'b'] as const) {
    for (let t = startNs + (from === 'a' ? 0 : 7e6); t < endNs; t += 100e6) {
      pair.at(t, () => {
        const seqNumber = next[from];
        next[from] += 100;
        pair.send(
          from,
          buildTcp({ ...ends(from), seqNumber, ackNumber: received[from], payloadLength: 100 }),
        );
      });
    }
  }
}

/** The three-way handshake of a with b, from 0. */
function connect(pair: HostPair): void {
  pair.onDeliver = (to, packet) => {
    if (to === 'b' && (packet[33]! & 2) !== 0) {
      pair.send('b', buildTcp({ ...ends('b'), seqNumber: 0, ackNumber: 1, tcpFlags: 18 }));
    } else if (to === 'a') pair.send('a', buildTcp({ ...ends('a'), seqNumber: 1, ackNumber: 1 }));
  };
  pair.at(0, () => pair.send('a', buildTcp({ ...ends('a'), seqNumber: 0, tcpFlags: 2 })));
}

function count(pair: HostPair, from: Side, what: (mark: string) => boolean): number {
  return pair.passages.filter((passage) => passage.from === from && what(passage.mark)).length;
}

const isFne = (mark: string) => mark.startsWith('FNE');

function makePair(
  scheme: SchemeName,
  rtt: number,
  gateway: string,
  more: Partial<HostPairOptions> = {},
): HostPair {
  return new HostPair({
    a: { scheme },
    b: { scheme, seed: 1 },
    delayNs: (rtt / 2) * SECOND,
    ...(gateway === 'none' ? {} : smallGateway(scheme, gateway === 'infers')),
    ...more,
  });
}

describe.each(SCHEMES)('two hosts, scheme %s', (scheme) => {
  describe.each(['none', 'assigns', 'infers'])('gateway that %s', (gateway) => {
    test.each(RTTS)('UDP, RTT %d s: neither answers answers', (rtt) => {
      const pair = makePair(scheme, rtt, gateway);
      streamDatagrams(pair, 20 * SECOND);
      pair.run(21 * SECOND);
      expect(count(pair, 'a', isFne)).toBe(1);
      expect(count(pair, 'b', isFne)).toBe(1);
    });

    test.each(RTTS)('TCP with a handshake, RTT %d s: neither answers answers', (rtt) => {
      const pair = makePair(scheme, rtt, gateway);
      connect(pair);
      pair.run(2 * rtt * SECOND);
      streamSegments(pair, pair.nowNs, pair.nowNs + 20 * SECOND);
      pair.run(30 * SECOND);
      // The side that had to wait for the handshake longer than a gap begins anew.
      expect(count(pair, 'a', isFne)).toBeLessThanOrEqual(2);
      expect(count(pair, 'b', isFne)).toBeLessThanOrEqual(2);
    });

    test.each(RTTS)('TCP found under way on both sides, RTT %d s: neither answers answers', (rtt) => {
      const pair = makePair(scheme, rtt, gateway);
      streamSegments(pair, 0, 20 * SECOND);
      pair.run(21 * SECOND);
      expect(count(pair, 'a', isFne)).toBe(1);
      expect(count(pair, 'b', isFne)).toBe(1);
    });

    test.each(RTTS)('one side starts again, RTT %d s: its FNE is answered once', (rtt) => {
      const pair = makePair(scheme, rtt, gateway);
      streamSegments(pair, 0, 20 * SECOND);
      pair.run(10 * SECOND);
      pair.restart('a');
      pair.run(21 * SECOND);
      expect(count(pair, 'a', isFne)).toBe(2);
      expect(count(pair, 'b', isFne)).toBe(2);
      const answer = pair.passages.filter((passage) => passage.from === 'b' && isFne(passage.mark))[1]!;
      expect(answer.reason).toBe('fneAnswer');
    });

    test('every packet twice in the network changes nothing', () => {
      const pair = makePair(scheme, 1.5, gateway);
      const deliver = pair.hosts.a.handleInbound.bind(pair.hosts.a);
      pair.hosts.a.handleInbound = (...args) => {
        deliver(...args);
        return deliver(...args);
      };
      streamDatagrams(pair, 20 * SECOND);
      pair.run(21 * SECOND);
      expect(count(pair, 'a', isFne)).toBe(1);
      expect(count(pair, 'b', isFne)).toBe(1);
    });
  });

  test('a gateway that infers brings both hosts to a path, which they keep', () => {
    for (const rtt of RTTS) {
      const pair = makePair(scheme, rtt, 'infers');
      connect(pair);
      pair.run(2 * rtt * SECOND);
      streamSegments(pair, pair.nowNs, pair.nowNs + 20 * SECOND);
      pair.run(pair.nowNs + 21 * SECOND);
      for (const side of ['a', 'b'] as const) {
        const late = pair.passages.filter((p) => p.from === side).slice(-100);
        expect(late[0]!.mark).toMatch(/^LECT\/[123]$/);
        expect(new Set(late.map((p) => p.mark)).size).toBe(1);
      }
    }
  });

  test('losing a third of all packets makes no storm of FNE', () => {
    let dice = 12345;
    const isLost = () => {
      dice = (Math.imul(dice, 1103515245) + 12345) >>> 0;
      return dice >>> 16 < 65536 / 3;
    };
    const pair = makePair(scheme, 1.5, 'infers', { isLost });
    streamDatagrams(pair, 20 * SECOND);
    pair.run(21 * SECOND);
    expect(count(pair, 'a', isFne)).toBeLessThanOrEqual(2);
    expect(count(pair, 'b', isFne)).toBeLessThanOrEqual(2);
  });
});
