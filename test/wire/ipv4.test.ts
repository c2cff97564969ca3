import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import oracle from 'ip-packet';
import * as ipv4 from '../../lib/wire/ipv4.ts';
import { PARSE_BAD_HEADER, PARSE_NOT_IP, PARSE_OK, PARSE_TRUNCATED } from '../../lib/wire/parse-code.ts';
import { formatAddress } from '../../lib/wire/addr.ts';
import { buildTcp, buildUdp, plainChecksum, viewOf } from '../support/packets.ts';

const word = fc.integer({ min: 0, max: 0xffff });
const addr = fc.uint8Array({ minLength: 4, maxLength: 4 });
const headerFields = fc.record({
  dscp: fc.integer({ min: 0, max: 63 }),
  ecn: fc.integer({ min: 0, max: 3 }),
  identification: word,
  isDontFragment: fc.boolean(),
  hasMoreFragments: fc.boolean(),
  fragmentOffset: fc.integer({ min: 0, max: 0x1fff }),
  ttl: fc.integer({ min: 0, max: 255 }),
  protocol: fc.integer({ min: 0, max: 255 }),
  src: addr,
  dst: addr,
});
const payload = fc.uint8Array({ maxLength: 64 });

describe('the IPv4 header, with ip-packet as the oracle', () => {
  test('a written header reads there field by field', () => {
    fc.assert(
      fc.property(headerFields, payload, (fields, data) => {
        const buffer = Buffer.alloc(20 + data.length);
        buffer.set(data, 20);
        const written = ipv4.writeIpv4Header(viewOf(buffer), 0, { ...fields, totalLength: buffer.length });
        expect(written).toBe(20);
        const read = oracle.decode({ buffer, start: 0, end: buffer.length });
        expect(read).toMatchObject({
          version: 4,
          ihl: 5,
          dscp: fields.dscp,
          ecn: fields.ecn,
          length: buffer.length,
          identification: fields.identification,
          flags: (fields.isDontFragment ? 2 : 0) | (fields.hasMoreFragments ? 1 : 0),
          fragmentOffset: fields.fragmentOffset,
          ttl: fields.ttl,
          protocol: fields.protocol,
          sourceIp: fields.src.join('.'),
          destinationIp: fields.dst.join('.'),
        });
        expect(read.checksum).toBe(oracle.checksum(Buffer.from(buffer)));
      }),
    );
  });

  test('a header written there reads here field by field', () => {
    fc.assert(
      fc.property(headerFields, payload, (fields, data) => {
        const buffer = Buffer.alloc(20 + data.length);
        oracle.encode(
          { buffer, start: 0, end: buffer.length },
          {
            version: 4,
            dscp: fields.dscp,
            ecn: fields.ecn,
            identification: fields.identification,
            flags: (fields.isDontFragment ? 2 : 0) | (fields.hasMoreFragments ? 1 : 0),
            fragmentOffset: fields.fragmentOffset,
            ttl: fields.ttl,
            protocol: fields.protocol,
            sourceIp: fields.src.join('.'),
            destinationIp: fields.dst.join('.'),
            data: Buffer.from(data),
          },
        );
        oracle.checksum(buffer);
        const view = viewOf(buffer);
        expect(ipv4.checkIpv4(view, 0, buffer.length)).toBe(PARSE_OK);
        expect(ipv4.isHeaderChecksumValid(view, 0)).toBe(true);
        expect({
          dscp: ipv4.dscp(view, 0),
          ecn: ipv4.ecn(view, 0),
          identification: ipv4.identification(view, 0),
          isDontFragment: ipv4.isDontFragment(view, 0),
          hasMoreFragments: ipv4.hasMoreFragments(view, 0),
          fragmentOffset: ipv4.fragmentOffset(view, 0),
          ttl: ipv4.ttl(view, 0),
          protocol: ipv4.protocol(view, 0),
        }).toEqual({ ...fields, src: undefined, dst: undefined });
        expect(ipv4.headerLength(view, 0)).toBe(20);
        expect(ipv4.totalLength(view, 0)).toBe(buffer.length);
        expect(ipv4.srcAddr(view, 0)).toBe(viewOf(fields.src).getInt32(0));
        expect(ipv4.dstAddr(view, 0)).toBe(viewOf(fields.dst).getInt32(0));
        expect(formatAddress(view, 12, 4)).toBe(fields.src.join('.'));
      }),
    );
  });
});

describe('the IPv4 header checksum', () => {
  test('is the same after an incremental update as computed anew, for any DSCP change', () => {
    fc.assert(
      fc.property(headerFields, fc.integer({ min: 0, max: 63 }), word, (fields, dscp, totalLength) => {
        const bytes = new Uint8Array(20);
        const view = viewOf(bytes);
        ipv4.writeIpv4Header(view, 0, { ...fields, totalLength });
        ipv4.setDscp(view, 0, dscp);
        const updated = ipv4.headerChecksum(view, 0);
        ipv4.fillHeaderChecksum(view, 0);
        expect(updated).toBe(ipv4.headerChecksum(view, 0));
        expect(plainChecksum(bytes)).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });

  test('stays right over every pair of DSCP values', () => {
    const view = viewOf(buildTcp({ ecn: 2, ipOptions: [7, 4, 0, 0] }));
    for (let from = 0; from < 64; from++) {
      for (let to = 0; to < 64; to++) {
        ipv4.setDscp(view, 0, from);
        ipv4.setDscp(view, 0, to);
        expect(ipv4.isHeaderChecksumValid(view, 0)).toBe(true);
      }
    }
    expect(ipv4.dscp(view, 0)).toBe(63);
  });

  test('that was wrong stays wrong', () => {
    const view = viewOf(buildUdp());
    view.setUint16(10, view.getUint16(10) ^ 0x0100);
    ipv4.setDscp(view, 0, 11);
    expect(ipv4.isHeaderChecksumValid(view, 0)).toBe(false);
  });

  test('covers the options', () => {
    const view = viewOf(buildTcp({ ipOptions: [148, 4, 0, 0] }));
    expect(ipv4.isHeaderChecksumValid(view, 0)).toBe(true);
    view.setUint8(20, 149);
    expect(ipv4.isHeaderChecksumValid(view, 0)).toBe(false);
  });
});

describe('setDscp in IPv4', () => {
  test('changes the DSCP and the checksum and nothing else', () => {
    const bytes = buildTcp({ dscp: 10, ecn: 3, payloadLength: 20 });
    const changed = bytes.slice();
    ipv4.setDscp(viewOf(changed), 0, 55);
    const offsets = [...changed.keys()].filter((i) => changed[i] !== bytes[i]);
    expect(offsets).toEqual([1, 10, 11]);
    expect(ipv4.ecn(viewOf(changed), 0)).toBe(3);
  });

  test.each([64, 255, -1])('leaves the packet as it is for %i', (value) => {
    const bytes = buildTcp({ dscp: 10 });
    const changed = bytes.slice();
    ipv4.setDscp(viewOf(changed), 0, value);
    expect(changed).toEqual(bytes);
  });
});

describe('checkIpv4', () => {
  test.each<[string, (bytes: Uint8Array) => void, number]>([
    ['a sound packet', () => undefined, PARSE_OK],
    ['version 5', (bytes) => (bytes[0] = 0x55), PARSE_NOT_IP],
    ['IHL 4', (bytes) => (bytes[0] = 0x44), PARSE_BAD_HEADER],
    ['IHL 15 beyond the total length', (bytes) => (bytes[0] = 0x4f), PARSE_BAD_HEADER],
    ['a total length of 0', (bytes) => bytes.fill(0, 2, 4), PARSE_BAD_HEADER],
    ['a total length of 19', (bytes) => (bytes[3] = 19), PARSE_BAD_HEADER],
    ['a total length beyond the capture', (bytes) => (bytes[3] = 41), PARSE_TRUNCATED],
  ])('%s', (_, spoil, code) => {
    const bytes = buildTcp();
    spoil(bytes);
    expect(ipv4.checkIpv4(viewOf(bytes), 0, bytes.length)).toBe(code);
  });

  test('fewer than 20 bytes are truncated, none are not IP', () => {
    const view = viewOf(buildTcp());
    expect(ipv4.checkIpv4(view, 0, 19)).toBe(PARSE_TRUNCATED);
    expect(ipv4.checkIpv4(view, 0, 1)).toBe(PARSE_TRUNCATED);
    expect(ipv4.checkIpv4(view, 0, 0)).toBe(PARSE_NOT_IP);
  });
});

test('formatIpv4 gives one line with the fragment only where there is one', () => {
  expect(ipv4.formatIpv4(viewOf(buildUdp({ dscp: 3, identification: 9 })), 0)).toBe(
    'IPv4 10.0.0.1 > 10.0.1.1 protocol 17 length 28 ttl 64 dscp 3 ecn 0 id 9',
  );
  const fragment = { offset: 2, more: true, identification: 5 };
  expect(ipv4.formatIpv4(viewOf(buildUdp({ fragment })), 0)).toMatch(/ id 5 fragment at 16\+$/);
});

test('options are written behind the header and counted in its length', () => {
  const view = new DataView(new ArrayBuffer(28));
  const length = ipv4.writeIpv4Header(view, 4, {
    totalLength: 24,
    protocol: 6,
    src: Uint8Array.of(10, 0, 0, 1),
    dst: Uint8Array.of(10, 0, 0, 2),
    options: Uint8Array.of(148, 4, 0, 0),
  });
  expect(length).toBe(24);
  expect(ipv4.headerLength(view, 4)).toBe(24);
  expect(view.getUint32(24)).toBe(0x94040000);
  expect(ipv4.isHeaderChecksumValid(view, 4)).toBe(true);
});
