/** `preflex bench`: speed, as ratios measured in one run. */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { BenchResult } from '../bench/measure.ts';
import { countFrom, parseSeconds } from './number-flags.ts';
import { note, print, printJson, requireRoot, runCommand } from './output.ts';
import { parseNumbers } from './sim-output.ts';
import { formatTable } from './table.ts';

/** Adds the command and its benchmarks. */
export function addBenchCommand(program: Command): void {
  const bench = program.command('bench').description('speed, as medians of alternating pairs in one run');
  bench
    .command('core')
    .description('nanoseconds and heap bytes a packet of the host and gateway cores')
    .option('--pairs <count>', 'pairs of runs', countFrom(1), 5)
    .option('--packets <count>', 'packets a run', countFrom(1), 1_000_000)
    .option('--json', 'print the results as one JSON object')
    .action((flags: { pairs: number; packets: number; json?: boolean }) =>
      runCommand(async () => {
        const { benchCore } = await import('../bench/core-bench.ts');
        show(benchCore({ ...flags, onProgress: note }), flags.json ?? false);
      }),
    );
  bench
    .command('tun')
    .description('one TCP flow through the host agent, against none')
    .option('--pairs <count>', 'pairs of runs', countFrom(1), 5)
    .option('--seconds <count>', 'seconds a run', parseSeconds, 3)
    .option('--json', 'print the results as one JSON object')
    .action((flags: { pairs: number; seconds: number; json?: boolean }) =>
      runCommand(async () => {
        requireRoot('preflex bench tun');
        const { withLabScope } = await import('../netns/lab-scope.ts');
        const { benchTun } = await import('../../namespaces-lab/runs/bench-tun.ts');
        show(
          await withLabScope((scope) => benchTun(scope, { ...flags, onProgress: note })),
          flags.json ?? false,
        );
      }),
    );
  addTablesBench(bench);
  addEbpfBench(bench);
  addUdpBench(bench);
  addServiceBenches(bench);
  addSimBench(bench);
}

function addTablesBench(bench: Command): void {
  bench
    .command('tables')
    .description('a gateway that reads and follows three kernel tables')
    .option('--prefixes <count>', 'prefixes in each table', countFrom(1), 100_000)
    .option('--pairs <count>', 'loads', countFrom(1), 3)
    .option('--json', 'print the results as one JSON object')
    .action((flags: { prefixes: number; pairs: number; json?: boolean }) =>
      runCommand(async () => {
        requireRoot('preflex bench tables');
        const { withLabScope } = await import('../netns/lab-scope.ts');
        const { benchTables } = await import('../../namespaces-lab/runs/bench-tables.ts');
        show(
          await withLabScope((scope) => benchTables(scope, { ...flags, onProgress: note })),
          flags.json ?? false,
        );
      }),
    );
}

interface EbpfFlags {
  pairs: number;
  windows: number;
  seconds: number;
  flows: number[];
  prefixes: number[];
  packets: number;
  only?: EbpfPart;
  json?: boolean;
}

/** Parts of the benchmark `ebpf`. */
const EBPF_PARTS = ['programs', 'host', 'gateway'] as const;
type EbpfPart = (typeof EBPF_PARTS)[number];

function addEbpfBench(bench: Command): void {
  bench
    .command('ebpf')
    .description(
      'TCP and UDP of a host with programs or TUN agent against neither, what a gateway forwards against the kernel ' +
        'alone, ns a packet of the programs',
    )
    .option('--pairs <count>', 'pairs of runs', countFrom(1), 5)
    .option('--windows <count>', 'pairs of windows with and without the programs of a host', countFrom(1), 60)
    .option('--seconds <count>', 'seconds a run', parseSeconds, 3)
    .option('--flows <list>', 'numbers of flows for the programs alone', parseNumbers, [10_000, 1_000_000])
    .option('--packets <count>', 'packets timed for each of them', countFrom(1), 50_000)
    .option('--prefixes <list>', 'numbers of prefixes of the gateway', parseNumbers, [1, 1000, 100_000])
    .addOption(new Option('--only <part>', 'this part alone').choices(EBPF_PARTS))
    .option('--json', 'print the results as one JSON object')
    .action((flags: EbpfFlags) =>
      runCommand(async () => {
        requireRoot('preflex bench ebpf');
        show(await runEbpfBench(flags), flags.json ?? false);
      }),
    );
}

async function runEbpfBench({ flows, only, ...flags }: EbpfFlags): Promise<BenchResult[]> {
  const { withLabScope } = await import('../netns/lab-scope.ts');
  const { benchGatewayProgram, benchHostProgram } =
    await import('../../namespaces-lab/runs/bench-programs.ts');
  const { benchEbpf } = await import('../../namespaces-lab/runs/bench-ebpf.ts');
  const { benchGateway } = await import('../../namespaces-lab/runs/bench-gateway.ts');
  const options = { ...flags, onProgress: note };
  const has = (part: EbpfPart): boolean => only === undefined || only === part;
  return [
    ...(has('programs') ? flows.map((count) => benchHostProgram(count, options)) : []),
    ...(has('programs') ? flags.prefixes.flatMap((count) => benchGatewayProgram(count, options)) : []),
    ...(has('host') ? await withLabScope((scope) => benchEbpf(scope, options)) : []),
    ...(has('gateway') ? await withLabScope((scope) => benchGateway(scope, options)) : []),
  ];
}

function addUdpBench(bench: Command): void {
  bench
    .command('udp')
    .description('datagrams a second and processor time a datagram of preflex/udp, against node:dgram')
    .option('--pairs <count>', 'pairs of runs', countFrom(1), 9)
    .option('--datagrams <count>', 'datagrams a run', countFrom(1), 6_400)
    .option('--only <text>', 'measurements whose name contains this; all of them without it')
    .option('--json', 'print the results as one JSON object')
    .action((flags: { pairs: number; datagrams: number; only?: string; json?: boolean }) =>
      runCommand(async () => {
        const { benchUdp } = await import('../bench/udp-bench.ts');
        show(await benchUdp({ ...flags, onProgress: note }), flags.json ?? false);
      }),
    );
}

function addServiceBenches(bench: Command): void {
  bench
    .command('churn')
    .description('growth of memory an hour while flows come and go, in virtual time')
    .option('--hours <count>', 'virtual hours, 2 or more', countFrom(2), 24)
    .option('--flows <count>', 'flows at a time', countFrom(1), 10_000)
    .option('--flows-per-second <count>', 'new flows a virtual second', countFrom(1), 50)
    .option('--json', 'print the results as one JSON object')
    .action((flags: { hours: number; flows: number; flowsPerSecond: number; json?: boolean }) =>
      runCommand(async () => {
        const { benchChurn } = await import('../bench/churn-bench.ts');
        show(benchChurn({ ...flags, onProgress: note }), flags.json ?? false);
      }),
    );
  bench
    .command('flood')
    .description('rate of a TCP flow through the gateway under a flood of FNE packets, against none')
    .option('--pairs <count>', 'pairs of runs', countFrom(1), 3)
    .option('--seconds <count>', 'seconds a run', parseSeconds, 5)
    .option('--rate <count>', 'FNE packets a second', countFrom(1), 100_000)
    .option('--megabits <count>', 'rate that the flow wants, Mbit/s', countFrom(1), 100)
    .option('--json', 'print the results as one JSON object')
    .action((flags: { pairs: number; seconds: number; rate: number; megabits: number; json?: boolean }) =>
      runCommand(async () => {
        requireRoot('preflex bench flood');
        const { withLabScope } = await import('../netns/lab-scope.ts');
        const { benchFlood } = await import('../../namespaces-lab/runs/bench-flood.ts');
        const report = await withLabScope((scope) => benchFlood(scope, { ...flags, onProgress: note }));
        if (flags.json) printJson(report);
        else show(report.results, false);
      }),
    );
}

function addSimBench(bench: Command): void {
  bench
    .command('sim')
    .description(
      'simulated seconds and events a second of Figure 1, and growth with the number of connections',
    )
    .option('--pairs <count>', 'runs of Figure 1', countFrom(1), 3)
    .option('--seconds <count>', 'simulated seconds of Figure 1', parseSeconds, 900)
    .option('--connections <list>', 'numbers of connections', parseNumbers, [10, 100, 1000, 10_000, 100_000])
    .option('--json', 'print the results as one JSON object')
    .action((flags: { pairs: number; seconds: number; connections: number[]; json?: boolean }) =>
      runCommand(async () => {
        const { benchSim } = await import('../bench/sim-bench.ts');
        show(benchSim({ ...flags, onProgress: note }), flags.json ?? false);
      }),
    );
}

function show(results: readonly BenchResult[], isJson: boolean): void {
  if (isJson) {
    printJson({ results });
    return;
  }
  print(
    formatTable([
      ['measurement', 'median', 'baseline', 'unit', 'ratio'],
      ...results.map((result) => [
        result.name,
        result.value.toFixed(2),
        result.baseline.toFixed(2),
        result.unit,
        result.ratio.toFixed(3),
      ]),
    ]),
  );
}
