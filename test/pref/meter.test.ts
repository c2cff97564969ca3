import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  METER_BYTES,
  METER_FLOWLETS,
  METER_FNE_REPEAT_BYTES,
  METER_LEX_BYTES,
  Meter,
} from '../../lib/pref/meter.ts';
import { RouteTable } from '../../lib/pref/route-table.ts';

function meterWith(destinations: number) {
  const table = new RouteTable([1, 2], (count) => 1 / count, 0);
  for (let i = 0; i < destinations; i++) table.add(0b11);
  return { table, meter: new Meter(table) };
}

function endInterval(meter: Meter): number[] {
  const destinations = Array.from({ length: meter.endInterval() }, (_, i) => meter.endedDestination(i));
  return destinations.filter((destination) => meter.snapshot(destination));
}

const FIELDS = [METER_BYTES, METER_LEX_BYTES, METER_FNE_REPEAT_BYTES, METER_FLOWLETS];

describe('Meter', () => {
  test('keeps the last interval and the total apart', () => {
    const { meter } = meterWith(1);
    meter.addPacket(0, 1, 1500, false);
    meter.addPacket(0, 1, 500, true);
    meter.addFneRepeat(0, 1, 60);
    meter.addFlowlet(0, 1);
    endInterval(meter);
    meter.addPacket(0, 1, 40, false);
    expect(FIELDS.map((field) => meter.last(0, 1, field))).toEqual([2000, 500, 60, 1]);
    expect(FIELDS.map((field) => meter.total(0, 1, field))).toEqual([2040, 500, 60, 1]);
    expect(FIELDS.map((field) => meter.total(0, 0, field))).toEqual([0, 0, 0, 0]);
  });

  test('counts sums from elsewhere as it counts packets, and figures from before the start in totals alone', () => {
    const { meter } = meterWith(1);
    meter.restore(0, 1, 7000, 700, 70, 7);
    expect(meter.endInterval()).toBe(0);
    expect(FIELDS.map((field) => meter.lastOfRoute(1, field))).toEqual([0, 0, 0, 0]);
    meter.count(0, 1, 2000, 500, 60, 3);
    meter.count(0, 0, 0, 0, 0, 1);
    meter.count(0, 0, 0, 0, 0, 0);
    expect(endInterval(meter)).toEqual([0]);
    expect(FIELDS.map((field) => meter.last(0, 1, field))).toEqual([2000, 500, 60, 3]);
    expect(FIELDS.map((field) => meter.lastOfRoute(1, field))).toEqual([2000, 500, 60, 3]);
    expect(FIELDS.map((field) => meter.total(0, 1, field))).toEqual([9000, 1200, 130, 10]);
    expect(FIELDS.map((field) => meter.routeTotal(1, field))).toEqual([9000, 1200, 130, 10]);
    expect(meter.last(0, 0, METER_FLOWLETS)).toBe(1);
  });

  test('lists only destinations that had traffic, each once', () => {
    const { meter } = meterWith(10_000);
    for (const destination of [9_999, 3, 9_999]) meter.addPacket(destination, 0, 100, false);
    meter.addFlowlet(5, 1);
    expect(endInterval(meter)).toEqual([9_999, 3, 5]);
    expect(endInterval(meter)).toEqual([]);
  });

  test('shows nothing of the last interval for a destination that was idle in it', () => {
    const { meter } = meterWith(1);
    meter.addPacket(0, 0, 100, false);
    endInterval(meter);
    endInterval(meter);
    expect([meter.last(0, 0, METER_BYTES), meter.total(0, 0, METER_BYTES)]).toEqual([0, 100]);
  });

  test('loses nothing that arrives between the end of an interval and the snapshot', () => {
    const { meter } = meterWith(1);
    meter.addPacket(0, 0, 100, false);
    meter.endInterval();
    meter.addPacket(0, 0, 11, false);
    meter.snapshot(0);
    expect([meter.last(0, 0, METER_BYTES), meter.total(0, 0, METER_BYTES)]).toEqual([111, 111]);
    endInterval(meter);
    expect(meter.total(0, 0, METER_BYTES)).toBe(111);
  });

  test('closes the books of a destination once an interval', () => {
    const { meter } = meterWith(1);
    meter.addPacket(0, 0, 100, false);
    meter.endInterval();
    expect([meter.snapshot(0), meter.snapshot(0), meter.last(0, 0, METER_BYTES)]).toEqual([true, false, 100]);
  });

  test('starts anew for a destination that takes a freed index', () => {
    const { table, meter } = meterWith(1);
    meter.addPacket(0, 0, 100, true);
    endInterval(meter);
    meter.addPacket(0, 0, 50, true);
    table.remove(0);
    meter.forget(0);
    table.add(0b11);
    meter.addPacket(0, 0, 7, false);
    expect([meter.total(0, 0, METER_BYTES), meter.last(0, 0, METER_BYTES)]).toEqual([7, 0]);
    expect(endInterval(meter)).toEqual([0]);
    expect([meter.total(0, 0, METER_BYTES), meter.total(0, 0, METER_LEX_BYTES)]).toEqual([7, 0]);
  });

  test('skips a destination that was removed', () => {
    const { table, meter } = meterWith(2);
    meter.addPacket(0, 0, 100, false);
    meter.addPacket(1, 0, 100, false);
    table.remove(0);
    meter.forget(0);
    expect(endInterval(meter)).toEqual([1]);
  });

  test('conserves every byte over intervals, destinations and routes', () => {
    const step = fc.oneof(
      {
        weight: 9,
        arbitrary: fc.tuple(fc.nat(4), fc.nat(1), fc.integer({ min: 20, max: 65_535 }), fc.boolean()),
      },
      { weight: 1, arbitrary: fc.constant('end' as const) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { meter } = meterWith(5);
        const sent = [0, 0];
        const lex = [0, 0];
        const closed = [0, 0];
        for (const current of [...steps, 'end' as const]) {
          if (current === 'end') {
            for (const destination of endInterval(meter)) {
              for (const slot of [0, 1]) closed[slot] += meter.last(destination, slot, METER_BYTES);
            }
            continue;
          }
          const [destination, slot, bytes, isLex] = current;
          meter.addPacket(destination, slot, bytes, isLex);
          sent[slot] += bytes;
          if (isLex) lex[slot] += bytes;
        }
        expect(closed).toEqual(sent);
        for (const slot of [0, 1]) {
          const totals = [0, 1, 2, 3, 4].map((destination) => meter.total(destination, slot, METER_BYTES));
          expect(totals.reduce((total, bytes) => total + bytes, 0)).toBe(sent[slot]);
          expect([meter.routeTotal(slot, METER_BYTES), meter.routeTotal(slot, METER_LEX_BYTES)]).toEqual([
            sent[slot],
            lex[slot],
          ]);
        }
      }),
    );
  });
});
