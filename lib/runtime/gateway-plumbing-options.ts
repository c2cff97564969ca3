/**
 * What the gateway's plumbing is told: which devices, prefixes and routes, and the numbers of its tables and rules.
 * Checked, and with defaults filled in. Pure. What they are for, gateway-plan.ts and gateway-kernel-plan.ts draw.
 */
import { invalidOption, rejectUnknownKeys, requireInteger } from '../errors.ts';
import type { Family } from '../netns/index.ts';
import { requireDeviceName } from '../netns/index.ts';
import { DEFAULT_TUN_QUEUE_PACKETS, requireRisingPriorities, requireTables } from './plumbing-common.ts';
import type { Prefix } from './prefixes.ts';
import { normalizeAddress, parsePrefix } from './prefixes.ts';

/** One way out of the domain. */
export interface GatewayRouteOptions {
  /** Its name; the TUN is named after it. */
  readonly name: string;
  readonly device: string;
  /** IPv4 next hop. Without any next hop the device is taken as point-to-point, for both IP versions. */
  readonly nextHop?: string | undefined;
  /** IPv6 next hop. */
  readonly nextHop6?: string | undefined;
  /** A routing table that somebody else fills, in place of next hops; it is looked into, never changed. */
  readonly table?: number | undefined;
  /** Whether addresses are translated on this way, so that packets must not go another one. Default false. */
  readonly nat?: boolean | undefined;
  /** The TUN of this route. Default `pref-NAME`. It must exist and be up. */
  readonly tun?: string | undefined;
}

/** What to divert, and with which numbers. */
export interface GatewayPlumbingOptions {
  /** The device toward the hosts inside. */
  readonly insideDevice: string;
  /** Prefixes of the hosts inside. */
  readonly insidePrefixes: readonly string[];
  readonly routes: readonly GatewayRouteOptions[];
  /** Destinations outside that are diverted, for example `0.0.0.0/0`. */
  readonly destinations: readonly string[];
  /** TUN toward the inside. Default `pref-in`. It must exist and be up. */
  readonly insideTun?: string | undefined;
  /**
   * Routing tables: one number for `outbound`, one number per route from `route` and `inbound` on.
   * Default 7200, 7210, 7240.
   */
  readonly tables?:
    { readonly outbound: number; readonly route: number; readonly inbound: number } | undefined;
  /** Priorities of the rules, rising, after the local table's. Default 7010, 7020, 7030. */
  readonly rulePriorities?:
    { readonly route: number; readonly inbound: number; readonly outbound: number } | undefined;
  /** Transmit queue of the TUNs, packets. Default 10000. */
  readonly queuePackets?: number | undefined;
  /** Namespace to work in. Default: the one of this process. */
  readonly netns?: string | undefined;
  /** Folder of the undo journal. Default /run/preflex. */
  readonly journalDirectory?: string | undefined;
}

/** A route with its numbers. */
export interface ResolvedGatewayRoute {
  readonly name: string;
  readonly device: string;
  readonly tun: string;
  readonly nextHops: Readonly<Record<Family, string | undefined>>;
  /** IP versions it can carry. */
  readonly families: readonly Family[];
  readonly routeTable: number;
  /** Whether the route's table is somebody else's. */
  readonly isTableForeign: boolean;
  readonly hasNat: boolean;
  readonly inboundTable: number;
}

/** {@link GatewayPlumbingOptions}, checked and with defaults filled in. */
export interface ResolvedGatewayPlumbing {
  readonly insideDevice: string;
  readonly insidePrefixes: readonly Prefix[];
  readonly insideTun: string;
  readonly routes: readonly ResolvedGatewayRoute[];
  readonly destinations: readonly Prefix[];
  readonly outboundTable: number;
  readonly rulePriorities: { readonly route: number; readonly inbound: number; readonly outbound: number };
  readonly queuePackets: number;
  readonly families: readonly Family[];
}

/** Numbers of the gateway's own routing tables: one for `outbound`, one for each route from the others on. */
export const DEFAULT_TABLES = { outbound: 7200, route: 7210, inbound: 7240 } as const;

const OPTION_NAMES = [
  'insideDevice',
  'insidePrefixes',
  'routes',
  'destinations',
  'insideTun',
  'tables',
  'rulePriorities',
  'queuePackets',
  'netns',
  'journalDirectory',
] as const;

/** Checks options and fills in defaults. Pure. @throws PreflexError ERR_INVALID_OPTION */
export function resolveGatewayPlumbing(options: GatewayPlumbingOptions): ResolvedGatewayPlumbing {
  rejectUnknownKeys('gatewayPlumbing', options, OPTION_NAMES);
  const insideDevice = requireDeviceName(options.insideDevice);
  const insideTun = requireDeviceName(options.insideTun ?? 'pref-in');
  const insidePrefixes = options.insidePrefixes.map((text) => requirePrefix('insidePrefixes', text));
  const destinations = options.destinations.map((text) => requirePrefix('destinations', text));
  if (insidePrefixes.length === 0) throw invalidOption('insidePrefixes', [], 'at least one prefix');
  if (destinations.length === 0) throw invalidOption('destinations', [], 'at least one prefix');
  if (options.routes.length === 0) throw invalidOption('routes', [], 'at least one route');
  const base = options.tables ?? DEFAULT_TABLES;
  rejectUnknownKeys('tables', base, ['outbound', 'route', 'inbound']);
  const tables: Record<string, number> = { outbound: base.outbound };
  const routes = options.routes.map((route, index): ResolvedGatewayRoute => {
    const field = `routes[${index}]`;
    rejectUnknownKeys(field, route, ['name', 'device', 'nextHop', 'nextHop6', 'table', 'nat', 'tun']);
    const nextHops = {
      4: requireHop(`${field}.nextHop`, route.nextHop, 4),
      6: requireHop(`${field}.nextHop6`, route.nextHop6, 6),
    };
    const hasHop = nextHops[4] !== undefined || nextHops[6] !== undefined;
    if (route.table !== undefined && hasHop)
      throw invalidOption(`${field}.table`, route.table, 'a table only without next hops');
    const families = ([4, 6] as const).filter((family) => !hasHop || nextHops[family] !== undefined);
    const routeTable = route.table ?? base.route + index;
    const inboundTable = base.inbound + index;
    tables[route.table === undefined ? `route + ${index}` : `of ${route.name}`] = routeTable;
    tables[`inbound + ${index}`] = inboundTable;
    const tun = requireDeviceName(route.tun ?? `pref-${route.name}`);
    return {
      name: route.name,
      device: requireDeviceName(route.device),
      tun,
      nextHops,
      families,
      routeTable,
      isTableForeign: route.table !== undefined,
      hasNat: route.nat ?? false,
      inboundTable,
    };
  });
  requireTables('tables', tables);
  requireUnique('routes.name', routes.map((route) => route.name)); // prettier-ignore
  requireUnique('device', [
    insideDevice,
    insideTun,
    ...new Set(routes.map((route) => route.device)),
    ...routes.map((route) => route.tun),
  ]);
  requireUnique(
    'routes (device and next hops)',
    routes
      .filter((route) => !route.isTableForeign)
      .map((route) => `${route.device} ${route.nextHops[4] ?? ''} ${route.nextHops[6] ?? ''}`),
  );
  for (const { name, device, hasNat } of routes) {
    if (hasNat && routes.some((other) => other.name !== name && other.device === device))
      throw invalidOption('routes.nat', name, 'a route whose device no other has');
  }
  const rulePriorities = options.rulePriorities ?? { route: 7010, inbound: 7020, outbound: 7030 };
  rejectUnknownKeys('rulePriorities', rulePriorities, ['route', 'inbound', 'outbound']);
  requireRisingPriorities('rulePriorities', [
    ['route', rulePriorities.route],
    ['inbound', rulePriorities.inbound],
    ['outbound', rulePriorities.outbound],
  ]);
  const families = ([4, 6] as const).filter(
    (family) =>
      insidePrefixes.some((prefix) => prefix.family === family) &&
      destinations.some((prefix) => prefix.family === family),
  );
  if (families.length === 0) {
    throw invalidOption(
      'destinations',
      options.destinations,
      'a prefix of an IP version that the inside has',
    );
  }
  return {
    insideDevice,
    insidePrefixes,
    insideTun,
    routes,
    destinations,
    outboundTable: base.outbound,
    rulePriorities,
    queuePackets: requireInteger(
      'queuePackets',
      options.queuePackets ?? DEFAULT_TUN_QUEUE_PACKETS,
      1,
      1_000_000,
    ),
    families,
  };
}

function requirePrefix(field: string, text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined)
    throw invalidOption(field, text, 'prefixes such as 192.0.2.0/24 or 2001:db8::/32, host bits zero');
  return prefix;
}

function requireHop(field: string, text: string | undefined, family: Family): string | undefined {
  if (text === undefined) return undefined;
  const address = normalizeAddress(text);
  if (address === undefined || address.includes(':') !== (family === 6))
    throw invalidOption(field, text, `an IPv${family} address`);
  return address;
}

function requireUnique(field: string, values: readonly string[]): void {
  const twice = values.find((value, index) => values.indexOf(value) !== index);
  if (twice !== undefined) throw invalidOption(field, twice, 'each value once');
}
