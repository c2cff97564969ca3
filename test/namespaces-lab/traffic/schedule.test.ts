/** Concurrent flows over time. */
import { describe, expect, it } from 'vitest';
import { requireSchedule, scaleSchedule, wantedFlows } from '../../../namespaces-lab/traffic/schedule.ts';

const STEPS = [
  { fromSeconds: 0, flows: 3 },
  { fromSeconds: 10, flows: 7 },
  { fromSeconds: 20, flows: 0 },
];

describe('a schedule', () => {
  it.each([
    [-1, 0],
    [0, 3],
    [9.99, 3],
    [10, 7],
    [1000, 0],
  ])('is constant between its steps: at %d s there are %d flows', (seconds, flows) => {
    expect(wantedFlows(STEPS, seconds)).toBe(flows);
  });

  it('can be scaled in time', () => {
    expect(scaleSchedule(STEPS, 0.1).map((step) => step.fromSeconds)).toEqual([0, 1, 2]);
  });

  it.each([
    [[], /a first step at 0 seconds/],
    [[{ fromSeconds: 1, flows: 1 }], /a first step at 0 seconds/],
    [[STEPS[0], STEPS[0]], /x\[1\].fromSeconds: 0 is not allowed; it takes more than 0/],
    [[{ fromSeconds: 0, flows: -1 }], /x\[0\].flows: -1/],
    [[{ fromSeconds: 0, flows: 1.5 }], /a whole number/],
  ])('is refused when it does not make sense: %j', (steps, message) => {
    expect(() => requireSchedule('x', steps)).toThrow(message);
  });
});
