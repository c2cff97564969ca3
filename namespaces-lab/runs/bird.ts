/**
 * The run `bird`: two neighbours announce two networks to the gateway's BIRD by BGP, withdraw some and announce them
 * again, while connections go on. BIRD keeps a kernel table for each neighbour, and the gateway follows those.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { PreflexError } from '../../lib/errors.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { listRoutes } from '../../lib/netns/routes.ts';
import { waitFor } from '../../lib/netns/wait.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import { Bird } from '../processes/bird.ts';
import type { Datapath } from '../processes/datapath.ts';
import { startDaemon } from '../processes/datapath.ts';
import { PreflexProcess, statusOf } from '../processes/preflex-process.ts';
import type { ResultMeta } from '../result.ts';
import { runMeta } from '../result.ts';
import { BIRD, buildBird } from '../topologies/bird.ts';
import type { SteadyConnection } from '../traffic/steady.ts';

/** Options of the run. */
export interface BirdRunOptions {
  /** Seconds of each phase once its routes are there; default 3. */
  readonly seconds?: number;
  /** Connections to each network; default 8. */
  readonly connections?: number;
  /** Of the agent and the gateway; default tun. */
  readonly datapath?: Datapath;
  /** Told what happens, a line each. */
  readonly onProgress?: (line: string) => void;
}

/** A network in a phase. */
export interface BirdPhaseNetwork {
  readonly name: string;
  /** Names of the routes that lead there. */
  readonly routes: readonly string[];
  /** Bytes by name of the route, once the routes of the phase were there. */
  readonly bytes: Readonly<Record<string, number>>;
}

/** A phase of the run. */
export interface BirdPhase {
  readonly what: string;
  /** Time from the order to the neighbour until the gateway had its routes, seconds. */
  readonly settleSeconds: number;
  readonly networks: readonly BirdPhaseNetwork[];
  /** Longest time in which a connection received nothing, the change of routes included, seconds. */
  readonly longestGapSeconds: number;
  readonly brokenConnections: number;
}

/** What the run says. */
export interface BirdResult {
  readonly meta: ResultMeta;
  readonly connections: number;
  readonly phases: readonly BirdPhase[];
  readonly gateway: GatewayDaemonStatus;
}

interface Phase {
  readonly what: string;
  /** Commands for the BIRD of a neighbour, by its position. */
  readonly orders: readonly (readonly [neighbour: number, command: string])[];
  /** The routes that lead to each network then. */
  readonly routes: Readonly<Record<'x' | 'y', string>>;
}

const PHASES: readonly Phase[] = [
  { what: 'both neighbours announce X and Y', orders: [], routes: { x: 'a b', y: 'a b' } },
  { what: 'n1 withdraws X', orders: [[0, 'disable x']], routes: { x: 'b', y: 'a b' } },
  { what: 'n1 announces X again', orders: [[0, 'enable x']], routes: { x: 'a b', y: 'a b' } },
  {
    what: 'n2 withdraws X and Y',
    orders: [
      [1, 'disable x'],
      [1, 'disable y'],
    ],
    routes: { x: 'a', y: 'a' },
  },
  {
    what: 'n2 announces both again',
    orders: [
      [1, 'enable x'],
      [1, 'enable y'],
    ],
    routes: { x: 'a b', y: 'a b' },
  },
  { what: 'n1 ends its BGP session', orders: [[0, 'disable p']], routes: { x: 'b', y: 'b' } },
  { what: 'n1 is back', orders: [[0, 'enable p']], routes: { x: 'a b', y: 'a b' } },
];

const PORT = 9000;
const ROUTES_MS = 30_000;
const POLL_MS = 20;

/** The configuration of the gateway's BIRD: a routing table for each neighbour, and its copy in a kernel table. */
export function gatewayBirdConfig(): string {
  const neighbours = BIRD.neighbours.map(
    ({ as, gateway, address, table }, i) => `
ipv4 table t${i + 1};
protocol bgp n${i + 1} {
  local ${gateway} as ${BIRD.gatewayAs};
  neighbor ${address} as ${as};
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { table t${i + 1}; import all; export none; };
}
protocol kernel k${i + 1} {
  kernel table ${table};
  ipv4 { table t${i + 1}; import none; export all; };
}`,
  );
  return `router id ${BIRD.neighbours[0].gateway};\nprotocol device { }\n${neighbours.join('\n')}\n`;
}

/** The configuration of a neighbour's BIRD, which announces each network by a protocol of its own. */
export function neighbourBirdConfig(position: number): string {
  const { as, gateway, address } = BIRD.neighbours[position];
  const networks = BIRD.networks.map(
    ({ name, prefix }) => `protocol static ${name} { ipv4; route ${prefix} blackhole; }`,
  );
  return `router id ${address};
protocol device { }
${networks.join('\n')}
protocol bgp p {
  local ${address} as ${as};
  neighbor ${gateway} as ${BIRD.gatewayAs};
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import none; export all; next hop self; };
}
`;
}

/** The gateway's own configuration. */
export function birdGatewayConfig(): string {
  return JSON.stringify({
    inside: { device: 'p0', prefixes: [BIRD.insidePrefix] },
    routes: BIRD.neighbours.map(({ route, device, table }) => ({ name: route, device, table })),
    intervalSeconds: 1,
  });
}

/** Runs it. Everything it makes is gone when `scope` closes. */
export async function runBird(scope: LabScope, options: BirdRunOptions = {}): Promise<BirdResult> {
  const startedAt = new Date();
  const progress = options.onProgress ?? (() => undefined);
  const count = options.connections ?? 8;
  const { datapath = 'tun' } = options;
  progress('building the namespaces, starting three BIRDs, agent and gateway');
  const topology = buildBird(scope);
  const folder = mkdtempSync(join(tmpdir(), 'preflex-lab-'));
  scope.defer(`folder ${folder}`, () => {
    rmSync(folder, { recursive: true, force: true });
  });
  const config = join(folder, 'gateway.yaml');
  writeFileSync(config, birdGatewayConfig());
  await Bird.start(scope, { netns: topology.gateway, folder, name: 'p', config: gatewayBirdConfig() });
  const neighbours = await Promise.all(
    topology.neighbours.map((netns, i) =>
      Bird.start(scope, { netns, folder, name: `n${i + 1}`, config: neighbourBirdConfig(i) }),
    ),
  );
  // A route that comes up later than another begins with less than an even share.
  await waitFor(
    'the kernel tables of both neighbours',
    () => (hasAllRoutes(topology.gateway) ? true : undefined),
    { timeoutMs: ROUTES_MS },
  );
  const [gateway, agent] = await Promise.all([
    startDaemon(scope, topology.gateway, ['gateway', '--config', config], datapath),
    startDaemon(scope, topology.host, ['host', '--address', BIRD.hostAddress, '--device', 'h0'], datapath),
  ]);
  await untilRoutes(gateway, PHASES[0]);
  await PreflexProcess.startModule(scope, topology.far, 'traffic/steady', ['server', String(PORT)]);
  const addresses = BIRD.networks.map(({ address }) => address);
  const args = ['client', String(PORT), String(count), ...addresses];
  const client = await PreflexProcess.startModule(scope, topology.host, 'traffic/steady', args);
  const phases: BirdPhase[] = [];
  for (const phase of PHASES) {
    progress(phase.what);
    const orderedAt = performance.now();
    for (const [neighbour, command] of phase.orders) neighbours[neighbour].ask(command);
    const before = await untilRoutes(gateway, phase);
    const settleSeconds = (performance.now() - orderedAt) / 1000;
    await delay((options.seconds ?? 3) * 1000);
    const after = statusOf<GatewayDaemonStatus>(await gateway.counters());
    const { connections } = statusOf<{ connections: SteadyConnection[] }>(
      await client.ask({ command: 'report' }, 'report'),
    );
    phases.push({
      what: phase.what,
      settleSeconds,
      networks: BIRD.networks.map(({ name, prefix }) => ({
        name,
        routes: phase.routes[name].split(' '),
        bytes: bytesBetween(before, after, prefix),
      })),
      longestGapSeconds: Math.max(...connections.map(({ longestGapSeconds }) => longestGapSeconds)),
      brokenConnections: connections.filter(({ error }) => error !== null).length,
    });
  }
  await client.stop();
  await agent.stop();
  return {
    meta: { ...runMeta('bird', startedAt, (Date.now() - startedAt.getTime()) / 1000), datapath },
    connections: count * addresses.length,
    phases,
    gateway: statusOf<GatewayDaemonStatus>(await gateway.stop()),
  };
}

/** What is wrong with a result; empty when the traffic went where the announcements led, and every connection lives. */
export function birdProblems(result: BirdResult): string[] {
  return result.phases.flatMap(({ what, networks, brokenConnections }) => [
    ...(brokenConnections === 0 ? [] : [`${what}: ${brokenConnections} connections are broken`]),
    ...networks.flatMap(({ name, routes, bytes }) =>
      Object.entries(bytes)
        .filter(([route, count]) => count > 0 !== routes.includes(route))
        .map(([route, count]) => `${what}: ${count} bytes to ${name} went over ${route}`),
    ),
  ]);
}

/** Whether the kernel tables lead to both networks by both neighbours. */
function hasAllRoutes(netns: string): boolean {
  return BIRD.neighbours.every(({ table }) => {
    const prefixes = listRoutes(4, table, { netns }).map((route) => route.prefix);
    return BIRD.networks.every(({ prefix }) => prefixes.includes(prefix));
  });
}

/** Waits until the gateway has the routes of a phase; returns its counters then. */
async function untilRoutes(gateway: PreflexProcess, phase: Phase): Promise<GatewayDaemonStatus> {
  const deadline = performance.now() + ROUTES_MS;
  for (;;) {
    const status = statusOf<GatewayDaemonStatus>(await gateway.counters());
    const isThere = BIRD.networks.every(({ name, prefix }) => {
      const routes = status.destinations.find(({ prefixes }) => prefixes[0] === prefix)?.routes ?? [];
      const up = routes.filter((route) => route.up).map((route) => route.name);
      return up.join(' ') === phase.routes[name];
    });
    if (isThere) return status;
    if (performance.now() > deadline)
      throw new PreflexError('ERR_SYSTEM', `the gateway has not got the routes: ${phase.what}`);
    await delay(POLL_MS);
  }
}

/** Bytes to a network by route between two counters. */
function bytesBetween(
  before: GatewayDaemonStatus,
  after: GatewayDaemonStatus,
  prefix: string,
): Record<string, number> {
  const totals = (status: GatewayDaemonStatus): Map<string, number> =>
    new Map(
      status.destinations
        .find(({ prefixes }) => prefixes[0] === prefix)
        ?.routes.map((route) => [route.name, route.total.bytes]),
    );
  const start = totals(before);
  return Object.fromEntries(
    [...totals(after)].map(([name, bytes]) => [name, bytes - (start.get(name) ?? 0)]),
  );
}
