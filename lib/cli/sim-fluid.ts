/** `preflex sim fluid`: very many flows over a generated network of gateways, flow by flow and not packet by packet. */
import type { Command } from 'commander';
import type { Strategy } from '../pref/balancers/strategies.ts';
import { parseStrategy } from './balance.ts';
import { parseCount, parseSeconds } from './number-flags.ts';
import { note, print, printJson, runCommand } from './output.ts';
import { formatBytes, formatCount, formatPercent, formatRate, formatTable } from './table.ts';

interface FluidFlags {
  flows: number;
  gateways: number;
  seconds: number;
  seed: number;
  prefixes: number;
  flowRate: number;
  strategy: Strategy;
  interval: number;
  step: number;
  json?: boolean;
}

/** What the command prints with --json. Seconds, bytes, ratios 0..1. */
export interface FluidResult {
  readonly flows: number;
  readonly gateways: number;
  readonly destinations: number;
  /** Routes of all destinations of all gateways that carry flows. */
  readonly routes: number;
  readonly seconds: number;
  readonly seed: number;
  readonly strategy: string;
  readonly intervals: readonly {
    readonly t: number;
    readonly ratioChange: number;
    readonly lossRatio: number;
    readonly lossSpread: number;
  }[];
  /** Bottlenecks in the second half of the run. */
  readonly bottlenecks: {
    readonly count: number;
    readonly utilisation: Quantiles;
    readonly lossRatio: Quantiles;
  };
  /** In the second half of the run. */
  readonly completed: number;
  readonly completionTime: { readonly p50: number; readonly p90: number; readonly p99: number };
  readonly deliveredBitsPerSec: number;
  /** Sent - delivered - dropped of the second half, over sent: 0 but for rounding. */
  readonly imbalance: number;
  readonly buildSeconds: number;
  readonly wallSeconds: number;
  /** Processor time of the run; less than the wall time where others use the processors. */
  readonly cpuSeconds: number;
  /** Growth of the process's resident memory from before the network was made. */
  readonly memoryBytes: number;
}

interface Quantiles {
  readonly p10: number;
  readonly p50: number;
  readonly p90: number;
}

/** Adds the command to `preflex sim`. */
export function addFluidCommand(sim: Command): void {
  sim
    .command('fluid')
    .description('very many flows over a generated network of gateways, as rates instead of packets')
    .option('--flows <count>', 'concurrent flows', parseCount, 100_000)
    .option('--gateways <count>', 'stub domains with a gateway of 2 to 15 routes each', parseCount, 100)
    .option('--seconds <count>', 'simulated seconds', parseSeconds, 120)
    .option('--seed <number>', 'seed of the network and the traffic', parseCount, 1)
    .option('--prefixes <count>', 'prefixes of a domain, each with ratios of its own', parseCount, 1)
    .option('--flow-rate <kbit/s>', 'capacity of the bottlenecks for each flow', parseSeconds, 1000)
    .option(
      '--strategy <name>',
      'equal, conservative, loss, mixed (0.1, 0.3, 0.6) or self-tuning',
      parseStrategy,
      'loss',
    )
    .option('--interval <seconds>', 'update interval of the gateways', parseSeconds, 10)
    .option('--step <seconds>', 'length of a step', parseSeconds, 0.1)
    .option('--json', 'print the result as one JSON object')
    .action((flags: FluidFlags) =>
      runCommand(async () => {
        const result = await runFluid(flags, note);
        if (flags.json) printJson(result);
        else print(describe(result));
      }),
    );
}

/** Runs the simulation; the second half of it is measured. */
export async function runFluid(
  flags: Omit<FluidFlags, 'json'>,
  onProgress: (line: string) => void = () => {},
): Promise<FluidResult> {
  const { generateNetwork } = await import('../sim/generate.ts');
  const { evenLoads } = await import('../sim/fluid/even-loads.ts');
  const { FluidSimulation } = await import('../sim/fluid/simulation.ts');
  const { balancerOf } = await import('../pref/balancers/strategies.ts');
  const balancer = balancerOf(flags.strategy);
  const rssBefore = process.memoryUsage().rss;
  const began = performance.now();
  const network = generateNetwork(
    {
      domains: flags.gateways,
      prefixesPerDomain: flags.prefixes,
      hostsPerDomain: flags.prefixes,
      gateway: { balancer, updateIntervalNs: flags.interval * 1e9 },
      rateBitsPerSec: meanRate(flags),
    },
    flags.seed,
  );
  const loads = evenLoads(network, flags.flows);
  const fluid = new FluidSimulation(network.topology, loads, flags.seed, {
    stepS: flags.step,
    staggerUpdates: true,
  });
  const built = performance.now();
  const cpuBefore = process.cpuUsage();
  onProgress(
    `${formatCount(fluid.runningFlows)} flows in ${formatCount(fluid.classCount)} routes of ${formatCount(loads.length)} destinations`,
  );
  fluid.run(flags.seconds / 2);
  fluid.beginMeasurement();
  const halfS = fluid.nowS;
  fluid.run(flags.seconds);
  const wallSeconds = (performance.now() - built) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const report = fluid.report();
  const names = new Set(network.bottlenecks);
  const links = report.links.filter(({ name }) => names.has(name));
  const { sentBytes, deliveredBytes, droppedBytes } = report.conservation;
  return {
    flows: fluid.runningFlows,
    gateways: flags.gateways,
    destinations: loads.length,
    routes: fluid.classCount,
    seconds: report.nowS,
    seed: flags.seed,
    strategy: flags.strategy,
    intervals: report.intervals.map(({ t, ratioChange, lossRatio, lossSpread }) => ({
      t,
      ratioChange,
      lossRatio,
      lossSpread,
    })),
    bottlenecks: {
      count: links.length,
      utilisation: quantiles(links.map(({ utilisation }) => utilisation)),
      lossRatio: quantiles(links.map(({ lossRatio }) => lossRatio)),
    },
    completed: report.flows.completed,
    completionTime: report.flows.completionTime,
    deliveredBitsPerSec: (deliveredBytes * 8) / (report.nowS - halfS),
    imbalance: (sentBytes - deliveredBytes - droppedBytes) / sentBytes,
    buildSeconds: (built - began) / 1000,
    wallSeconds,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    memoryBytes: process.memoryUsage().rss - rssBefore,
  };
}

/** Providers and regions of a generated network, and the mean of 1 - 1 / routes for 2 to 15 routes. */
const CORE_LINKS = 14 * 3;
const CORE_SHARE = 0.834;

/** Mean rate of the core's bottlenecks, so that all bottlenecks together have the flow rate for each flow. */
function meanRate({ flowRate, flows }: Pick<FluidFlags, 'flowRate' | 'flows'>): number {
  return (flowRate * 1000 * flows * CORE_SHARE) / CORE_LINKS;
}

function quantiles(values: readonly number[]): Quantiles {
  const sorted = Float64Array.from(values).sort();
  const at = (quantile: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))];
  return { p10: at(0.1), p50: at(0.5), p90: at(0.9) };
}

function describe(result: FluidResult): string {
  const { bottlenecks, completionTime, intervals } = result;
  const spread = ({ p10, p50, p90 }: Quantiles): string =>
    [p10, p50, p90].map((ratio) => formatPercent(ratio)).join('  ');
  return [
    formatTable([
      ['until s', 'ratios moved', 'loss ratio', 'spread over routes'],
      ...intervals.map(({ t, ratioChange, lossRatio, lossSpread }) => [
        t.toFixed(0),
        formatPercent(ratioChange),
        formatPercent(lossRatio),
        lossSpread.toFixed(3),
      ]),
    ]),
    '',
    `second half of ${result.seconds.toFixed(0)} s, ${bottlenecks.count} bottlenecks, p10 p50 p90:`,
    `  utilisation  ${spread(bottlenecks.utilisation)}`,
    `  loss ratio   ${spread(bottlenecks.lossRatio)}`,
    `delivered ${formatRate(result.deliveredBitsPerSec)}, ${formatCount(result.completed)} flows completed, in ${[completionTime.p50, completionTime.p90, completionTime.p99].map((s) => s.toFixed(1)).join(' / ')} s (p50 / p90 / p99)`,
    `sent - delivered - dropped: ${result.imbalance.toExponential(1)} of what was sent`,
    `wall time ${result.buildSeconds.toFixed(2)} s to build, ${result.wallSeconds.toFixed(2)} s to run (processor ${result.cpuSeconds.toFixed(2)} s); memory ${formatBytes(result.memoryBytes)}`,
  ].join('\n');
}
