import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { IntervalMeasures } from '../../lib/pref/balancers/balancer.ts';
import { loss } from '../../lib/pref/balancers/loss.ts';
import { lossPart, probePart, selfTuning } from '../../lib/pref/balancers/self-tuning.ts';
import type { SelfTuningOptions } from '../../lib/pref/balancers/self-tuning.ts';

const PACKET = 1500;
const S = 1e9;
const CALM: IntervalMeasures = { intervalNs: 10 * S, turnover: 0.1 };

function ratiosOf(bytes: number[], lostBytes: number[], measures?: IntervalMeasures): number[] {
  const next = new Float64Array(bytes.length);
  const ratios = new Float64Array(bytes.length).fill(1 / bytes.length);
  const arrays = [Float64Array.from(bytes), Float64Array.from(lostBytes)] as const;
  selfTuning().balance(bytes.length, ...arrays, ratios, next, measures);
  return [...next];
}

/** The interval wanted with two routes that lost so many packets. */
function wantedS(packets: number, turnover: number): number {
  const lost = Float64Array.of((packets * PACKET) / 2, (packets * PACKET) / 2);
  const measures = { intervalNs: 10 * S, turnover };
  return selfTuning().wantedIntervalNs!(2, Float64Array.of(1e9, 1e9), lost, measures) / S;
}

describe('beta_L', () => {
  test('is as large as it may be with enough losses and a low turnover', () => {
    expect(lossPart(0.9, 1, CALM)).toBe(0.9);
  });

  test('holds the gain rho (1 + 2 beta_L) at 1', () => {
    for (const turnover of [0.4, 0.5, 0.6, 0.7]) {
      const betaL = lossPart(0.9, 1, { intervalNs: S, turnover });
      expect(turnover * (1 + 2 * betaL)).toBeCloseTo(1, 12);
    }
  });

  test('never falls below 0.2 for the turnover, which is stable whatever is replaced', () => {
    for (const turnover of [0.75, 1, 3, 20]) {
      const betaL = lossPart(0.9, 1, { intervalNs: S, turnover });
      expect(betaL).toBe(0.2);
      expect(Math.min(1, turnover) * (1 + 2 * betaL)).toBeLessThan(2);
    }
  });

  test('shrinks with the square root of the sample', () => {
    expect(lossPart(0.9, 0.25, CALM)).toBeCloseTo(0.45, 12);
    expect(lossPart(0.9, 0, CALM)).toBe(0);
  });
});

test('beta_E shrinks with beta_L by the square, so that it moves the equilibrium less the less is corrected', () => {
  expect(probePart(0.1, 0.9, 0.9)).toBeCloseTo(0.1, 12);
  // (1 + 2 * 0.2) / (1 + 2 * 0.9) is a half.
  expect(probePart(0.1, 0.9, 0.2)).toBeCloseTo(0.1 / 4, 12);
});

describe('the ratios', () => {
  const bytes = [4e8, 2e8];
  const lost = [8e6, 8e6];

  test('are those of loss() while nothing speaks against it', () => {
    const next = new Float64Array(2);
    loss().balance(2, Float64Array.from(bytes), Float64Array.from(lost), Float64Array.of(0.5, 0.5), next);
    expect(ratiosOf(bytes, lost, CALM)).toEqual([...next]);
    expect(ratiosOf(bytes, lost)).toEqual([...next]);
  });

  test('stay nearer to where the bytes are when flows turn over fast', () => {
    const [calm] = ratiosOf(bytes, lost, CALM);
    const [fast] = ratiosOf(bytes, lost, { intervalNs: S, turnover: 1 });
    expect(Math.abs(fast - 2 / 3)).toBeLessThan(Math.abs(calm - 2 / 3));
  });

  test('stay where they are when nothing was sent', () => {
    expect(ratiosOf([0, 0], [5, 0], CALM)).toEqual([0.5, 0.5]);
  });

  test('are never NaN nor negative and sum to 1, whatever was measured', () => {
    const byteCount = fc.oneof(
      fc.constant(0),
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 0, max: 2 ** 50 }),
    );
    const routes = fc.array(fc.tuple(byteCount, byteCount), { minLength: 1, maxLength: 15 });
    const turnovers = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 20, noNaN: true }));
    fc.assert(
      fc.property(
        routes,
        turnovers,
        fc.double({ min: 1, max: 1e15, noNaN: true }),
        (measured, turnover, intervalNs) => {
          const sent = measured.map(([sentBytes]) => sentBytes);
          const lostBytes = measured.map(([, lostOnes]) => lostOnes);
          const next = ratiosOf(sent, lostBytes, { intervalNs, turnover });
          for (const ratio of next) expect(ratio).toBeGreaterThanOrEqual(0);
          expect(Math.abs(next.reduce((sum, ratio) => sum + ratio, 0) - 1)).toBeLessThan(1e-12);
          const arrays = [Float64Array.from(sent), Float64Array.from(lostBytes)] as const;
          const wanted = selfTuning().wantedIntervalNs!(sent.length, ...arrays, { intervalNs, turnover });
          expect(wanted / intervalNs).toBeGreaterThanOrEqual(0.5);
          expect(wanted / intervalNs).toBeLessThanOrEqual(2);
        },
      ),
    );
  });
});

describe('the wanted interval', () => {
  test('is stretched when there are fewer than 1,200 LEx packets, or 400 losses', () => {
    expect(wantedS(900, 0.5)).toBeCloseTo((10 * 1200) / 900, 9);
  });

  test('is shortened until the gain is 1/2 when flows turn over fast', () => {
    expect(wantedS(1e5, 0.25)).toBeCloseTo((10 * 0.5) / 2.8 / 0.25, 9);
  });

  test('is not shortened below what brings enough LEx packets', () => {
    expect(wantedS(1500, 1)).toBeCloseTo(8, 9);
  });

  test('at most doubles or halves', () => {
    expect(wantedS(0, 0)).toBe(20);
    expect(wantedS(1e6, 20)).toBe(5);
  });

  test('asks for 300 LEx packets a route with more than four', () => {
    const seven = new Float64Array(7).fill(1e9);
    const lost = new Float64Array(7).fill(240 * PACKET);
    const wanted = selfTuning().wantedIntervalNs!(7, seven, lost, { intervalNs: 10 * S, turnover: 1 });
    expect(wanted / S).toBeCloseTo(12.5, 9);
  });
});

test.each([
  [{ betaE: 0 }, /betaE: 0 .* above 0 and below 1/],
  [{ betaE: 1 }, /betaE: 1 /],
  [{ betaE: Number.NaN }, /betaE: NaN/],
  [{ shrinkBytes: 0 }, /shrinkBytes: 0/],
  [{ betaL: 0.5 }, /balancer.betaL/],
])('the options are checked: %j', (options, message) => {
  expect(() => selfTuning(options as SelfTuningOptions)).toThrow(message);
});
