import { describe, expect, test } from 'vitest';
import { mixBits } from '../../lib/pref/flow-hash.ts';
import { TurnoverMeter, turnoverOf, youngPartOf } from '../../lib/pref/turnover.ts';

describe('turnover from the young part', () => {
  test('is the inverse of the young part at a turnover', () => {
    for (const turnover of [0, 1e-6, 1e-3, 0.05, 0.18, 0.5, 1, 2, 5, 19]) {
      expect(turnoverOf(youngPartOf(turnover))).toBeCloseTo(turnover, 6);
    }
  });

  test('is twice the part while that is small, and bounded', () => {
    expect(turnoverOf(0.01)).toBeCloseTo(0.02, 3);
    expect(turnoverOf(1)).toBeCloseTo(20, 1);
  });
});

/**
 * Flows that end at a constant rate, each losing alike: `active` of them, of which `turnover` times as many begin in an
 * interval. Returns what was measured in the last of three intervals.
 */
function measure(active: number, turnover: number, lexPackets: number): number {
  const meter = new TurnoverMeter();
  let next = 0;
  const begin = (): number => mixBits(++next);
  const flows = Array.from({ length: active }, begin);
  let draw = 1;
  const random = (): number => (draw = (Math.imul(draw, 1103515245) + 12345) >>> 0) / 2 ** 32;
  let measured = 0;
  const steps = Math.max(1, Math.round(active * turnover));
  for (let interval = 0; interval < 3; interval++) {
    let lost = 0;
    for (let step = 0; step < steps; step++) {
      for (; lost < ((step + 1) / steps) * lexPackets; lost++) {
        meter.noteLoss(0, flows[Math.floor(random() * active)]);
      }
      const flow = begin();
      flows[Math.floor(random() * active)] = flow;
      meter.noteFlowlet(flow);
    }
    meter.endInterval();
    measured = meter.take(0);
  }
  return measured;
}

describe('the turnover meter', () => {
  test.each([0.05, 0.2, 0.5, 1, 2])('measures flows begun over flows active: %d', (turnover) => {
    expect(measure(2000, turnover, 20_000) / turnover).toBeGreaterThan(0.85);
    expect(measure(2000, turnover, 20_000) / turnover).toBeLessThan(1.15);
  });

  test('takes out what other flows have in the bitmap: half a million flowlets an interval', () => {
    const measured = measure(500_000, 1, 20_000);
    expect(measured).toBeGreaterThan(0.8);
    expect(measured).toBeLessThan(1.3);
  });

  test('takes a destination without losses to be like the others, and all for fast ones without any', () => {
    const meter = new TurnoverMeter();
    meter.endInterval();
    expect(meter.take(7)).toBeCloseTo(1.59, 2);
    meter.noteFlowlet(5);
    for (let i = 0; i < 1000; i++) meter.noteLoss(0, i % 10 === 0 ? 5 : 99);
    meter.endInterval();
    expect(meter.take(7)).toBeCloseTo(turnoverOf(0.1), 1);
    expect(meter.take(0)).toBeCloseTo(turnoverOf(0.1), 1);
  });

  test('forgets the interval that ended, and a destination that is removed', () => {
    const meter = new TurnoverMeter();
    meter.noteFlowlet(5);
    for (let i = 0; i < 100; i++) meter.noteLoss(3, 5);
    meter.endInterval();
    expect(meter.take(3)).toBeGreaterThan(5);
    for (let i = 0; i < 100; i++) meter.noteLoss(3, 5);
    meter.endInterval();
    expect(meter.take(3)).toBeLessThan(0.05);
    for (let i = 0; i < 100; i++) meter.noteLoss(3, 5);
    meter.forget(3);
    for (let i = 0; i < 100; i++) meter.noteLoss(4, 6);
    meter.noteFlowlet(6);
    for (let i = 0; i < 100; i++) meter.noteLoss(4, 6);
    meter.endInterval();
    // Nothing of its own is left: what all others show.
    expect(meter.take(3)).toBeGreaterThan(0.3);
  });
});
