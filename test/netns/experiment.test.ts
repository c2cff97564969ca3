/**
 * The experiment `quick` in a fifth of its time, by the real command: the shape of what it leaves, and that no packet
 * goes missing. Figures of time depend on the machine and are not asserted.
 */
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { listNamespaces, readSysctl } from '../../lib/netns/index.ts';
import { preflexArgv } from '../../namespaces-lab/processes/preflex-process.ts';
import type { ExperimentResult } from '../../namespaces-lab/runs/experiment.ts';
import type { Baseline } from '../../namespaces-lab/scenarios/scenario.ts';
import { describeNetns, useLab } from '../support/netns.ts';

const SECONDS = 10;
const BASELINE_SECONDS = 7;
/** Checks that a busy machine may fail; the others it may not. */
const OF_TIME = /^(emulator late|enough processor time)/;

describeNetns('lab run', () => {
  const lab = useLab();

  /** Runs the command; exit code 2 says that the run was invalid, which a busy machine makes it. */
  async function runLab(args: readonly string[]): Promise<{ readonly pid: number; readonly stdout: string }> {
    const child = lab.scope.spawn(preflexArgv(['lab', ...args]));
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name]!.setEncoding('utf8').on('data', (text: string) => (texts[name] += text));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0 && code !== 2)
      throw new Error(`lab ${args.join(' ')} ended with ${code}: ${texts.stderr}`);
    return { pid: child.pid!, stdout: texts.stdout };
  }

  it('runs Figure 1 and leaves rows, transfers, checks and figures, and nothing else', async () => {
    const out = join(lab.folder, 'out');
    const iperf3 = ['--iperf3', 'i1>e1=2'];
    const seconds = ['--seconds', String(SECONDS)];
    const run = await runLab(['run', 'quick', ...seconds, '--seed', '5', ...iperf3, '--out', out]);
    const result = JSON.parse(readFileSync(join(out, 'result.json'), 'utf8')) as ExperimentResult;

    expect(result.meta).toMatchObject({ topology: 'figure1', scenario: 'quick', mode: 'loss', seed: 5 });
    expect(result.meta.command).toContain('lab run quick');
    expect(result.intervals.length).toBeGreaterThanOrEqual(SECONDS - 3);
    for (const { routes } of result.intervals) {
      expect(routes.map((route) => route.name)).toEqual(['l1', 'l2', 'l3']);
      expect(routes.reduce((sum, route) => sum + route.flowletRatio!, 0)).toBeCloseTo(1, 6);
      for (const route of routes) {
        expect(route.lossRatio).toBeGreaterThanOrEqual(0);
        expect(route.trueDropRatio).toBeLessThanOrEqual(1);
        expect(route.utilisation).toBeLessThan(1.3);
      }
    }

    // What the clock cannot spoil must hold.
    const failed = result.validity.checks.filter((check) => !check.isOk && !OF_TIME.test(check.name));
    expect(failed).toEqual([]);
    expect(result.flows.completed).toBeGreaterThan(10);
    expect(result.flows.failed).toBe(0);
    expect(result.flows.started).toBe(result.transfers.length);
    expect(
      result.emulator.lanes.find((lane) => lane.link === 'L2')?.droppedPackets['blackhole'],
    ).toBeGreaterThan(0);
    const { kernelBytes, lexPayloadBytes, difference } = result.summary.retransmitted;
    expect(lexPayloadBytes).toBeGreaterThan(0);
    // What is open at the end is read while it still sends.
    expect(Math.abs(difference!) / kernelBytes).toBeLessThan(0.01);

    expect(result.iperf3).toMatchObject([{ pair: 'i1>e1', flows: 2 }]);
    expect(result.iperf3[0].receivedBytes).toBeGreaterThan(100_000);

    for (const figure of ['figure2.svg', 'figure3.svg', 'figure4.svg']) {
      expect(existsSync(join(out, figure)), figure).toBe(true);
    }
    const comparison = await runLab(['compare', out, out, '--json']);
    const { runs } = JSON.parse(comparison.stdout) as { runs: { scenario: string }[] };
    expect(runs.map((run) => run.scenario)).toEqual(['quick', 'quick']);
    // Its own only: another run may go on beside.
    expect(listNamespaces().filter((name) => name.startsWith(`pfx-${run.pid}-`))).toEqual([]);
  });

  it('runs two domains, and loses no connection when a route dies', async () => {
    const out = join(lab.folder, 'out');
    await runLab(['run', 'recovery', '--seconds', '18', '--out', out]);
    const result = JSON.parse(readFileSync(join(out, 'result.json'), 'utf8')) as ExperimentResult;
    const failed = result.validity.checks.filter((check) => !check.isOk && !OF_TIME.test(check.name));
    expect(failed).toEqual([]);
    const recovery = result.summary.recovery!;
    expect(recovery.running).toBe(60);
    expect(recovery.affected).toBeGreaterThan(0);
    expect(recovery.lost).toBe(0);
    expect(recovery.stall.p50).toBeLessThan(3);
  });

  it('runs Figure 1 with programs in the kernel, exactly', async () => {
    const out = join(lab.folder, 'ebpf');
    await runLab(['run', 'quick', '--seconds', String(SECONDS), '--datapath', 'ebpf', '--out', out]);
    const result = JSON.parse(readFileSync(join(out, 'result.json'), 'utf8')) as ExperimentResult;
    expect(result.meta['datapath']).toBe('ebpf');
    expect(result.validity.checks.map(({ name }) => name)).toContain('room for every flow in the kernel');
    const failed = result.validity.checks.filter((check) => !check.isOk && !OF_TIME.test(check.name));
    expect(failed).toEqual([]);
    expect(result.flows.completed).toBeGreaterThan(10);
    const { kernelBytes, lexPayloadBytes, difference } = result.summary.retransmitted;
    expect(lexPayloadBytes).toBeGreaterThan(0);
    expect(Math.abs(difference!) / kernelBytes).toBeLessThan(0.01);
    // Every route was used, by the gateway's count, which the checks hold against the links.
    for (const { total } of result.gateway!.routes) expect(total.bytes).toBeGreaterThan(100_000);
  });

  async function runBaseline(mode: Baseline): Promise<ExperimentResult> {
    const out = join(lab.folder, mode);
    const seconds = ['--seconds', String(BASELINE_SECONDS), '--interval', '1'];
    await runLab(['run', 'recovery', ...seconds, '--mode', mode, '--out', out]);
    const result = JSON.parse(readFileSync(join(out, 'result.json'), 'utf8')) as ExperimentResult;
    expect(result.validity.checks.filter((check) => !check.isOk && !OF_TIME.test(check.name))).toEqual([]);
    expect(result.validity.leftOut).toHaveLength(1);
    expect(result).toMatchObject({ gateway: null, host: null, betas: null });
    expect(result.intervals.length).toBeGreaterThanOrEqual(BASELINE_SECONDS - 2);
    expect(result.flows.completed).toBeGreaterThan(10);
    expect(existsSync(join(out, 'figure3.svg'))).toBe(true);
    expect(existsSync(join(out, 'figure4.svg'))).toBe(false);
    return result;
  }

  /** Bytes that each route was offered before the failure, by the rows. */
  function bytesOf({ intervals, scenario }: ExperimentResult): number[] {
    const before = intervals.filter(({ t }) => t <= scenario.changes[0].atSeconds);
    return ['l1', 'l2', 'l3'].map((name) =>
      before.reduce((sum, row) => sum + row.routes.find((route) => route.name === name)!.bytes, 0),
    );
  }

  it('divides by the hash of the kernel without PREFLEX', async () => {
    const result = await runBaseline('ecmp');
    for (const bytes of bytesOf(result)) expect(bytes).toBeGreaterThan(100_000);
    expect(result.intervals[0].routes[0]).toMatchObject({ lexBytes: null, flowletRatio: null });
    expect(result.summary.recovery!.affected).toBeGreaterThan(0);
  });

  it('sends everything by one route without PREFLEX', async () => {
    const result = await runBaseline('single');
    const [l1, ...others] = bytesOf(result);
    expect(l1).toBeGreaterThan(1e6);
    expect(others).toEqual([0, 0]);
    expect(result.baseline).toBe('everything by l1, hosts without agent');
  });

  const hasMptcp = readSysctl('net/mptcp/enabled') !== undefined;
  if (!hasMptcp) console.warn('SKIPPED subflows with MPTCP: this kernel has none (CONFIG_MPTCP).');
  it.skipIf(!hasMptcp)('has subflows over all routes with MPTCP', async () => {
    const result = await runBaseline('mptcp');
    for (const bytes of bytesOf(result)) expect(bytes).toBeGreaterThan(100_000);
    expect(result.sources['s'].subflows!['3']).toBeGreaterThan(10);
  });
});
