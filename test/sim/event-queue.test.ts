import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventQueue } from '../../lib/sim/event-queue.ts';
import { bytesAllocatedPerCall } from '../support/allocation.ts';

describe('EventQueue', () => {
  it('says that nothing waits', () => {
    const queue = new EventQueue();
    expect(queue.take(Infinity)).toBe(-1);
    expect(queue.nextNs).toBe(Infinity);
    expect(queue.size).toBe(0);
  });

  it('gives back kind, arguments and time', () => {
    const queue = new EventQueue();
    queue.schedule(12.5, 15, 2 ** 28 - 1, -7);
    expect(queue.nextNs).toBe(12.5);
    expect(queue.take(Infinity)).toBe(15);
    expect([queue.nowNs, queue.first, queue.second]).toEqual([12.5, 2 ** 28 - 1, -7]);
  });

  it('leaves events behind the limit where they are', () => {
    const queue = new EventQueue();
    queue.schedule(10, 1, 0, 0);
    expect(queue.take(9)).toBe(-1);
    expect(queue.take(10)).toBe(1);
  });

  it('runs an event as if it had been scheduled when its order was taken', () => {
    const queue = new EventQueue();
    const event = new Float64Array([5, queue.takeOrder()]);
    queue.schedule(5, 1, 0, 0);
    queue.scheduleFrom(event, 0, 2, 0);
    expect([queue.take(Infinity), queue.take(Infinity)]).toEqual([2, 1]);
  });

  it('takes events like a list sorted by time and then by order of scheduling, whatever the mix of calls', () => {
    // Few different times, so that ties are frequent; each step schedules one or more, or takes one.
    const step = fc.oneof(
      fc.record({
        times: fc.array(fc.integer({ min: 0, max: 8 }), { minLength: 1, maxLength: 6 }),
        isPacket: fc.boolean(),
      }),
      fc.constant(undefined),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const queue = new EventQueue();
        let waiting: { timeNs: number; id: number }[] = [];
        let id = 0;
        const takeBoth = (): void => {
          waiting = waiting.sort((a, b) => a.timeNs - b.timeNs || a.id - b.id);
          const expected = waiting.shift();
          expect(queue.take(Infinity)).toBe(expected === undefined ? -1 : 3);
          if (expected !== undefined)
            expect([queue.first, queue.nowNs]).toEqual([expected.id, expected.timeNs]);
        };
        for (const one of steps) {
          if (one === undefined) takeBoth();
          else {
            for (const time of one.times) {
              const timeNs = queue.nowNs + time;
              waiting.push({ timeNs, id });
              if (one.isPacket) queue.scheduleFrom(new Float64Array([timeNs, queue.takeOrder()]), 0, 3, id++);
              else queue.schedule(timeNs, 3, id++, 0);
            }
          }
          expect(queue.size).toBe(waiting.length);
        }
        while (waiting.length > 0) takeBoth();
        takeBoth();
      }),
    );
  });

  it('grows beyond its first capacity and stays sorted', () => {
    const queue = new EventQueue();
    for (let i = 0; i < 5000; i++) queue.schedule((i * 7919) % 5000, 1, i, 0);
    for (let i = 0; i < 5000; i++) {
      queue.take(Infinity);
      expect(queue.nowNs).toBe(i);
    }
  });

  it('allocates nothing for an event that is scheduled from arrays', () => {
    const queue = new EventQueue();
    const event = new Float64Array(2);
    const perCall = bytesAllocatedPerCall((call) => {
      event[0] = call;
      event[1] = call;
      queue.scheduleFrom(event, 0, 1, call & 0xff);
      queue.take(Infinity);
    }, 200_000);
    expect(perCall).toBeLessThan(1);
  });
});
