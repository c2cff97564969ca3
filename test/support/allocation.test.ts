import { describe, expect, test } from 'vitest';
import { bytesAllocatedPerCall } from './allocation.ts';

describe('bytesAllocatedPerCall', () => {
  test('sees nothing in a function that only computes', () => {
    let sum = 0;
    const bytes = bytesAllocatedPerCall((call) => {
      sum = (sum + call) | 0;
    }, 200_000);
    expect(bytes).toBeLessThan(1);
    expect(sum).not.toBe(0);
  });

  test('sees an object of one field in every call', () => {
    let kept: object = {};
    const bytes = bytesAllocatedPerCall((call) => {
      kept = { call };
    }, 200_000);
    expect(bytes).toBeGreaterThan(15);
    expect(kept).toEqual({ call: expect.any(Number) as number });
  });

  test('sees an object in one call of eight', () => {
    let kept: object = {};
    const bytes = bytesAllocatedPerCall((call) => {
      if ((call & 7) === 0) kept = { call };
    }, 200_000);
    expect(bytes).toBeGreaterThan(1);
    expect(kept).toEqual({ call: expect.any(Number) as number });
  });
});
