import { describe, expect, test } from 'vitest';
import { FneLimiter, LIMIT_DESTINATION, LIMIT_NONE, LIMIT_TOTAL } from '../../lib/pref/fne-limiter.ts';
import { MS, S } from './gateway-fixture.ts';

const limits = { ratePerDestination: 10, burstPerDestination: 3, rateTotal: 100, burstTotal: 5 };

function takeTimes(limiter: FneLimiter, times: number, destination: number, nowNs: number): number[] {
  return Array.from({ length: times }, () => limiter.take(destination, nowNs));
}

describe('FneLimiter', () => {
  test('lets a burst through, then the rate', () => {
    const limiter = new FneLimiter(limits);
    expect(takeTimes(limiter, 4, 0, 0)).toEqual([LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_DESTINATION]);
    expect(limiter.take(0, 99 * MS)).toBe(LIMIT_DESTINATION);
    expect(takeTimes(limiter, 2, 0, 100 * MS)).toEqual([LIMIT_NONE, LIMIT_DESTINATION]);
  });

  test('fills a bucket up to the burst and no further', () => {
    const limiter = new FneLimiter(limits);
    takeTimes(limiter, 3, 0, 0);
    expect(takeTimes(limiter, 5, 0, 1000 * S).filter((limit) => limit === LIMIT_NONE)).toHaveLength(3);
  });

  test('limits all destinations together', () => {
    const limiter = new FneLimiter(limits);
    const taken = [0, 1, 2, 3, 4, 5, 6].map((destination) => limiter.take(destination, 0));
    expect(taken).toEqual([...Array<number>(5).fill(LIMIT_NONE), LIMIT_TOTAL, LIMIT_TOTAL]);
    expect(limiter.take(7, 10 * MS)).toBe(LIMIT_NONE);
  });

  test('charges nothing for what it refuses', () => {
    const limiter = new FneLimiter(limits);
    takeTimes(limiter, 100, 0, 0);
    expect(takeTimes(limiter, 2, 1, 0)).toEqual([LIMIT_NONE, LIMIT_NONE]);
    takeTimes(limiter, 100, 2, 0);
    expect(takeTimes(limiter, 3, 2, 1 * S)).toEqual([LIMIT_NONE, LIMIT_NONE, LIMIT_NONE]);
  });

  test('keeps the rate over a long time', () => {
    const limiter = new FneLimiter(limits);
    let allowed = 0;
    for (let ms = 0; ms < 10_000; ms++) if (limiter.take(0, ms * MS) === LIMIT_NONE) allowed++;
    expect(allowed).toBe(3 + 99);
  });

  test('never limits at a rate of Infinity', () => {
    const limiter = new FneLimiter({ ...limits, ratePerDestination: Infinity, rateTotal: Infinity });
    expect(takeTimes(limiter, 1000, 0, 5)).toEqual(Array<number>(1000).fill(LIMIT_NONE));
  });

  test('starts full at any time, and again for a destination that takes a freed index', () => {
    const limiter = new FneLimiter({ ...limits, burstTotal: 100 });
    limiter.reserve(5000);
    expect(takeTimes(limiter, 3, 4999, 86_400 * S)).toEqual([LIMIT_NONE, LIMIT_NONE, LIMIT_NONE]);
    limiter.reset(4999);
    expect(limiter.take(4999, 86_400 * S)).toBe(LIMIT_NONE);
  });
});
