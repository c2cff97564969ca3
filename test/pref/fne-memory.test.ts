import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FNE_ASSIGNED, FNE_SENT, FneMemory } from '../../lib/pref/fne-memory.ts';
import { MS, S } from './gateway-fixture.ts';

function read(memory: FneMemory, h1: number, h2: number, nowNs: number): number[] | null {
  const entry = memory.find(h1, h2, nowNs);
  return entry < 0 ? null : [memory.stateOf(entry), memory.slotOf(entry), memory.triedOf(entry)];
}

describe('FneMemory', () => {
  test('remembers state, route and tried routes of a flow', () => {
    const memory = new FneMemory(64, 10 * S);
    memory.put(-5, 77, FNE_SENT, 14, 0xc001, 0);
    memory.put(6, 77, FNE_ASSIGNED, 0, 0, 0);
    expect(read(memory, -5, 77, 0)).toEqual([FNE_SENT, 14, 0xc001]);
    expect(read(memory, 6, 77, 0)).toEqual([FNE_ASSIGNED, 0, 0]);
    expect([read(memory, -5, 78, 0), read(memory, 7, 77, 0)]).toEqual([null, null]);
  });

  test('forgets when the lifetime is over', () => {
    const memory = new FneMemory(64, 10 * S);
    memory.put(1, 2, FNE_SENT, 3, 8, 5 * S);
    expect([read(memory, 1, 2, 15 * S) === null, read(memory, 1, 2, 15 * S + 1 * MS) === null]).toEqual([
      false,
      true,
    ]);
  });

  test('takes a flow anew instead of twice', () => {
    const memory = new FneMemory(4, 10 * S);
    for (let slot = 0; slot < 10; slot++) memory.put(1, 2, FNE_SENT, slot, 1 << slot, slot * S);
    expect(read(memory, 1, 2, 9 * S)).toEqual([FNE_SENT, 9, 512]);
    memory.remove(memory.find(1, 2, 9 * S));
    expect(read(memory, 1, 2, 9 * S)).toBeNull();
  });

  test('gives up the oldest of a full set and says so', () => {
    const memory = new FneMemory(4, 10 * S);
    const evicted = [0, 1, 2, 3, 4].map((flow) => memory.put(flow, flow, FNE_SENT, 1, 2, flow * S));
    expect(evicted).toEqual([false, false, false, false, true]);
    expect([0, 1, 4].map((flow) => read(memory, flow, flow, 4 * S) !== null)).toEqual([false, true, true]);
  });

  test('does not call it an eviction when the oldest was over anyway', () => {
    const memory = new FneMemory(4, 1 * S);
    for (let flow = 0; flow < 4; flow++) memory.put(flow, flow, FNE_SENT, 1, 2, 0);
    expect(memory.put(9, 9, FNE_SENT, 1, 2, 2 * S)).toBe(false);
  });

  test('counts time across the end of its 32-bit milliseconds', () => {
    const memory = new FneMemory(64, 10 * S);
    const wrap = 2 ** 31 * MS;
    memory.put(1, 2, FNE_SENT, 3, 8, wrap - 3 * S);
    expect([read(memory, 1, 2, wrap + 3 * S) === null, read(memory, 1, 2, wrap + 8 * S) === null]).toEqual([
      false,
      true,
    ]);
  });

  test('never says anything about a flow but what was put last, or nothing', () => {
    const step = fc.record({
      flow: fc.nat(12),
      kind: fc.constantFrom('put', 'remove', 'find'),
      slot: fc.nat(15),
      waitMs: fc.nat(2000),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const memory = new FneMemory(8, 5 * S);
        const plain = new Map<number, { slot: number; atNs: number }>();
        let nowNs = 0;
        for (const { flow, kind, slot, waitMs } of steps) {
          nowNs += waitMs * MS;
          if (kind === 'put') {
            memory.put(flow, -flow, FNE_SENT, slot, 1 << slot, nowNs);
            plain.set(flow, { slot, atNs: nowNs });
            expect(read(memory, flow, -flow, nowNs)).toEqual([FNE_SENT, slot, 1 << slot]);
          } else {
            const found = read(memory, flow, -flow, nowNs);
            const known = plain.get(flow);
            if (found !== null) {
              expect(found[1]).toBe(known?.slot);
              expect(nowNs - known!.atNs).toBeLessThanOrEqual(5 * S);
            }
            if (kind === 'remove' && found !== null) {
              memory.remove(memory.find(flow, -flow, nowNs));
              plain.delete(flow);
            }
          }
        }
      }),
    );
  });
});
