import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import {
  fillTransportChecksum,
  incrementalChecksum,
  internetChecksum,
  isTransportChecksumValid,
  transportChecksum,
} from '../../lib/wire/checksum.ts';
import { addBytes, foldSum } from '../../lib/wire/ones-complement.ts';
import { writeDscp } from '../../lib/wire/ip.ts';
import {
  addressBytes,
  buildIcmp,
  buildRaw,
  buildTcp,
  buildUdp,
  plainChecksum,
  viewOf,
} from '../support/packets.ts';

const word = fc.integer({ min: 0, max: 0xffff });
const BOTH = [['IPv4', '10.9.8.7'] as const, ['IPv6', '2001:db8:1::7'] as const];

describe('internetChecksum', () => {
  test('equals the plain sum for any bytes, odd lengths too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(internetChecksum(viewOf(bytes), 0, bytes.length)).toBe(plainChecksum(bytes));
      }),
    );
  });

  test('gives the value of the example in RFC 1071 section 3', () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
    expect(internetChecksum(viewOf(bytes), 0, 8)).toBe(0xffff - 0xddf2);
  });

  test('does not overflow over 64 KiB of ones', () => {
    const bytes = new Uint8Array(65_535).fill(0xff);
    expect(internetChecksum(viewOf(bytes), 0, bytes.length)).toBe(plainChecksum(bytes));
  });

  test('starts where it is told', () => {
    const bytes = Uint8Array.of(9, 9, 9, 0x12, 0x34, 9);
    expect(internetChecksum(viewOf(bytes), 3, 2)).toBe(0xffff - 0x1234);
  });

  test('can be summed in even pieces', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2, maxLength: 100 }), word, (bytes, at) => {
        const view = viewOf(bytes);
        const middle = (at % bytes.length) & ~1;
        const pieces = addBytes(addBytes(0, view, 0, middle), view, middle, bytes.length - middle);
        expect(pieces).toBe(addBytes(0, view, 0, bytes.length));
      }),
    );
  });
});

test('foldSum brings any 32-bit sum into 16 bits with the carries added', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (sum) => {
      const folded = foldSum(sum);
      expect(folded).toBeLessThanOrEqual(0xffff);
      expect(folded % 0xffff).toBe(sum % 0xffff);
    }),
  );
});

test('incrementalChecksum equals the full one for a changed word among any others', () => {
  // A first word that is not zero, as in every IP header: over zeros alone 0 and 65535 are two names of one sum.
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 18, maxLength: 18 }), word, (rest, newWord) => {
      const bytes = Uint8Array.of(0x45, 0, ...rest);
      const view = viewOf(bytes);
      const before = internetChecksum(view, 0, 20);
      const updated = incrementalChecksum(before, view.getUint16(4), newWord);
      view.setUint16(4, newWord);
      expect(updated).toBe(internetChecksum(view, 0, 20));
    }),
  );
});

test('incrementalChecksum gives the value of the example in RFC 1624 section 4', () => {
  expect(incrementalChecksum(0xdd2f, 0x5555, 0x3285)).toBe(0x0000);
});

describe.each(BOTH)('transport checksums over %s', (version, src) => {
  const payload = fc.uint8Array({ maxLength: 80 });

  test('TCP, UDP and ICMP equal those of the test builder', () => {
    fc.assert(
      fc.property(payload, word, (bytes, port) => {
        for (const packet of [
          buildTcp({ src, payload: bytes, srcPort: port, timestamps: [port, 1] }),
          buildUdp({ src, payload: bytes, srcPort: port }),
          buildIcmp({ src, payload: bytes, code: port & 0xff }),
        ]) {
          expect(isTransportChecksumValid(viewOf(packet), 0)).toBe(true);
        }
      }),
    );
  });

  test('a filled checksum equals the one that was overwritten', () => {
    fc.assert(
      fc.property(payload, word, (bytes, junk) => {
        const packet = buildTcp({ src, payload: bytes });
        const spoilt = packet.slice();
        const field = packet.length - bytes.length - 4;
        viewOf(spoilt).setUint16(field, junk);
        expect(fillTransportChecksum(viewOf(spoilt), 0)).toBe(true);
        expect(spoilt).toEqual(packet);
      }),
    );
  });

  test('a flipped payload bit is seen', () => {
    for (const packet of [buildTcp({ src, payloadLength: 9 }), buildUdp({ src, payloadLength: 9 })]) {
      packet[packet.length - 1]! ^= 4;
      expect(isTransportChecksumValid(viewOf(packet), 0)).toBe(false);
    }
  });

  test('a DSCP rewrite leaves them right', () => {
    const packet = viewOf(buildTcp({ src, payloadLength: 5, dscp: 9 }));
    writeDscp(packet, 0, 63);
    expect(isTransportChecksumValid(packet, 0)).toBe(true);
  });

  test('a UDP sum of zero is written as 65535', () => {
    const packet = viewOf(buildUdp({ src, payload: Uint8Array.of(0, 0) }));
    const payloadAt = packet.byteLength - 2;
    // The payload word that makes the sum 0xffff is the checksum over a payload of zero.
    packet.setUint16(payloadAt, packet.getUint16(payloadAt - 2));
    expect(transportChecksum(packet, 0)).toBe(0xffff);
    expect(fillTransportChecksum(packet, 0)).toBe(true);
    expect(isTransportChecksumValid(packet, 0)).toBe(true);
  });

  test('a UDP checksum of zero is right in IPv4 only', () => {
    const packet = viewOf(buildUdp({ src, payloadLength: 3 }));
    packet.setUint16(packet.byteLength - 5, 0);
    expect(isTransportChecksumValid(packet, 0)).toBe(version === 'IPv4');
  });

  test('a fragment, ESP and a cut packet have none', () => {
    const fragment = buildTcp({ src, fragment: { offset: 0, more: true }, payloadLength: 8 });
    const esp = buildRaw({ src, protocol: 50, payloadLength: 40 });
    const cut = buildTcp({ src, payloadLength: 8 }).slice(0, -1);
    for (const packet of [fragment, esp, cut]) {
      const before = packet.slice();
      expect(transportChecksum(viewOf(packet), 0)).toBe(-1);
      expect(isTransportChecksumValid(viewOf(packet), 0)).toBe(false);
      expect(fillTransportChecksum(viewOf(packet), 0)).toBe(false);
      expect(packet).toEqual(before);
    }
  });
});

describe('the pseudo-header', () => {
  test('ICMP of the other IP version has none', () => {
    expect(transportChecksum(viewOf(buildRaw({ protocol: 58, payloadLength: 8 })), 0)).toBe(-1);
    expect(transportChecksum(viewOf(buildRaw({ src: 'fd00::1', protocol: 1, payloadLength: 8 })), 0)).toBe(
      -1,
    );
  });

  test('extension headers do not change it', () => {
    const extensionHeaders = [{ type: 0 }, { type: 60, body: [1, 2, 3] }];
    expect(
      isTransportChecksumValid(viewOf(buildUdp({ src: 'fd00::1', extensionHeaders, payloadLength: 7 })), 0),
    ).toBe(true);
  });

  test.each<[string, number, number[]]>([
    ['type 0 lists the last hop last', 0, [...addressBytes('fd00::aa'), ...addressBytes('fd00::ff')]],
    ['segment routing lists it first', 4, [...addressBytes('fd00::ff'), ...addressBytes('fd00::aa')]],
    ['the mobility header has one', 2, addressBytes('fd00::ff')],
  ])('a routing header with segments left: %s', (_, type, segments) => {
    // The builder's checksum takes the destination field; build for the last hop, then put the next hop there.
    const body = [type, 1, 0, 0, 0, 0, ...segments];
    const extensionHeaders = [{ type: 0 }, { type: 43, body }];
    const packet = buildTcp({ src: 'fd00::1', dst: 'fd00::ff', extensionHeaders, payloadLength: 3 });
    packet.set(addressBytes('fd00::bb'), 24);
    expect(isTransportChecksumValid(viewOf(packet), 0)).toBe(true);
  });

  test('a routing header without segments left takes the destination field', () => {
    const body = [4, 0, 0, 0, 0, 0, ...addressBytes('fd00::ee')];
    const packet = buildTcp({ src: 'fd00::1', extensionHeaders: [{ type: 43, body }] });
    expect(isTransportChecksumValid(viewOf(packet), 0)).toBe(true);
  });
});
