import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import type { Strategy } from '../../../lib/pref/balancers/strategies.ts';
import { addFluidCommand, runFluid } from '../../../lib/cli/sim-fluid.ts';

const FLAGS = {
  flows: 20_000,
  gateways: 10,
  seconds: 120,
  seed: 3,
  prefixes: 2,
  flowRate: 1000,
  strategy: 'mixed' as Strategy,
  interval: 10,
  step: 0.1,
};

describe('preflex sim fluid', () => {
  it('is a command of `sim` with the options that its result names', () => {
    const sim = new Command('sim');
    addFluidCommand(sim);
    const names = sim.commands[0].options.map(({ long }) => long);
    expect(names).toEqual(expect.arrayContaining(['--flows', '--gateways', '--seconds', '--seed', '--json']));
  });

  it('prints figures that agree with each other, the same for the same seed', async () => {
    const result = await runFluid(FLAGS);
    expect(result.flows).toBe(20_000);
    expect(result.destinations).toBe(10 * 9 * 2);
    expect(result.intervals.length).toBe(12);
    expect(Math.abs(result.imbalance)).toBeLessThan(1e-9);
    expect(result.bottlenecks.utilisation.p90).toBeLessThanOrEqual(1 + 1e-9);
    expect(result.completionTime.p50).toBeLessThan(result.completionTime.p90);
    const again = await runFluid(FLAGS);
    const { buildSeconds, cpuSeconds, memoryBytes, wallSeconds, ...same } = again;
    expect(result).toMatchObject(same);
    expect(Math.min(buildSeconds, cpuSeconds, wallSeconds)).toBeGreaterThan(0);
    expect(memoryBytes).toBeLessThan(1e9);
  });

  it('has routes whose losses are less unequal when losses are balanced than when flows are', async () => {
    const spread = async (strategy: Strategy): Promise<number> =>
      (await runFluid({ ...FLAGS, strategy })).intervals.at(-1)!.lossSpread;
    const [equal, mixed] = [await spread('equal'), await spread('mixed')];
    expect(mixed).toBeLessThan(0.6 * equal);
  });
});
