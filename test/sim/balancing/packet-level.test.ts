import { expect, it } from 'vitest';
import { runPackets } from '../../../lib/sim/balancing/packet-level.ts';
import { selfTuning } from '../../../lib/pref/balancers/self-tuning.ts';

it('the self-tuning balancer settles near the capacities with real TCP, in intervals of its own', () => {
  const run = runPackets(selfTuning(), 1, 200);
  expect(run.turnover).toBeGreaterThan(0.7);
  expect(run.turnover).toBeLessThan(1.3);
  expect(run.alternations).toBeLessThan(4);
  // 4, 12 and 36 Mbit/s.
  expect(run.ratios[0]).toBeLessThan(0.16);
  expect(run.ratios[2]).toBeGreaterThan(0.55);
  expect(run.throughputMbit).toBeGreaterThan(50);
  // Configured are 10 s; flows turn over faster than that allows.
  expect(run.intervalS).toBeLessThan(8);
  expect(run.lexPackets).toBeGreaterThan(900);
}, 300_000);
