import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { seqAfter, seqBefore, seqDelta, seqMax } from '../../lib/wire/seq.ts';

const seq = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const nearDistance = fc.integer({ min: 1, max: 2 ** 31 - 1 });

describe('sequence numbers', () => {
  test('a number is before the one that follows it, also across 2^32', () => {
    fc.assert(
      fc.property(seq, nearDistance, (from, distance) => {
        const to = (from + distance) | 0;
        expect(seqBefore(from, to)).toBe(true);
        expect(seqAfter(to, from)).toBe(true);
        expect(seqBefore(to, from)).toBe(false);
        expect(seqAfter(from, to)).toBe(false);
        expect(seqMax(from, to)).toBe(to);
        expect(seqMax(to, from)).toBe(to);
      }),
    );
  });

  test('the delta is the distance that was added', () => {
    fc.assert(
      fc.property(seq, nearDistance, (from, distance) => {
        expect(seqDelta((from + distance) | 0, from)).toBe(distance);
        expect(seqDelta(from, (from + distance) | 0)).toBe(-distance);
      }),
    );
  });

  test('a number is neither before nor after itself', () => {
    expect(seqBefore(-1, -1)).toBe(false);
    expect(seqAfter(-1, -1)).toBe(false);
    expect(seqDelta(-1, -1)).toBe(0);
    expect(seqMax(-1, -1)).toBe(-1);
  });

  test('0 follows 2^32 - 1', () => {
    expect(seqDelta(0, 0xffffffff | 0)).toBe(1);
    expect(seqBefore(0xffffffff | 0, 0)).toBe(true);
  });
});
