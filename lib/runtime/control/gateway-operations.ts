/** What a gateway daemon can be asked over its control socket. */
import { invalidOption, rejectUnknownKeys, requireInteger } from '../../errors.ts';
import type { DestinationStatus, EgressStatus, SampledRoute } from '../../pref/gateway-status.ts';
import type { GatewayDaemon, GatewayDaemonStatus } from '../gateway-daemon.ts';
import type { ConfigEdit, LiveGatewayConfig } from '../gateway-live.ts';
import type { DaemonLog } from '../daemon-log.ts';
import { eventsOperation } from './events-operation.ts';
import { explainTarget } from './gateway-explain.ts';
import { changeLogLevel } from './log-level.ts';
import type { ControlArguments } from './protocol.ts';
import type { ControlOperation } from './server.ts';

/** Answer of `status`. */
export interface GatewayStatusAnswer {
  readonly file: string;
  readonly strategy: string;
  readonly betas: { readonly equal: number; readonly conservative: number; readonly loss: number };
  readonly intervalSeconds: number;
  /** Whether a new interval length waits for the running interval to end. */
  readonly isIntervalPending: boolean;
  readonly drained: readonly string[];
  readonly status: GatewayDaemonStatus;
}

/** Answer of `routes`. */
export interface RoutesAnswer {
  readonly strategy: string;
  readonly drained: readonly string[];
  readonly routes: readonly EgressStatus[];
  /** As many as were asked for. */
  readonly destinations: readonly DestinationStatus[];
  readonly destinationCount: number;
}

/** Answer of `flows`: a gateway has no table of flows, only a sample of hashes for inferring failures. */
export interface GatewayFlowsAnswer {
  /** Sampled flows by route, routes with most of them first; as many as were asked for. */
  readonly sampled: readonly (SampledRoute & { readonly prefix: string; readonly route: string })[];
  /** Routes of destinations that have any. */
  readonly sampledRoutes: number;
  readonly sampledFlows: number;
}

/** Destinations in an answer unless more are asked for, and the most that may be. */
const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 1000;
const SET_KEYS = [
  'strategy',
  'betas',
  'intervalSeconds',
  'exposeTo',
  'fne',
  'failures',
  'drain',
  'undrain',
  'logLevel',
] as const;
/** What of the fields with fields of their own can be set. */
const SET_FIELDS = {
  fne: ['perPrefixPerSecond', 'totalPerSecond'],
  failures: ['infer', 'windowSeconds', 'share'],
} as const;

/** The operations `status`, `routes`, `flows`, `explain`, `events` and `set`. */
export function gatewayOperations(
  daemon: GatewayDaemon,
  live: LiveGatewayConfig,
  log: Pick<DaemonLog, 'level'>,
): Record<'status' | 'routes' | 'flows' | 'explain' | 'events' | 'set', ControlOperation> {
  return {
    status: (args): GatewayStatusAnswer => {
      const limit = limitOf(args);
      const { strategy, betas, intervalSeconds } = live.config;
      return {
        file: live.file,
        strategy,
        betas,
        intervalSeconds,
        isIntervalPending: daemon.gateway.isIntervalPending,
        drained: daemon.drainedRoutes,
        status: daemon.status(limit),
      };
    },
    routes: (args): RoutesAnswer => {
      const { routes, destinations, destinationCount } = daemon.status(limitOf(args));
      const { strategy } = live.config;
      return { strategy, drained: daemon.drainedRoutes, routes, destinations, destinationCount };
    },
    flows: (args): GatewayFlowsAnswer => {
      const limit = limitOf(args);
      const sampled = daemon.gateway.sampledFlows();
      const names = new Map(live.config.routes.map(({ name, pathId }) => [pathId, name]));
      const prefixes = new Map(daemon.destinations.entries.map((entry) => [entry.index, entry.prefixes[0]]));
      return {
        sampled: sampled.slice(0, limit).map((route) => ({
          ...route,
          prefix: prefixes.get(route.destination) ?? '',
          route: names.get(route.pathId) ?? String(route.pathId),
        })),
        sampledRoutes: sampled.length,
        sampledFlows: sampled.reduce((sum, { flows }) => sum + flows, 0),
      };
    },
    explain: (args) => {
      rejectUnknownKeys('args', args, ['target']);
      return explainTarget(daemon, live.config.inside.prefixes, args['target']);
    },
    events: eventsOperation(daemon.events),
    set: async (args) => {
      rejectUnknownKeys('set', args, SET_KEYS);
      const { drain, undrain, logLevel } = args;
      const edits = editsOf(args, live.config.strategy);
      const wishes = [drain, undrain, logLevel, edits.length > 0 || undefined].filter(
        (wish) => wish !== undefined,
      );
      if (wishes.length !== 1) {
        const allowed = `drain, or undrain, or logLevel, or one or more of ${SET_KEYS.slice(0, -3).join(', ')}`;
        throw invalidOption('set', args, allowed);
      }
      if (logLevel !== undefined) return changeLogLevel(log, logLevel);
      if (edits.length > 0) return { changed: await live.edit(edits) };
      const name = drain ?? undrain;
      if (typeof name !== 'string') throw invalidOption('route', name, 'the name of a route');
      daemon.drain(name, drain !== undefined);
      return { changed: [`route ${name}`], drained: daemon.drainedRoutes };
    },
  };
}

function limitOf(args: ControlArguments): number {
  rejectUnknownKeys('args', args, ['limit']);
  return requireInteger('limit', (args['limit'] ?? DEFAULT_LIMIT) as number, 1, MAX_LIMIT);
}

/** What the values mean in the file; they are checked there. Another strategy begins with its own betas. */
function editsOf(args: ControlArguments, strategyBefore: string): ConfigEdit[] {
  const { strategy, betas, intervalSeconds, exposeTo } = args;
  const edits: ConfigEdit[] = [];
  if (strategy !== undefined) {
    edits.push([['strategy'], strategy]);
    if (strategy !== strategyBefore) edits.push([['betas'], undefined]);
    if (strategy !== 'self-tuning')
      edits.push([['shortestIntervalSeconds'], undefined], [['longestIntervalSeconds'], undefined]);
  }
  if (betas !== undefined) edits.push([['betas'], betas]);
  if (intervalSeconds !== undefined) edits.push([['intervalSeconds'], intervalSeconds]);
  if (exposeTo !== undefined) edits.push([['exposeTo'], exposeTo]);
  for (const [field, known] of Object.entries(SET_FIELDS)) {
    const values = args[field];
    if (values === undefined) continue;
    if (typeof values !== 'object' || values === null) throw invalidOption(field, values, 'an object');
    rejectUnknownKeys(field, values, known);
    for (const [key, value] of Object.entries(values)) edits.push([[field, key], value]);
  }
  return edits;
}
