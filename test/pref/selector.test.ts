import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mixBits } from '../../lib/pref/flow-hash.ts';
import { RouteTable } from '../../lib/pref/route-table.ts';
import { Selector } from '../../lib/pref/selector.ts';

function selectorWith(ratios: number[], seed = 1) {
  const table = new RouteTable(
    ratios.map((_, slot) => slot + 1),
    (count) => 0.1 / count,
    seed,
  );
  const destination = table.add((1 << ratios.length) - 1);
  table.setRatios(destination, Float64Array.from(ratios));
  return { table, destination, selector: new Selector(table) };
}

let flows = 0;

/** The choice for a flowlet of yet another flow. */
function pick(selector: Selector, destination: number, excludeMask = 0): number {
  return selector.pick(destination, excludeMask, mixBits(++flows));
}

function tally(count: number, choices: number, choose: (i: number) => number): number[] {
  const counts = Array<number>(count).fill(0);
  for (let i = 0; i < choices; i++) counts[choose(i)]++;
  return counts;
}

describe('the choice for a new flowlet', () => {
  test('strays from the ratios by less than the number of routes, at any time', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(weights, fc.integer(), (ratios, seed) => {
        const { selector, destination } = selectorWith(ratios, seed);
        const total = ratios.reduce((sum, weight) => sum + weight, 0);
        const picked = ratios.map(() => 0);
        for (let n = 1; n <= 300; n++) {
          picked[pick(selector, destination)]++;
          for (const [slot, count] of picked.entries()) {
            expect(Math.abs(count - (n * ratios[slot]) / total)).toBeLessThan(ratios.length);
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  test('interleaves the routes', () => {
    const { selector, destination } = selectorWith([0.6, 0.4]);
    const picks = Array.from({ length: 50 }, () => pick(selector, destination)).join('');
    expect(picks).not.toMatch(/000|11/);
  });

  test('goes on in an order that two gateways for the same flows do not share', () => {
    const [one, two] = [1, 2].map((seed) => ({ ...selectorWith([1, 1, 1], seed), seed }));
    const pairs = tally(9, 900, (i) => {
      const of = ({ selector, destination, seed }: typeof one): number =>
        selector.pick(destination, 0, mixBits(mixBits(seed) ^ i));
      return of(one) * 3 + of(two);
    });
    for (const count of pairs) expect(Math.abs(count - 100)).toBeLessThan(40);
  });

  test('comes to a rare route even when ratios are set anew every few flowlets', () => {
    const { table, selector, destination } = selectorWith([29, 1]);
    const counts = tally(2, 300, (i) => {
      if (i % 5 === 0) table.setRatios(destination, Float64Array.of(29, 1));
      return pick(selector, destination);
    });
    expect(counts[1]).toBeGreaterThanOrEqual(9);
  });

  test('leaves out what is excluded as long as another route is up', () => {
    const { table, selector, destination } = selectorWith([0.8, 0.1, 0.1]);
    expect(tally(3, 40, () => pick(selector, destination, 0b001))[0]).toBe(0);
    table.setRouteUp(1, false);
    table.setRouteUp(2, false);
    expect(pick(selector, destination, 0b001)).toBe(0);
  });

  test('spreads by the ratios of those left when one is excluded, and owes that one nothing', () => {
    const { selector, destination } = selectorWith([0.5, 0.3, 0.2]);
    const counts = tally(3, 1000, (i) => pick(selector, destination, i % 2 === 0 ? 0b001 : 0));
    expect(Math.abs(counts[0] - 250)).toBeLessThan(3);
    expect(Math.abs(counts[1] - 450)).toBeLessThan(3);
  });

  test('takes turns among routes with ratio 0 while nothing else is left', () => {
    const { selector, destination } = selectorWith([1, 0, 0]);
    expect(tally(3, 40, () => pick(selector, destination, 0b001))).toEqual([0, 20, 20]);
  });

  test('never takes a route with ratio 0 while there is another', () => {
    const { selector, destination } = selectorWith([0, 1]);
    expect(tally(2, 50, () => pick(selector, destination))).toEqual([0, 50]);
    expect(pick(selector, destination, 0b10)).toBe(0);
  });

  test('is -1 when no route is up', () => {
    const { table, selector, destination } = selectorWith([1]);
    table.setRouteUp(0, false);
    expect([
      pick(selector, destination),
      selector.chooseEqually(destination, 1, 2),
      selector.chooseByRatio(destination, 1, 2),
    ]).toEqual([-1, -1, -1]);
  });
});

describe('the choice by flow hash', () => {
  const h1 = (flow: number): number => mixBits(flow);
  const h2 = (flow: number): number => mixBits(flow + 1_000_000);

  test('spreads flows by ratio', () => {
    const { selector, destination } = selectorWith([0.7, 0.2, 0.1]);
    const counts = tally(3, 20_000, (i) => selector.chooseByRatio(destination, h1(i), h2(i)));
    expect(counts.map((count) => Math.round(count / 400) / 50)).toEqual([0.7, 0.2, 0.1]);
  });

  test('spreads flows evenly whatever the ratios', () => {
    const { table, selector, destination } = selectorWith([0.98, 0.01, 0.01]);
    const choose = (i: number): number => selector.chooseEqually(destination, h1(i), h2(i));
    for (const count of tally(3, 9000, choose)) expect(Math.abs(count - 3000)).toBeLessThan(200);
    const before = Array.from({ length: 200 }, (_, i) => choose(i));
    table.setRatios(destination, Float64Array.of(0.2, 0.3, 0.5));
    expect(Array.from({ length: 200 }, (_, i) => choose(i))).toEqual(before);
  });

  test('moves only the flows of a route that goes down, and moves them back', () => {
    const { table, selector, destination } = selectorWith([0.5, 0.3, 0.2]);
    for (const choose of [
      (i: number): number => selector.chooseEqually(destination, h1(i), h2(i)),
      (i: number): number => selector.chooseByRatio(destination, h1(i), h2(i)),
    ]) {
      table.setRatios(destination, Float64Array.of(0.5, 0.3, 0.2));
      const before = Array.from({ length: 500 }, (_, i) => choose(i));
      table.setRouteUp(1, false);
      const during = Array.from({ length: 500 }, (_, i) => choose(i));
      expect(during.every((slot, i) => slot !== 1 && (before[i] === 1 || slot === before[i]))).toBe(true);
      table.setRouteUp(1, true);
      table.setRatios(destination, Float64Array.of(0.5, 0.3, 0.2));
      expect(Array.from({ length: 500 }, (_, i) => choose(i))).toEqual(before);
    }
  });

  test('moves few flows when ratios change a little', () => {
    const { table, selector, destination } = selectorWith([0.5, 0.3, 0.2]);
    const choose = (i: number): number => selector.chooseByRatio(destination, h1(i), h2(i));
    const before = Array.from({ length: 5000 }, (_, i) => choose(i));
    table.setRatios(destination, Float64Array.of(0.45, 0.35, 0.2));
    const moved = before.filter((slot, i) => slot !== choose(i)).length;
    expect(moved / 5000).toBeLessThan(0.08);
  });
});
