/** Memory while flows come and go for hours of virtual time. */
import { expect, it } from 'vitest';
import { LIMIT_BYTES_PER_HOUR, runChurn, slopeOf } from '../../lib/bench/churn-bench.ts';

it('memory is flat at a fixed number of flows: under 1 MB an hour, over five hours of new ones', () => {
  const run = runChurn({ hours: 5, flows: 500, flowsPerSecond: 4 });
  expect(run.flowsOpened).toBeGreaterThanOrEqual(5 * 3600 * 4 - 20);
  // Each with its marks, so the cores had something to remember.
  expect(run.packets).toBeGreaterThan(6 * run.flowsOpened);
  expect(run.flowsTracked).toBeLessThanOrEqual(500);
  expect(run.flowsTracked).toBeGreaterThan(0);
  expect(slopeOf(run.hours.slice(1).map(({ used }) => used))).toBeLessThan(LIMIT_BYTES_PER_HOUR);
});

it('a slope is what a line has, and noise around a constant has none', () => {
  expect(slopeOf([1, 3, 5, 7])).toBe(2);
  expect(slopeOf([4, 4, 4])).toBe(0);
  expect(slopeOf([1, -1, -1, 1])).toBe(0);
});
