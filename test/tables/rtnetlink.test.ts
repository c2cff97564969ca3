/** Reading the kernel's messages about routes and links: captured ones (Linux 6.18), and bytes that are none. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  NLMSG_DONE,
  NLMSG_ERROR,
  RouteMessage,
  forEachMessage,
  linkDumpRequest,
  readErrorNumber,
  readLink,
  readRoute,
  routeDumpRequest,
} from '../../lib/netns/index.ts';
import type { LinkMessage, NetlinkHeader } from '../../lib/netns/index.ts';
import { formatAddress, formatPrefix } from '../../lib/wire/addr.ts';
import { attribute, linkMessage, message, routeMessage } from '../support/rtnetlink.ts';

/** `[what, bytes in hex, what they say]`; hops are device, next hop and whether it is dead. */
const CAPTURED: readonly [string, string, object][] = [
  [
    'IPv4, table 70001, metric 32',
    '4400000018000006a1a3036b311b000002180000fc0300010000000008000f007111010008000100c633640008' +
      '00060020000000080005000a0100020800040003000000',
    {
      family: 4,
      table: 70001,
      action: 'unicast',
      metric: 32,
      prefix: '198.51.100.0/24',
      hops: ['3 10.1.0.2'],
    },
  ],
  [
    'IPv4 replaced',
    '4400000018000001a1a3036b321b000002180000fc0300010000000008000f007111010008000100c633640008' +
      '00060020000000080005000a0200020800040005000000',
    {
      family: 4,
      table: 70001,
      action: 'unicast',
      metric: 32,
      prefix: '198.51.100.0/24',
      hops: ['5 10.2.0.2'],
      isReplacement: true,
    },
  ],
  [
    'IPv4 appended',
    '440000001800000ca1a3036b331b000002180000fc0300010000000008000f007111010008000100c633640008' +
      '00060020000000080005000a0100090800040003000000',
    {
      family: 4,
      table: 70001,
      action: 'unicast',
      metric: 32,
      prefix: '198.51.100.0/24',
      hops: ['3 10.1.0.9'],
      isAppended: true,
    },
  ],
  [
    'IPv4, two next hops',
    '5000000018000006a1a3036b341b000002180000650300010000000008000f006500000008000100cb00710024' +
      '0009001000000103000000080005000a0100021000000005000000080005000a020002',
    {
      family: 4,
      table: 101,
      action: 'unicast',
      metric: 0,
      prefix: '203.0.113.0/24',
      hops: ['3 10.1.0.2', '5 10.2.0.2'],
    },
  ],
  [
    'IPv4, one of two next hops without carrier',
    '50000000180022000c000000db1a000002180000650300010000000008000f006500000008000100cb00710024' +
      '0009001000100103000000080005000a0100021000000005000000080005000a020002',
    {
      family: 4,
      table: 101,
      action: 'unicast',
      metric: 0,
      prefix: '203.0.113.0/24',
      hops: ['3 10.1.0.2 dead', '5 10.2.0.2'],
    },
  ],
  [
    'IPv4 over an IPv6 next hop',
    '4c00000018000006a1a3036b351b000002180000650300010000000008000f006500000008000100c000020016' +
      '0012000a00fe80000000000000000000000000000100000800040003000000',
    { family: 4, table: 101, action: 'unicast', metric: 0, prefix: '192.0.2.0/24', hops: ['3 fe80::1'] },
  ],
  [
    'IPv4 default',
    '3400000018000006a2a3036b381b000002000000650300010000000008000f0065000000080005000a01000208' +
      '00040003000000',
    { family: 4, table: 101, action: 'unicast', metric: 0, prefix: '0.0.0.0/0', hops: ['3 10.1.0.2'] },
  ],
  [
    'IPv4 blackhole',
    '2c00000018000006a2a3036b361b000002100000650300060000000008000f0065000000080001000a420000',
    { family: 4, table: 101, action: 'refuse', metric: 0, prefix: '10.66.0.0/16', hops: [] },
  ],
  [
    'IPv4 for one traffic class',
    '3c00000018000006a2a3036b371b000002100010650300010000000008000f0065000000080001000a43000008' +
      '0005000a0100020800040003000000',
    {
      family: 4,
      table: 101,
      action: 'unicast',
      metric: 0,
      prefix: '10.67.0.0/16',
      hops: ['3 10.1.0.2'],
      isPlain: false,
    },
  ],
  [
    'IPv6, three next hops',
    'c40000001800000ca4a3036b4e1b00000a300000fc0300010000000008000f00711101001400010020010db800' +
      '01000000000000000000000800060020000000580009001c0000000500000014000500fd020000000000000000' +
      '0000000000031c0000000300000014000500fd0100000000000000000000000000021c00000005000000140005' +
      '00fd02000000000000000000000000000224000c00000000000000000000000000000000000000000000000000' +
      '00000000000000000500140000000000',
    {
      family: 6,
      table: 70001,
      action: 'unicast',
      metric: 32,
      prefix: '2001:db8:1::/48',
      hops: ['5 fd02::3', '3 fd01::2', '5 fd02::2'],
      isAppended: true,
    },
  ],
  [
    'IPv6, one next hop removed',
    '8800000019000000a4a3036b4f1b00000a300000fc0300010000000008000f00711101001400010020010db800' +
      '0100000000000000000000080006002000000014000500fd020000000000000000000000000002080004000500' +
      '000024000c00000000000000000000000000000000000000000000000000000000000000000005001400000000' +
      '00',
    {
      family: 6,
      table: 70001,
      action: 'unicast',
      metric: 32,
      prefix: '2001:db8:1::/48',
      hops: ['5 fd02::2'],
    },
  ],
  [
    'IPv6 unreachable',
    '7400000018000006a4a3036b541b00000a300000fc0300070000000008000f00711101001400010020010db800' +
      '02000000000000000000000800060000040000080004000100000024000c000000000000000000000000000000' +
      '0000000000000000000000000000000000000500140000000000',
    { family: 6, table: 70001, action: 'refuse', metric: 1024, prefix: '2001:db8:2::/48', hops: ['1'] },
  ],
];

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

function headersOf(bytes: Uint8Array): { headers: NetlinkHeader[]; isWhole: boolean } {
  const headers: NetlinkHeader[] = [];
  const isWhole = forEachMessage(viewOf(bytes), bytes.length, (header) => headers.push(header));
  return { headers, isWhole };
}

function addressOf(words: Int32Array, version: number): string {
  const view = new DataView(new ArrayBuffer(16));
  words.forEach((word, i) => view.setInt32(4 * i, word));
  return formatAddress(view, 0, version);
}

/** What a route message says, in words; undefined when it is none. */
function routeOf(bytes: Uint8Array): Record<string, unknown> | undefined {
  const route = new RouteMessage();
  const [header] = headersOf(bytes).headers;
  if (header === undefined || !readRoute(viewOf(bytes), header, route)) return undefined;
  const { family, table, action, metric, length, words, isPlain, isReplacement, isAppended } = route;
  const hops = route.hops
    .slice(0, route.hopCount)
    .map(({ device, via, viaFamily, isDead }) =>
      [device, ...(viaFamily === 0 ? [] : [addressOf(via, viaFamily)]), ...(isDead ? ['dead'] : [])].join(
        ' ',
      ),
    );
  const prefix = formatPrefix({ version: family, words, length });
  return { family, table, action, metric, prefix, hops, isPlain, isReplacement, isAppended };
}

function linkOf(bytes: Uint8Array): LinkMessage | undefined {
  const [header] = headersOf(bytes).headers;
  return header === undefined ? undefined : readLink(viewOf(bytes), header);
}

describe('messages about routes', () => {
  it.each(CAPTURED)('as captured: %s', (_, hex, says) => {
    const bytes = Uint8Array.from(Buffer.from(hex, 'hex'));
    const expected = { isPlain: true, isReplacement: false, isAppended: false, ...says };
    expect(routeOf(bytes)).toEqual(expected);
  });

  it('made by hand say the same as the kernel says', () => {
    const hops = [
      { device: 3, via: '10.1.0.2' },
      { device: 5, via: '10.2.0.2', flags: 1 },
    ];
    expect(routeOf(routeMessage({ prefix: '203.0.113.0/24', table: 101, hops }))).toMatchObject({
      ...CAPTURED[3][2],
      hops: ['3 10.1.0.2', '5 10.2.0.2 dead'],
    });
  });

  it('host bits that should not be there are cleared', () => {
    const bytes = routeMessage({ prefix: '10.1.255.0/24', table: 101 });
    bytes[17] = 20; // dst_len
    expect(routeOf(bytes)).toMatchObject({ prefix: '10.1.240.0/20' });
  });

  it.each([
    ['a prefix that is too long', (bytes: Uint8Array) => (bytes[17] = 33)],
    ['another address family', (bytes: Uint8Array) => (bytes[16] = 7)],
    ['an attribute that is longer than the message', (bytes: Uint8Array) => (bytes[28] = 200)],
    ['an attribute shorter than its own header', (bytes: Uint8Array) => (bytes[28] = 3)],
    ['an address of the wrong size', (bytes: Uint8Array) => (bytes[16] = 10)],
  ])('%s makes them none', (_, spoil) => {
    const bytes = routeMessage({ prefix: '10.1.0.0/16', table: 101 });
    expect(routeOf(bytes)).toBeDefined();
    spoil(bytes);
    expect(routeOf(bytes)).toBeUndefined();
  });

  it.each([
    ['table', 15],
    ['metric', 6],
    ['device', 4],
    ['family of the next hop', 18],
  ])('a %s of too few bytes makes them none', (_, type) => {
    const short = message(24, 0, [2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0, 5, 0, type, 0, 1]);
    expect(routeOf(short)).toBeUndefined();
  });

  it('next hops that are cut off or nested wrongly make them none', () => {
    const route = [2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0];
    const inner = [...attribute(5, [10, 0, 0, 1])];
    const good = [16, 0, 0, 0, 3, 0, 0, 0, ...inner];
    expect(routeOf(message(24, 0, [...route, ...attribute(9, good)]))).toMatchObject({
      hops: ['3 10.0.0.1'],
    });
    for (const [at, value] of [
      [0, 17],
      [0, 7],
      [8, 9],
    ]) {
      const bad = [...good];
      bad[at] = value;
      expect(routeOf(message(24, 0, [...route, ...attribute(9, bad)])), `byte ${at}`).toBeUndefined();
    }
  });
});

describe('messages about links', () => {
  const [UP, RUNNING, CARRIER] = [0x1, 0x40, 0x1_0000];

  it.each([
    [UP | RUNNING | CARRIER, true],
    [UP | RUNNING, false],
    [UP | CARRIER, false],
    [RUNNING | CARRIER, false],
  ])('flags 0x%s say whether packets can leave: %s', (flags, isUp) => {
    expect(linkOf(linkMessage(3, 'wan1', flags))).toEqual({ index: 3, name: 'wan1', isUp });
  });

  it('without a name they are none', () => {
    expect(linkOf(linkMessage(3, '', UP))).toBeUndefined();
  });
});

describe('datagrams', () => {
  it('hold several messages, one behind the other', () => {
    const parts = [
      linkMessage(2, 'a', 1),
      routeMessage({ prefix: '::/0', table: 1 }),
      message(3, 2, [0, 0, 0, 0]),
    ];
    const { headers, isWhole } = headersOf(Uint8Array.from(parts.flatMap((part) => [...part])));
    expect(isWhole).toBe(true);
    expect(headers.map(({ type, sequence, port }) => [type, sequence, port])).toEqual([
      [16, 7, 0],
      [24, 7, 0],
      [3, 7, 0],
    ]);
  });

  it('that end in the middle of a message say so, after the whole ones', () => {
    const [first, second] = [linkMessage(2, 'a', 1), linkMessage(3, 'b', 1)];
    const { headers, isWhole } = headersOf(Uint8Array.from([...first, ...second.slice(0, 20)]));
    expect([headers.length, isWhole]).toEqual([1, false]);
  });

  it('tell error numbers, of errors and of dumps', () => {
    const ENOENT = [0xfe, 0xff, 0xff, 0xff];
    for (const type of [NLMSG_ERROR, NLMSG_DONE]) {
      const bytes = message(type, 0, ENOENT);
      expect(readErrorNumber(viewOf(bytes), headersOf(bytes).headers[0])).toBe(2);
    }
    const empty = message(NLMSG_DONE, 0, []);
    expect(readErrorNumber(viewOf(empty), headersOf(empty).headers[0])).toBe(0);
  });

  it('whatever the bytes, reading them neither throws nor leaves them', () => {
    // Bytes at random rarely get past the first length, so right messages are spoilt as well.
    const right = CAPTURED.map(([, hex]) => Uint8Array.from(Buffer.from(hex, 'hex')));
    const spoilt = fc
      .tuple(
        fc.constantFrom(...right),
        fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 8 }),
        fc.nat(240),
      )
      .map(([bytes, changes, length]) => {
        const copy = bytes.slice(0, Math.max(16, length));
        for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
        // A length that fits, so that the rest is looked at.
        new DataView(copy.buffer).setUint32(0, copy.length, true);
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), spoilt), (bytes) => {
        const route = new RouteMessage();
        for (const header of headersOf(bytes).headers) {
          expect(header.at).toBeGreaterThanOrEqual(16);
          expect(header.end).toBeLessThanOrEqual(bytes.length);
          readLink(viewOf(bytes), header);
          readErrorNumber(viewOf(bytes), header);
          if (!readRoute(viewOf(bytes), header, route)) continue;
          expect(route.length).toBeLessThanOrEqual(route.family === 4 ? 32 : 128);
          expect(route.hopCount).toBeLessThanOrEqual(route.hops.length);
          expect(formatPrefix({ version: route.family, words: route.words, length: route.length })).toMatch(
            /\//,
          );
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('requests', () => {
  it('ask for one table, by its number in an attribute', () => {
    const bytes = routeDumpRequest(6, 70_001, 9);
    const [header] = headersOf(bytes).headers;
    expect([header.type, header.flags, header.sequence]).toEqual([26, 0x301, 9]);
    expect(routeOf(bytes)).toMatchObject({ family: 6, table: 70_001, prefix: '::/0' });
  });

  it('ask for all links', () => {
    const [header] = headersOf(linkDumpRequest(4)).headers;
    expect([header.type, header.flags, header.sequence, header.end - header.at]).toEqual([18, 0x301, 4, 16]);
  });
});
