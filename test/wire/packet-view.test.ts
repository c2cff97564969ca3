import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  PARSE_BAD_HEADER,
  PARSE_LATER_FRAGMENT,
  PARSE_NOT_IP,
  PARSE_NO_PORTS,
  PARSE_OK,
  PARSE_REASONS,
  PARSE_TRUNCATED,
  PacketView,
  parsePacket,
  TCP_ACK,
  TCP_CWR,
  TCP_ECE,
  TCP_FIN,
  TCP_PSH,
  TCP_RST,
  TCP_SYN,
  TCP_URG,
} from '../../lib/wire/packet-view.ts';
import { buildIcmp, buildRaw, buildTcp, buildUdp, viewOf } from '../support/packets.ts';

function parse(bytes: Uint8Array, captured = bytes.length): { code: number; packet: PacketView } {
  const packet = new PacketView();
  return { code: parsePacket(viewOf(bytes), 0, captured, packet), packet };
}

const src = fc.constantFrom('10.1.2.3', '2001:db8::5');
const word = fc.integer({ min: 0, max: 0xffff });
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const BOTH = [['IPv4', '10.1.2.3'] as const, ['IPv6', '2001:db8::5'] as const];

describe('parsePacket on packets that the test builder wrote', () => {
  test('reads every field of a TCP segment', () => {
    const fields = fc.record({
      src,
      srcPort: word,
      dstPort: word,
      seqNumber: int32,
      ackNumber: int32,
      tcpFlags: fc.integer({ min: 0, max: 255 }),
      windowField: word,
      dscp: fc.integer({ min: 0, max: 63 }),
      ecn: fc.integer({ min: 0, max: 3 }),
      payloadLength: fc.nat(100),
    });
    fc.assert(
      fc.property(fields, fc.nat(9), fc.nat(9), (given, at, padding) => {
        const built = buildTcp(given);
        const bytes = new Uint8Array(at + built.length + padding);
        bytes.set(built, at);
        const packet = new PacketView();
        expect(parsePacket(viewOf(bytes), at, built.length + padding, packet)).toBe(PARSE_OK);
        const headerLength = given.src.includes(':') ? 40 : 20;
        expect({ ...packet }).toEqual({
          version: headerLength === 40 ? 6 : 4,
          at,
          length: built.length,
          headerLength,
          protocol: 6,
          fragment: FRAGMENT_NONE,
          dscp: given.dscp,
          srcPort: given.srcPort,
          dstPort: given.dstPort,
          payloadAt: at + headerLength + 20,
          payloadLength: given.payloadLength,
          seqNumber: given.seqNumber,
          ackNumber: given.ackNumber,
          tcpFlags: given.tcpFlags,
          windowField: given.windowField,
          windowScale: -1,
          timestampValue: 0,
          timestampEcho: 0,
          hasTimestamp: 0,
          sackBlocks: 0,
        });
      }),
    );
  });

  test('reads every field of a UDP datagram and leaves those of TCP zero', () => {
    fc.assert(
      fc.property(src, word, word, fc.nat(100), (from, srcPort, dstPort, payloadLength) => {
        const bytes = buildUdp({ src: from, srcPort, dstPort, payloadLength, dscp: 5 });
        const { code, packet } = parse(bytes);
        expect(code).toBe(PARSE_OK);
        const headerLength = from.includes(':') ? 40 : 20;
        const expected = new PacketView();
        Object.assign(expected, {
          version: headerLength === 40 ? 6 : 4,
          length: bytes.length,
          headerLength,
          protocol: 17,
          dscp: 5,
          srcPort,
          dstPort,
          payloadAt: headerLength + 8,
          payloadLength,
        });
        expect(packet).toEqual(expected);
      }),
    );
  });

  test('finds the transport behind IPv4 options and IPv6 extension headers', () => {
    const options = fc.array(fc.constant(1), { maxLength: 40 });
    const extension = fc.record({
      type: fc.constantFrom(0, 43, 51, 60),
      body: fc.array(fc.nat(255), { maxLength: 30 }),
    });
    fc.assert(
      fc.property(
        src,
        options,
        fc.array(extension, { maxLength: 4 }),
        (from, ipOptions, extensionHeaders) => {
          const bytes = buildTcp({ src: from, ipOptions, extensionHeaders, srcPort: 7, payloadLength: 11 });
          const { code, packet } = parse(bytes);
          expect(code).toBe(PARSE_OK);
          expect(packet.headerLength).toBe(bytes.length - 31);
          expect([packet.srcPort, packet.payloadAt, packet.payloadLength]).toEqual([
            7,
            bytes.length - 11,
            11,
          ]);
        },
      ),
    );
  });

  test('forgets the packet before', () => {
    const packet = new PacketView();
    const rich = buildTcp({ tcpFlags: 2, windowScale: 7, timestamps: [1, 2], sack: [[1, 2]], dscp: 9 });
    expect(parsePacket(viewOf(rich), 0, rich.length, packet)).toBe(PARSE_OK);
    expect(parsePacket(viewOf(rich), 0, 0, packet)).toBe(PARSE_NOT_IP);
    expect(packet).toEqual(new PacketView());
  });
});

describe('parsePacket on TCP options', () => {
  test('reads the timestamps, alone or among others', () => {
    fc.assert(
      fc.property(src, int32, int32, fc.boolean(), (from, value, echo, others) => {
        const more = others ? { mss: 1460, sackPermitted: true, windowScale: 7 } : {};
        const { packet } = parse(
          buildTcp({ src: from, tcpFlags: TCP_SYN, timestamps: [value, echo], ...more }),
        );
        expect([packet.hasTimestamp, packet.timestampValue, packet.timestampEcho]).toEqual([1, value, echo]);
        expect(packet.windowScale).toBe(others ? 7 : -1);
      }),
    );
  });

  test.each([1, 2, 3, 4])('counts %i SACK blocks', (count) => {
    const sack = Array.from({ length: count }, (_, i) => [i * 10, i * 10 + 5] as const);
    expect(parse(buildTcp({ sack })).packet.sackBlocks).toBe(count);
  });

  test('counts three SACK blocks beside timestamps', () => {
    const sack = [
      [1, 2],
      [3, 4],
      [5, 6],
    ] as const;
    const { packet } = parse(buildTcp({ timestamps: [8, 9], sack }));
    expect([packet.sackBlocks, packet.timestampValue]).toEqual([3, 8]);
  });

  test('takes a window scale from a SYN and a SYN-ACK only', () => {
    expect(parse(buildTcp({ tcpFlags: TCP_SYN, windowScale: 9 })).packet.windowScale).toBe(9);
    expect(parse(buildTcp({ tcpFlags: TCP_SYN | TCP_ACK, windowScale: 0 })).packet.windowScale).toBe(0);
    expect(parse(buildTcp({ tcpFlags: TCP_ACK, windowScale: 9 })).packet.windowScale).toBe(-1);
  });

  test('reads a window scale above 14 as 14', () => {
    expect(parse(buildTcp({ tcpFlags: TCP_SYN, windowScale: 15 })).packet.windowScale).toBe(14);
    expect(parse(buildTcp({ tcpFlags: TCP_SYN, windowScale: 255 })).packet.windowScale).toBe(14);
  });

  test.each<[string, number[]]>([
    ['timestamps of 8 bytes', [8, 8, 0, 0, 0, 1, 0, 0]],
    ['timestamps cut by the header', [1, 1, 8, 10]],
    ['SACK of 9 bytes', [5, 9, 0, 0, 0, 1, 0, 0, 0]],
    ['SACK of 2 bytes', [5, 2, 0, 0]],
    ['a window scale of 4 bytes', [3, 4, 7, 0]],
    ['a length of 0', [3, 0, 7, 0]],
    ['a window scale behind the end of the list', [0, 3, 3, 7]],
  ])('does not take %s, and the segment stays sound', (_, tcpOptions) => {
    const { code, packet } = parse(buildTcp({ tcpFlags: TCP_SYN, tcpOptions }));
    expect(code).toBe(PARSE_OK);
    expect([packet.hasTimestamp, packet.sackBlocks, packet.windowScale]).toEqual([0, 0, -1]);
  });
});

test('the flags are those of RFC 9293 figure 1, from the right', () => {
  const flags = [TCP_FIN, TCP_SYN, TCP_RST, TCP_PSH, TCP_ACK, TCP_URG, TCP_ECE, TCP_CWR];
  expect(flags).toEqual([1, 2, 4, 8, 16, 32, 64, 128]);
});

test('every code has a reason of its own', () => {
  const codes = [
    PARSE_OK,
    PARSE_NOT_IP,
    PARSE_TRUNCATED,
    PARSE_BAD_HEADER,
    PARSE_LATER_FRAGMENT,
    PARSE_NO_PORTS,
  ];
  expect(codes).toEqual([0, 1, 2, 3, 4, 5]);
  expect(PARSE_REASONS).toEqual(['ok', 'notIp', 'truncated', 'badHeader', 'laterFragment', 'noPorts']);
});

describe('parsePacket says what is wrong', () => {
  test('no bytes, and any version but 4 and 6, are not IP', () => {
    expect(parse(new Uint8Array(0)).code).toBe(PARSE_NOT_IP);
    for (let version = 0; version < 16; version++) {
      if (version === 4 || version === 6) continue;
      const { code, packet } = parse(new Uint8Array(60).fill(version << 4));
      expect([code, packet.version]).toEqual([PARSE_NOT_IP, 0]);
    }
  });

  test.each(BOTH)('every cut of a sound %s packet is truncated', (_, from) => {
    const bytes = buildTcp({ src: from, payloadLength: 10, timestamps: [1, 2] });
    for (let captured = 1; captured < bytes.length; captured++) {
      expect(parse(bytes, captured).code).toBe(PARSE_TRUNCATED);
      expect(parse(bytes.slice(0, captured)).code).toBe(PARSE_TRUNCATED);
    }
  });

  test('a capture that claims more than the view holds is truncated', () => {
    const bytes = buildTcp();
    expect(parse(bytes, bytes.length + 1).code).toBe(PARSE_TRUNCATED);
  });

  test('an IHL below 5 and a total length below the header are bad headers', () => {
    const bytes = buildTcp();
    bytes[0] = 0x44;
    expect(parse(bytes).code).toBe(PARSE_BAD_HEADER);
    const short = buildTcp();
    viewOf(short).setUint16(2, 19);
    expect(parse(short).code).toBe(PARSE_BAD_HEADER);
  });

  test('a super-packet with IPv4 total length 0 is a bad header', () => {
    const bytes = buildTcp({ payloadLength: 100 });
    viewOf(bytes).setUint16(2, 0);
    expect(parse(bytes).code).toBe(PARSE_BAD_HEADER);
  });

  test.each([6, 17, 0, 60])(
    'an IPv6 payload length of 0 in front of header %i is a bad header',
    (nextHeader) => {
      const bytes = buildTcp({ src: 'fd00::1', payloadLength: 100 });
      viewOf(bytes).setUint16(4, 0);
      bytes[6] = nextHeader;
      expect(parse(bytes).code).toBe(PARSE_BAD_HEADER);
    },
  );

  test.each(BOTH)('a TCP data offset below 5 or beyond the packet is a bad header (%s)', (_, from) => {
    const at = from.includes(':') ? 40 : 20;
    for (const dataOffset of [0, 4, 6, 15]) {
      const bytes = buildTcp({ src: from });
      bytes[at + 12] = dataOffset << 4;
      expect(parse(bytes).code).toBe(PARSE_BAD_HEADER);
    }
  });

  test.each(BOTH)('a whole packet too short for TCP or UDP is a bad header (%s)', (_, from) => {
    expect(parse(buildRaw({ src: from, protocol: 6, payloadLength: 19 })).code).toBe(PARSE_BAD_HEADER);
    expect(parse(buildRaw({ src: from, protocol: 17, payloadLength: 7 })).code).toBe(PARSE_BAD_HEADER);
  });

  test.each(BOTH)('a UDP length below 8 or beyond the packet is a bad header (%s)', (_, from) => {
    const at = from.includes(':') ? 40 : 20;
    for (const length of [0, 7, 13, 65_535]) {
      const bytes = buildUdp({ src: from, payloadLength: 4 });
      viewOf(bytes).setUint16(at + 4, length);
      expect(parse(bytes).code).toBe(PARSE_BAD_HEADER);
    }
  });

  test('a UDP length below what is there leaves the rest out of the payload', () => {
    const bytes = buildUdp({ payloadLength: 20 });
    viewOf(bytes).setUint16(24, 12);
    const { code, packet } = parse(bytes);
    expect([code, packet.payloadLength, packet.length]).toEqual([PARSE_OK, 4, 48]);
  });
});

describe('parsePacket on what carries no ports', () => {
  test.each(BOTH)('ICMP, ESP and unknown protocols of %s keep their IP fields', (_, from) => {
    const isIpv6 = from.includes(':');
    for (const [bytes, protocol] of [
      [buildIcmp({ src: from, dscp: 9, payloadLength: 10 }), isIpv6 ? 58 : 1],
      [buildRaw({ src: from, dscp: 9, protocol: 50, payloadLength: 40 }), 50],
      [buildRaw({ src: from, dscp: 9, protocol: 253 }), 253],
    ] as const) {
      const { code, packet } = parse(bytes);
      expect(code).toBe(PARSE_NO_PORTS);
      const expected = new PacketView();
      Object.assign(expected, {
        version: isIpv6 ? 6 : 4,
        length: bytes.length,
        headerLength: isIpv6 ? 40 : 20,
        protocol,
        dscp: 9,
      });
      expect(packet).toEqual(expected);
    }
  });

  test('more extension headers than are walked hide the ports', () => {
    const extensionHeaders = Array.from({ length: 9 }, () => ({ type: 60 }));
    expect(parse(buildTcp({ src: 'fd00::1', extensionHeaders })).code).toBe(PARSE_NO_PORTS);
  });

  test.each(BOTH)('a later fragment of %s has its DSCP, protocol and no ports', (_, from) => {
    const fragment = { offset: 3, more: false };
    const bytes = buildRaw({ src: from, protocol: 6, payloadLength: 60, dscp: 12, fragment });
    const { code, packet } = parse(bytes);
    expect(code).toBe(PARSE_LATER_FRAGMENT);
    expect([packet.fragment, packet.protocol, packet.dscp, packet.length]).toEqual([
      FRAGMENT_LATER,
      6,
      12,
      bytes.length,
    ]);
    expect(packet.headerLength).toBe(bytes.length - 60);
    expect([packet.srcPort, packet.dstPort, packet.payloadAt]).toEqual([0, 0, 0]);
  });

  test.each(BOTH)('a first fragment of %s with its whole transport header has its ports', (_, from) => {
    const fragment = { offset: 0, more: true };
    const tcp = parse(buildTcp({ src: from, fragment, mss: 9, payloadLength: 4 }));
    expect([tcp.code, tcp.packet.fragment, tcp.packet.srcPort]).toEqual([PARSE_OK, FRAGMENT_FIRST, 40000]);
    const bytes = buildUdp({ src: from, fragment, payloadLength: 8 });
    viewOf(bytes).setUint16(bytes.length - 12, 3000);
    const udp = parse(bytes);
    expect([udp.code, udp.packet.dstPort, udp.packet.payloadLength]).toEqual([PARSE_OK, 53, 8]);
  });

  test.each(BOTH)('a first fragment of %s too short for its transport header has none', (_, from) => {
    const fragment = { offset: 0, more: true };
    for (const protocol of [6, 17]) {
      const { code, packet } = parse(buildRaw({ src: from, protocol, payloadLength: 7, fragment }));
      expect([code, packet.fragment, packet.srcPort]).toEqual([PARSE_NO_PORTS, FRAGMENT_FIRST, 0]);
    }
    const cutInOptions = buildTcp({ src: from, fragment });
    cutInOptions[cutInOptions.length - 8] = 0xa0;
    expect(parse(cutInOptions).code).toBe(PARSE_NO_PORTS);
  });
});
