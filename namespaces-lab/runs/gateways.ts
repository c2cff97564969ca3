/**
 * The run `gateways`: two gateways of one domain that share their figures, cut off from the NATS server in the middle, and
 * with it again at the end. Most of the traffic is behind one of them.
 *
 * ```
 *   0           1/3           2/3           end
 *   | together   | alone       | together    |        a sample a second: the flowlet ratios of both
 * ```
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { waitFor } from '../../lib/netns/wait.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import { clockOriginNs, nowNs } from '../../lib/sys/clock.ts';
import { NATS_PORT, NatsServer } from '../processes/nats-server.ts';
import type { Datapath } from '../processes/datapath.ts';
import { startDaemon } from '../processes/datapath.ts';
import { PreflexProcess, statusOf } from '../processes/preflex-process.ts';
import type { HostStatus, LabResult } from '../result.ts';
import { quantile, runMeta } from '../result.ts';
import type { GatewaysOptions, GatewaysTopology } from '../topologies/gateways.ts';
import { buildGateways, connectGateways, GATEWAYS, setBusLink } from '../topologies/gateways.ts';
import type { ClientPlan, FlowClass, FlowRecord } from '../traffic/flow-class.ts';
import { summariseFlows } from './summary.ts';
import { intervalsOf } from './two-path.ts';

/** Options of the run. */
export interface GatewaysRunOptions {
  /** Seconds of traffic, in three parts; default 72. */
  readonly seconds?: number;
  /** Update interval of both gateways, seconds; default 4. */
  readonly intervalSeconds?: number;
  /** Strategy of both; default loss. */
  readonly strategy?: string;
  /** Seed of the transfers; default 1. */
  readonly seed?: number;
  /** Of agents and gateways; default tun. */
  readonly datapath?: Datapath;
  /** Told what happens, a line each. */
  readonly onProgress?: (line: string) => void;
}

/** A gateway at a moment. */
export interface GatewaySample {
  /** Flowlet ratios toward far, by the order of the routes. */
  readonly ratios: readonly number[];
  readonly isConnected: boolean;
  /** Other gateways whose figures count. */
  readonly peers: number;
}

/** Both at a moment. */
export interface GatewaysSample {
  /** Seconds since the start of the traffic. */
  readonly t: number;
  readonly phase: string;
  readonly ga: GatewaySample;
  readonly gb: GatewaySample;
  /** The largest difference of a route's ratio between the two. */
  readonly difference: number;
}

/** A part of the run. */
export interface GatewaysPhase {
  readonly name: string;
  readonly isShared: boolean;
  readonly from: number;
  readonly to: number;
  /** Samples after the first {@link KEEP_INTERVALS} intervals, in which figures are on their way or growing old. */
  readonly samples: number;
  /** Those of them in which both had the same ratios. */
  readonly agreeing: number;
  readonly medianDifference: number | null;
  readonly maxDifference: number | null;
  /** Mean ratios of both, by the order of the routes. */
  readonly ga: readonly number[];
  readonly gb: readonly number[];
}

/** What the run leaves behind. */
export interface GatewaysResult extends LabResult {
  readonly phases: readonly GatewaysPhase[];
  readonly samples: readonly GatewaysSample[];
  readonly gateways: { readonly ga: GatewayDaemonStatus; readonly gb: GatewayDaemonStatus };
}

/** The domain while it runs. */
export interface GatewaysLab {
  readonly topology: GatewaysTopology;
  readonly server: NatsServer;
  readonly fabric: PreflexProcess;
  readonly ga: PreflexProcess;
  readonly gb: PreflexProcess;
  readonly agents: { readonly ha: PreflexProcess; readonly hb: PreflexProcess };
}

/** What a {@link GatewaysLab} is to be like. */
export interface GatewaysLabOptions extends GatewaysOptions {
  /** Fields of the gateways' configurations beside those that the topology asks for. */
  readonly config?: object;
  /** Fields of one of them. */
  readonly configs?: Partial<Record<'ga' | 'gb', object>>;
  /** Of agents and gateways; default tun. */
  readonly datapath?: Datapath;
  /** Whether the server runs from the start; default true. */
  readonly hasServer?: boolean;
}

/** Intervals for which the figures of the other gateway count. */
export const KEEP_INTERVALS = 2;
const PORT = 9000;
const FLOWS = { ga: 24, gb: 3 };
const SIZE = { weibull: { shape: 0.5, scaleBytes: 100_000 } };
const LEAD_NS = 300e6;
const SAMPLE_MS = 1000;
/** Ratios that differ by no more are the same: what adding in another order may make. */
const SAME = 1e-9;

/** Builds the topology and starts the server, the emulated network, the gateways and the agents. */
export async function startGateways(
  scope: LabScope,
  folder: string,
  options: GatewaysLabOptions = {},
): Promise<GatewaysLab> {
  const topology = buildGateways(scope, options);
  const { namespaces } = topology;
  const server = new NatsServer(scope, namespaces.bus, folder);
  if (options.hasServer ?? true) await server.start();
  const planFile = join(folder, 'fabric.json');
  writeFileSync(planFile, JSON.stringify(topology.plan));
  const fabric = await PreflexProcess.startModule(scope, namespaces.fabric, 'processes/fabric', [planFile]);
  connectGateways(topology);
  const gateway = (role: 'ga' | 'gb'): Promise<PreflexProcess> => {
    const file = gatewayFile(folder, role);
    writeFileSync(file, gatewaysConfig(role, server, { ...options.config, ...options.configs?.[role] }));
    return startGateway(scope, topology, folder, role, options.datapath);
  };
  const agent = (role: 'ha' | 'hb', address: string): Promise<PreflexProcess> => {
    const args = ['host', '--address', address, '--device', 'h0', '--interval', '3600'];
    return startDaemon(scope, namespaces[role], args, options.datapath);
  };
  const [ga, gb, ha, hb] = await Promise.all([
    gateway('ga'),
    gateway('gb'),
    agent('ha', `${GATEWAYS.sides[0].net}.2`),
    agent('hb', `${GATEWAYS.sides[1].net}.2`),
  ]);
  return { topology, server, fabric, ga, gb, agents: { ha, hb } };
}

/** Where a gateway's configuration is. */
export function gatewayFile(folder: string, role: 'ga' | 'gb'): string {
  return join(folder, `${role}.yaml`);
}

/** Starts a gateway whose configuration is written; also one that was ended before. */
export function startGateway(
  scope: LabScope,
  { namespaces }: GatewaysTopology,
  folder: string,
  role: 'ga' | 'gb',
  datapath?: Datapath,
): Promise<PreflexProcess> {
  const args = ['--config', gatewayFile(folder, role), '--name', `lab-${process.pid}-${role}`];
  return startDaemon(scope, namespaces[role], ['gateway', ...args], datapath);
}

/** A gateway's configuration in the topology, as YAML (which JSON is). */
export function gatewaysConfig(
  role: 'ga' | 'gb',
  { tokenFile }: Pick<NatsServer, 'tokenFile'>,
  more: object = {},
): string {
  const { inside, busNet } = GATEWAYS.sides.find(({ gateway }) => gateway === role)!;
  return JSON.stringify({
    inside: { device: 'p0', prefixes: [inside] },
    routes: GATEWAYS.routes.map((name) => ({ name, device: name })),
    destinations: [{ prefixes: [GATEWAYS.far.prefix] }],
    share: {
      servers: [`nats://${busNet}.1:${NATS_PORT}`],
      domain: 'lab',
      name: role,
      tokenFile,
      keepIntervals: KEEP_INTERVALS,
    },
    ...more,
  });
}

/** Runs the laboratory once. Everything it makes is gone when `scope` closes. */
export async function runGateways(
  scope: LabScope,
  options: GatewaysRunOptions = {},
): Promise<GatewaysResult> {
  const startedAt = new Date();
  const progress = options.onProgress ?? (() => undefined);
  const { seconds = 72, intervalSeconds = 4, seed = 1 } = options;
  const folder = mkdtempSync(join(tmpdir(), 'preflex-lab-'));
  scope.defer(`folder ${folder}`, () => {
    rmSync(folder, { recursive: true, force: true });
  });
  progress('building the domain; starting NATS server, gateways and agents');
  const lab = await startGateways(scope, folder, {
    seed,
    ...(options.datapath && { datapath: options.datapath }),
    config: { strategy: options.strategy ?? 'loss', intervalSeconds },
  });
  const traffic = await startTraffic(scope, lab, folder, seconds, seed);
  const watch = new GatewaysWatch(lab, traffic.startNs);
  const third = seconds / 3;
  progress(`${FLOWS.ga} transfers behind ga, ${FLOWS.gb} behind gb; both share their figures, ${third} s`);
  await watch.follow('together', third);
  progress(`the server is cut off from both, ${third} s`);
  for (const role of ['ga', 'gb'] as const) setBusLink(lab.topology, role, false);
  await watch.follow('alone', 2 * third);
  progress(`the server is back, ${third} s`);
  for (const role of ['ga', 'gb'] as const) setBusLink(lab.topology, role, true);
  await watch.follow('together again', seconds);
  const flows = await traffic.stop();
  const { ga, gb, agents, fabric, server } = lab;
  const [gaLine, gbLine, haLine] = await Promise.all([
    ga.stop(),
    gb.stop(),
    agents.ha.stop(),
    agents.hb.stop(),
  ]);
  await Promise.all([fabric.stop(), server.stop()]);
  const names = ['together', 'alone', 'together again'];
  return {
    meta: {
      ...runMeta('gateways', startedAt, (Date.now() - startedAt.getTime()) / 1000),
      datapath: options.datapath ?? 'tun',
      seed,
    },
    intervals: intervalsOf(ga.lines),
    flows: { ...summariseFlows(flows) },
    phases: names.map((name, i) =>
      summarisePhase(
        watch.samples,
        { name, isShared: i !== 1, from: i * third, to: (i + 1) * third },
        intervalSeconds,
      ),
    ),
    samples: watch.samples,
    host: statusOf<HostStatus>(haLine),
    gateway: statusOf<GatewayDaemonStatus>(gaLine),
    gateways: {
      ga: statusOf<GatewayDaemonStatus>(gaLine),
      gb: statusOf<GatewayDaemonStatus>(gbLine),
    },
  };
}

/** Whether both gateways had the same ratios wherever they should. */
export function haveAgreed(phases: readonly GatewaysPhase[]): boolean {
  return phases.filter(({ isShared }) => isShared).every((phase) => phase.agreeing * 2 > phase.samples);
}

/**
 * What the samples say of a part of the run. Pure.
 *
 * @param intervalSeconds - of the gateways; samples of the first {@link KEEP_INTERVALS} are left out
 */
export function summarisePhase(
  samples: readonly GatewaysSample[],
  phase: Pick<GatewaysPhase, 'name' | 'isShared' | 'from' | 'to'>,
  intervalSeconds: number,
): GatewaysPhase {
  const counted = samples.filter(
    ({ t }) => t >= phase.from + KEEP_INTERVALS * intervalSeconds && t < phase.to,
  );
  const differences = counted.map(({ difference }) => difference).sort((a, b) => a - b);
  const mean = (role: 'ga' | 'gb'): number[] =>
    GATEWAYS.routes.map((_, i) =>
      counted.length === 0
        ? 0
        : counted.reduce((sum, sample) => sum + sample[role].ratios[i], 0) / counted.length,
    );
  return {
    ...phase,
    samples: counted.length,
    agreeing: differences.filter((difference) => difference <= SAME).length,
    medianDifference: quantile(differences, 0.5),
    maxDifference: differences.at(-1) ?? null,
    ga: mean('ga'),
    gb: mean('gb'),
  };
}

/** Takes the samples. */
class GatewaysWatch {
  readonly samples: GatewaysSample[] = [];
  readonly #lab: GatewaysLab;
  readonly #startNs: number;

  constructor(lab: GatewaysLab, startNs: number) {
    this.#lab = lab;
    this.#startNs = startNs;
  }

  /** Takes a sample a second until so many seconds after the start of the traffic. */
  async follow(phase: string, toSeconds: number): Promise<void> {
    const { ga, gb } = this.#lab;
    for (let leftMs = this.#leftMs(toSeconds); leftMs > 0; leftMs = this.#leftMs(toSeconds)) {
      await delay(Math.min(SAMPLE_MS, leftMs));
      const [a, b] = (await Promise.all([ga.counters(), gb.counters()])).map((line) =>
        sampleOf(statusOf<GatewayDaemonStatus>(line)),
      );
      const difference = Math.max(...a.ratios.map((ratio, i) => Math.abs(ratio - b.ratios[i])));
      const t = Math.round((nowNs() - this.#startNs) / 1e6) / 1e3;
      this.samples.push({ t, phase, ga: a, gb: b, difference });
    }
  }

  #leftMs(toSeconds: number): number {
    return (this.#startNs - nowNs()) / 1e6 + toSeconds * 1000;
  }
}

/** A gateway's status as a sample. */
export function sampleOf({ destinations, share }: GatewayDaemonStatus): GatewaySample {
  return {
    ratios: destinations[0].routes.map((route) => route.flowletRatio),
    isConnected: share?.connection.isConnected ?? false,
    peers: share?.peers.filter(({ isLive }) => isLive).length ?? 0,
  };
}

/** Transfers from both hosts to far, all the time. */
async function startTraffic(
  scope: LabScope,
  { topology, ga, gb }: GatewaysLab,
  folder: string,
  seconds: number,
  seed: number,
): Promise<{ readonly startNs: number; stop(): Promise<FlowRecord[]> }> {
  const { namespaces } = topology;
  const classes = GATEWAYS.sides.map(({ gateway, net, host }): FlowClass => {
    const concurrent = [{ fromSeconds: 0, flows: FLOWS[gateway] }];
    return { name: host, address: `${net}.2`, port: PORT, size: SIZE, concurrent };
  });
  const plan: ClientPlan = { classes, own: classes.map(({ name }) => name), seed, seconds };
  const planFile = join(folder, 'client.json');
  writeFileSync(planFile, JSON.stringify(plan));
  const [client, ...sources] = await Promise.all([
    PreflexProcess.startModule(scope, namespaces.far, 'traffic/client', [planFile]),
    ...GATEWAYS.sides.map(({ host }) =>
      PreflexProcess.startModule(scope, namespaces[host], 'traffic/source', [String(PORT), 'cubic']),
    ),
  ]);
  await waitFor(
    'both gateways to have heard each other',
    async () => {
      const lines = await Promise.all([ga.counters(), gb.counters()]);
      const samples = lines.map((line) => sampleOf(statusOf<GatewayDaemonStatus>(line)));
      return samples.every(({ peers }) => peers === 1) ? true : undefined;
    },
    { timeoutMs: 20_000 },
  );
  const flows: FlowRecord[] = [];
  client.onLine((line) => {
    if (line.event === 'flow') flows.push(statusOf<FlowRecord>(line));
  });
  const startNs = nowNs() + LEAD_NS;
  client.send({ command: 'start', atNs: startNs + clockOriginNs });
  return {
    startNs,
    stop: async () => {
      for (const source of sources) await source.stop();
      await client.stop();
      return flows;
    },
  };
}
