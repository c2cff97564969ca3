/** The timer as a descriptor. */
import { afterEach, describe, expect, it } from 'vitest';
import { nowNs } from '../../lib/sys/clock.ts';
import { TimerFd } from '../../lib/sys/timer-fd.ts';

const MS = 1e6;
const open: TimerFd[] = [];

function makeTimer(onExpire: () => void): TimerFd {
  const timer = new TimerFd(onExpire);
  open.push(timer);
  return timer;
}

afterEach(() => {
  for (const timer of open.splice(0)) timer.close();
});

describe('TimerFd', () => {
  it('expires once, and not before its time', async () => {
    let calls = 0;
    const due = nowNs() + 5 * MS;
    const at = await new Promise<number>((resolve) => {
      const timer = makeTimer(() => {
        calls++;
        resolve(nowNs());
      });
      timer.set(due);
    });
    expect(at).toBeGreaterThanOrEqual(due);
    await new Promise<void>((resolve) => makeTimer(resolve).set(nowNs() + 10 * MS));
    expect(calls).toBe(1);
  });

  it('takes the last time it was set to', async () => {
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      const moved = makeTimer(() => {
        order.push('moved');
        resolve();
      });
      moved.set(nowNs() + 1 * MS);
      moved.set(nowNs() + 40 * MS);
      makeTimer(() => order.push('other')).set(nowNs() + 10 * MS);
    });
    expect(order).toEqual(['other', 'moved']);
  });

  it('expires at once for a time that has passed', async () => {
    const expired = await new Promise<boolean>((resolve) => {
      makeTimer(() => {
        resolve(true);
      }).set(0);
    });
    expect(expired).toBe(true);
  });

  it('does not expire after clear', async () => {
    let isCalled = false;
    const timer = makeTimer(() => {
      isCalled = true;
    });
    timer.set(nowNs() + 1 * MS);
    timer.clear();
    await new Promise<void>((resolve) => makeTimer(resolve).set(nowNs() + 15 * MS));
    expect(isCalled).toBe(false);
  });

  it('refuses what is no time', () => {
    const timer = makeTimer(() => undefined);
    expect(() => timer.set(Number.NaN)).toThrow(/atNs/);
    expect(() => timer.set(Infinity)).toThrow(/atNs/);
  });

  it('can be closed twice', () => {
    const timer = makeTimer(() => undefined);
    timer.close();
    timer.close();
    expect(() => timer.set(1)).toThrow(/closed/);
  });
});
