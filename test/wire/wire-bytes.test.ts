import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { PacketView, parsePacket } from '../../lib/wire/packet-view.ts';
import { wireBytes, wireSegments } from '../../lib/wire/wire-bytes.ts';
import { buildIcmp, buildTcp, buildUdp, viewOf } from '../support/packets.ts';

function parsed(bytes: Uint8Array): PacketView {
  const packet = new PacketView();
  parsePacket(viewOf(bytes), 0, bytes.length, packet);
  return packet;
}

/** Cuts the payload piece by piece and adds up the packets that leave. */
function naiveSegmentation(
  headers: number,
  payload: number,
  gsoSize: number,
): { segments: number; bytes: number } {
  let segments = 0;
  let bytes = 0;
  let left = payload;
  do {
    const piece = gsoSize > 0 ? Math.min(left, gsoSize) : left;
    segments += 1;
    bytes += headers + piece;
    left -= piece;
  } while (left > 0);
  return { segments, bytes };
}

describe('a packet on the wire', () => {
  const payloadLength = fc.integer({ min: 0, max: 5000 });
  const gsoSize = fc.integer({ min: 0, max: 1500 });
  const src = fc.constantFrom('10.0.0.1', 'fd00::1');

  test('weighs what a naive segmenter sends, for TCP with options', () => {
    fc.assert(
      fc.property(payloadLength, gsoSize, src, fc.boolean(), (length, size, from, stamped) => {
        const bytes = buildTcp({
          src: from,
          payloadLength: length,
          ...(stamped ? { timestamps: [1, 2] } : {}),
        });
        const expected = naiveSegmentation(bytes.length - length, length, size);
        expect(wireSegments(parsed(bytes), size)).toBe(expected.segments);
        expect(wireBytes(parsed(bytes), size)).toBe(expected.bytes);
      }),
    );
  });

  test('weighs what a naive segmenter sends, for UDP', () => {
    fc.assert(
      fc.property(payloadLength, gsoSize, src, (length, size, from) => {
        const bytes = buildUdp({ src: from, payloadLength: length });
        const expected = naiveSegmentation(bytes.length - length, length, size);
        expect(wireSegments(parsed(bytes), size)).toBe(expected.segments);
        expect(wireBytes(parsed(bytes), size)).toBe(expected.bytes);
      }),
    );
  });

  test('a pure ACK is one packet whatever the segment size', () => {
    expect(wireSegments(parsed(buildTcp()), 1448)).toBe(1);
    expect(wireBytes(parsed(buildTcp()), 1448)).toBe(40);
  });

  test('a payload of exactly two segments is two packets', () => {
    const packet = parsed(buildTcp({ payloadLength: 2896 }));
    expect(wireSegments(packet, 1448)).toBe(2);
    expect(wireBytes(packet, 1448)).toBe(2896 + 2 * 40);
  });

  test('a packet without ports is one packet of its own length', () => {
    const packet = parsed(buildIcmp({ payloadLength: 3000 }));
    expect(wireSegments(packet, 1448)).toBe(1);
    expect(wireBytes(packet, 1448)).toBe(3028);
  });

  test('bytes behind a UDP datagram count as part of its packet', () => {
    const bytes = buildUdp({ payloadLength: 20 });
    viewOf(bytes).setUint16(24, 18);
    expect(wireBytes(parsed(bytes), 0)).toBe(48);
    expect(wireBytes(parsed(bytes), 100)).toBe(48);
  });
});
