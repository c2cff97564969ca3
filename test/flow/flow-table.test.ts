import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PreflexError } from '../../lib/errors.ts';
import { hashFlowKey } from '../../lib/flow/flow-key.ts';
import {
  DOUBLE_LAST_SEEN,
  EVICTION_SAMPLE,
  FlowTable,
  RECORD_WORDS,
  WORD_TAG,
  WORD_USER,
} from '../../lib/flow/flow-table.ts';
import { bytesAllocatedPerCall } from '../support/allocation.ts';

const LIMITS_NS = [100, 20, 50];

function table(capacity: number, seed = 0): FlowTable {
  return new FlowTable({ capacity, idleLimitsNs: LIMITS_NS, seed });
}

/** Key number `n`; the low bit decides the version. */
function loadKey(flows: FlowTable, n: number): void {
  const version = (n & 1) === 0 ? 4 : 6;
  flows.key.set([(version << 8) | 6, n, 1, 0, 0, 0, 2, 0, 0, version === 6 ? n : 0]);
}

function find(flows: FlowTable, n: number): number {
  loadKey(flows, n);
  return flows.find();
}

function insert(flows: FlowTable, n: number, nowNs: number): number {
  expect(find(flows, n)).toBe(-1);
  const record = flows.insert(nowNs);
  flows.words[record * RECORD_WORDS + WORD_USER] = n;
  return record;
}

/** Numbers of keys that all belong at the last place of a table with this capacity. */
function collidingKeys(count: number, capacity: number, seed: number): number[] {
  const flows = table(capacity, seed);
  const found: number[] = [];
  for (let n = 0; found.length < count; n++) {
    if (find(flows, n) !== -1) throw new Error('the table is empty');
    if (flows.insert(0) === flows.places - 1) found.push(n);
    flows.remove(find(flows, n));
  }
  return found;
}

type Step =
  | { readonly op: 'touch'; readonly n: number; readonly idleClass: number }
  | { readonly op: 'remove'; readonly n: number }
  | { readonly op: 'wait'; readonly ns: number }
  | { readonly op: 'sweep'; readonly steps: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant('touch' as const), n: fc.nat(23), idleClass: fc.nat(2) }),
  },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('remove' as const), n: fc.nat(23) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('wait' as const), ns: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('sweep' as const), steps: fc.nat(40) }) },
);

/** A Map that does the same, checked against the table after every step. */
function runAgainstMap(
  capacity: number,
  seed: number,
  keys: readonly number[],
  steps: readonly Step[],
): void {
  const flows = new FlowTable({ capacity, idleLimitsNs: LIMITS_NS, seed, extraDoubles: 2 });
  const model = new Map<number, { seenNs: number; idleClass: number }>();
  const findChecked = (n: number): number => {
    const record = find(flows, n);
    expect(record >= 0).toBe(model.has(n));
    if (record < 0) return record;
    expect(flows.isUsed(record)).toBe(true);
    expect(flows.words[record * RECORD_WORDS + WORD_USER]).toBe(n);
    expect(Array.from(flows.extras.subarray(record * 2, record * 2 + 2))).toEqual([n, -n]);
    return record;
  };
  /** Forgets what the table no longer has. */
  const dropGone = (): [number, { seenNs: number; idleClass: number }][] => {
    const gone = [...model].filter(([n]) => find(flows, n) < 0);
    for (const [n] of gone) model.delete(n);
    return gone;
  };
  let nowNs = 1000;
  let evicted = 0;
  let expired = 0;
  for (const one of steps) {
    nowNs++;
    if (one.op === 'wait') nowNs += one.ns;
    else if (one.op === 'remove') {
      const n = keys[one.n % keys.length]!;
      const record = findChecked(n);
      if (record >= 0) flows.remove(record);
      model.delete(n);
    } else if (one.op === 'touch') {
      const n = keys[one.n % keys.length]!;
      let record = findChecked(n);
      if (record < 0) {
        const wasFull = model.size === capacity;
        const oldestNs = Math.min(...[...model.values()].map((entry) => entry.seenNs));
        record = flows.insert(nowNs);
        expect(flows.words[record * RECORD_WORDS + WORD_USER]).toBe(0);
        expect(flows.extras[record * 2]).toBe(0);
        const gone = dropGone();
        expect(gone.length).toBe(wasFull ? 1 : 0);
        for (const [, entry] of gone) {
          if (nowNs - entry.seenNs > LIMITS_NS[entry.idleClass]!) expired++;
          else evicted++;
          // Small tables are sampled whole, so the victim is the longest idle of all.
          if (capacity <= EVICTION_SAMPLE) expect(entry.seenNs).toBe(oldestNs);
        }
        flows.words[record * RECORD_WORDS + WORD_USER] = n;
        flows.extras.set([n, -n], record * 2);
      }
      flows.words[record * RECORD_WORDS + WORD_TAG] = one.idleClass | (n << 8);
      flows.doubles[(record * RECORD_WORDS) / 2 + DOUBLE_LAST_SEEN] = nowNs;
      model.set(n, { seenNs: nowNs, idleClass: one.idleClass });
    } else {
      const removed = flows.sweep(nowNs, one.steps);
      const gone = dropGone();
      expect(gone.length).toBe(removed);
      for (const [, entry] of gone) {
        expect(nowNs - entry.seenNs).toBeGreaterThan(LIMITS_NS[entry.idleClass]!);
      }
      if (one.steps >= capacity) {
        for (const entry of model.values()) {
          expect(nowNs - entry.seenNs).toBeLessThanOrEqual(LIMITS_NS[entry.idleClass]!);
        }
      }
      expired += removed;
    }
    expect(flows.size).toBe(model.size);
    expect(flows.evicted).toBe(evicted);
    expect(flows.expired).toBe(expired);
  }
  const records = keys.map(findChecked).filter((record) => record >= 0);
  expect(new Set(records).size).toBe(model.size);
}

describe('the flow table', () => {
  const steps = fc.array(step, { maxLength: 120 });
  const anyKeys = Array.from({ length: 24 }, (_, n) => n);

  test.each([1, 2, 3, 16, 24])('does what a Map does, capacity %i', (capacity) => {
    fc.assert(
      fc.property(fc.integer(), steps, (seed, script) => runAgainstMap(capacity, seed, anyKeys, script)),
      { numRuns: 150 },
    );
  });

  test('does what a Map does when every key belongs at the last place and the probes wrap around', () => {
    const keys = collidingKeys(12, 7, 5);
    fc.assert(
      fc.property(steps, (script) => runAgainstMap(7, 5, keys, script)),
      { numRuns: 300 },
    );
  });

  test('keeps two flows whose 32-bit hashes are equal apart', () => {
    // The mixing steps can be undone, so a key with the hash of another is found by search over one word.
    const flows = table(8);
    const seen = new Map<number, number>();
    let pair: [number, number] | undefined;
    for (let n = 0; pair === undefined; n += 2) {
      loadKey(flows, n);
      flows.key[1] = Math.imul(n, 0x9e3779b1);
      flows.key[2] = n >> 3;
      const hash = hashFlowKey(flows.key, 0);
      const other = seen.get(hash);
      if (other !== undefined) pair = [other, n];
      seen.set(hash, n);
    }
    const load = (n: number) => {
      loadKey(flows, n);
      flows.key[1] = Math.imul(n, 0x9e3779b1);
      flows.key[2] = n >> 3;
    };
    const records = pair.map((n) => {
      load(n);
      expect(flows.find()).toBe(-1);
      const record = flows.insert(1);
      flows.words[record * RECORD_WORDS + WORD_USER] = n;
      return record;
    });
    pair.forEach((n, i) => {
      load(n);
      expect(flows.find()).toBe(records[i]);
    });
    flows.remove(records[0]!);
    load(pair[0]);
    expect(flows.find()).toBe(-1);
    load(pair[1]);
    expect(flows.words[flows.find() * RECORD_WORDS + WORD_USER]).toBe(pair[1]);
  });

  test('with one place gives it to the newest flow', () => {
    const flows = table(1);
    for (let n = 0; n < 50; n++) {
      insert(flows, n, n);
      expect(flows.size).toBe(1);
      if (n > 0) expect(find(flows, n - 1)).toBe(-1);
    }
    expect(flows.evicted + flows.expired).toBe(49);
  });

  test('under a flood of new flows neither grows nor leaks, and finds every record it holds', () => {
    const flows = table(1000);
    const memory = flows.words.buffer;
    for (let n = 0; n < 20_000; n++) insert(flows, n, n);
    expect(flows.size).toBe(1000);
    expect(flows.evicted + flows.expired).toBe(19_000);
    expect(flows.words.buffer).toBe(memory);
    let held = 0;
    for (let n = 0; n < 20_000; n++) if (find(flows, n) >= 0) held++;
    expect(held).toBe(1000);
  });

  test('under a flood keeps more than three quarters of the flows that stay busy', () => {
    const flows = table(1024);
    for (let n = 0; n < 512; n++) insert(flows, n, 0);
    let nowNs = 0;
    for (let stranger = 10_000; stranger < 14_000; stranger++) {
      nowNs++;
      // Each busy flow is seen once in 128 ticks.
      for (let n = nowNs % 128; n < 512; n += 128) {
        const record = find(flows, n);
        if (record >= 0) flows.doubles[(record * RECORD_WORDS) / 2 + DOUBLE_LAST_SEEN] = nowNs;
      }
      insert(flows, stranger, nowNs);
    }
    let kept = 0;
    for (let n = 0; n < 512; n++) if (find(flows, n) >= 0) kept++;
    expect(kept).toBeGreaterThan(384);
  });

  test('sweeps at most as many records as it was told to look at', () => {
    const flows = table(100);
    for (let n = 0; n < 100; n++) insert(flows, n, 0);
    expect(flows.sweep(1e6, 30)).toBe(30);
    expect(flows.sweep(1e6, 0)).toBe(0);
    expect(flows.sweep(1e6, 1000)).toBe(70);
    expect(flows.size).toBe(0);
    expect(flows.expired).toBe(100);
  });

  test('removes a record only after more than the idle limit of its class', () => {
    const flows = table(8);
    LIMITS_NS.forEach((_, idleClass) => {
      const record = insert(flows, idleClass, 0);
      flows.words[record * RECORD_WORDS + WORD_TAG] = idleClass;
    });
    expect(flows.sweep(20, 8)).toBe(0);
    expect(flows.sweep(21, 8)).toBe(1);
    expect(find(flows, 1)).toBe(-1);
    expect(flows.sweep(51, 8)).toBe(1);
    expect(flows.sweep(101, 8)).toBe(1);
  });

  test.each([0, -1, 1.5, 2 ** 24 + 1, NaN])('refuses capacity %d with an error that names it', (capacity) => {
    expect(() => table(capacity)).toThrow(PreflexError);
    expect(() => table(capacity)).toThrow(/^capacity: /);
  });

  test('refuses an idle limit that is not a number above zero', () => {
    expect(() => new FlowTable({ capacity: 1, idleLimitsNs: [5, NaN], seed: 0 })).toThrow(
      /idleLimitsNs\[1\]/,
    );
  });

  test('finds, inserts and removes without allocating', () => {
    const flows = table(4096);
    for (let n = 0; n < 4096; n++) insert(flows, n, n);
    const bytes = bytesAllocatedPerCall((call) => {
      loadKeyWithoutArray(flows, call & 8191);
      const record = flows.find();
      if (record < 0) flows.insert(5);
      else if ((call & 7) === 0) flows.remove(record);
    }, 200_000);
    expect(bytes).toBeLessThan(1);
    expect(flows.size).toBeGreaterThan(0);
  });
});

function loadKeyWithoutArray(flows: FlowTable, n: number): void {
  flows.key[0] = 0x406;
  flows.key[1] = n;
  flows.key[2] = 1;
  flows.key[6] = 2;
}
