/** `preflex lab run` and `preflex lab compare`: the experiments. */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { PreflexError } from '../errors.ts';
import type { Datapath } from '../../namespaces-lab/processes/datapath.ts';
import type { Sample } from '../../namespaces-lab/runs/watch.ts';
import type { Iperf3Source } from '../../namespaces-lab/runs/iperf3-sources.ts';
import type { Mode, Scenario } from '../../namespaces-lab/scenarios/scenario.ts';
import type { ListenAddress } from '../runtime/listen-address.ts';
import type { HttpListener } from '../web/http-listener.ts';
import type { RunFeed } from '../web/ui/run-feed.ts';
import type { Betas } from '../pref/balancers/strategies.ts';
import { STRATEGIES } from '../pref/balancers/strategies.ts';
import { parseBetas } from './balance.ts';
import { parseCount, parseSeconds } from './number-flags.ts';
import { note, print, printJson, requireRoot, runCommand, tryFolder } from './output.ts';
import { Progress } from './progress.ts';
import { formatPercent, formatRate } from './table.ts';
import { UI_HELP, openPage, parseListen } from './web.ts';

interface RunFlags {
  mode?: Mode;
  betas?: Betas;
  seed: number;
  seconds?: number;
  interval?: number;
  fneAfterTimeouts?: number;
  iperf3?: Iperf3Source[];
  datapath?: Datapath;
  ui?: ListenAddress;
  out?: string;
  json?: boolean;
}

interface CompareFlags {
  out?: string;
  json?: boolean;
}

/** Exit code of a run that must not be trusted. */
export const EXIT_INVALID = 2;
const BASELINE_NAMES: readonly Mode[] = ['ecmp', 'resilient', 'single', 'mptcp'];
const MODE_NAMES: readonly Mode[] = [...STRATEGIES, ...BASELINE_NAMES];

/** Adds the two commands to `preflex lab`. */
export function addExperimentCommands(lab: Command): void {
  lab
    .command('run')
    .description('run an experiment of namespaces-lab/scenarios; without a name, list them')
    .argument('[name]', 'the experiment')
    .option(
      '--mode <name>',
      `how P divides its traffic: ${STRATEGIES.join(', ')}; or without PREFLEX: ${BASELINE_NAMES.join(', ')}`,
      parseMode,
    )
    .option('--betas <equal,conservative,loss>', 'weights of equation 3, sum 1 (mode mixed)', parseBetas)
    .option('--seed <number>', 'seed of sizes and random losses', parseCount, 1)
    .option('--seconds <count>', 'seconds of traffic; every other time is scaled with it', parseSeconds)
    .option('--interval <seconds>', 'update interval of the gateway, and length of a row', parseSeconds)
    .option('--fne-after-timeouts <count>', 'timeouts after which a host gives up its path', parseCount)
    .option(
      '--iperf3 <pair=flows...>',
      'iperf3 flows beside the transfers, such as "p>e1=4"; in Figure 1\'s network',
      parseIperf3,
    )
    .addOption(datapathOption())
    .option('--ui <address:port>', `${UI_HELP}, while the run goes on`, parseListen)
    .option('--out <folder>', 'write result.json and the figures there')
    .option('--json', 'print the result as one JSON object')
    .action((name: string | undefined, flags: RunFlags) =>
      runCommand(() => runExperimentCommand(name, flags)),
    );
  lab
    .command('compare')
    .description('put runs side by side, by the folders that "lab run --out" wrote')
    .argument('<folder...>')
    .option('--out <folder>', 'write Figures 3 and 4 of all runs there, a panel a run')
    .option('--json', 'print the comparison as one JSON object')
    .action((folders: string[], flags: CompareFlags) => runCommand(() => runCompareCommand(folders, flags)));
}

async function runExperimentCommand(name: string | undefined, flags: RunFlags): Promise<void> {
  const { findScenario, SCENARIOS } = await import('../../namespaces-lab/scenarios/index.ts');
  if (name === undefined) {
    if (flags.json) printJson({ scenarios: SCENARIOS });
    else for (const scenario of SCENARIOS) print(`${scenario.name.padEnd(14)} ${scenario.description}`);
    return;
  }
  const scenario = findScenario(name, {
    mode: flags.mode,
    seconds: flags.seconds,
    intervalSeconds: flags.interval,
    ...(flags.fneAfterTimeouts === undefined
      ? {}
      : { hostArgs: ['--fne-after-timeouts', String(flags.fneAfterTimeouts)] }),
  });
  if (flags.betas !== undefined && scenario.mode !== 'mixed') {
    throw new PreflexError('ERR_INVALID_OPTION', '--betas goes with --mode mixed');
  }
  if (flags.iperf3 !== undefined && scenario.topology !== 'figure1') {
    throw new PreflexError('ERR_INVALID_OPTION', `--iperf3 goes with Figure 1's network, not with ${name}`);
  }
  const { requireIperf3Pairs } = await import('../../namespaces-lab/runs/iperf3-sources.ts');
  requireIperf3Pairs(flags.iperf3 ?? []);
  if (flags.fneAfterTimeouts !== undefined && BASELINE_NAMES.includes(scenario.mode)) {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      `--fne-after-timeouts is for agents, and hosts have none with --mode ${scenario.mode}`,
    );
  }
  if (flags.datapath !== undefined) requireAgents(scenario.mode);
  requireInterval(scenario);
  requireRoot('preflex lab');
  tryFolder(flags.out);
  const { withLabScope } = await import('../netns/lab-scope.ts');
  const { runExperiment } = await import('../../namespaces-lab/runs/experiment.ts');
  const { reportExperiment, reportValidity } = await import('../../namespaces-lab/reports/experiment.ts');
  // With --json standard output is for the result alone.
  const progress = new Progress(flags.json ? process.stderr : process.stdout);
  const page = flags.ui === undefined ? undefined : await openRunPage(flags.ui, name, scenario.mode);
  if (page !== undefined) note(`page at ${page.listener.url}/`);
  const result = await withLabScope((scope) =>
    runExperiment(scope, scenario, {
      seed: flags.seed,
      ...(flags.betas === undefined ? {} : { betas: flags.betas }),
      ...(flags.iperf3 === undefined ? {} : { iperf3: flags.iperf3 }),
      ...(flags.datapath === undefined ? {} : { datapath: flags.datapath }),
      onProgress: (line) => {
        progress.note(line);
      },
      onSample: (sample) => {
        progress.show(sample.seconds, describeSample(sample));
        page?.run.setSummary(summariseSample(sample));
      },
      onInterval: (row) => {
        page?.run.addInterval(row);
      },
    }),
  ).finally(() => {
    page?.listener.close();
  });
  progress.end();
  if (flags.json) printJson(result);
  else print(reportExperiment(result));
  if (flags.out !== undefined) {
    const { writeResult, writeFigures } = await import('../../namespaces-lab/result.ts');
    const { figureFiles } = await import('../../namespaces-lab/figures/figures.ts');
    note(`wrote ${writeResult(flags.out, result)}`);
    for (const path of writeFigures(flags.out, figureFiles(result))) note(`wrote ${path}`);
  }
  if (result.validity.valid) return;
  if (flags.json) for (const line of reportValidity(result)) note(line);
  process.exitCode = EXIT_INVALID;
}

/** The page of a run that goes on; it ends with the run. */
async function openRunPage(
  at: ListenAddress,
  scenario: string,
  mode: string,
): Promise<{ readonly run: RunFeed; readonly listener: HttpListener }> {
  const { RunFeed } = await import('../web/ui/run-feed.ts');
  const run = new RunFeed({ title: scenario, subtitle: `laboratory, mode ${mode}` }, 'live');
  return { run, listener: await openPage(run.feed, at) };
}

function summariseSample({ seconds, totalSeconds, flows }: Sample): (readonly [string, string])[] {
  return [
    ['time', `${seconds.toFixed(0)} of ${totalSeconds} s`],
    ['transfers completed', String(flows.completed)],
    ['failed', String(flows.failed)],
  ];
}

async function runCompareCommand(folders: readonly string[], flags: CompareFlags): Promise<void> {
  const { comparedRun, readResult, reportComparison } =
    await import('../../namespaces-lab/reports/compare.ts');
  const results = folders.map((folder) => readResult(folder));
  const runs = results.map((result, i) => comparedRun(folders[i], result));
  if (flags.out !== undefined) {
    const { writeFigures } = await import('../../namespaces-lab/result.ts');
    const { comparisonFiles } = await import('../../namespaces-lab/figures/figures.ts');
    for (const path of writeFigures(flags.out, comparisonFiles(results))) note(`wrote ${path}`);
  }
  if (flags.json) printJson({ runs });
  else print(reportComparison(runs));
}

function describeSample(sample: Sample): string[] {
  const { seconds, totalSeconds, routes, flows } = sample;
  return [
    `${seconds.toFixed(0).padStart(4)} of ${totalSeconds} s, ${flows.completed} transfers completed, ${flows.failed} failed`,
    ...routes.map(
      (route) =>
        `  ${route.name}${route.isDown ? ' (down)' : ''}: ${formatRate(route.bitsPerSec)}${describeRatios(route)}`,
    ),
  ];
}

/** Nothing without a PREFLEX gateway. */
function describeRatios({ lossRatio, flowletRatio }: Sample['routes'][number]): string {
  if (lossRatio === null || flowletRatio === null) return '';
  return `, loss ratio ${formatPercent(lossRatio)}, flowlet ratio ${flowletRatio.toFixed(3)}`;
}

function parseIperf3(text: string, before: readonly Iperf3Source[] = []): Iperf3Source[] {
  const [, pair, flows] = /^([a-z0-9]+>[a-z0-9]+)=(\d+)$/.exec(text) ?? [];
  if (!(Number(flows) >= 1 && Number(flows) <= 64)) {
    throw new InvalidArgumentError('It takes INGRESS>EGRESS=FLOWS with 1 to 64 flows, for example "p>e1=4".');
  }
  return [...before, { pair, flows: Number(flows) }];
}

/** `--datapath`, without a default. @param of - whose, with the verb */
export function datapathOption(of = 'agents and gateways handle'): Option {
  return new Option('--datapath <name>', `where ${of} packets`).choices(['tun', 'ebpf']);
}

/**
 * A run has one update interval at least: without any, nothing is measured, and every check of it passes.
 *
 * @throws PreflexError ERR_INVALID_OPTION
 */
export function requireInterval({
  intervalSeconds,
  seconds,
}: Pick<Scenario, 'intervalSeconds' | 'seconds'>): void {
  if (seconds >= intervalSeconds) return;
  throw new PreflexError(
    'ERR_INVALID_OPTION',
    `seconds: ${seconds} s of traffic are less than an update interval of ${intervalSeconds} s: see --seconds and --interval`,
  );
}

/** `--datapath` means nothing to a run without agents and gateways. */
function requireAgents(mode: Mode): void {
  if (BASELINE_NAMES.includes(mode)) {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      `--datapath is for agents and gateways, and there are none with --mode ${mode}`,
    );
  }
}

function parseMode(text: string): Mode {
  const mode = MODE_NAMES.find((name) => name === text);
  if (mode === undefined) throw new InvalidArgumentError(`It takes one of ${MODE_NAMES.join(', ')}.`);
  return mode;
}
