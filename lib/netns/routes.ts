/**
 * Routes: typed in, typed out, with the argv in between as a pure function.
 */
import type { Where } from './command.ts';
import { CommandError } from './command.ts';
import type { Family } from './ip.ts';
import { ip, ipBatch, ipJson } from './ip.ts';

/** Numbers of the kernel's own routing tables. @see linux/rtnetlink.h */
export const TABLE_MAIN = 254;
/** The table of the machine's own addresses and broadcasts. */
export const TABLE_LOCAL = 255;
/** The table after main, empty by default. */
export const TABLE_DEFAULT = 253;

/** What a route does with a packet. */
export type RouteType = 'unicast' | 'throw' | 'blackhole' | 'unreachable' | 'prohibit';

/** A route to add or to remove. */
export interface RouteSpec {
  readonly family: Family;
  /** Destination: `default` or a prefix such as `10.0.0.0/8`. */
  readonly prefix: string;
  /** Default `unicast`. */
  readonly type?: RouteType | undefined;
  readonly device?: string | undefined;
  /** Next hop. */
  readonly via?: string | undefined;
  /** Take the next hop as reachable on the device though no connected prefix covers it. Default false. */
  readonly onlink?: boolean | undefined;
  /** Preferred source address (`src`). */
  readonly source?: string | undefined;
  /** Default: main. */
  readonly table?: number | undefined;
  /** Preference among routes to one prefix, lower first. Kernel default 0 (IPv4) or 1024 (IPv6). */
  readonly metric?: number | undefined;
  /** Path attributes by iproute2's words: `mtu`, `advmss`, `initcwnd`... */
  readonly attributes?: Readonly<Record<string, number | string>> | undefined;
}

/** One way of a route to its destination. */
export interface RouteHop {
  readonly device?: string | undefined;
  readonly via?: string | undefined;
}

/** A route as it is. */
export interface Route {
  readonly family: Family;
  readonly prefix: string;
  /** `unicast`, `throw`, `blackhole`, `local`... */
  readonly type: string;
  /** One for a plain route, several for a multipath route, none for `throw` and its like. */
  readonly hops: readonly RouteHop[];
  readonly source?: string | undefined;
  readonly metric: number;
  /** iproute2's names and numbers of the path attributes that can be written back as they were read. */
  readonly attributes: Readonly<Record<string, number | string>>;
}

interface RouteJson {
  type?: string;
  dst: string;
  dev?: string;
  gateway?: string;
  via?: { host?: string };
  prefsrc?: string;
  metric?: number;
  metrics?: Record<string, number | string | null>[];
  nexthops?: { dev?: string; gateway?: string; via?: { host?: string } }[];
}

/**
 * Attributes that mean the same when read from `ip -j` and written to `ip route add`: `[JSON name, argument, unit]`.
 */
const ATTRIBUTES: readonly (readonly [string, string, string])[] = [
  ['mtu', 'mtu', ''],
  ['advmss', 'advmss', ''],
  ['window', 'window', ''],
  ['hoplimit', 'hoplimit', ''],
  ['initcwnd', 'initcwnd', ''],
  ['initrwnd', 'initrwnd', ''],
  ['reordering', 'reordering', ''],
  ['quickack', 'quickack', ''],
  ['rtt', 'rtt', 'ms'],
  ['rto_min', 'rto_min', 'ms'],
  ['congestion', 'congctl', ''],
];

/** The words after `ip route add|replace|del` for a route. Pure. */
export function routeArgs(spec: RouteSpec): string[] {
  const words: string[] = [];
  if (spec.type !== undefined && spec.type !== 'unicast') words.push(spec.type);
  words.push(spec.prefix);
  if (spec.via !== undefined) words.push('via', spec.via);
  if (spec.device !== undefined) words.push('dev', spec.device);
  if (spec.onlink === true) words.push('onlink');
  if (spec.source !== undefined) words.push('src', spec.source);
  if (spec.table !== undefined) words.push('table', String(spec.table));
  if (spec.metric !== undefined) words.push('metric', String(spec.metric));
  for (const [name, value] of Object.entries(spec.attributes ?? {})) words.push(name, String(value));
  return words;
}

/** Adds a route. */
export function addRoute(spec: RouteSpec, where: Where = {}): void {
  ip([`-${spec.family}`, 'route', 'add', ...routeArgs(spec)], where);
}

/** Adds a route, or changes the one to the same prefix with the same metric. */
export function replaceRoute(spec: RouteSpec, where: Where = {}): void {
  ip([`-${spec.family}`, 'route', 'replace', ...routeArgs(spec)], where);
}

/** Adds many routes in one `ip` process. */
export function addRoutes(specs: readonly RouteSpec[], where: Where = {}): void {
  for (const family of [4, 6] as const) {
    const commands = specs
      .filter((spec) => spec.family === family)
      .map((spec) => ['route', 'add', ...routeArgs(spec)]);
    ipBatch(commands, { netns: where.netns, family });
  }
}

/** Removes a route; one that is gone already is no error. */
export function deleteRoute(spec: RouteSpec, where: Where = {}): void {
  try {
    ip([`-${spec.family}`, 'route', 'del', ...routeArgs(spec)], where);
  } catch (error) {
    if (!(error instanceof CommandError && error.isMissingObject)) throw error;
  }
}

/** Removes every route of a table; an empty table is no error. */
export function flushTable(family: Family, table: number, where: Where = {}): void {
  try {
    ip([`-${family}`, 'route', 'flush', 'table', String(table)], where);
  } catch (error) {
    if (!(error instanceof CommandError && error.isMissingObject)) throw error;
  }
}

/** The routes of one table; none when the table does not exist. */
export function listRoutes(family: Family, table: number = TABLE_MAIN, where: Where = {}): Route[] {
  try {
    return ipJson<RouteJson>([`-${family}`, '-d', 'route', 'show', 'table', String(table)], where).map(
      (json) => toRoute(family, json),
    );
  } catch (error) {
    if (error instanceof CommandError && error.isMissingObject) return [];
    throw error;
  }
}

function toRoute(family: Family, json: RouteJson): Route {
  const hops = json.nexthops ?? (json.dev === undefined || isDead(json.type) ? [] : [json]);
  const attributes: Record<string, number | string> = {};
  for (const metrics of json.metrics ?? []) {
    for (const [jsonName, word, unit] of ATTRIBUTES) {
      const value = metrics[jsonName];
      if (value !== undefined && value !== null) attributes[word] = unit === '' ? value : `${value}${unit}`;
    }
  }
  return {
    family,
    prefix: json.dst,
    type: json.type ?? 'unicast',
    hops: hops.map((hop) => ({ device: hop.dev, via: hop.gateway ?? hop.via?.host })),
    source: json.prefsrc,
    metric: json.metric ?? 0,
    attributes,
  };
}

// IPv6 shows `dev lo` for routes that lead nowhere.
function isDead(type: string | undefined): boolean {
  return type !== undefined && ['throw', 'blackhole', 'unreachable', 'prohibit'].includes(type);
}
