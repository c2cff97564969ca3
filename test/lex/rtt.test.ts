import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RECORD_WORDS } from '../../lib/flow/flow-table.ts';
import {
  canBeAnswer,
  rtoEstimateUs,
  startTiming,
  stopTiming,
  takeRttSample,
  timeoutGapNs,
} from '../../lib/lex/rtt.ts';

function record(): { words: Int32Array; doubles: Float64Array } {
  const memory = new ArrayBuffer(RECORD_WORDS * 4);
  return { words: new Int32Array(memory), doubles: new Float64Array(memory) };
}

/** Feeds one RTT in seconds. */
function feed(one: ReturnType<typeof record>, rtt: number, sentNs = 5e9): void {
  startTiming(one.words, 0, 100, sentNs);
  takeRttSample(one.words, 0, 100, sentNs + rtt * 1e9);
}

describe('the RTT of a flow', () => {
  test('is not known before the first measurement', () => {
    const { words, doubles } = record();
    expect(rtoEstimateUs(words, 0)).toBe(0);
    expect(canBeAnswer(words, doubles, 0, 0)).toBe(true);
    expect(timeoutGapNs(words, 0)).toBe(100e6);
  });

  test('after one measurement gives RTO = R + max(4 R / 2, 0.2 s)', () => {
    const slow = record();
    feed(slow, 0.5);
    expect(rtoEstimateUs(slow.words, 0)).toBe(1.5e6);
    const fast = record();
    feed(fast, 0.01);
    expect(rtoEstimateUs(fast.words, 0)).toBe(0.21e6);
  });

  test('follows RFC 6298 within a microsecond a step', () => {
    const rtts = fc.array(fc.integer({ min: 10, max: 5_000_000 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(rtts, (samplesUs) => {
        const one = record();
        let srtt = 0;
        let rttvar = 0;
        samplesUs.forEach((us, i) => {
          feed(one, us / 1e6);
          rttvar = i === 0 ? us / 2 : 0.75 * rttvar + 0.25 * Math.abs(srtt - us);
          srtt = i === 0 ? us : 0.875 * srtt + 0.125 * us;
        });
        const rtoUs = srtt + Math.max(4 * rttvar, 200_000);
        expect(Math.abs(rtoEstimateUs(one.words, 0) - rtoUs)).toBeLessThan(60);
      }),
    );
  });

  test('is not taken from an acknowledgement of less than what is timed', () => {
    const one = record();
    startTiming(one.words, 0, 100, 0);
    takeRttSample(one.words, 0, 99, 1e8);
    expect(rtoEstimateUs(one.words, 0)).toBe(0);
    takeRttSample(one.words, 0, 150, 2e8);
    expect(rtoEstimateUs(one.words, 0)).toBe(0.6e6);
  });

  test('is not taken when something was sent again (Karn)', () => {
    const one = record();
    startTiming(one.words, 0, 100, 0);
    stopTiming(one.words, 0);
    takeRttSample(one.words, 0, 100, 1e8);
    expect(rtoEstimateUs(one.words, 0)).toBe(0);
  });

  test('is timed for one segment at a time', () => {
    const one = record();
    startTiming(one.words, 0, 100, 0);
    startTiming(one.words, 0, 200, 5e7);
    takeRttSample(one.words, 0, 100, 1e8);
    expect(timeoutGapNs(one.words, 0)).toBe(1e8);
  });

  test('says from when on a packet can be an answer', () => {
    const one = record();
    feed(one, 0.1);
    expect(canBeAnswer(one.words, one.doubles, 0, 74e6)).toBe(false);
    expect(canBeAnswer(one.words, one.doubles, 0, 75e6)).toBe(true);
  });

  test('works over the wrap of the sequence numbers', () => {
    const one = record();
    startTiming(one.words, 0, -(2 ** 31) + 5, 0);
    takeRttSample(one.words, 0, 2 ** 31 - 5, 5e7);
    expect(rtoEstimateUs(one.words, 0)).toBe(0);
    takeRttSample(one.words, 0, -(2 ** 31) + 5, 1e8);
    expect(timeoutGapNs(one.words, 0)).toBe(1e8);
  });

  test.each([0, 1e-9, 1e-6, 67, 1e6])('stays a positive number for a measurement of %d s', (rtt) => {
    const one = record();
    for (let i = 0; i < 50; i++) feed(one, rtt);
    const rtoUs = rtoEstimateUs(one.words, 0);
    expect(rtoUs).toBeGreaterThanOrEqual(200e3);
    expect(rtoUs).toBeLessThanOrEqual(4 * 67e6);
    expect(timeoutGapNs(one.words, 0)).toBeGreaterThanOrEqual(10e6);
  });
});
