/**
 * The options of the gateway: their names, units, ranges and defaults, and the check of what a caller gives.
 */

import { invalidOption, rejectUnknownKeys, requireInteger, requireNumber } from '../errors.ts';
import { markingScheme } from '../wire/marking/scheme.ts';
import type { MarkingScheme } from '../wire/marking/scheme.ts';
import type { Balancer } from './balancers/balancer.ts';
import { loss } from './balancers/loss.ts';
import type { FailureRules, FailureSettings } from './failure-core.ts';
import type { FneLimits } from './fne-limiter.ts';

/** A route out of the domain. */
export interface RouteOptions {
  /** The path ID that names it in marks: 1..scheme.maxPathId, different for each route. */
  readonly pathId: number;
  /** For reports, different for each route. */
  readonly name: string;
  /**
   * Whether addresses are translated on this way: then a flow stays on it from its first packet to its last, and no
   * flow that began elsewhere comes to it. Default false.
   */
  readonly nat?: boolean;
}

/** How a gateway balances, and how often. */
export interface BalancingOptions {
  /** Balancing strategy; default `loss()`, the paper's beta_E = 0.1 and beta_L = 0.9. */
  readonly balancer?: Balancer;
  /** Time between two computations of the ratios, ns: 1 ms to 1 day, default 10 s. */
  readonly updateIntervalNs?: number;
  /**
   * Shortest update interval that the balancer may choose, ns: 1 ms to updateIntervalNs, default a quarter of that. Only
   * for a balancer that sets the interval, such as `selfTuning()`, which begins with updateIntervalNs.
   */
  readonly shortestIntervalNs?: number;
  /** Longest update interval that the balancer may choose, ns: updateIntervalNs to 1 day, default 4 times that. */
  readonly longestIntervalNs?: number;
}

/** What a gateway can take over while it runs, beside how it balances. */
export interface PolicyOptions {
  /** Path IDs of routes to neighbours that take LEX codepoints, 0 for the default route; default none. */
  readonly exposeTo?: Iterable<number>;
  /** Assignments a second for each destination: 0.001 to Infinity, default 10,000. */
  readonly fneRatePerDestination?: number;
  /** Assignments at once for each destination: 1 to 10^9, default 10,000. */
  readonly fneBurstPerDestination?: number;
  /** Assignments a second in total: 0.001 to Infinity, default 100,000. */
  readonly fneRateTotal?: number;
  /** Assignments at once in total: 1 to 10^9, default 100,000. */
  readonly fneBurstTotal?: number;
  /** Whether failures are inferred from the marks and routes suspended for them; default true. */
  readonly inferFailures?: boolean;
  /** The window within which failing flows must have exposed loss, ns: 0.2 s to 0.8 s, default 0.5 s. */
  readonly failureWindowNs?: number;
  /**
   * Failing flows, of those that are failing or were just answered, from which a route is suspended: 0.5 to 1,
   * default 0.9.
   */
  readonly failureShare?: number;
}

/** Options of the gateway; only `routes` is required. */
export interface GatewayOptions extends BalancingOptions, PolicyOptions {
  /** The routes out of the domain, one for each egress. */
  readonly routes: readonly RouteOptions[];
  /** Marking scheme: `pool2` (default) or `full`. */
  readonly scheme?: string;
  /**
   * What a route that comes up starts with: `probe` (beta_E / N) or `equal` (1 / N). The default is `probe`,
   * or `equal` when the balancer's probe share is 0, which as `probe` would leave the route unused for ever.
   */
  readonly startShare?: 'probe' | 'equal';
  /** Whether repeated FNE packets count as loss of the earlier route in the balancer; default true. */
  readonly countFneRepeats?: boolean;
  /** Whether a Not-LECT SYN or SYN-ACK from outside is taken for an FNE packet; default true. */
  readonly inferFromSyn?: boolean;
  /** Whether the answer to an inside host's FNE packet is taken for an FNE packet; default true. */
  readonly inferFromAnswer?: boolean;
  /** Where Not-LECT packets go: `hash` (default), spread evenly by flow, or `default`, the default route. */
  readonly notLect?: 'default' | 'hash';
  /** Entries of the FNE memory: a power of 2 from 4 to 2^24, default 65,536 (1 MiB). */
  readonly fneMemoryEntries?: number;
  /** How long the FNE memory remembers, ns: 1 ms to 1 h, default 10 s. */
  readonly fneMemoryLifetimeNs?: number;
  /** Flows sampled on each route of a destination, 8 to 64, default 64. */
  readonly failureSample?: number;
  /** Flows sampled in total: a power of 2 from 64 to 65,536, default 8,192 (560 kB). */
  readonly failureSampleEntries?: number;
  /**
   * Seed of the flow hash, 0..2^32-1, default 0. Should be drawn at random where outsiders may be hostile.
   */
  readonly seed?: number;
}

/** {@link BalancingOptions} after the check. The bounds are the interval itself with a balancer that does not set it. */
export type BalancingSettings = Required<BalancingOptions>;

/** {@link PolicyOptions} after the check. */
export interface PolicySettings {
  readonly exposeTo: readonly number[];
  readonly fneLimits: FneLimits;
  readonly failures: FailureRules;
}

/** The options after the check, with every default filled in. */
export interface GatewaySettings extends BalancingSettings, PolicySettings {
  readonly routes: readonly RouteOptions[];
  readonly scheme: MarkingScheme;
  readonly startShare: 'probe' | 'equal';
  readonly countFneRepeats: boolean;
  readonly inferFromSyn: boolean;
  readonly inferFromAnswer: boolean;
  readonly isNotLectHashed: boolean;
  readonly fneMemoryEntries: number;
  readonly fneMemoryLifetimeNs: number;
  readonly failures: FailureSettings;
  readonly seed: number;
}

const OPTION_NAMES: readonly (keyof GatewayOptions)[] = [
  'routes',
  'scheme',
  'balancer',
  'updateIntervalNs',
  'shortestIntervalNs',
  'longestIntervalNs',
  'startShare',
  'countFneRepeats',
  'inferFromSyn',
  'inferFromAnswer',
  'notLect',
  'exposeTo',
  'fneMemoryEntries',
  'fneMemoryLifetimeNs',
  'fneRatePerDestination',
  'fneBurstPerDestination',
  'fneRateTotal',
  'fneBurstTotal',
  'inferFailures',
  'failureWindowNs',
  'failureShare',
  'failureSample',
  'failureSampleEntries',
  'seed',
];

const MS = 1e6;
const S = 1e9;
const DAY = 86_400 * S;
const MAX_BURST = 1e9;
/** Bounds of the interval by default, as parts of the one configured. @see docs/balancers.md */
const SHORTEST_PART = 0.25;
const LONGEST_PART = 4;

/**
 * Checks the options and fills in the defaults.
 *
 * @throws PreflexError ERR_INVALID_OPTION naming the option, the value and what is allowed
 */
export function checkGatewayOptions(options: GatewayOptions): GatewaySettings {
  rejectUnknownKeys('gateway', options, OPTION_NAMES);
  const scheme = markingScheme(options.scheme ?? 'pool2');
  const balancing = checkBalancing(options);
  const routes = checkRoutes(options.routes, scheme);
  const policy = checkPolicy(options, routes);
  return {
    routes,
    scheme,
    ...balancing,
    startShare: checkStartShare(options.startShare, balancing.balancer),
    countFneRepeats: requireBoolean('countFneRepeats', options.countFneRepeats ?? true),
    inferFromSyn: requireBoolean('inferFromSyn', options.inferFromSyn ?? true),
    inferFromAnswer: requireBoolean('inferFromAnswer', options.inferFromAnswer ?? true),
    isNotLectHashed: requireOneOf('notLect', options.notLect ?? 'hash', ['default', 'hash']) === 'hash',
    fneMemoryEntries: requirePowerOf2('fneMemoryEntries', options.fneMemoryEntries ?? 65_536, 4, 2 ** 24),
    fneMemoryLifetimeNs: requireNumber(
      'fneMemoryLifetimeNs',
      options.fneMemoryLifetimeNs ?? 10 * S,
      MS,
      3600 * S,
    ),
    ...policy,
    failures: {
      ...policy.failures,
      sample: requireInteger('failureSample', options.failureSample ?? 64, 8, 64),
      sampleEntries: requirePowerOf2(
        'failureSampleEntries',
        options.failureSampleEntries ?? 8192,
        64,
        65_536,
      ),
    },
    seed: requireInteger('seed', options.seed ?? 0, 0, 2 ** 32 - 1),
  };
}

/**
 * Checks how a gateway is to balance and fills in the defaults.
 *
 * @throws PreflexError ERR_INVALID_OPTION naming the option, the value and what is allowed
 */
export function checkBalancing(options: BalancingOptions): BalancingSettings {
  const balancer = options.balancer ?? loss();
  const updateIntervalNs = requireNumber('updateIntervalNs', options.updateIntervalNs ?? 10 * S, MS, DAY);
  const { shortestIntervalNs, longestIntervalNs } = options;
  if (balancer.wantedIntervalNs === undefined) {
    const nothing = `nothing with balancer ${balancer.name}, which keeps updateIntervalNs`;
    if (shortestIntervalNs !== undefined)
      throw invalidOption('shortestIntervalNs', shortestIntervalNs, nothing);
    if (longestIntervalNs !== undefined) throw invalidOption('longestIntervalNs', longestIntervalNs, nothing);
    const bounds = { shortestIntervalNs: updateIntervalNs, longestIntervalNs: updateIntervalNs };
    return { balancer, updateIntervalNs, ...bounds };
  }
  return {
    balancer,
    updateIntervalNs,
    shortestIntervalNs: requireNumber(
      'shortestIntervalNs',
      shortestIntervalNs ?? Math.max(MS, SHORTEST_PART * updateIntervalNs),
      MS,
      updateIntervalNs,
    ),
    longestIntervalNs: requireNumber(
      'longestIntervalNs',
      longestIntervalNs ?? Math.min(DAY, LONGEST_PART * updateIntervalNs),
      updateIntervalNs,
      DAY,
    ),
  };
}

/**
 * Checks what a gateway can take over beside how it balances and fills in the defaults.
 *
 * @param routes - the gateway's
 * @throws PreflexError ERR_INVALID_OPTION naming the option, the value and what is allowed
 */
export function checkPolicy(options: PolicyOptions, routes: readonly RouteOptions[]): PolicySettings {
  return {
    exposeTo: checkExposeTo(options.exposeTo ?? [], routes),
    fneLimits: {
      ratePerDestination: requireRate('fneRatePerDestination', options.fneRatePerDestination ?? 10_000),
      burstPerDestination: requireNumber(
        'fneBurstPerDestination',
        options.fneBurstPerDestination ?? 10_000,
        1,
        MAX_BURST,
      ),
      rateTotal: requireRate('fneRateTotal', options.fneRateTotal ?? 100_000),
      burstTotal: requireNumber('fneBurstTotal', options.fneBurstTotal ?? 100_000, 1, MAX_BURST),
    },
    failures: {
      isOn: requireBoolean('inferFailures', options.inferFailures ?? true),
      windowNs: requireNumber('failureWindowNs', options.failureWindowNs ?? 0.5 * S, 0.2 * S, 0.8 * S),
      share: requireNumber('failureShare', options.failureShare ?? 0.9, 0.5, 1),
    },
  };
}

function checkRoutes(routes: readonly RouteOptions[], scheme: MarkingScheme): readonly RouteOptions[] {
  if (!Array.isArray(routes)) throw invalidOption('routes', routes, 'a list of routes');
  requireInteger('routes.length', routes.length, 1, scheme.maxPathId);
  const pathIds = new Set<number>();
  const names = new Set<string>();
  for (const [i, route] of routes.entries()) {
    const field = `routes[${i}]`;
    rejectUnknownKeys(field, route, ['pathId', 'name', 'nat']);
    requireBoolean(`${field}.nat`, route.nat ?? false);
    requireInteger(`${field}.pathId`, route.pathId, 1, scheme.maxPathId);
    if (pathIds.has(route.pathId))
      throw invalidOption(`${field}.pathId`, route.pathId, 'a path ID no other route has');
    if (typeof route.name !== 'string' || route.name === '' || names.has(route.name)) {
      throw invalidOption(`${field}.name`, route.name, 'a name no other route has');
    }
    pathIds.add(route.pathId);
    names.add(route.name);
  }
  return routes.map(({ pathId, name, nat }) => ({ pathId, name, nat: nat ?? false }));
}

function checkStartShare(startShare: 'probe' | 'equal' | undefined, balancer: Balancer): 'probe' | 'equal' {
  const canProbe = balancer.probeShare(1) > 0;
  if (startShare === undefined) return canProbe ? 'probe' : 'equal';
  requireOneOf('startShare', startShare, ['probe', 'equal']);
  if (startShare === 'probe' && !canProbe)
    throw invalidOption('startShare', startShare, 'equal when betaE is 0');
  return startShare;
}

function checkExposeTo(exposeTo: Iterable<number>, routes: readonly RouteOptions[]): readonly number[] {
  const pathIds = [...exposeTo];
  for (const pathId of pathIds) {
    if (pathId !== 0 && !routes.some((route) => route.pathId === pathId)) {
      throw invalidOption('exposeTo', pathId, 'path IDs of routes, or 0 for the default route');
    }
  }
  return pathIds;
}

function requirePowerOf2(field: string, value: number, min: number, max: number): number {
  requireInteger(field, value, min, max);
  if ((value & (value - 1)) !== 0) throw invalidOption(field, value, `a power of 2 from ${min} to ${max}`);
  return value;
}

function requireRate(field: string, value: number): number {
  return requireNumber(field, value, 0.001, Infinity);
}

function requireBoolean(field: string, value: boolean): boolean {
  if (typeof value !== 'boolean') throw invalidOption(field, value, 'true or false');
  return value;
}

function requireOneOf(field: string, value: string, allowed: readonly string[]): string {
  if (!allowed.includes(value)) throw invalidOption(field, value, allowed.join(' or '));
  return value;
}
