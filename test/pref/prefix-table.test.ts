import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PrefixTable } from '../../lib/pref/prefix-table.ts';
import { parsePrefix } from '../../lib/wire/addr.ts';
import { addressBytes } from '../support/packets.ts';

function insert(table: PrefixTable, text: string, value: number): number {
  const { version, words, length } = parsePrefix(text);
  return table.insert(version, words, length, value);
}

function remove(table: PrefixTable, text: string): number {
  const { version, words, length } = parsePrefix(text);
  return table.remove(version, words, length);
}

function lookup(table: PrefixTable, text: string): number {
  const view = new DataView(Uint8Array.from(addressBytes(text)).buffer);
  return view.byteLength === 4 ? table.lookup4(view.getInt32(0)) : table.lookup6(view, 0);
}

describe('PrefixTable', () => {
  test('finds nothing while it is empty', () => {
    const table = new PrefixTable();
    expect([lookup(table, '10.0.0.1'), lookup(table, '2001:db8::1'), lookup(table, 'fd00::1')]).toEqual([
      -1, -1, -1,
    ]);
  });

  test('finds the longest of the prefixes that cover an address', () => {
    const table = new PrefixTable();
    for (const [value, length] of [0, 8, 16, 17, 24, 25, 28, 30, 32].entries()) {
      const { words } = parsePrefix('10.1.2.4/32');
      words[0] &= length === 0 ? 0 : -1 << (32 - length);
      table.insert(4, words, length, value);
    }
    const addresses = [
      '10.1.2.4',
      '10.1.2.5',
      '10.1.2.9',
      '10.1.2.100',
      '10.1.2.200',
      '10.1.3.1',
      '10.1.200.1',
    ];
    expect(addresses.map((address) => lookup(table, address))).toEqual([8, 7, 6, 5, 4, 3, 2]);
    expect(['10.2.0.1', '11.0.0.1'].map((address) => lookup(table, address))).toEqual([1, 0]);
  });

  test('finds IPv6 prefixes within and beside the global unicast addresses', () => {
    const table = new PrefixTable();
    for (const [value, prefix] of [
      '::/0',
      '2000::/3',
      '2001:db8::/32',
      '2001:db8:0:1::/64',
      'fd00::/8',
    ].entries()) {
      insert(table, prefix, value);
    }
    insert(table, '2001:db8::1/128', 9);
    const addresses = ['2001:db8::1', '2001:db8:0:1::5', '2001:db8:9::1', '2a00::1', 'fd12::1', 'fe80::1'];
    expect(addresses.map((address) => lookup(table, address))).toEqual([9, 3, 2, 1, 4, 0]);
  });

  test('returns the old value when a prefix gets another', () => {
    const table = new PrefixTable();
    expect(insert(table, '10.0.0.0/8', 1)).toBe(-1);
    expect(insert(table, '10.0.0.0/8', 2)).toBe(1);
    expect([table.size, lookup(table, '10.9.9.9')]).toEqual([1, 2]);
  });

  test('falls back to the covering prefix when a longer one is removed', () => {
    const table = new PrefixTable();
    for (const [value, prefix] of ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '10.1.2.3/32'].entries()) {
      insert(table, prefix, value);
    }
    const seen: number[] = [];
    for (const prefix of ['10.1.2.3/32', '10.1.2.0/24', '10.1.0.0/16', '10.0.0.0/8']) {
      expect(remove(table, prefix)).toBe(3 - seen.length);
      seen.push(lookup(table, '10.1.2.3'));
    }
    expect(seen).toEqual([2, 1, 0, -1]);
    expect([remove(table, '10.0.0.0/8'), table.size]).toEqual([-1, 0]);
  });

  test('removes all prefixes of one value and no others', () => {
    const table = new PrefixTable();
    for (let i = 0; i < 100; i++) insert(table, `10.0.${i}.0/24`, i % 2);
    insert(table, '2001:db8::/32', 1);
    expect(table.removeAllOf(1)).toBe(51);
    expect([lookup(table, '10.0.1.1'), lookup(table, '10.0.2.1'), lookup(table, '2001:db8::1')]).toEqual([
      -1, 0, -1,
    ]);
    expect([table.size, table.removeAllOf(1)]).toEqual([50, 0]);
  });

  test('reuses the memory of removed prefixes', () => {
    const table = new PrefixTable();
    const words = new Int32Array(4);
    const churn = (round: number): void => {
      for (let i = 0; i < 3000; i++) {
        words.set([Math.imul(i + round * 3000, 0x9e3779b1) & -16, i, round, 0]);
        table.insert(4, words, 28, i);
        table.insert(6, words, 96, i);
      }
      for (let i = 0; i < 3000; i++) table.removeAllOf(i);
    };
    churn(0);
    const capacity = table.capacity;
    for (let round = 1; round < 10; round++) churn(round);
    expect([table.size, table.capacity]).toEqual([0, capacity]);
  });

  test('refuses a length or a value out of range', () => {
    const words = new Int32Array(4);
    expect(() => new PrefixTable().insert(4, words, 33, 0)).toThrow(/prefix length: 33/);
    expect(() => new PrefixTable().insert(6, words, 129, 0)).toThrow(/from 0 to 128/);
    expect(() => new PrefixTable().insert(4, words, 8, -1)).toThrow(/prefix value: -1/);
  });

  test('finds each of 50,000 prefixes among the others', () => {
    const table = new PrefixTable();
    const words = new Int32Array(4);
    let wrong = 0;
    const addressOf = (i: number): number => Math.imul(i, 0x9e3779b1) & -256;
    for (let i = 0; i < 50_000; i++) {
      words[0] = addressOf(i);
      table.insert(4, words, 24, i);
    }
    const last = new Map(Array.from({ length: 50_000 }, (_, i) => [addressOf(i), i]));
    for (const [address, i] of last) if (table.lookup4(address | 77) !== i) wrong++;
    expect([wrong, table.size]).toEqual([0, last.size]);
  });
});

/** The plain twin: every prefix is compared, bit by bit. */
class LinearTable {
  private readonly prefixes = new Map<string, { bits: string; value: number }>();

  insert(bits: string, value: number): number {
    const old = this.prefixes.get(bits)?.value ?? -1;
    this.prefixes.set(bits, { bits, value });
    return old;
  }

  remove(bits: string): number {
    const old = this.prefixes.get(bits)?.value ?? -1;
    this.prefixes.delete(bits);
    return old;
  }

  lookup(address: string): number {
    let best = { bits: '', value: -1 };
    for (const prefix of this.prefixes.values()) {
      if (address.startsWith(prefix.bits) && prefix.bits.length >= best.bits.length) best = prefix;
    }
    return best.value;
  }
}

function bitsOf(words: Int32Array, count: number): string {
  return Array.from(words.subarray(0, count), (word) => (word >>> 0).toString(2).padStart(32, '0')).join('');
}

describe.each([
  { version: 4 as const, wordCount: 1, seeds: [0x0a010200, 0x0a01ff00, 0xc0000200] },
  { version: 6 as const, wordCount: 4, seeds: [0x20010db8, 0x20014000, 0xfd000000] },
])('PrefixTable of version $version', ({ version, wordCount, seeds }) => {
  const bitCount = wordCount * 32;
  /** Addresses that share long beginnings, so that prefixes nest. */
  const address = fc
    .tuple(fc.constantFrom(...seeds), fc.integer({ min: 0, max: bitCount }), fc.integer())
    .map(([seed, keep, noise]) => {
      const words = new Int32Array(4);
      for (let i = 0; i < wordCount; i++) {
        const kept = Math.max(0, Math.min(32, keep - 32 * i));
        const mask = kept === 0 ? 0 : -1 << (32 - kept);
        words[i] = ((i === 0 ? seed : 0) & mask) | (Math.imul(noise, 2 * i + 1) & ~mask);
      }
      return words;
    });
  const lengthArb = fc.oneof(
    fc.integer({ min: 0, max: bitCount }),
    fc.constantFrom(0, 3, 16, 17, 18, 19, 20, 24, 25, 28, 29, 32),
  );
  const command = fc.record({
    kind: fc.constantFrom('insert', 'insert', 'remove', 'removeAny', 'lookup'),
    words: address,
    length: lengthArb,
    value: fc.integer({ min: 0, max: 5 }),
    pick: fc.nat(),
  });

  test('equals a linear scan under random inserts, removals and lookups', () => {
    fc.assert(
      fc.property(
        fc.array(command, { maxLength: 80 }),
        fc.array(address, { minLength: 20, maxLength: 20 }),
        (commands, probes) => {
          const table = new PrefixTable();
          const plain = new LinearTable();
          const inserted: { words: Int32Array; length: number }[] = [];
          const view = new DataView(new ArrayBuffer(16));
          const check = (words: Int32Array): void => {
            for (let i = 0; i < wordCount; i++) view.setInt32(4 * i, words[i]);
            const found = version === 4 ? table.lookup4(words[0]) : table.lookup6(view, 0);
            expect(found).toBe(plain.lookup(bitsOf(words, wordCount)));
          };
          for (const { kind, words, length, value, pick } of commands) {
            if (kind === 'lookup') check(words);
            else {
              const isKnown = kind === 'removeAny' && inserted.length > 0;
              const target = isKnown ? inserted[pick % inserted.length] : masked(words, length, wordCount);
              const bits = bitsOf(target.words, wordCount).slice(0, target.length);
              if (kind === 'insert') {
                inserted.push(target);
                expect(table.insert(version, target.words, target.length, value)).toBe(
                  plain.insert(bits, value),
                );
              } else expect(table.remove(version, target.words, target.length)).toBe(plain.remove(bits));
            }
          }
          for (const words of probes) check(words);
          for (const { words } of inserted) check(words);
        },
      ),
      { numRuns: 300 },
    );
  });
});

function masked(words: Int32Array, length: number, wordCount: number): { words: Int32Array; length: number } {
  const copy = words.slice();
  for (let i = 0; i < wordCount; i++) {
    const kept = Math.max(0, Math.min(32, length - 32 * i));
    copy[i] &= kept === 0 ? 0 : -1 << (32 - kept);
  }
  return { words: copy, length };
}
