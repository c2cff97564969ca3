import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RouteTable } from '../../lib/pref/route-table.ts';
import { Suspensions } from '../../lib/pref/suspensions.ts';

const PATH_IDS = [1, 2, 3, 4];

function tableOf(probeShare = 0.1): { table: RouteTable; suspensions: Suspensions } {
  const table = new RouteTable(PATH_IDS, (count) => probeShare / count, 7);
  table.add(0b1111);
  return { table, suspensions: new Suspensions(table, (count) => probeShare / count) };
}

const ratios = (table: RouteTable): number[] => PATH_IDS.map((_, slot) => table.ratio(0, slot));

describe('a suspended route', () => {
  test('has beta_E / N, and the others share the rest as before', () => {
    const { suspensions, table } = tableOf();
    table.setRatios(0, Float64Array.of(0.1, 0.2, 0.3, 0.4));
    suspensions.begin(0, 3);
    const rest = 1 - 0.025;
    for (const [slot, expected] of [rest / 6, rest / 3, rest / 2, 0.025].entries()) {
      expect(table.ratio(0, slot)).toBeCloseTo(expected, 12);
    }
  });

  test('is probed a little where the balancer would not probe at all', () => {
    const { suspensions, table } = tableOf(0);
    suspensions.begin(0, 3);
    expect(table.ratio(0, 3)).toBeCloseTo(0.01, 12);
  });

  test('gets back what it usually had, where that is known', () => {
    const { suspensions, table } = tableOf();
    table.setRatios(0, Float64Array.of(0.1, 0.2, 0.3, 0.4));
    suspensions.begin(0, 3, 0.25);
    suspensions.restore(0, 3);
    for (const [slot, expected] of [0.125, 0.25, 0.375, 0.25].entries()) {
      expect(table.ratio(0, slot)).toBeCloseTo(expected, 12);
    }
  });

  test('of several gets back no more than all there is', () => {
    const { suspensions, table } = tableOf();
    for (const slot of [1, 2, 3]) suspensions.begin(0, slot, 0.5);
    suspensions.lift(0);
    expect(ratios(table).reduce((sum, ratio) => sum + ratio, 0)).toBeCloseTo(1, 12);
    expect(table.ratio(0, 2)).toBeCloseTo(1 / 3, 12);
  });

  test('keeps its small ratio when it is used again', () => {
    const { suspensions, table } = tableOf();
    suspensions.begin(0, 3);
    suspensions.end(0, 3);
    expect([suspensions.maskOf(0), suspensions.count]).toEqual([0, 0]);
    expect(table.ratio(0, 3)).toBeCloseTo(0.025, 12);
  });

  test('counts as usable when no other is up', () => {
    const { suspensions, table } = tableOf();
    suspensions.begin(0, 3);
    for (const slot of [0, 1, 2]) table.setRouteUp(slot, false);
    expect(suspensions.maskOf(0)).toBe(0);
  });
});

describe('the ratios', () => {
  test('sum to 1 through any suspensions, and lifting all restores them', () => {
    const weights = fc.array(fc.double({ min: 0.01, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 });
    const order = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(weights, order, (values, slots) => {
        const { suspensions, table } = tableOf();
        table.setRatios(0, Float64Array.from(values));
        const before = ratios(table);
        for (const slot of slots) {
          suspensions.begin(0, slot);
          expect(ratios(table).reduce((sum, ratio) => sum + ratio)).toBeCloseTo(1, 12);
          expect(table.ratio(0, slot)).toBeCloseTo(0.025, 12);
        }
        suspensions.lift(0);
        expect(suspensions.count).toBe(0);
        for (const [slot, ratio] of ratios(table).entries()) expect(ratio).toBeCloseTo(before[slot], 9);
      }),
      { numRuns: 100 },
    );
  });
});
