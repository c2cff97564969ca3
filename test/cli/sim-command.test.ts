/** The commands of `preflex sim` as they are typed, in processes of their own. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { Figure1Report } from '../../lib/cli/sim-figure1.ts';
import type { SweepReport } from '../../lib/cli/sim-sweep.ts';
import { preflexArgv } from '../../namespaces-lab/processes/preflex-process.ts';
import { comparedRun, readResult, reportComparison } from '../../namespaces-lab/reports/compare.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const sample = join(root, 'docs/samples/sweep.yaml');
const folder = mkdtempSync(join(tmpdir(), 'pfx-sim-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command; `onStderr` may act on the process while it runs. */
function sim(args: readonly string[], onStderr?: (text: string, kill: () => void) => void): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const [program, ...rest] = preflexArgv(['sim', ...args]);
    const child = spawn(program, rest, { cwd: root });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      onStderr?.(stderr, () => child.kill('SIGINT'));
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

const FIGURE1 = ['figure1', '--scenario', 'quick', '--seconds', '4', '--interval', '0.5', '--json'];

describe('sim figure1', () => {
  it('prints the same bytes for the same seeds, whatever the number of workers', async () => {
    const seeds = ['--seeds', '1..3'];
    const [one, two, again] = await Promise.all([
      sim([...FIGURE1, ...seeds, '--workers', '1']),
      sim([...FIGURE1, ...seeds, '--workers', '2']),
      sim([...FIGURE1, ...seeds, '--workers', '2']),
    ]);
    expect(one.code).toBe(0);
    expect(one.stdout.length).toBeGreaterThan(10_000);
    expect(two.stdout).toBe(one.stdout);
    expect(again.stdout).toBe(one.stdout);
    const report = JSON.parse(one.stdout) as Figure1Report;
    expect(report.runs.map(({ seed }) => seed)).toEqual([1, 2, 3]);
    expect(report.statistics.figures['l1 loss ratio']).toMatchObject({ count: 3 });
  });

  it("writes results of the laboratory's shape, which lab compare takes, and the figures", async () => {
    const out = join(folder, 'figure1');
    const { code, stderr } = await sim([...FIGURE1, '--seeds', '5,6', '--out', out]);
    expect(code).toBe(0);
    expect(readdirSync(out).sort()).toEqual([
      ...['figure2.svg', 'figure3.svg', 'figure4.svg', 'result.json', 'seed-5', 'seed-6'],
    ]);
    expect(stderr).toContain(`wrote ${join(out, 'result.json')}`);
    expect(readFileSync(join(out, 'figure4.svg'), 'utf8')).toContain('Flowlet ratio of the routes toward E1');
    const result = readResult(join(out, 'seed-6'));
    for (const field of ['meta', 'intervals', 'flows', 'host', 'gateway', 'summary', 'transfers']) {
      expect(result[field], field).toBeDefined();
    }
    expect(result.meta['seed']).toBe(6);
    expect(result.intervals).toHaveLength(8);
    expect(reportComparison([comparedRun(out, result)])).toContain('l3 utilisation');
  });

  it('shows means with their confidence intervals', async () => {
    const { stdout } = await sim(FIGURE1.filter((arg) => arg !== '--json').concat('--seeds', '1,2'));
    expect(stdout).toMatch(/quick: 4 s of traffic, mode loss, interval 0.5 s, 2 seeds/);
    expect(stdout).toMatch(/l1 utilisation +[\d.]+ +± [\d.]+ +[\d.]+ +[\d.]+ +2/);
    expect(stdout).toContain('Valid: all checks passed.');
  });

  it('ends with the signal and leaves nothing when it is interrupted', async () => {
    const out = join(folder, 'interrupted');
    const args = ['figure1', '--seeds', '1..4', '--workers', '2', '--out', out, '--json'];
    const ended = await sim(args, (text, kill) => {
      if (text.includes('runs')) kill();
    });
    expect(ended.signal).toBe('SIGINT');
    expect(ended.stdout).toBe('');
    expect(ended.stderr).not.toContain('preflex:');
    expect(existsSync(out)).toBe(false);
  });

  it.each([
    [['--scenario', 'fig9'], /scenario: "fig9" is not known/],
    [['--mode', 'loss', '--betas', '1,0,0'], /--betas goes with --mode mixed/],
    [['--seeds', '2..1'], /whole numbers such as 1..30/],
  ])('refuses %j', async (args, message) => {
    const { code, stdout, stderr } = await sim(['figure1', '--seconds', '1', ...args]);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(message);
  });
});

describe('sim sweep', () => {
  it('runs the sample at small size: a table, the points as JSON and a heat map', async () => {
    const file = join(folder, 'sweep.yaml');
    const small = readFileSync(sample, 'utf8')
      .replace('seconds: 60', 'seconds: 4')
      .replace('warmUpSeconds: 20', 'warmUpSeconds: 1')
      .replace('[1, 5]', '[0.5, 1]');
    writeFileSync(file, small);
    const out = join(folder, 'sweep');
    const { code, stdout } = await sim(['sweep', file, '--out', out, '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as SweepReport;
    expect(report.points).toHaveLength(6);
    for (const { figures } of report.points) expect(figures.utilisation).toMatchObject({ count: 2 });
    expect(JSON.parse(readFileSync(join(out, 'sweep.json'), 'utf8'))).toEqual(report);
    expect(readFileSync(join(out, 'heat-map.svg'), 'utf8').match(/class="cell"/g)).toHaveLength(6);
  });

  it('names file, line, field, value and allowed range of what is wrong', async () => {
    const file = join(folder, 'wrong.yaml');
    writeFileSync(file, 'seconds: 60\nwarmUpSeconds: 10\ngrid:\n  routes: [3, 16]\n');
    const { code, stderr } = await sim(['sweep', file]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      `preflex: ${file}:4:15: grid.routes[1]: 16 is not allowed; it takes a whole number from 2 to 15\n`,
    );
  });
});

describe('sim loss-table', () => {
  it('has a row for each algorithm and number of flows', async () => {
    const { stdout } = await sim(['loss-table', '--flows', '1,3', '--seconds', '20', '--json']);
    const { rows } = JSON.parse(stdout) as { rows: { congestionControl: string; flows: number }[] };
    expect(rows.map(({ congestionControl, flows }) => [congestionControl, flows])).toEqual([
      ['newreno', 1],
      ['newreno', 3],
      ['cubic', 1],
      ['cubic', 3],
    ]);
  });
});

describe('sim recovery', () => {
  it('has a row for each seed and one for all', async () => {
    const { code, stdout } = await sim(['recovery', '--dead', 'both', '--seeds', '1,2']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^seed +stood still +median/);
    expect(stdout).toMatch(/\n1 +\d+ +[\d.]+ s/);
    expect(stdout).toMatch(/\nall +\d+ +[\d.]+ s +[\d.]+ s +[\d.]+ s +0 +\d+ of \d+\n$/);
  });

  it('refuses a direction that is none', async () => {
    const { code, stderr } = await sim(['recovery', '--dead', 'sideways']);
    expect(code).toBe(1);
    expect(stderr).toContain('forward, backward, both');
  });
});

describe('sim congestion', () => {
  it('counts the suspensions of all kinds of congestion', async () => {
    const { code, stdout } = await sim(['congestion', '--seconds', '10', '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as { suspensions: number; records: { regime: string }[] };
    expect(report.suspensions).toBe(0);
    expect(report.records.map(({ regime }) => regime)).toContain('8 % in bursts of 5');
  });
});
