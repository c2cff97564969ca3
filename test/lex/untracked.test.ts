import { describe, expect, test } from 'vitest';
import { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from '../../lib/lex/datagram.ts';
import { EVERY_KIND, IPV4_ENDS, IPV6_ENDS, OneHost } from '../support/one-host.ts';
import { buildIcmp, buildRaw, buildTcp, buildUdp } from '../support/packets.ts';

describe.each(EVERY_KIND)(
  'rule 1 over $name: what cannot be tracked keeps every byte',
  ({ ends, scheme }) => {
    const ip = { src: ends.local, dst: ends.remote, dscp: 46, ecn: 1 };
    const group = { ...ip, dst: ends.local.includes(':') ? 'ff02::fb' : '224.0.0.251' };
    const cases: [string, Uint8Array, string][] = [
      ['ICMP', buildIcmp({ ...ip, payloadLength: 56 }), 'noPorts'],
      ['ESP', buildRaw({ ...ip, protocol: 50, payloadLength: 100 }), 'noPorts'],
      ['SCTP', buildRaw({ ...ip, protocol: 132, payloadLength: 100 }), 'noPorts'],
      ['GRE', buildRaw({ ...ip, protocol: 47, payloadLength: 100 }), 'noPorts'],
      ['UDP to a group', buildUdp({ ...group, dstPort: 5353, payloadLength: 50 }), 'multicast'],
      ['a later fragment of an unknown datagram', laterFragment(ip, 77), 'laterFragment'],
      ['a later fragment to a group', laterFragment(group, 77), 'laterFragment'],
      ['half a packet', buildTcp({ ...ip, payloadLength: 100 }).slice(0, 60), 'truncated'],
      ['nothing', new Uint8Array(0), 'notIp'],
      ['no IP', Uint8Array.from([0x10, 2, 3, 4]), 'notIp'],
    ];

    test.each(cases)('%s', (_, packet, reason) => {
      const h = new OneHost({ scheme }, ends);
      const before = packet.slice();
      h.sendBytes(
        packet.length === 0 ? new Uint8Array(0) : packet,
        0.5,
        HINT_NEW_FLOWLET | HINT_RETRANSMISSION,
      );
      expect(h.reason).toBe(reason);
      expect(packet).toEqual(before);
      expect(h.host.flows.size).toBe(0);
      expect(h.host.counters.codepointPackets[0]).toBe(1);
      h.receiveBytes(packet, 0.6);
      expect(packet).toEqual(before);
      expect(h.host.counters.inPackets.reduce((a, b) => a + b)).toBe(1);
    });

    test('a TCP segment with a lying data offset', () => {
      const h = new OneHost({ scheme }, ends);
      const packet = buildTcp(ip);
      packet[packet.length - 8] = 0xf0;
      const before = packet.slice();
      h.sendBytes(packet, 0);
      expect(h.reason).toBe('badHeader');
      expect(packet).toEqual(before);
    });

    describe('fragments', () => {
      const datagram = { ...ip, srcPort: 40000, dstPort: 53, dscp: 0 };
      const first = (identification: number) =>
        buildUdp({ ...datagram, payloadLength: 1400, fragment: { offset: 0, more: true, identification } });

      test('later ones follow the first on its path', () => {
        const h = new OneHost({ scheme }, ends);
        h.sendUdp(0);
        h.receiveUdp(0.1, { assign: 4 });
        expect(h.sendBytes(lengthened(first(7)), 0.2)).toBe('LECT/4');
        expect(h.sendBytes(laterFragment(datagram, 7), 0.2)).toBe('LECT/4');
        expect(h.sendBytes(laterFragment(datagram, 7, 360), 0.2)).toBe('LECT/4');
        expect(h.reason).toBe('lectFragment');
      });

      test('those of another datagram do not', () => {
        const h = new OneHost({ scheme }, ends);
        h.sendUdp(0);
        h.receiveUdp(0.1, { assign: 4 });
        h.sendBytes(lengthened(first(7)), 0.2);
        expect(h.sendBytes(laterFragment(datagram, 8), 0.2)).toBe('Not-LECT');
        expect(h.sendBytes(laterFragment({ ...datagram, dst: other(ends.remote) }, 7), 0.2)).toBe('Not-LECT');
      });

      test('those of a thousand unknown datagrams are not taken for those of known ones', () => {
        const h = new OneHost({ scheme }, ends);
        for (let i = 0; i < 300; i++) h.sendBytes(lengthened(first(i)), 0);
        for (let i = 1000; i < 2000; i++) {
          expect(h.sendBytes(laterFragment(datagram, i), 0)).toBe('Not-LECT');
        }
      });

      test('those of a datagram that went long ago do not: identifications come round', () => {
        const h = new OneHost({ scheme }, ends);
        h.sendBytes(lengthened(first(7)), 0);
        expect(h.sendBytes(laterFragment(datagram, 7), 30)).toBe('Not-LECT');
      });

      test('those of a datagram whose first fragment was FNE carry no path either', () => {
        const h = new OneHost({ scheme }, ends);
        expect(h.sendBytes(lengthened(first(7)), 0)).toBe('FNE');
        expect(h.sendBytes(laterFragment(datagram, 7), 0)).toBe('LECT');
      });
    });
  },
);

test('a packet to the limited broadcast address keeps every byte', () => {
  const h = new OneHost({}, IPV4_ENDS);
  const packet = buildUdp({ src: '0.0.0.0', dst: '255.255.255.255', srcPort: 68, dstPort: 67, dscp: 48 });
  const before = packet.slice();
  h.sendBytes(packet, 0);
  expect(h.reason).toBe('multicast');
  expect(packet).toEqual(before);
});

test('an ICMP error that quotes a TCP segment of a flow is not taken for the segment', () => {
  const h = new OneHost({}, IPV4_ENDS);
  h.connect(0, 0.1, { assign: 2 });
  const quote = h.segment(1, 8);
  expect(
    h.receiveBytes(buildIcmp({ src: '10.9.9.9', dst: '10.0.0.1', type: 3, code: 4, payload: quote }), 1),
  ).toBe('noPorts');
  expect(h.send(0.5, 1, 100)).toBe('LECT/2');
});

test('an IPv6 packet with extension headers before TCP is tracked', () => {
  const h = new OneHost({}, IPV6_ENDS);
  const extensionHeaders = [{ type: 0 }, { type: 60, body: [1, 4, 0, 0, 0, 0] }];
  expect(h.send(0, 0, 0, { tcpFlags: 2, extensionHeaders })).toBe('FNE');
  expect(h.send(0, 1, 100, { extensionHeaders })).toBe('LECT');
  expect(h.send(0.1, 1, 100)).toBe('LEx');
});

test.each(EVERY_KIND)(
  'marking changes the DSCP and, in IPv4, the header checksum, nothing else ($name)',
  (kind) => {
    const h = new OneHost({ scheme: kind.scheme }, kind.ends);
    for (let ecn = 0; ecn < 4; ecn++) {
      const packet = h.segment(1 + ecn * 100, 100, { ecn, dscp: 10 });
      const before = packet.slice();
      h.sendBytes(packet, 0);
      const isIpv4 = packet[0]! >> 4 === 4;
      const changed = [...packet.keys()].filter((i) => packet[i] !== before[i]);
      expect(changed.every((i) => (isIpv4 ? [1, 10, 11] : [0, 1]).includes(i))).toBe(true);
      expect(isIpv4 ? packet[1]! & 3 : (packet[1]! >> 4) & 3).toBe(ecn);
      if (isIpv4) {
        let sum = 0;
        for (let i = 0; i < 20; i += 2) sum += packet[i]! * 256 + packet[i + 1]!;
        expect(((sum & 0xffff) + (sum >> 16)) & 0xffff).toBe(0xffff);
      }
    }
  },
);

function laterFragment(
  ip: { src: string; dst: string; dscp?: number },
  identification: number,
  offset = 180,
): Uint8Array {
  return buildRaw({
    ...ip,
    protocol: 17,
    payloadLength: 300,
    fragment: { offset, more: offset < 300, identification },
  });
}

/** Makes the UDP length of a first fragment say what the whole datagram has. */
function lengthened(packet: Uint8Array): Uint8Array {
  const udpAt = packet.length - 1400 - 8;
  new DataView(packet.buffer).setUint16(udpAt + 4, 8 + 3400);
  return packet;
}

function other(address: string): string {
  return address.replace(/1$/, '2');
}
