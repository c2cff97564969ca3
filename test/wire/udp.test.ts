import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import * as udp from '../../lib/wire/udp.ts';
import { PARSE_BAD_HEADER, PARSE_OK, PARSE_TRUNCATED } from '../../lib/wire/parse-code.ts';
import { buildUdp, viewOf } from '../support/packets.ts';

const word = fc.integer({ min: 0, max: 0xffff });

describe('the UDP header', () => {
  test('a written header reads back field by field, at any offset', () => {
    fc.assert(
      fc.property(word, word, word, fc.integer({ min: 0, max: 9 }), (srcPort, dstPort, length, at) => {
        const view = new DataView(new ArrayBuffer(at + 8));
        expect(udp.writeUdpHeader(view, at, { srcPort, dstPort, length })).toBe(8);
        expect(udp.srcPort(view, at)).toBe(srcPort);
        expect(udp.dstPort(view, at)).toBe(dstPort);
        expect(udp.datagramLength(view, at)).toBe(length);
        expect(udp.checksum(view, at)).toBe(0);
      }),
    );
  });

  test('a written header equals the one that the test builder writes', () => {
    const built = buildUdp({ srcPort: 5000, dstPort: 6000 });
    const written = new Uint8Array(8);
    udp.writeUdpHeader(viewOf(written), 0, { srcPort: 5000, dstPort: 6000, length: 8 });
    udp.setChecksum(viewOf(written), 0, udp.checksum(viewOf(built), 20));
    expect(written).toEqual(built.slice(20));
  });

  test('formatUdp gives one line', () => {
    expect(udp.formatUdp(viewOf(buildUdp({ payloadLength: 22 })), 20)).toBe('UDP 40000 > 53 length 30');
  });
});

describe('checkUdp', () => {
  const view = viewOf(buildUdp({ payloadLength: 4 }));

  test('takes a datagram that fits, also with bytes behind it', () => {
    expect(udp.checkUdp(view, 20, 12)).toBe(PARSE_OK);
    expect(udp.checkUdp(view, 20, 13)).toBe(PARSE_OK);
  });

  test('calls a datagram longer than what is there truncated', () => {
    expect(udp.checkUdp(view, 20, 11)).toBe(PARSE_TRUNCATED);
    expect(udp.checkUdp(view, 20, 7)).toBe(PARSE_TRUNCATED);
  });

  test('calls a length below 8 a bad header', () => {
    const short = viewOf(buildUdp());
    short.setUint16(24, 7);
    expect(udp.checkUdp(short, 20, 8)).toBe(PARSE_BAD_HEADER);
  });
});
