import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mixBits } from '../../lib/pref/flow-hash.ts';
import { FIELD_CREDIT, RouteTable } from '../../lib/pref/route-table.ts';
import { Selector } from '../../lib/pref/selector.ts';

function tableWith(pathIds: number[], share = (count: number): number => 0.1 / count): RouteTable {
  return new RouteTable(pathIds, share, 1);
}

function ratiosOf(table: RouteTable, destination: number): number[] {
  return Array.from(table.pathIdOf, (_, slot) => table.ratio(destination, slot));
}

function creditsOf(table: RouteTable, destination: number): number[] {
  table.upMask(destination);
  const shares = table.shares[destination >>> 12];
  return Array.from(table.pathIdOf, (_, slot) => shares[table.shareAt(destination, slot) + FIELD_CREDIT]);
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);

describe('RouteTable', () => {
  test('starts a destination with equal ratios over the routes it may use', () => {
    const table = tableWith([1, 2, 5]);
    expect(ratiosOf(table, table.add(0b101))).toEqual([0.5, 0, 0.5]);
  });

  test('names routes by path ID whatever their order', () => {
    const table = tableWith([5, 2]);
    expect([table.slotOf[5], table.slotOf[2], table.slotOf[1], table.pathIdOf[0]]).toEqual([0, 1, 255, 5]);
  });

  test('scales the others up when a route goes down', () => {
    const table = tableWith([1, 2, 3]);
    const destination = table.add(0b111);
    table.setRatios(destination, Float64Array.of(0.5, 0.3, 0.2));
    table.setRouteUp(0, false);
    expect(table.upMask(destination)).toBe(0b110);
    expect(ratiosOf(table, destination)).toEqual([0, expect.closeTo(0.6, 12), expect.closeTo(0.4, 12)]);
  });

  test('starts a route that comes up at the newcomer share', () => {
    const table = tableWith([1, 2, 3]);
    const destination = table.add(0b111);
    table.setRouteUp(1, false);
    table.setRatios(destination, Float64Array.of(0.25, 0, 0.75));
    table.setRouteUp(1, true);
    const probe = 0.1 / 3;
    const expected = [0.25 * (1 - probe), probe, 0.75 * (1 - probe)];
    for (const [slot, ratio] of ratiosOf(table, destination).entries())
      expect(ratio).toBeCloseTo(expected[slot], 12);
  });

  test('shares equally when the first routes come up after none was', () => {
    const table = tableWith([1, 2]);
    const destination = table.add(0b11);
    for (const slot of [0, 1]) table.setRouteUp(slot, false);
    expect([table.upMask(destination), sum(ratiosOf(table, destination))]).toEqual([0, 0]);
    for (const slot of [0, 1]) table.setRouteUp(slot, true);
    expect(ratiosOf(table, destination)).toEqual([0.5, 0.5]);
  });

  test('takes a route down for one destination only', () => {
    const table = tableWith([1, 2]);
    const [one, other] = [table.add(0b11), table.add(0b11)];
    table.setDestinationRouteUp(one, 0, false);
    expect([table.upMask(one), table.upMask(other), table.isRouteUp(0)]).toEqual([0b10, 0b11, true]);
    table.setDestinationRouteUp(one, 0, true);
    expect(table.upMask(one)).toBe(0b11);
  });

  test('keeps a route down for a destination when it comes up for all', () => {
    const table = tableWith([1, 2]);
    const destination = table.add(0b11);
    table.setDestinationRouteUp(destination, 0, false);
    table.setRouteUp(0, false);
    table.setRouteUp(0, true);
    expect(table.upMask(destination)).toBe(0b10);
  });

  test('does not touch the records of other destinations when a route changes', () => {
    const table = tableWith([1, 2]);
    const destination = table.add(0b11);
    table.upMask(destination);
    const before = table.shares[0].slice();
    table.setRouteUp(0, false);
    expect(table.shares[0]).toEqual(before);
    table.upMask(destination);
    expect(table.shares[0]).not.toEqual(before);
  });

  test('still notices every change after its versions have wrapped around', () => {
    const table = tableWith([1, 2]);
    const [idle, busy] = [table.add(0b11), table.add(0b11)];
    table.upMask(idle);
    let wrong = 0;
    for (let i = 0; i < 70_001; i++) {
      table.setRouteUp(0, i % 2 === 1);
      if (table.upMask(busy) !== (i % 2 === 1 ? 0b11 : 0b10)) wrong++;
    }
    expect([wrong, table.upMask(idle)]).toEqual([0, 0b10]);
  });

  test('scales new ratios to a sum of 1 over the routes that are up', () => {
    const table = tableWith([1, 2, 3]);
    const destination = table.add(0b111);
    table.setRouteUp(2, false);
    table.setRatios(destination, Float64Array.of(1, 3, 77));
    expect(ratiosOf(table, destination)).toEqual([0.25, 0.75, 0]);
  });

  test('keeps the ratios rather than take ones that sum to nothing', () => {
    const table = tableWith([1, 2]);
    const destination = table.add(0b11);
    for (const next of [
      [0, 0],
      [Number.NaN, 1],
      [Infinity, 1],
    ])
      table.setRatios(destination, Float64Array.from(next));
    expect(ratiosOf(table, destination)).toEqual([0.5, 0.5]);
  });

  test('gives the index of a removed destination to the next one, as good as new', () => {
    const table = tableWith([1, 2]);
    const first = table.add(0b11);
    table.setRatios(first, Float64Array.of(0.9, 0.1));
    table.setDestinationRouteUp(first, 1, false);
    table.remove(first);
    expect([table.has(first), table.size]).toEqual([false, 0]);
    expect(table.add(0b11)).toBe(first);
    expect(ratiosOf(table, first)).toEqual([0.5, 0.5]);
  });

  test('refuses two routes with one path ID', () => {
    expect(() => tableWith([1, 1])).toThrow(/pathId: 1 .* no other route has/);
  });

  test('spreads the first flowlets of different destinations over the routes', () => {
    const table = tableWith([1, 2, 3]);
    const firsts = [0, 0, 0];
    for (let i = 0; i < 3000; i++) {
      const credits = creditsOf(table, table.add(0b111));
      firsts[credits.indexOf(Math.max(...credits))]++;
    }
    for (const count of firsts) expect(count).toBeGreaterThan(850);
  });

  test('ratios sum to 1 and credits to 0, exactly, through any sequence of changes and choices', () => {
    const change = fc.oneof(
      fc.record({ kind: fc.constant('route' as const), slot: fc.nat(3), isUp: fc.boolean() }),
      fc.record({ kind: fc.constant('here' as const), slot: fc.nat(3), isUp: fc.boolean() }),
      fc.record({
        kind: fc.constant('ratios' as const),
        next: fc.array(fc.nat(1000), { minLength: 4, maxLength: 4 }),
      }),
      fc.record({ kind: fc.constant('use' as const) }),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), fc.constantFrom(0, 0.1, 1), (changes, betaE) => {
        const table = tableWith([1, 2, 3, 4], (count) => betaE / count);
        const selector = new Selector(table);
        const destination = table.add(0b1111);
        for (const [i, step] of changes.entries()) {
          if (step.kind === 'route') table.setRouteUp(step.slot, step.isUp);
          else if (step.kind === 'here') table.setDestinationRouteUp(destination, step.slot, step.isUp);
          else if (step.kind === 'ratios') table.setRatios(destination, Float64Array.from(step.next));
          const up = table.upMask(destination);
          const ratios = ratiosOf(table, destination);
          if (up !== 0) expect(Math.abs(sum(ratios) - 1)).toBeLessThan(1e-12);
          selector.pick(destination, 0, mixBits(i));
          const credits = creditsOf(table, destination);
          expect(sum(credits)).toBe(0);
          expect(credits.every((credit) => Number.isSafeInteger(credit))).toBe(true);
          expect(credits.every((credit, slot) => ratios[slot] > 0 || credit === 0)).toBe(true);
          expect(ratios.every((ratio, slot) => ratio >= 0 && ((up >>> slot) & 1 || ratio === 0))).toBe(true);
        }
      }),
    );
  });
});
