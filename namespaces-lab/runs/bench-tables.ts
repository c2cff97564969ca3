/**
 * The benchmark `tables`: a gateway reads three kernel tables, and follows while prefixes are withdrawn and come back, in
 * a namespace of its own. Beside it the kernel's own pace: iproute2 making the same change.
 */
import { createVethPair, setLink } from '../../lib/netns/links.ts';
import { addAddress } from '../../lib/netns/addresses.ts';
import { ipBatch } from '../../lib/netns/ip.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { waitFor } from '../../lib/netns/wait.ts';
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult } from '../../lib/bench/measure.ts';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import { TableDestinations } from '../../lib/runtime/table-destinations.ts';
import { nowNs } from '../../lib/sys/clock.ts';
import { enterNetworkNamespace } from '../../lib/sys/netns.ts';

/** Options of the benchmark. */
export interface BenchTablesOptions {
  /** Prefixes in each of the three tables; default 100,000. */
  readonly prefixes?: number;
  /** Loads, and changes; default 3. */
  readonly pairs?: number;
  readonly onProgress?: (line: string) => void;
}

const TABLES = [101, 102, 103];
/** Part of the prefixes of one table that go and come back. */
const CHANGED_PART = 0.1;
const PROBE_MS = 5;
/** As in lib/runtime/table-follower.ts. */
const STEP_MS = 2;
const NS_PER_S = 1e9;

/** Runs it. */
export async function benchTables(scope: LabScope, options: BenchTablesOptions = {}): Promise<BenchResult[]> {
  const count = options.prefixes ?? 100_000;
  const progress = options.onProgress ?? (() => undefined);
  const netns = scope.namespace('tables');
  createVethPair({ name: 'wan', netns }, { name: 'peer', netns });
  for (const name of ['wan', 'peer']) setLink(name, { up: true }, { netns });
  addAddress('wan', '10.0.0.1/24', { netns });
  const prefixes = Array.from(
    { length: count },
    (_, i) => `${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`,
  );
  const change = (verb: string, some: readonly string[], table: number): number =>
    secondsOf(() => {
      const commands = some.map((prefix) => [
        'route',
        verb,
        prefix,
        'via',
        '10.0.0.2',
        'table',
        String(table),
      ]);
      ipBatch(commands, { netns, family: 4 });
    });
  progress(`filling three tables with ${count} prefixes each`);
  const filled = TABLES.reduce((sum, table) => sum + change('add', prefixes, table), 0);
  // For good: nothing else of this process needs the namespace it was started in.
  enterNetworkNamespace(`/run/netns/${netns}`);
  const emptyMiB = rssMiB();
  const loads: [number, number][] = [];
  let followed: TableDestinations | undefined;
  for (let pair = 0; pair < (options.pairs ?? 3); pair++) {
    followed?.close();
    const fresh = new PrefGateway({
      routes: TABLES.map((table, i) => ({ pathId: i + 1, name: `t${table}` })),
    });
    const seconds = secondsOf(() => (followed = follow(fresh)));
    loads.push([seconds, filled]);
    progress(`loaded in ${seconds.toFixed(2)} s`);
  }
  scope.defer('tables', () => followed?.close());
  const moved = prefixes.slice(0, Math.floor(count * CHANGED_PART));
  const changes: [number, number][] = [];
  let longestStallMs = 0;
  for (const verb of ['del', 'add', 'del', 'add']) {
    const entries = (): number => followed!.status().tables[0].entries.ipv4;
    const wanted = entries() + (verb === 'add' ? moved.length : -moved.length);
    const made = change(verb, moved, TABLES[0]);
    let last = nowNs();
    const probe = setInterval(() => {
      longestStallMs = Math.max(longestStallMs, (nowNs() - last) / 1e6 - PROBE_MS);
      last = nowNs();
    }, PROBE_MS);
    const startNs = nowNs();
    await waitFor(
      'the changes',
      () => (entries() === wanted && followed!.status().isSettled ? true : undefined),
      {
        timeoutMs: 60_000,
      },
    );
    clearInterval(probe);
    changes.push([moved.length / ((nowNs() - startNs) / NS_PER_S), moved.length / made]);
    progress(`${verb}: ${Math.round(changes.at(-1)![0])} changes/s`);
  }
  const label = `three tables of ${count.toLocaleString('en-US')} prefixes`;
  return [
    benchResult(`${label}: read`, 's', 'iproute2 filling them', loads),
    benchResult(`${label}: memory of the process`, 'MiB', 'before', [[rssMiB(), emptyMiB]]),
    benchResult(
      `${moved.length.toLocaleString('en-US')} of them change: followed`,
      'changes/s',
      'iproute2 making them',
      changes,
    ),
    benchResult('longest pause of the event loop meanwhile', 'ms', 'what a step may take', [
      [longestStallMs, STEP_MS],
    ]),
  ];
}

function follow(gateway: PrefGateway): TableDestinations {
  return TableDestinations.open(gateway, {
    routes: TABLES.map((table, i) => ({
      ...{ name: `t${table}`, pathId: i + 1, device: 'wan', table },
      families: [4],
    })),
    families: [4],
    destinations: [],
    onLinks: () => undefined,
  });
}

function rssMiB(): number {
  return process.memoryUsage().rss / 2 ** 20;
}

function secondsOf(body: () => void): number {
  const startNs = nowNs();
  body();
  return (nowNs() - startNs) / NS_PER_S;
}
