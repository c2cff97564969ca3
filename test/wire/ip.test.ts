import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { fragmentIdentification, isMulticastOrBroadcastDst, readDscp, writeDscp } from '../../lib/wire/ip.ts';
import { isHeaderChecksumValid } from '../../lib/wire/ipv4.ts';
import { DSCP_UNCHANGED } from '../../lib/wire/marking/scheme.ts';
import { PacketView, parsePacket } from '../../lib/wire/packet-view.ts';
import type { ExtensionHeader, FragmentFields } from '../support/packets.ts';
import { buildRaw, buildTcp, buildUdp, viewOf } from '../support/packets.ts';

const sixBits = fc.integer({ min: 0, max: 63 });
const twoBits = fc.integer({ min: 0, max: 3 });

describe.each([
  ['IPv4', '10.0.0.1'],
  ['IPv6', 'fd00::1'],
])('the DSCP in %s', (_, src) => {
  test('a rewritten packet equals one built with that DSCP, ECN bits and checksum included', () => {
    fc.assert(
      fc.property(sixBits, sixBits, twoBits, fc.nat(40), (from, to, ecn, payloadLength) => {
        const bytes = buildTcp({ src, dscp: from, ecn, payloadLength, flowLabel: 0xf0f0f });
        expect(readDscp(viewOf(bytes), 0)).toBe(from);
        writeDscp(viewOf(bytes), 0, to);
        expect(readDscp(viewOf(bytes), 0)).toBe(to);
        expect(bytes).toEqual(buildTcp({ src, dscp: to, ecn, payloadLength, flowLabel: 0xf0f0f }));
      }),
    );
  });

  test('stays as it is for DSCP_UNCHANGED', () => {
    const bytes = buildTcp({ src, dscp: 46 });
    writeDscp(viewOf(bytes), 0, DSCP_UNCHANGED);
    expect(bytes).toEqual(buildTcp({ src, dscp: 46 }));
  });

  test('is written where the packet starts', () => {
    const bytes = new Uint8Array(100);
    bytes.set(buildUdp({ src }), 33);
    writeDscp(viewOf(bytes), 33, 15);
    const expected = new Uint8Array(100);
    expected.set(buildUdp({ src, dscp: 15 }), 33);
    expect(bytes).toEqual(expected);
  });
});

test('bytes that are not IP have DSCP 0 and keep it', () => {
  const bytes = new Uint8Array(60).fill(0x7c);
  expect(readDscp(viewOf(bytes), 0)).toBe(0);
  writeDscp(viewOf(bytes), 0, 3);
  expect(bytes).toEqual(new Uint8Array(60).fill(0x7c));
});

test('a header checksum stored as 65535, another name of 0, stays valid', () => {
  const view = viewOf(buildUdp());
  // Make the sum of the other words zero by the identification, then store the other name of 0.
  view.setUint16(4, view.getUint16(10));
  view.setUint16(10, 0xffff);
  expect(isHeaderChecksumValid(view, 0)).toBe(true);
  writeDscp(view, 0, 7);
  expect(isHeaderChecksumValid(view, 0)).toBe(true);
});

describe('isMulticastOrBroadcastDst', () => {
  test.each<[string, boolean]>([
    ['224.0.0.1', true],
    ['239.255.255.255', true],
    ['255.255.255.255', true],
    ['223.255.255.255', false],
    ['240.0.0.1', false],
    ['255.255.255.254', false],
    ['10.0.0.255', false],
    ['0.0.0.0', false],
    ['ff02::1', true],
    ['ffff::', true],
    ['fe80::1', false],
    ['2001:db8::ff', false],
  ])('%s: %s', (dst, expected) => {
    const version = dst.includes(':') ? 6 : 4;
    expect(isMulticastOrBroadcastDst(viewOf(buildUdp({ dst })), 0, version)).toBe(expected);
  });

  test('is false for what is neither IPv4 nor IPv6', () => {
    expect(isMulticastOrBroadcastDst(viewOf(buildUdp({ dst: '224.0.0.1' })), 0, 0)).toBe(false);
  });
});

describe('fragmentIdentification', () => {
  function identificationOf(
    src: string,
    fragment?: FragmentFields,
    extensionHeaders: ExtensionHeader[] = [],
  ): number {
    const options = fragment === undefined ? {} : { fragment };
    const bytes = buildRaw({ src, protocol: 17, payloadLength: 40, extensionHeaders, ...options });
    const packet = new PacketView();
    parsePacket(viewOf(bytes), 0, bytes.length, packet);
    return fragmentIdentification(viewOf(bytes), 0, packet.headerLength);
  }

  test('is the IPv4 identification of first and later fragments', () => {
    expect(identificationOf('10.0.0.1', { offset: 0, more: true, identification: 4711 })).toBe(4711);
    expect(identificationOf('10.0.0.1', { offset: 5, more: false, identification: 65_535 })).toBe(65_535);
  });

  test('is the identification of the IPv6 fragment header, wherever that stands', () => {
    const extensionHeaders = [{ type: 0 }, { type: 51, body: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] }, { type: 60 }];
    const fragment = { offset: 9, more: true, identification: 0x12345678 };
    expect(identificationOf('fd00::1', fragment)).toBe(0x12345678);
    expect(identificationOf('fd00::1', fragment, extensionHeaders)).toBe(0x12345678);
  });

  test('is -1 for a whole packet', () => {
    expect(identificationOf('10.0.0.1')).toBe(-1);
    expect(identificationOf('fd00::1')).toBe(-1);
    expect(identificationOf('fd00::1', undefined, [{ type: 0 }])).toBe(-1);
  });
});
