/** What gateways tell each other: written and read back, and everything else refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IntervalMessage, Refusal } from '../../../lib/runtime/share/message.ts';
import {
  MAX_MESSAGE_BYTES,
  MAX_PARTS,
  readMessage,
  signal,
  subjectOf,
  writeInterval,
} from '../../../lib/runtime/share/message.ts';

const SUBJECT = subjectOf('example', 'figures', 'gw1');
const INTERVAL = {
  gateway: 'gw1',
  incarnation: '0123456789abcdef',
  sequence: 7,
  intervalSeconds: 10,
  routes: [
    { name: 'north', pathId: 1, state: 'up' },
    { name: 'south', pathId: 2, state: 'drained' },
  ],
  destinations: [{ key: '0.0.0.0/0', usable: [0], figures: [1500, 0, 0, 3000, 1500, 60] }],
} as const;

const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const whole = { version: 1, part: 0, parts: 1, ...INTERVAL };

/** Reads all parts back. */
function readAll(interval: Omit<IntervalMessage, 'part' | 'parts'>): IntervalMessage[] {
  return writeInterval('example', interval).messages.map(({ subject, data }) => {
    const read = readMessage(subject, data);
    if (read.kind !== 'figures') throw new Error(JSON.stringify(read));
    return read.message;
  });
}

describe('an interval', () => {
  it('is read as it was written', () => {
    expect(readAll(INTERVAL)).toEqual([{ ...INTERVAL, part: 0, parts: 1 }]);
  });

  it('without destinations is one message: the gateway is there', () => {
    expect(readAll({ ...INTERVAL, destinations: [] })).toMatchObject([{ parts: 1, destinations: [] }]);
  });

  it('of many destinations takes several messages, none of them too large, and nothing is lost', () => {
    const figures = fc.array(fc.nat({ max: 2 ** 48 }), { minLength: 45, maxLength: 45 });
    const routes = Array.from({ length: 15 }, (_, i) => ({
      name: `route-${i}`,
      pathId: i + 1,
      state: 'up' as const,
    }));
    fc.assert(
      fc.property(figures, fc.integer({ min: 1, max: 600 }), (some, count) => {
        const destinations = Array.from({ length: count }, (_, i) => ({
          key: `2001:db8:${i.toString(16)}::/48+12#0123456789abcdef`,
          usable: [0, 3, 14],
          figures: some,
        }));
        const written = writeInterval('example', { ...INTERVAL, routes, destinations });
        expect(written.leftOut).toBe(0);
        expect(Math.max(...written.messages.map(({ data }) => data.length))).toBeLessThanOrEqual(
          MAX_MESSAGE_BYTES,
        );
        const parts = readAll({ ...INTERVAL, routes, destinations });
        expect(parts.map(({ part }) => part)).toEqual(parts.map((_, i) => i));
        expect(parts.flatMap((part) => part.destinations)).toEqual(destinations);
      }),
      { numRuns: 20 },
    );
  });

  it('that would take too many messages leaves destinations out, and says how many', () => {
    const destinations = Array.from({ length: 100_000 }, (_, i) => ({
      key: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`,
      usable: [],
      figures: [2 ** 48, 0, 0, 2 ** 48, 0, 0],
    }));
    const { messages, leftOut } = writeInterval('example', { ...INTERVAL, destinations });
    expect(messages).toHaveLength(MAX_PARTS);
    expect(leftOut).toBeGreaterThan(0);
  });
});

describe('a hello and a bye', () => {
  it('are read as they were written', () => {
    for (const kind of ['hello', 'bye'] as const) {
      const { subject, data } = signal('example', kind, INTERVAL);
      expect(subject).toBe(`preflex.v1.example.${kind}.gw1`);
      expect(readMessage(subject, data)).toEqual({
        kind,
        message: { gateway: 'gw1', incarnation: '0123456789abcdef' },
      });
    }
  });
});

describe('what is refused', () => {
  const cases: readonly (readonly [what: string, subject: string, data: Uint8Array, reason: Refusal])[] = [
    ['more bytes than a message has', SUBJECT, new Uint8Array(MAX_MESSAGE_BYTES + 1), 'oversized'],
    ['what is not JSON', SUBJECT, new TextEncoder().encode('{"version":1,'), 'notJson'],
    ['what is not UTF-8', SUBJECT, Uint8Array.of(0x22, 0xff, 0x22), 'notJson'],
    ['nothing', SUBJECT, new Uint8Array(0), 'notJson'],
    ['another version', SUBJECT, bytesOf({ ...whole, version: 2 }), 'version'],
    ['a list', SUBJECT, bytesOf([whole]), 'fields'],
    [
      'another name than that of the subject',
      subjectOf('example', 'figures', 'gw2'),
      bytesOf(whole),
      'sender',
    ],
    ['a kind that is not known', 'preflex.v1.example.orders.gw1', bytesOf(whole), 'sender'],
    ['a subject with more in it', `${SUBJECT}.more`, bytesOf(whole), 'sender'],
    ['an unknown field', SUBJECT, bytesOf({ ...whole, more: 1 }), 'fields'],
    ['an incarnation of another form', SUBJECT, bytesOf({ ...whole, incarnation: 'abc' }), 'fields'],
    ['sequence 0', SUBJECT, bytesOf({ ...whole, sequence: 0 }), 'fields'],
    ['a part behind the last', SUBJECT, bytesOf({ ...whole, part: 1 }), 'fields'],
    ['too many parts', SUBJECT, bytesOf({ ...whole, parts: MAX_PARTS + 1 }), 'fields'],
    ['an interval of no length', SUBJECT, bytesOf({ ...whole, intervalSeconds: 0 }), 'fields'],
    ['an interval that is text', SUBJECT, bytesOf({ ...whole, intervalSeconds: '10' }), 'fields'],
    ['no routes', SUBJECT, bytesOf({ ...whole, routes: [] }), 'fields'],
    ['a route twice', SUBJECT, bytesOf({ ...whole, routes: [whole.routes[0], whole.routes[0]] }), 'fields'],
    [
      'a state that is not known',
      SUBJECT,
      bytesOf({ ...whole, routes: [{ name: 'a', pathId: 1, state: 'lost' }] }),
      'fields',
    ],
    [
      'a path ID out of range',
      SUBJECT,
      bytesOf({ ...whole, routes: [{ name: 'a', pathId: 16, state: 'up' }] }),
      'fields',
    ],
    ['a destination that is none', SUBJECT, bytesOf({ ...whole, destinations: [7] }), 'fields'],
    [
      'a destination twice',
      SUBJECT,
      bytesOf({ ...whole, destinations: [whole.destinations[0], whole.destinations[0]] }),
      'fields',
    ],
    ...(
      [
        ['a key that is no prefix', { key: 'everything' }],
        ['a negative figure', { figures: [-1, 0, 0, 0, 0, 0] }],
        ['a fraction', { figures: [0.5, 0, 0, 0, 0, 0] }],
        ['a figure that is no number', { figures: [null, 0, 0, 0, 0, 0] }],
        ['a figure beyond all bounds', { figures: [1e300, 0, 0, 0, 0, 0] }],
        ['figures of too few routes', { figures: [1, 0, 0] }],
        ['a place that no route has', { usable: [2] }],
        ['a place twice', { usable: [0, 0] }],
      ] as const
    ).map(
      ([what, changes]) =>
        [
          what,
          SUBJECT,
          bytesOf({ ...whole, destinations: [{ ...whole.destinations[0], ...changes }] }),
          'fields',
        ] as const,
    ),
  ];
  it.each(cases)('%s', (_, subject, data, reason) => {
    expect(readMessage(subject, data)).toEqual({ kind: 'refused', reason });
  });

  it('whatever the bytes, reading does not throw', () => {
    const edited = fc
      .tuple(fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 5 }), fc.nat(400))
      .map(([edits, cut]) => {
        const data = bytesOf(whole).slice(0, cut > 300 ? undefined : cut);
        for (const [at, value] of edits) if (at < data.length) data[at] = value;
        return data;
      });
    const value = fc.oneof(
      edited,
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map((text) => new TextEncoder().encode(text)),
    );
    fc.assert(
      fc.property(value, fc.oneof(fc.constant(SUBJECT), fc.string()), (data, subject) => {
        expect(['figures', 'hello', 'bye', 'refused']).toContain(readMessage(subject, data).kind);
      }),
    );
  });
});
