import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Balancer } from '../../lib/pref/balancers/balancer.ts';
import { conservative } from '../../lib/pref/balancers/conservative.ts';
import { equal } from '../../lib/pref/balancers/equal.ts';
import { loss } from '../../lib/pref/balancers/loss.ts';
import { mixed } from '../../lib/pref/balancers/mixed.ts';

function ratiosOf(balancer: Balancer, bytes: number[], lostBytes: number[], last?: number[]): number[] {
  const count = bytes.length;
  const next = new Float64Array(count);
  const ratios = Float64Array.from(last ?? bytes.map(() => 1 / count));
  balancer.balance(count, Float64Array.from(bytes), Float64Array.from(lostBytes), ratios, next);
  return [...next];
}

function expectClose(actual: number[], expected: number[]): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i], 9);
}

describe('equation 3, computed by hand', () => {
  // Far more traffic than k = 150 kB would blur the paper's own figures; k = 1 leaves them as they are.
  const shrinkBytes = 1;

  test('splits by T^2 / L when beta_L is 1', () => {
    // T^2 / L = 1e18 / 1e7, 1e18 / 3e7, 4e18 / 4e7 = 1e11, 1/3 e11, 1e11; sum 7/3 e11.
    const balancer = mixed({ betaE: 0, betaC: 0, betaL: 1, shrinkBytes });
    expectClose(ratiosOf(balancer, [1e9, 1e9, 2e9], [1e7, 3e7, 4e7]), [3 / 7, 1 / 7, 3 / 7]);
  });

  test("mixes with the paper's betas 0.1 and 0.9", () => {
    const balancer = mixed({ betaE: 0.1, betaC: 0, betaL: 0.9, shrinkBytes });
    const expected = [0.1 / 3 + (0.9 * 3) / 7, 0.1 / 3 + 0.9 / 7, 0.1 / 3 + (0.9 * 3) / 7];
    expectClose(ratiosOf(balancer, [1e9, 1e9, 2e9], [1e7, 3e7, 4e7]), expected);
  });

  test('adds the three splits in their parts', () => {
    // f(E) = 1/2, 1/2; f(C) = 1/4, 3/4; f(L): 1e18 / 1e7 = 1e11, 9e18 / 9e7 = 1e11, so 1/2, 1/2.
    const balancer = mixed({ betaE: 0.2, betaC: 0.4, betaL: 0.4, shrinkBytes });
    expectClose(ratiosOf(balancer, [1e9, 3e9], [1e7, 9e7]), [0.2 / 2 + 0.4 / 4 + 0.4 / 2, 0.1 + 0.3 + 0.2]);
  });

  test('shrinks each loss ratio toward the pooled one', () => {
    // T = 300 kB, L = 15 kB, p = 0.05, k p = 7.5 kB.
    // p_1 = (0 + 7.5) / (150 + 150) = 0.025; p_2 = (15 + 7.5) / (150 + 150) = 0.075. T_i / p_i = 3 : 1.
    expectClose(ratiosOf(loss(0), [150_000, 150_000], [0, 15_000]), [0.75, 0.25]);
  });
});

describe('the balancers where the paper is silent', () => {
  test('no loss anywhere gives the conservative split', () => {
    expectClose(ratiosOf(loss(0), [1e6, 3e6], [0, 0]), [0.25, 0.75]);
  });

  test('a route without traffic keeps beta_E / N and the others share the rest', () => {
    expectClose(ratiosOf(loss(0.1), [1e6, 0, 1e6], [0, 0, 0]), [1 / 30 + 0.45, 1 / 30, 1 / 30 + 0.45]);
  });

  test('a probed route without loss grows back within a few intervals', () => {
    const balancer = loss(0.1);
    let ratios = [0.1 / 3, 0.5 - 0.05 / 3, 0.5 - 0.05 / 3];
    for (let interval = 0; interval < 6; interval++) {
      const bytes = ratios.map((ratio) => ratio * 1e8);
      ratios = ratiosOf(balancer, bytes, [0, bytes[1] * 0.03, bytes[2] * 0.03], ratios);
    }
    expect(ratios[0]).toBeGreaterThan(1 / 3);
  });

  test('no traffic at all keeps the last ratios', () => {
    for (const balancer of [loss(), conservative(), mixed({ betaE: 0.5, betaC: 0.3, betaL: 0.2 })]) {
      expect(ratiosOf(balancer, [0, 0], [500, 0], [0.3, 0.7])).toEqual([0.3, 0.7]);
    }
  });

  test('equal ignores traffic and loss', () => {
    expectClose(ratiosOf(equal(), [1e9, 5, 0, 70], [1e9, 0, 0, 70]), [0.25, 0.25, 0.25, 0.25]);
  });

  test('conservative keeps the split but for beta_E', () => {
    expectClose(ratiosOf(conservative(0.2), [1e6, 3e6], [1e5, 0]), [0.1 + 0.2, 0.1 + 0.6]);
  });

  test('the probe share is beta_E / N', () => {
    expect([equal(), loss(), conservative(0), loss(0.3)].map((balancer) => balancer.probeShare(3))).toEqual([
      1 / 3,
      0.1 / 3,
      0,
      0.3 / 3,
    ]);
  });

  test('ratios are never NaN nor negative and sum to 1, whatever was measured', () => {
    const byteCount = fc.oneof(
      fc.constant(0),
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 0, max: 2 ** 50 }),
    );
    const routes = fc.array(fc.tuple(byteCount, byteCount), { minLength: 1, maxLength: 15 });
    const cut = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(routes, cut, cut, (measured, a, b) => {
        const [low, high] = a < b ? [a, b] : [b, a];
        const balancer = mixed({ betaE: low, betaC: high - low, betaL: 1 - high });
        const next = ratiosOf(
          balancer,
          measured.map(([bytes]) => bytes),
          measured.map(([, lost]) => lost),
        );
        for (const ratio of next) expect(ratio).toBeGreaterThanOrEqual(0);
        expect(Math.abs(next.reduce((sum, ratio) => sum + ratio, 0) - 1)).toBeLessThan(1e-12);
      }),
    );
  });
});

describe('the betas', () => {
  test('may be 0 and 1', () => {
    expect(mixed({ betaE: 1, betaC: 0, betaL: 0 }).probeShare(2)).toBe(0.5);
  });

  test.each([
    [{ betaE: 0.5, betaC: 0.5, betaL: 0.5 }, /betaE \+ betaC \+ betaL: 1.5 .* a sum of 1/],
    [{ betaE: -0.1, betaC: 0.5, betaL: 0.6 }, /betaE: -0.1/],
    [{ betaE: 0.1, betaC: Number.NaN, betaL: 0.9 }, /betaC: NaN/],
    [{ betaE: 0.1, betaC: 0, betaL: 0.9, shrinkBytes: 0 }, /shrinkBytes: 0/],
    [{ betaE: 0.1, betaC: 0, betaL: 0.9, betaX: 0 }, /balancer.betaX/],
  ])('are checked: %j', (options, message) => {
    expect(() => mixed(options)).toThrow(message);
  });

  test('of the ready-made strategies are checked too', () => {
    expect(() => loss(1.1)).toThrow(/betaE: 1.1/);
    expect(() => conservative(-1)).toThrow(/betaE: -1/);
  });
});
