/**
 * An experiment from start to end: build, run the traffic against the clock, watch, take everything down in an order in
 * which nothing is lost, and judge.
 *
 * ```
 *   setUpExperiment --> start at one moment --> every second: a sample; every interval: a row
 *        --> clients give up what runs --> sources read their accounts --> links run empty --> reports --> result
 * ```
 */
import { requireInteger } from '../../lib/errors.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import type { FabricReport } from '../links/fabric.ts';
import type { Datapath } from '../processes/datapath.ts';
import type { RunInterval, RunResult } from '../result.ts';
import { runMeta } from '../result.ts';
import { failureOf, isBaseline } from '../scenarios/scenario.ts';
import type { Betas } from '../../lib/pref/balancers/strategies.ts';
import type { Scenario } from '../scenarios/scenario.ts';
import { describeBaseline } from '../topologies/baseline.ts';
import type { FlowClass, FlowRecord, SourceReport } from '../traffic/flow-class.ts';
import type { RunDecision } from './decisions.ts';
import { readDecisions } from './decisions.ts';
import type { Experiment } from './experiment-setup.ts';
import { betasOf, setUpExperiment } from './experiment-setup.ts';
import { ProcessorWatch } from './processor-watch.ts';
import type {
  BalanceSummary,
  FailureSummary,
  FlowSummary,
  RecoverySummary,
  RouteSummary,
} from './summary.ts';
import {
  summariseBalance,
  summariseFailure,
  summariseFlows,
  summariseRecovery,
  summariseRoutes,
} from './summary.ts';
import type { Iperf3Report, Iperf3Source } from './iperf3-sources.ts';
import { isFromP, runIperf3Sources } from './iperf3-sources.ts';
import { takeDown } from './take-down.ts';
import type { End } from './take-down.ts';
import type { ProcessorUse, Validity } from './validity.ts';
import { checkRun } from './validity.ts';
import type { ProcessWait } from './wait-watch.ts';
import { WaitWatch } from './wait-watch.ts';
import type { Sample } from './watch.ts';
import { Watch } from './watch.ts';

/** Options of a run. */
export interface ExperimentOptions {
  /** Seed of sizes and random losses, an int32; default 1. */
  readonly seed?: number;
  /** Weights; default those of the scenario's mode. */
  readonly betas?: Betas;
  /** Of agents and gateways; default tun. A baseline has none. */
  readonly datapath?: Datapath;
  /** iperf3 flows beside the transfers; only in Figure 1's network. Default none. */
  readonly iperf3?: readonly Iperf3Source[];
  /** Told what is being done, a line each. */
  readonly onProgress?: (line: string) => void;
  /** Told once a second how it goes. */
  readonly onSample?: (sample: Sample) => void;
  /** Told of each row when it is complete. */
  readonly onInterval?: (row: RunInterval) => void;
}

/** What an experiment leaves behind. */
export interface ExperimentResult extends RunResult {
  readonly scenario: Scenario;
  /** Null in a baseline. */
  readonly betas: Betas | null;
  /** What stood in place of PREFLEX, in a sentence; null where nothing did. */
  readonly baseline: string | null;
  readonly validity: Validity;
  readonly intervals: readonly RunInterval[];
  readonly flows: FlowSummary & Record<string, unknown>;
  readonly summary: ExperimentSummary;
  /** What the gateways decided about failed routes, and why. */
  readonly decisions: readonly RunDecision[];
  /** Every transfer. */
  readonly transfers: readonly FlowRecord[];
  readonly classes: readonly FlowClass[];
  readonly emulator: FabricReport;
  readonly sources: Readonly<Record<string, SourceReport>>;
  readonly processor: ProcessorUse;
  /** Of each process, by `KIND NAME`. */
  readonly waits: Readonly<Record<string, ProcessWait>>;
  /** What the iperf3 flows measured themselves. */
  readonly iperf3: readonly Iperf3Report[];
}

/** What the experiments are about. */
export interface ExperimentSummary {
  readonly warmUpSeconds: number;
  readonly routes: readonly RouteSummary[];
  readonly balance: BalanceSummary;
  /** Left out in a baseline: it is about flowlets. */
  readonly failure?: FailureSummary;
  readonly recovery?: RecoverySummary;
  /**
   * Of the sources behind agents: payload bytes that the kernel sent again, and what the agents made of them. In a
   * baseline, and where iperf3 sends beside them, of the same sources, and null for what an agent would tell.
   */
  readonly retransmitted: {
    readonly kernelBytes: number;
    readonly lexPayloadBytes: number | null;
    /** Sent again under another mark, for a reason that is counted by name. */
    readonly excludedBytes: number | null;
    /** kernelBytes - lexPayloadBytes - excludedBytes. */
    readonly difference: number | null;
  };
}

const CLOCK = 'seconds since the start of the traffic (CLOCK_MONOTONIC)';

/** Runs a scenario once. Everything it makes is gone when `scope` closes. */
export async function runExperiment(
  scope: LabScope,
  scenario: Scenario,
  options: ExperimentOptions = {},
): Promise<ExperimentResult> {
  const startedAt = new Date();
  const betas = options.betas ?? betasOf(scenario);
  const seed = requireInteger('seed', options.seed ?? 1, -(2 ** 31), 2 ** 31 - 1);
  const onProgress = options.onProgress ?? (() => undefined);
  const datapath = options.datapath ?? 'tun';
  const experiment = await setUpExperiment(scope, scenario, { seed, betas, datapath, onProgress });
  onProgress(`traffic for ${scenario.seconds} s`);
  const watch = new Watch(experiment, scenario, options.onSample, options.onInterval);
  const processor = new ProcessorWatch();
  const waiting = new WaitWatch(experiment);
  const sources = options.iperf3 ?? [];
  const [iperf3] = await Promise.all([
    runIperf3Sources(scope, sources, experiment.netnsOf, scenario.seconds),
    watch.run(),
  ]);
  const processorUse = processor.use();
  const waits = waiting.waits();
  onProgress('ending the traffic, reading the counters');
  const end = await takeDown(experiment);
  const { transfers } = watch;
  const { intervals } = watch;
  const validity = checkRun({ ...end, routes: experiment.routes, processor: processorUse });
  return {
    meta: {
      ...runMeta(scenario.topology, startedAt, (Date.now() - startedAt.getTime()) / 1000, CLOCK),
      scenario: scenario.name,
      mode: scenario.mode,
      datapath: isBaseline(scenario.mode) ? null : datapath,
      seed,
    },
    scenario,
    betas,
    baseline: isBaseline(scenario.mode)
      ? describeBaseline(
          scenario.mode,
          experiment.routes.map(({ name }) => name),
          scenario.ratesBitsPerSec,
        )
      : null,
    validity,
    intervals,
    flows: describeFlows(transfers, experiment.classes),
    summary: summarise(scenario, betas, experiment, intervals, transfers, watch, end, sources.some(isFromP)),
    host: Object.values(end.agents)[0] ?? null,
    gateway: end.gateway,
    agents: end.agents,
    gateways: end.gateways,
    decisions: readDecisions(logsOf(experiment), watch.startedAtMs),
    sources: end.sources,
    emulator: end.fabric,
    processor: processorUse,
    waits,
    queueDrops: end.queueDrops,
    classes: experiment.classes,
    transfers,
    iperf3,
  };
}

function logsOf({ gateways }: Experiment): Record<string, string> {
  return Object.fromEntries(
    gateways.flatMap(({ logFile, name }) => (logFile === undefined ? [] : [[name, logFile]])),
  );
}

function describeFlows(
  transfers: readonly FlowRecord[],
  classes: readonly FlowClass[],
): FlowSummary & Record<string, unknown> {
  const byClass = Object.fromEntries(
    classes.map(({ name }) => [name, summariseFlows(transfers.filter((flow) => flow.name === name))]),
  );
  return { ...summariseFlows(transfers), byClass };
}

function summarise(
  scenario: Scenario,
  betas: Betas | null,
  experiment: Experiment,
  intervals: readonly RunInterval[],
  transfers: readonly FlowRecord[],
  watch: Watch,
  end: End,
  hasMoreSources: boolean,
): ExperimentSummary {
  const routes = summariseRoutes(intervals, scenario.warmUpSeconds, watch.truths(end.fabric));
  const failure = failureOf(scenario);
  const failed = experiment.routes.find((place) => place.link === failure?.link);
  return {
    warmUpSeconds: scenario.warmUpSeconds,
    routes,
    balance: summariseBalance(routes),
    ...(failure === undefined || failed === undefined || betas === null
      ? {}
      : {
          failure: summariseFailure(
            intervals,
            { route: failed.name, from: failure.from, to: failure.to },
            scenario.warmUpSeconds,
            betas.equal / experiment.routes.length,
          ),
        }),
    ...(scenario.topology === 'domains' && failure !== undefined
      ? { recovery: summariseRecovery(transfers, failure) }
      : {}),
    retransmitted:
      betas === null || hasMoreSources ? retransmittedBy(scenario, end) : summariseRetransmitted(end),
  };
}

/** In a baseline, or where others send beside: of the source whose host has an agent, or would. */
function retransmittedBy(scenario: Scenario, { sources }: End): ExperimentSummary['retransmitted'] {
  return {
    kernelBytes: sources[scenario.topology === 'figure1' ? 'p' : 's'].kernelBytesRetrans,
    lexPayloadBytes: null,
    excludedBytes: null,
    difference: null,
  };
}

function summariseRetransmitted({ agents, sources }: End): ExperimentSummary['retransmitted'] {
  let kernelBytes = 0;
  let lexPayloadBytes = 0;
  let excludedBytes = 0;
  for (const [name, agent] of Object.entries(agents)) {
    // A source of the same name as an agent is the one behind it.
    const source = sources[name] as SourceReport | undefined;
    if (source === undefined) continue;
    kernelBytes += source.kernelBytesRetrans;
    lexPayloadBytes += agent.lexPayloadBytes;
    excludedBytes += Object.values(agent.exclusions).reduce((sum, bytes) => sum + bytes, 0);
  }
  return {
    kernelBytes,
    lexPayloadBytes,
    excludedBytes,
    difference: kernelBytes - lexPayloadBytes - excludedBytes,
  };
}
