import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventQueue } from '../../../lib/sim/event-queue.ts';
import { DelayedAcks, EVENT_DELAYED_ACK } from '../../../lib/sim/tcp/delayed-acks.ts';

const DELAY_NS = 40;

/** Runs the queue until a time; who acknowledged, and when. */
function run(queue: EventQueue, acks: DelayedAcks, untilNs: number): [number, number][] {
  const told: [number, number][] = [];
  for (;;) {
    const kind = queue.take(untilNs);
    if (kind < 0) break;
    if (kind !== EVENT_DELAYED_ACK) continue;
    const connection = acks.take();
    if (connection >= 0) told.push([queue.nowNs, connection]);
  }
  queue.advanceTo(untilNs);
  return told;
}

function fresh(): { queue: EventQueue; acks: DelayedAcks } {
  const queue = new EventQueue();
  const acks = new DelayedAcks(queue, 7, DELAY_NS);
  for (let connection = 0; connection < 5; connection++) acks.reset(connection);
  return { queue, acks };
}

describe('DelayedAcks', () => {
  it('lets a connection acknowledge after the delay, once', () => {
    const { queue, acks } = fresh();
    acks.set(3);
    queue.advanceTo(10);
    acks.set(3);
    expect(run(queue, acks, 1000)).toEqual([[DELAY_NS, 3]]);
    expect(queue.size).toBe(0);
  });

  it('has no event for acknowledgements that were sent meanwhile', () => {
    const { queue, acks } = fresh();
    for (let i = 0; i < 1000; i++) {
      acks.set(i % 5);
      acks.unset(i % 5);
    }
    acks.set(1);
    expect(queue.size).toBe(1);
    run(queue, acks, 1000);
    // The first, which finds all stale, and the one that is due.
    expect(queue.taken).toBe(2);
  });

  it('does what a timer for each acknowledgement would do', () => {
    const step = fc.record({
      connection: fc.integer({ min: 0, max: 4 }),
      isSet: fc.boolean(),
      waitNs: fc.integer({ min: 0, max: 15 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const { queue, acks } = fresh();
        const told: [number, number][] = [];
        const expected: [number, number][] = [];
        // Insertion keeps the order in which they were set.
        let timers: [number, number][] = [];
        const runBoth = (untilNs: number): void => {
          told.push(...run(queue, acks, untilNs));
          expected.push(...timers.filter(([dueNs]) => dueNs <= untilNs));
          timers = timers.filter(([dueNs]) => dueNs > untilNs);
        };
        for (const { connection, isSet, waitNs } of steps) {
          if (!isSet) {
            acks.unset(connection);
            timers = timers.filter((timer) => timer[1] !== connection);
          } else {
            acks.set(connection);
            if (!timers.some((timer) => timer[1] === connection))
              timers.push([queue.nowNs + DELAY_NS, connection]);
          }
          runBoth(queue.nowNs + waitNs);
        }
        runBoth(1e6);
        expect(told).toEqual(expected);
        expect(queue.size).toBe(0);
      }),
    );
  });
});
