import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import * as ipv6 from '../../lib/wire/ipv6.ts';
import {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  PARSE_BAD_HEADER,
  PARSE_LATER_FRAGMENT,
  PARSE_NOT_IP,
  PARSE_NO_PORTS,
  PARSE_OK,
  PARSE_TRUNCATED,
} from '../../lib/wire/parse-code.ts';
import { buildRaw, buildTcp, buildUdp, viewOf } from '../support/packets.ts';

const IPV6 = { src: 'fd00::1' };
const addr = fc.uint8Array({ minLength: 16, maxLength: 16 });
const headerFields = fc.record({
  dscp: fc.integer({ min: 0, max: 63 }),
  ecn: fc.integer({ min: 0, max: 3 }),
  flowLabel: fc.integer({ min: 0, max: 0xfffff }),
  payloadLength: fc.integer({ min: 0, max: 0xffff }),
  nextHeader: fc.integer({ min: 0, max: 255 }),
  hopLimit: fc.integer({ min: 0, max: 255 }),
  src: addr,
  dst: addr,
});

function walk(bytes: Uint8Array): { code: number; fragment: number; protocol: number; headerLength: number } {
  const walked = ipv6.walkExtensionHeaders(viewOf(bytes), 0, bytes.length);
  return {
    code: ipv6.walkedCode(walked),
    fragment: ipv6.walkedFragment(walked),
    protocol: ipv6.walkedProtocol(walked),
    headerLength: ipv6.walkedHeaderLength(walked),
  };
}

describe('the IPv6 header', () => {
  test('a written header reads back field by field', () => {
    fc.assert(
      fc.property(headerFields, fc.integer({ min: 0, max: 9 }), (fields, at) => {
        const view = new DataView(new ArrayBuffer(at + 40));
        expect(ipv6.writeIpv6Header(view, at, fields)).toBe(40);
        expect(view.getUint8(at) >>> 4).toBe(6);
        expect({
          dscp: ipv6.dscp(view, at),
          ecn: ipv6.ecn(view, at),
          flowLabel: ipv6.flowLabel(view, at),
          payloadLength: ipv6.payloadLength(view, at),
          nextHeader: ipv6.nextHeader(view, at),
          hopLimit: ipv6.hopLimit(view, at),
        }).toEqual({ ...fields, src: undefined, dst: undefined });
        for (let i = 0; i < 4; i++) {
          expect(ipv6.srcWord(view, at, i)).toBe(viewOf(fields.src).getInt32(4 * i));
          expect(ipv6.dstWord(view, at, i)).toBe(viewOf(fields.dst).getInt32(4 * i));
        }
      }),
    );
  });

  test('a written header equals the one that the test builder writes', () => {
    const built = buildUdp({ ...IPV6, dscp: 21, ecn: 1, flowLabel: 0xabcde, ttl: 9 });
    const written = new Uint8Array(40);
    ipv6.writeIpv6Header(viewOf(written), 0, {
      dscp: 21,
      ecn: 1,
      flowLabel: 0xabcde,
      payloadLength: 8,
      nextHeader: 17,
      hopLimit: 9,
      src: built.slice(8, 24),
      dst: built.slice(24, 40),
    });
    expect(written).toEqual(built.slice(0, 40));
  });

  test('setDscp changes the DSCP and nothing else', () => {
    fc.assert(
      fc.property(headerFields, fc.integer({ min: 0, max: 63 }), (fields, dscp) => {
        const bytes = new Uint8Array(40);
        const expected = new Uint8Array(40);
        ipv6.writeIpv6Header(viewOf(bytes), 0, fields);
        ipv6.writeIpv6Header(viewOf(expected), 0, { ...fields, dscp });
        ipv6.setDscp(viewOf(bytes), 0, dscp);
        expect(bytes).toEqual(expected);
      }),
    );
  });

  test.each([64, 255, -1])('setDscp leaves the packet as it is for %i', (value) => {
    const bytes = buildTcp({ ...IPV6, dscp: 10 });
    const changed = bytes.slice();
    ipv6.setDscp(viewOf(changed), 0, value);
    expect(changed).toEqual(bytes);
  });

  test('formatIpv6 gives one line', () => {
    expect(ipv6.formatIpv6(viewOf(buildUdp({ ...IPV6, dscp: 7, flowLabel: 5 })), 0)).toBe(
      'IPv6 fd00:0:0:0:0:0:0:1 > fd00:1:0:0:0:0:0:1 next 17 payload 8 hops 64 dscp 7 ecn 0 label 5',
    );
  });
});

describe('checkIpv6', () => {
  const bytes = buildTcp(IPV6);

  test('takes a sound packet, also with padding behind it', () => {
    expect(ipv6.checkIpv6(viewOf(bytes), 0, bytes.length)).toBe(PARSE_OK);
    const padded = new Uint8Array(bytes.length + 6);
    padded.set(bytes);
    expect(ipv6.checkIpv6(viewOf(padded), 0, padded.length)).toBe(PARSE_OK);
  });

  test('calls a packet short of its payload length, or of its header, truncated', () => {
    expect(ipv6.checkIpv6(viewOf(bytes), 0, bytes.length - 1)).toBe(PARSE_TRUNCATED);
    expect(ipv6.checkIpv6(viewOf(bytes), 0, 39)).toBe(PARSE_TRUNCATED);
  });

  test('calls IPv4 and nothing at all not IPv6', () => {
    expect(ipv6.checkIpv6(viewOf(buildTcp()), 0, 40)).toBe(PARSE_NOT_IP);
    expect(ipv6.checkIpv6(viewOf(bytes), 0, 0)).toBe(PARSE_NOT_IP);
  });
});

describe('walkExtensionHeaders', () => {
  test('ends at once where there is none', () => {
    expect(walk(buildTcp(IPV6))).toEqual({
      code: PARSE_OK,
      fragment: FRAGMENT_NONE,
      protocol: 6,
      headerLength: 40,
    });
  });

  test('finds the transport behind any chain of up to eight headers', () => {
    const extension = fc.record({
      type: fc.constantFrom(0, 43, 51, 60),
      body: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 60 }),
    });
    fc.assert(
      fc.property(fc.array(extension, { maxLength: 8 }), (extensionHeaders) => {
        const bytes = buildUdp({ ...IPV6, extensionHeaders, srcPort: 4660 });
        const { code, fragment, protocol, headerLength } = walk(bytes);
        expect([code, fragment, protocol]).toEqual([PARSE_OK, FRAGMENT_NONE, 17]);
        expect(headerLength).toBe(bytes.length - 8);
        expect(viewOf(bytes).getUint16(headerLength)).toBe(4660);
      }),
    );
  });

  test('gives up at the ninth header', () => {
    const extensionHeaders = Array.from({ length: 9 }, () => ({ type: 60 }));
    const bytes = buildTcp({ ...IPV6, extensionHeaders });
    expect(walk(bytes)).toEqual({
      code: PARSE_NO_PORTS,
      fragment: FRAGMENT_NONE,
      protocol: 60,
      headerLength: 40 + 8 * 8,
    });
  });

  test('ends behind a fragment header with an offset', () => {
    const fragment = { offset: 100, more: true };
    expect(walk(buildRaw({ ...IPV6, protocol: 6, payloadLength: 80, fragment }))).toEqual({
      code: PARSE_LATER_FRAGMENT,
      fragment: FRAGMENT_LATER,
      protocol: 6,
      headerLength: 48,
    });
  });

  test('walks on behind a first fragment', () => {
    const bytes = buildTcp({ ...IPV6, extensionHeaders: [{ type: 0 }], fragment: { offset: 0, more: true } });
    expect(walk(bytes)).toEqual({ code: PARSE_OK, fragment: FRAGMENT_FIRST, protocol: 6, headerLength: 56 });
  });

  test('takes an atomic fragment as whole', () => {
    const bytes = buildTcp({ ...IPV6, fragment: { offset: 0, more: false } });
    expect(walk(bytes)).toEqual({ code: PARSE_OK, fragment: FRAGMENT_NONE, protocol: 6, headerLength: 48 });
  });

  test('calls a chain that runs beyond a whole packet a bad header', () => {
    const bytes = buildTcp({ ...IPV6, extensionHeaders: [{ type: 60 }] });
    bytes[41] = 200;
    expect(walk(bytes).code).toBe(PARSE_BAD_HEADER);
  });

  test('calls a chain that runs beyond a first fragment one without ports', () => {
    const bytes = buildRaw({
      ...IPV6,
      protocol: 60,
      payload: Uint8Array.of(6, 9, 0, 0),
      fragment: { offset: 0, more: true },
    });
    expect(walk(bytes)).toEqual({
      code: PARSE_NO_PORTS,
      fragment: FRAGMENT_FIRST,
      protocol: 60,
      headerLength: 48,
    });
  });
});
