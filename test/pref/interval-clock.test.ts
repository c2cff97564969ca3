import { describe, expect, test } from 'vitest';
import { IntervalClock } from '../../lib/pref/interval-clock.ts';

const S = 1e9;
const KB = 1e3;

describe('the clock of update intervals', () => {
  test('keeps the length that is set within its bounds', () => {
    const clock = new IntervalClock(10 * S, 2 * S, 40 * S);
    clock.start(0);
    for (const [wanted, expected] of [
      [1, 2],
      [7, 7],
      [100, 40],
    ]) {
      clock.setLength(wanted * S);
      expect(clock.lengthNs).toBe(expected * S);
    }
  });

  test('sets the end of the running interval', () => {
    const clock = new IntervalClock(10 * S, 2 * S, 40 * S);
    clock.start(0);
    clock.next(10 * S, 0);
    clock.setLength(4 * S);
    expect(clock.atNs).toBe(14 * S);
    expect(clock.isOver(14 * S, 0)).toBe(true);
    expect(clock.next(14 * S, 0)).toBe(4 * S);
    expect(clock.atNs).toBe(18 * S);
  });

  test('looks for a surge of losses in a stretched interval, and ends it then', () => {
    const clock = new IntervalClock(10 * S, 2 * S, 40 * S);
    clock.start(0);
    clock.next(10 * S, 100 * KB);
    clock.setLength(40 * S);
    expect(clock.atNs).toBe(20 * S);
    // As before: 100 kB in 10 s.
    expect(clock.isOver(20 * S, 200 * KB)).toBe(false);
    expect(clock.atNs).toBe(30 * S);
    // Four times as much in 20 s.
    expect(clock.isOver(30 * S, 600 * KB)).toBe(true);
    expect(clock.next(30 * S, 600 * KB)).toBe(20 * S);
  });

  test('does not take a hundred packets or fewer for a surge', () => {
    const clock = new IntervalClock(10 * S, 2 * S, 40 * S);
    clock.start(0);
    clock.next(10 * S, 0);
    clock.setLength(40 * S);
    expect(clock.isOver(20 * S, 149 * KB)).toBe(false);
    expect(clock.isOver(30 * S, 151 * KB)).toBe(true);
  });

  test('asks again at the end, however late it is called', () => {
    const clock = new IntervalClock(10 * S, 2 * S, 40 * S);
    clock.start(0);
    clock.setLength(35 * S);
    expect(clock.isOver(33 * S, 0)).toBe(false);
    expect(clock.atNs).toBe(35 * S);
    expect(clock.isOver(99 * S, 0)).toBe(true);
    clock.next(99 * S, 0);
    expect(clock.atNs).toBe(109 * S);
  });
});
