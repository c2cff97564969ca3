/** Which tables lead to which prefixes: single changes, and any sequence of them against a plain model of the kernel. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RouteMessage, forEachMessage, readRoute } from '../../lib/netns/index.ts';
import { formatPrefix, parsePrefix } from '../../lib/wire/addr.ts';
import { RouteBook } from '../../lib/runtime/route-book.ts';
import type { HopFields, RouteFields } from '../support/rtnetlink.ts';
import { routeMessage } from '../support/rtnetlink.ts';

const A = 0b001;
const B = 0b010;
const C = 0b100;
const APPEND = 0x800;
const REPLACE = 0x100;
const BLACKHOLE = 6;
const THROW = 9;
const NET = '198.51.100.0/24';
const WIDE = '198.51.0.0/16';
const HOP: HopFields = { device: 3, via: '10.1.0.2' };
const OTHER: HopFields = { device: 5, via: '10.2.0.2' };

/** The message that the kernel would send, as it is read. */
function read(fields: RouteFields): RouteMessage {
  const bytes = routeMessage(fields);
  const view = new DataView(bytes.buffer);
  const route = new RouteMessage();
  forEachMessage(view, bytes.length, (header) => expect(readRoute(view, header, route)).toBe(true));
  return route;
}

/** A book of three tables, 101 to 103 in the messages, with what its changes have told so far. */
class Reader {
  readonly book: RouteBook;
  /** Mask of each prefix that has routes. */
  readonly masks = new Map<string, number>();
  visits = 0;

  constructor(family: 4 | 6 = 4) {
    this.book = new RouteBook(family, 3);
  }

  add(fields: Omit<RouteFields, 'table'> & { readonly table?: number }, isOfDump = false): void {
    const table = fields.table ?? 101;
    this.book.add(table - 101, read({ hops: [HOP], ...fields, table }), isOfDump);
  }

  remove(fields: Omit<RouteFields, 'table'> & { readonly table?: number }): boolean {
    const table = fields.table ?? 101;
    return this.book.remove(table - 101, read({ hops: [HOP], ...fields, table, isGone: true }));
  }

  fix(prefix: string, mask: number): void {
    const { words, length } = parsePrefix(prefix);
    this.book.setFixed(words, length, mask);
  }

  /** Takes all changes and returns what is known then. */
  settle(limit = 7): Record<string, number> {
    const version = this.book.family;
    while (this.book.hasChanges) {
      this.visits += this.book.takeChanges(limit, (_, words, length, mask) => {
        const prefix = formatPrefix({ version, words, length });
        if (mask === 0) this.masks.delete(prefix);
        else this.masks.set(prefix, mask);
      });
    }
    return Object.fromEntries(this.masks);
  }
}

describe('the book of routes', () => {
  it('a prefix has the routes whose tables have it, and loses one when its table does', () => {
    const reader = new Reader();
    for (const table of [101, 103]) reader.add({ prefix: NET, table });
    reader.add({ prefix: WIDE, table: 102 });
    expect(reader.settle()).toEqual({ [NET]: A | C, [WIDE]: B });
    reader.remove({ prefix: NET, table: 101 });
    expect(reader.settle()).toEqual({ [NET]: C, [WIDE]: B });
    reader.remove({ prefix: NET, table: 103 });
    expect(reader.settle()).toEqual({ [WIDE]: B });
    expect(reader.book.size).toBe(1);
  });

  it('tells of a prefix once, however often it changed, and not of what changes nothing', () => {
    const reader = new Reader();
    for (let i = 0; i < 10; i++) {
      reader.add({ prefix: NET });
      reader.remove({ prefix: NET });
    }
    reader.add({ prefix: NET });
    reader.settle();
    expect(reader.visits).toBe(1);
    reader.add({ prefix: NET });
    reader.add({ prefix: NET, flags: REPLACE, hops: [OTHER] });
    expect(reader.book.hasChanges).toBe(false);
    expect(reader.book.entryCount(0)).toBe(1);
  });

  it('of several entries the lowest metric counts, and those with dead devices do not', () => {
    const reader = new Reader();
    reader.add({ prefix: NET, metric: 100 });
    reader.add({ prefix: NET, metric: 10, type: BLACKHOLE, hops: [] });
    expect(reader.settle()).toEqual({});
    reader.remove({ prefix: NET, metric: 10, type: BLACKHOLE, hops: [] });
    expect(reader.settle()).toEqual({ [NET]: A });
    reader.add({ prefix: NET, metric: 5, hops: [{ ...OTHER, flags: 16 }] });
    expect(reader.settle()).toEqual({ [NET]: A });
    reader.remove({ prefix: NET, metric: 100 });
    expect(reader.settle()).toEqual({});
    reader.add({ prefix: NET, metric: 5, hops: [OTHER], flags: REPLACE });
    expect(reader.settle()).toEqual({ [NET]: A });
  });

  it('a route over several devices leads while one of them does', () => {
    const reader = new Reader();
    reader.add({ prefix: NET, hops: [HOP, { ...OTHER, flags: 1 }] });
    expect(reader.settle()).toEqual({ [NET]: A });
    reader.add({
      prefix: NET,
      hops: [
        { ...HOP, flags: 16 },
        { ...OTHER, flags: 1 },
      ],
      flags: REPLACE,
    });
    expect(reader.settle()).toEqual({});
  });

  it('a prefix that a table refuses goes by the routes of the shorter one without that table', () => {
    const reader = new Reader();
    for (const table of [101, 102]) reader.add({ prefix: WIDE, table });
    reader.add({ prefix: NET, table: 101, type: THROW, hops: [] });
    expect(reader.settle()).toEqual({ [WIDE]: A | B, [NET]: B });
    reader.remove({ prefix: WIDE, table: 102 });
    expect(reader.settle()).toEqual({ [WIDE]: A });
    reader.add({ prefix: WIDE, table: 103 });
    expect(reader.settle()).toEqual({ [WIDE]: A | C, [NET]: C });
    reader.add({ prefix: NET, table: 102 });
    expect(reader.settle()).toEqual({ [WIDE]: A | C, [NET]: B });
  });

  it('fixed prefixes count like those of a table', () => {
    const reader = new Reader();
    reader.fix('0.0.0.0/0', C);
    reader.add({ prefix: '0.0.0.0/0', table: 101 });
    expect(reader.settle()).toEqual({ '0.0.0.0/0': A | C });
    reader.fix('0.0.0.0/0', 0);
    reader.fix(WIDE, B);
    expect(reader.settle()).toEqual({ '0.0.0.0/0': A, [WIDE]: B });
    reader.fix(WIDE, 0);
    reader.fix(NET, 0);
    expect(reader.settle()).toEqual({ '0.0.0.0/0': A });
  });

  it('IPv6: next hops that go one by one leave the route while one is left', () => {
    const prefix = '2001:db8::/32';
    const hops = [1, 2, 3].map((n): HopFields => ({ device: n, via: `fd0${n}::2` }));
    const reader = new Reader(6);
    reader.add({ prefix, hops: hops.slice(0, 2) });
    reader.add({ prefix, hops, flags: APPEND });
    reader.remove({ prefix, hops: [hops[1]] });
    reader.remove({ prefix, hops: [hops[0]] });
    expect(reader.settle()).toEqual({ [prefix]: A });
    reader.remove({ prefix, hops: [hops[2]] });
    expect(reader.settle()).toEqual({});
  });

  it('IPv4: of routes with one metric the one that is told goes; one that nobody knows calls for a dump', () => {
    const reader = new Reader();
    reader.add({ prefix: NET, hops: [HOP] });
    reader.add({ prefix: NET, hops: [OTHER], flags: APPEND });
    expect(reader.remove({ prefix: NET, hops: [OTHER] })).toBe(true);
    expect(reader.remove({ prefix: NET, hops: [OTHER] })).toBe(false);
    expect(reader.settle()).toEqual({ [NET]: A });
    expect(reader.remove({ prefix: NET, hops: [HOP] })).toBe(true);
    expect(reader.remove({ prefix: NET, hops: [HOP] })).toBe(true);
    expect(reader.settle()).toEqual({});
  });

  it('a dump takes away what it does not tell of, and nothing before its end', () => {
    const reader = new Reader();
    for (const table of [101, 102]) for (const prefix of [NET, WIDE]) reader.add({ prefix, table });
    reader.book.beginDump(0);
    reader.add({ prefix: WIDE }, true);
    expect(reader.settle()).toEqual({ [NET]: A | B, [WIDE]: A | B });
    let steps = 1;
    while (!reader.book.sweep(0, 1)) steps++;
    expect(steps).toBe(2);
    expect(reader.settle()).toEqual({ [NET]: B, [WIDE]: A | B });
    expect([reader.book.entryCount(0), reader.book.entryCount(1)]).toEqual([1, 2]);
  });

  it('thousands of prefixes come and go and leave nothing', () => {
    const reader = new Reader();
    const each = (body: (prefix: string) => void): void => {
      for (let i = 0; i < 3000; i++) body(`10.${i >> 8}.${i & 255}.0/24`);
    };
    for (let round = 0; round < 3; round++) {
      each((prefix) => reader.add({ prefix }));
      expect(Object.keys(reader.settle(500))).toHaveLength(3000);
      each((prefix) => reader.remove({ prefix }));
      expect(reader.settle(500)).toEqual({});
      expect([reader.book.size, reader.book.entryCount(0)]).toEqual([0, 0]);
    }
  });
});

// The plain model: entries in the kernel's order; the book is told what the kernel would tell.
interface Entry {
  readonly prefix: string;
  readonly metric: number;
  readonly type: number;
  hops: HopFields[];
}

const POOL: Record<4 | 6, readonly string[]> = {
  4: ['0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '10.1.2.3/32', '192.0.2.0/24'],
  6: ['::/0', '2001:db8::/32', '2001:db8:1::/48', '2001:db8:1:2::/64', '2001:db8:1:2::3/128'],
};

const keyOf = (hops: readonly HopFields[]): string =>
  hops
    .map(({ device }) => device)
    .sort()
    .join();

/** What the tables say of all prefixes. */
function masksOf(tables: readonly Entry[][], pool: readonly string[]): Record<string, number> {
  const stateOf = (table: readonly Entry[], prefix: string): 'leads' | 'refuses' | undefined => {
    const alive = table
      .filter((entry) => entry.prefix === prefix)
      .filter(({ type, hops }) => type !== 1 || hops.some(({ flags }) => flags === undefined))
      .sort((a, b) => a.metric - b.metric)[0];
    return alive && (alive.type === 1 ? 'leads' : 'refuses');
  };
  const masks: Record<string, number> = {};
  for (const [i, prefix] of pool.entries()) {
    let refused = 0;
    // The pool is one chain of prefixes, each within the one before; the last of IPv4 is only within the first.
    const chain = prefix.startsWith('192') ? [prefix, pool[0]] : pool.slice(0, i + 1).reverse();
    for (const cover of chain) {
      const states = tables.map((table) => stateOf(table, cover));
      const leads = states.reduce((mask, state, t) => (state === 'leads' ? mask | (1 << t) : mask), 0);
      refused |= states.reduce((mask, state, t) => (state === 'refuses' ? mask | (1 << t) : mask), 0);
      if (cover === prefix && leads === 0 && refused === 0) break;
      if (leads === 0) continue;
      const mask = cover === prefix ? leads : leads & ~refused;
      if (mask !== 0) masks[prefix] = mask;
      break;
    }
  }
  return masks;
}

const operation = fc.record({
  kind: fc.constantFrom('add', 'add', 'append', 'replace', 'remove', 'lose', 'dump'),
  table: fc.nat(2),
  prefix: fc.nat(5),
  metric: fc.constantFrom(0, 32, 0xffff_ffff),
  type: fc.constantFrom(1, 1, 1, BLACKHOLE),
  hops: fc.uniqueArray(fc.constantFrom(1, 2, 3), { minLength: 1, maxLength: 3 }),
  isDead: fc.boolean(),
});

describe.each([4, 6] as const)('whatever IPv%s routes come and go', (family) => {
  it('the book has what the tables have', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
        const tables: Entry[][] = [[], [], []];
        const reader = new Reader(family);
        for (const { kind, table, metric, type, isDead, ...rest } of operations) {
          const prefix = POOL[family][rest.prefix % POOL[family].length];
          const via = (n: number): string => (family === 4 ? `10.9.${n}.2` : `fd0${n}::2`);
          const hops = rest.hops.map((n): HopFields => ({
            device: n,
            via: via(n),
            ...(isDead && n === 1 ? { flags: 16 } : {}),
          }));
          apply(reader, tables[table], { prefix, metric, type, hops: type === 1 ? hops : [] }, kind, table);
        }
        // What was lost is made good by a dump of each table; without that none is needed.
        const isLossy = operations.some(({ kind }) => kind === 'lose');
        for (const table of isLossy ? tables.keys() : []) dump(reader, tables[table], table);
        expect(reader.settle()).toEqual(masksOf(tables, POOL[family]));
        for (const [table, entries] of tables.entries())
          expect(reader.book.entryCount(table)).toBe(entries.length);
      }),
      { numRuns: 400 },
    );
  });

  function apply(reader: Reader, entries: Entry[], entry: Entry, kind: string, table: number): void {
    const number = { table: 101 + table };
    const alike = entries.filter(({ prefix, metric }) => prefix === entry.prefix && metric === entry.metric);
    if (kind === 'dump') {
      dump(reader, entries, table);
    } else if (kind === 'remove' || kind === 'lose') {
      const gone = alike.find(({ hops, type }) => keyOf(hops) === keyOf(entry.hops) && type === entry.type);
      if (gone === undefined) return;
      entries.splice(entries.indexOf(gone), 1);
      if (kind === 'remove') reader.remove({ ...gone, ...number });
    } else if (kind === 'replace' || (family === 6 && alike.length > 0)) {
      if (alike.length > 0) entries.splice(entries.indexOf(alike[0]), 1, entry);
      else entries.push(entry);
      reader.add({ ...entry, ...number, flags: REPLACE });
    } else {
      if (alike.some(({ hops, type }) => keyOf(hops) === keyOf(entry.hops) && type === entry.type)) return;
      if (kind === 'append') entries.push(entry);
      else entries.unshift(entry);
      reader.add({ ...entry, ...number, flags: kind === 'append' ? APPEND : 0 });
    }
    if (kind !== 'lose' && Math.abs(entry.metric) === 32) reader.settle(1);
  }

  function dump(reader: Reader, entries: readonly Entry[], table: number): void {
    reader.book.beginDump(table);
    for (const entry of entries) reader.add({ ...entry, table: 101 + table }, true);
    while (!reader.book.sweep(table, 2)) continue;
  }
});
