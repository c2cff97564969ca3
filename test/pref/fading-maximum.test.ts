import { describe, expect, it } from 'vitest';
import { elapsedMs, FadingMaximum } from '../../lib/pref/fading-maximum.ts';

const DAY_MS = 86_400_000;

describe('the time between two moments', () => {
  it.each([
    [5, 5, 0],
    [5, 1005, 1000],
    [2 ** 31 - 10, (2 ** 31 + 10) | 0, 20],
    [0, 24 * DAY_MS, 24 * DAY_MS],
    [0, (30 * DAY_MS) | 0, 2 ** 31 - 1],
    [0, (49 * DAY_MS) | 0, 2 ** 31 - 1],
    [1000, 990, 0],
  ])('from %d to %d is %d ms', (fromMs, nowMs, expected) => {
    expect(elapsedMs(fromMs, nowMs)).toBe(expected);
  });
});

describe('a maximum that fades', () => {
  it('falls by e in its time constant, and to nothing while nobody asks for a month', () => {
    const maxima = new FadingMaximum(2, 1000);
    maxima.reset(1, 0);
    maxima.raise(1, 8, 0);
    expect(maxima.valueOf(1, 1000)).toBeCloseTo(8 / Math.E, 12);
    maxima.fade(1, 500);
    expect(maxima.valueOf(1, 1000)).toBeCloseTo(8 / Math.E, 12);
    expect(maxima.valueOf(1, (30 * DAY_MS) | 0)).toBe(0);
    expect(maxima.valueOf(0, 1000)).toBe(0);
  });

  it('is raised by what is higher than what is left of it', () => {
    const maxima = new FadingMaximum(1, 1000);
    maxima.raise(0, 8, 0);
    maxima.raise(0, 2, 1000);
    expect(maxima.valueOf(0, 1000)).toBeCloseTo(8 / Math.E, 12);
    maxima.raise(0, 3, 1000);
    expect(maxima.valueOf(0, 1000)).toBe(3);
    maxima.reset(0, 1000);
    expect(maxima.valueOf(0, 1000)).toBe(0);
  });
});
