/** The run `two-path`: agent and gateway between unmodified applications, iperf3 both ways, and what came of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linkCounters } from '../../lib/netns/links.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { Link } from '../../lib/sim/link.ts';
import type { LabLinkOptions } from '../links/lab-link.ts';
import type { Datapath } from '../processes/datapath.ts';
import { startDaemon } from '../processes/datapath.ts';
import type { PreflexProcess } from '../processes/preflex-process.ts';
import { statusOf } from '../processes/preflex-process.ts';
import type { DaemonLine } from '../processes/preflex-process.ts';
import type { HostStatus, Interval, LabResult } from '../result.ts';
import { busiestRatio, runMeta } from '../result.ts';
import { buildTwoPath, TWO_PATH } from '../topologies/two-path.ts';
import type { TwoPathTopology } from '../topologies/two-path.ts';
import type { Iperf3Result } from '../traffic/iperf3.ts';
import { runIperf3 } from '../traffic/iperf3.ts';

/** Options of the run. */
export interface TwoPathRunOptions {
  /** Seconds of traffic each way; default 8. */
  readonly seconds?: number;
  /** Parallel TCP flows; default 8. */
  readonly flows?: number;
  /** Loss ratio of link A and of link B, from the gateway outward; default 0 and 0.01. */
  readonly lossA?: number;
  readonly lossB?: number;
  /** Strategy of the gateway; default loss. */
  readonly strategy?: string;
  /** Marking scheme; default pool2. */
  readonly scheme?: string;
  /** Update interval in seconds; default 1. */
  readonly intervalSeconds?: number;
  /** Seed of the losses; default 1. */
  readonly seed?: number;
  /** Of the agent and the gateway; default tun. */
  readonly datapath?: Datapath;
  /** Told what happens, a line each. */
  readonly onProgress?: (line: string) => void;
}

/** The running two-path laboratory: topology, agent and gateway. */
export interface TwoPathLab {
  readonly topology: TwoPathTopology;
  readonly host: PreflexProcess;
  readonly gateway: PreflexProcess;
}

/** The gateway's configuration in the topology, as YAML (which JSON is). */
export function twoPathConfig(options: {
  readonly strategy?: string;
  readonly scheme?: string;
  readonly intervalSeconds?: number;
  readonly exposeTo?: readonly string[];
}): string {
  return JSON.stringify({
    inside: { device: 'p0', prefixes: TWO_PATH.insidePrefixes },
    routes: TWO_PATH.routes.map(({ name, nextHop, nextHop6 }) => ({
      name,
      device: name,
      nextHop,
      nextHop6,
    })),
    exposeTo: options.exposeTo ?? [],
    scheme: options.scheme ?? 'pool2',
    strategy: options.strategy ?? 'loss',
    intervalSeconds: options.intervalSeconds ?? 1,
  });
}

/** Builds the topology and starts gateway and agent in it. */
export async function startTwoPath(
  scope: LabScope,
  options: TwoPathRunOptions & {
    readonly exposeTo?: readonly string[];
    readonly hostArgs?: readonly string[];
  } = {},
): Promise<TwoPathLab> {
  const link = (loss: number): LabLinkOptions => ({ loss: { forward: loss }, seed: options.seed ?? 1 });
  const topology = buildTwoPath(scope, { a: link(options.lossA ?? 0), b: link(options.lossB ?? 0.01) });
  const directory = mkdtempSync(join(tmpdir(), 'preflex-lab-'));
  scope.defer(`folder ${directory}`, () => {
    rmSync(directory, { recursive: true, force: true });
  });
  const configFile = join(directory, 'gateway.yaml');
  writeFileSync(configFile, twoPathConfig(options));
  const { datapath, scheme = 'pool2', hostArgs = [] } = options;
  const addresses = ['--address', TWO_PATH.hostAddress, TWO_PATH.hostAddress6];
  const agentArgs = ['host', ...addresses, '--device', 'h0', '--scheme', scheme, ...hostArgs];
  const [gateway, host] = await Promise.all([
    startDaemon(scope, topology.gateway, ['gateway', '--config', configFile], datapath),
    startDaemon(scope, topology.host, agentArgs, datapath),
  ]);
  return { topology, host, gateway };
}

/** Runs the laboratory once. Everything it makes is gone when `scope` closes. */
export async function runTwoPath(scope: LabScope, options: TwoPathRunOptions = {}): Promise<LabResult> {
  const startedAt = new Date();
  const progress = options.onProgress ?? (() => undefined);
  progress('building the namespaces, starting agent and gateway');
  const lab = await startTwoPath(scope, options);
  const { topology } = lab;
  const traffic = {
    clientNetns: topology.host,
    serverNetns: topology.far,
    seconds: options.seconds ?? 8,
    flows: options.flows ?? 8,
  };
  progress(`iperf3: ${traffic.flows} flows from host to far over IPv4, ${traffic.seconds} s`);
  const upload = await runIperf3(scope, { ...traffic, address: TWO_PATH.farAddress });
  progress(`iperf3: ${traffic.flows} flows from far to host over IPv6, ${traffic.seconds} s`);
  const download = await runIperf3(scope, { ...traffic, address: TWO_PATH.farAddress6, reverse: true });
  const deviceBytes = Object.fromEntries(
    ['a', 'b'].map((name) => [name, linkCounters(name, { netns: topology.gateway }).txBytes]),
  );
  const hostLine = await lab.host.stop();
  const gatewayLine = await lab.gateway.stop();
  return {
    meta: {
      ...runMeta('two-path', startedAt, (Date.now() - startedAt.getTime()) / 1000),
      datapath: options.datapath ?? 'tun',
      seed: options.seed ?? 1,
      lossA: options.lossA ?? 0,
      lossB: options.lossB ?? 0.01,
    },
    intervals: intervalsOf(lab.gateway.lines),
    flows: describeFlows(traffic.flows, upload, download),
    links: { a: describeLink(topology.links.a.forward), b: describeLink(topology.links.b.forward) },
    deviceBytes,
    host: statusOf<HostStatus>(hostLine),
    gateway: statusOf<GatewayDaemonStatus>(gatewayLine),
  };
}

/** The update intervals that the gateway's status lines tell of; destinations are summed up. */
export function intervalsOf(lines: readonly DaemonLine[]): Interval[] {
  const statuses = lines
    .filter((line) => line.event === 'status')
    .map((line) => statusOf<GatewayDaemonStatus>(line));
  return statuses.map((status) => ({
    t: (status.intervals * status.updateIntervalNs) / 1e9,
    routes: status.routes.map((route) => ({
      name: route.name,
      up: route.up,
      bytes: route.bytes,
      lexBytes: route.lexBytes,
      fneRepeatBytes: route.fneRepeatBytes,
      lossRatio: route.lossRatio,
      trueDropRatio: null,
      flowletRatio: busiestRatio(status, route.name),
      flowlets: route.flowlets,
      utilisation: null,
    })),
  }));
}

function describeFlows(flows: number, upload: Iperf3Result, download: Iperf3Result): Record<string, unknown> {
  return { started: flows * 2, completed: flows * 2, failed: 0, upload, download };
}

function describeLink(link: Link): Record<string, number> {
  const droppedPackets = link.droppedPackets.reduce((sum, count) => sum + count, 0);
  const droppedBytes = link.droppedBytes.reduce((sum, count) => sum + count, 0);
  return {
    packets: link.forwardedPackets,
    bytes: link.forwardedBytes,
    droppedPackets,
    droppedBytes,
    dropRatio: droppedBytes / Math.max(1, link.forwardedBytes + droppedBytes),
  };
}
