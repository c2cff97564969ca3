/**
 * An experiment from start to end: build, run the traffic against the clock, watch, take everything down in an order in
 * which nothing is lost, and judge.
 *
 * ```
 *   setUpExperiment --> start at one moment --> every second: a sample; every interval: a row
 *        --> clients give up what runs --> sources read their accounts --> links run empty --> reports --> result
 * ```
 */
import { linkCounters } from '../../lib/netns/links.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { waitFor } from '../../lib/netns/wait.ts';
import { PreflexError, requireInteger } from '../../lib/errors.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { HostAgentStatus } from '../../lib/runtime/host-agent.ts';
import { clockOriginNs, nowNs } from '../../lib/sys/clock.ts';
import type { FabricCounters, LaneCounters } from '../links/fabric-core.ts';
import type { FabricReport } from '../links/fabric.ts';
import type { DaemonLine } from '../processes/preflex-process.ts';
import { statusOf } from '../processes/preflex-process.ts';
import type { Interval, LabResult } from '../result.ts';
import { runMeta } from '../result.ts';
import { failureOf } from '../scenarios/scenario.ts';
import type { Betas, Scenario } from '../scenarios/scenario.ts';
import type { FlowClass, FlowRecord, SourceReport } from '../traffic/flow-class.ts';
import type { Experiment, NamedProcess } from './experiment-setup.ts';
import { betasOf, setUpExperiment } from './experiment-setup.ts';
import type { TimedCounters } from './interval-recorder.ts';
import { ingressBetween, IntervalRecorder, utilisation } from './interval-recorder.ts';
import { ProcessorWatch } from './processor-watch.ts';
import type {
  FailureSummary,
  FlowSummary,
  RecoverySummary,
  RouteSummary,
  BalanceSummary,
} from './summary.ts';
import {
  summariseBalance,
  summariseFailure,
  summariseFlows,
  summariseRecovery,
  summariseRoutes,
} from './summary.ts';
import type { DeviceReport, ProcessorUse, Validity } from './validity.ts';
import { checkRun } from './validity.ts';

/** Options of a run. */
export interface ExperimentOptions {
  /** Seed of sizes and random losses, an int32; default 1. */
  readonly seed?: number;
  /** Weights; default those of the scenario's mode. */
  readonly betas?: Betas;
  /** Told what is being done, a line each. */
  readonly onProgress?: (line: string) => void;
  /** Told once a second how it goes. */
  readonly onSample?: (sample: Sample) => void;
}

/** How it goes. */
export interface Sample {
  readonly seconds: number;
  readonly totalSeconds: number;
  readonly routes: readonly {
    readonly name: string;
    readonly isDown: boolean;
    /** bit/s that the link carried since the sample before, of everyone. */
    readonly bitsPerSec: number;
    /** Of the last update interval. */
    readonly lossRatio: number;
    readonly flowletRatio: number;
  }[];
  readonly flows: { readonly completed: number; readonly failed: number };
}

/** What an experiment leaves behind. */
export interface ExperimentResult extends LabResult {
  readonly scenario: Scenario;
  readonly betas: Betas;
  readonly validity: Validity;
  readonly intervals: readonly Interval[];
  readonly flows: FlowSummary & Record<string, unknown>;
  readonly summary: ExperimentSummary;
  /** Every transfer. */
  readonly transfers: readonly FlowRecord[];
  readonly classes: readonly FlowClass[];
  readonly emulator: FabricReport;
  readonly sources: Readonly<Record<string, SourceReport>>;
  readonly processor: ProcessorUse;
}

/** What the experiments are about. */
export interface ExperimentSummary {
  readonly warmUpSeconds: number;
  readonly routes: readonly RouteSummary[];
  readonly balance: BalanceSummary;
  readonly failure?: FailureSummary;
  readonly recovery?: RecoverySummary;
  /** Payload bytes that the kernels behind agents sent again, and those marked LEx. */
  readonly retransmitted: { readonly kernelBytes: number; readonly lexPayloadBytes: number };
}

const SAMPLE_MS = 1000;
/** From the order to start to the start, so that every process has got it. */
const LEAD_NS = 300e6;
const DRAIN_MS = 20_000;
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
  const experiment = await setUpExperiment(scope, scenario, { seed, betas, onProgress });
  onProgress(`traffic for ${scenario.seconds} s`);
  const watch = new Watch(experiment, scenario, options);
  const processor = new ProcessorWatch();
  await watch.run();
  const processorUse = processor.use();
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
      seed,
    },
    scenario,
    betas,
    validity,
    intervals,
    flows: describeFlows(transfers, experiment.classes),
    summary: summarise(scenario, betas, experiment, intervals, transfers, watch, end),
    host: end.agents[experiment.agents[0].name],
    gateway: end.gateway,
    agents: end.agents,
    gateways: end.gateways,
    sources: end.sources,
    emulator: end.fabric,
    processor: processorUse,
    queueDrops: end.queueDrops,
    classes: experiment.classes,
    transfers,
  };
}

/** Follows a running experiment. */
class Watch {
  readonly transfers: FlowRecord[] = [];
  readonly #experiment: Experiment;
  readonly #scenario: Scenario;
  readonly #onSample: (sample: Sample) => void;
  #startNs = 0;
  #recorder: IntervalRecorder | undefined;
  #pending: Promise<unknown> = Promise.resolve();
  #completed = 0;
  #failed = 0;
  #requests = 0;
  /** Counters at the end of the warm-up, and the last ones. */
  #warm: TimedCounters | undefined;
  #sampled: TimedCounters | undefined;

  constructor(experiment: Experiment, scenario: Scenario, options: ExperimentOptions) {
    this.#experiment = experiment;
    this.#scenario = scenario;
    this.#onSample = options.onSample ?? (() => undefined);
    for (const { process } of experiment.clients) {
      process.onLine((line) => {
        if (line.event === 'flow') this.#addTransfer(line);
      });
    }
  }

  get intervals(): readonly Interval[] {
    return this.#recorder?.intervals ?? [];
  }

  /** What each route's port sent into its link and lost there after the warm-up. */
  truths(end: Pick<FabricCounters, 'lanes'>): Record<string, { offeredBytes: number; droppedBytes: number }> {
    return Object.fromEntries(
      this.#experiment.routes.map((place) => [place.name, ingressBetween(place, this.#warm!, end)]),
    );
  }

  /** Starts the traffic and comes back when its time is over. */
  async run(): Promise<void> {
    const { fabric, clients, gateways, routes, destinations } = this.#experiment;
    this.#startNs = nowNs() + LEAD_NS;
    const start = await this.#counters();
    this.#recorder = new IntervalRecorder(routes, destinations, { ...start, seconds: 0 });
    this.#warm = start;
    this.#sampled = { ...start, seconds: 0 };
    const order = { command: 'start', atNs: this.#startNs + clockOriginNs };
    for (const { process } of [{ process: fabric }, ...clients]) process.send(order);
    gateways[0].process.onLine((line) => {
      if (line.event === 'status') this.#follow(() => this.#addInterval(line));
    });
    const ticker = setInterval(() => {
      this.#follow(() => this.#sample());
    }, SAMPLE_MS);
    try {
      await this.#untilOver();
    } finally {
      clearInterval(ticker);
    }
    await this.#pending;
  }

  /** One thing after the other, so that counters are read in the order of the rows. */
  #follow(step: () => Promise<void>): void {
    this.#pending = this.#pending.then(step);
    // Whoever waits for the end of the run sees the failure too.
    this.#pending.catch(() => undefined);
  }

  async #untilOver(): Promise<void> {
    const { fabric, gateways, agents, sources, clients } = this.#experiment;
    const all: NamedProcess[] = [
      { name: 'the emulated network', process: fabric },
      ...gateways.map(({ name, process }) => ({ name: `gateway ${name}`, process })),
      ...agents.map(({ name, process }) => ({ name: `agent ${name}`, process })),
      ...sources.map(({ name, process }) => ({ name: `source ${name}`, process })),
      ...clients.map(({ name, process }) => ({ name: `client ${name}`, process })),
    ];
    await new Promise<void>((resolve, reject) => {
      const leave: (() => void)[] = [];
      const finish = (end: () => void): void => {
        clearTimeout(timer);
        for (const step of leave) step();
        end();
      };
      const timer = setTimeout(
        () => {
          finish(resolve);
        },
        (this.#startNs - nowNs()) / 1e6 + this.#scenario.seconds * 1000,
      );
      for (const { name, process } of all) {
        const onExit = (): void => {
          finish(() => {
            reject(
              new PreflexError(
                'ERR_SYSTEM',
                `${name} ended in the middle of the run\n${process.stderr.trim()}`,
              ),
            );
          });
        };
        process.child.once('exit', onExit);
        leave.push(() => process.child.off('exit', onExit));
        if (process.child.exitCode !== null || process.child.signalCode !== null) onExit();
      }
    });
  }

  async #counters(): Promise<TimedCounters> {
    const line = await askCounters(this.#experiment, `run-${this.#requests++}`);
    return {
      seconds: (line.timeNs - clockOriginNs - this.#startNs) / 1e9,
      lanes: line.lanes,
    };
  }

  async #addInterval(line: DaemonLine): Promise<void> {
    const counters = await this.#counters();
    if (counters.seconds <= 0) return;
    if (counters.seconds <= this.#scenario.warmUpSeconds) this.#warm = counters;
    this.#recorder!.add(line as unknown as GatewayDaemonStatus, counters);
  }

  async #sample(): Promise<void> {
    const counters = await this.#counters();
    if (counters.seconds <= 0) return;
    const before = this.#sampled!;
    const last = this.intervals.at(-1);
    this.#onSample({
      seconds: counters.seconds,
      totalSeconds: this.#scenario.seconds,
      routes: this.#experiment.routes.map((place) => {
        const row = last?.routes.find((route) => route.name === place.name);
        return {
          name: place.name,
          isDown: counters.lanes.some(
            (lane) => lane.link === place.link && lane.direction === 'forward' && lane.isDown,
          ),
          bitsPerSec: utilisation(place, before, counters) * place.rateBitsPerSec,
          lossRatio: row?.lossRatio ?? 0,
          flowletRatio: row?.flowletRatio ?? 1 / this.#experiment.routes.length,
        };
      }),
      flows: { completed: this.#completed, failed: this.#failed },
    });
    this.#sampled = counters;
  }

  #addTransfer(line: DaemonLine): void {
    const record = statusOf<FlowRecord>(line);
    this.transfers.push(record);
    if (record.outcome === 'completed') this.#completed++;
    else if (record.outcome === 'failed') this.#failed++;
  }
}

/** What is known when everything has ended. */
interface End {
  readonly fabric: FabricReport;
  readonly gateway: GatewayDaemonStatus;
  readonly gateways: Readonly<Record<string, GatewayDaemonStatus>>;
  readonly agents: Readonly<Record<string, HostAgentStatus>>;
  readonly devices: Readonly<Record<string, DeviceReport>>;
  readonly queueDrops: Readonly<Record<string, number>>;
  readonly sources: Readonly<Record<string, SourceReport>>;
}

async function takeDown(experiment: Experiment): Promise<End> {
  // Clients have given up by their own clock; sources read the accounts of what is still open, then cut it.
  const sources = await stopAll<SourceReport>(experiment.sources);
  await stopAll(experiment.clients);
  await drained(experiment);
  const queueDrops = Object.fromEntries(
    experiment.devices.map(({ netns, device }) => [
      `${netns.replace(/^pfx-\d+-/, '')} ${device}`,
      linkCounters(device, { netns }).txDropped,
    ]),
  );
  const agents = await stopAll<HostAgentStatus>(experiment.agents);
  const gateways = await stopAll<GatewayDaemonStatus>(experiment.gateways);
  const fabric = statusOf<FabricReport>(await experiment.fabric.stop());
  const devices: Record<string, DeviceReport> = {};
  const add = (kind: string, statuses: Record<string, Pick<HostAgentStatus, 'devices'>>): void => {
    for (const [name, status] of Object.entries(statuses)) {
      for (const [device, report] of Object.entries(status.devices)) {
        devices[`${kind} ${name} ${device}`] = report;
      }
    }
  };
  add('agent', agents);
  add('gateway', gateways);
  return {
    sources,
    queueDrops,
    agents,
    gateways,
    fabric,
    devices,
    gateway: gateways[experiment.gateways[0].name],
  };
}

/** Waits until no packet is under way and none comes. */
async function drained(experiment: Experiment): Promise<void> {
  let before = -1;
  let requests = 0;
  await waitFor(
    'the emulated network to run empty',
    async () => {
      const { lanes } = await askCounters(experiment, `drain-${requests++}`);
      const held = lanes.reduce((sum, lane) => sum + lane.heldPackets, 0);
      const offered = lanes.reduce(
        (sum, lane) =>
          sum + Object.values(lane.ingress).reduce((total, port) => total + port.offeredPackets, 0),
        0,
      );
      const isDone = held === 0 && offered === before;
      before = offered;
      return isDone ? true : undefined;
    },
    { timeoutMs: DRAIN_MS },
  );
}

async function askCounters(
  { fabric }: Experiment,
  id: string,
): Promise<{ timeNs: number; lanes: LaneCounters[] }> {
  const line = await fabric.ask({ command: 'counters', id }, 'counters');
  return line as unknown as { timeNs: number; lanes: LaneCounters[] };
}

async function stopAll<T>(processes: readonly NamedProcess[]): Promise<Record<string, T>> {
  const lines = await Promise.all(processes.map(({ process }) => process.stop()));
  return Object.fromEntries(processes.map(({ name }, i) => [name, statusOf<T>(lines[i])]));
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
  betas: Betas,
  experiment: Experiment,
  intervals: readonly Interval[],
  transfers: readonly FlowRecord[],
  watch: Watch,
  end: End,
): ExperimentSummary {
  const routes = summariseRoutes(intervals, scenario.warmUpSeconds, watch.truths(end.fabric));
  const failure = failureOf(scenario);
  const failed = experiment.routes.find((place) => place.link === failure?.link);
  const marked = Object.values(end.agents);
  // Sources of the same names as agents are those behind them.
  const behind = Object.entries(end.sources).filter(([name]) => name in end.agents);
  return {
    warmUpSeconds: scenario.warmUpSeconds,
    routes,
    balance: summariseBalance(routes),
    ...(failure === undefined || failed === undefined
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
    retransmitted: {
      kernelBytes: behind.reduce((sum, [, source]) => sum + source.kernelBytesRetrans, 0),
      lexPayloadBytes: marked.reduce((sum, agent) => sum + agent.lexPayloadBytes, 0),
    },
  };
}
