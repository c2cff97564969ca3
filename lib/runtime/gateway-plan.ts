/**
 * The gateway's policy routing: what goes between the inside and its routes passes through TUNs of the gateway daemon.
 *
 * ```
 *   inside (LAN)                                                              route NAME (DEVICE, next hop)
 *      |  ^                                                                            ^  |
 *      |  | main table                                        table route(i): default  |  |
 *      v  |                                                                            |  v
 *   --table outbound--> pref-in ==daemon==> pref-NAME --(iif pref-NAME)-------------> DEVICE
 *   <---- pref-in <==daemon== pref-NAME <--table inbound(i)-- (iif DEVICE to an inside prefix)
 *
 *   rule  route      iif pref-NAME                 lookup route(i)     default via NEXT HOP dev DEVICE,
 *                                                                      or a table that a routing daemon fills
 *   rule  inbound    iif DEVICE to INSIDE-PREFIX   lookup inbound(i)   INSIDE-PREFIX dev pref-NAME
 *   rule  outbound   iif LAN                       lookup outbound     DESTINATION dev pref-in; throw for the rest
 * ```
 *
 * - Policy routing by incoming device alone: no packet filter, no marks. All protocols are diverted.
 * - The local table stays first: traffic to the gateway itself is never diverted. Traffic of the gateway itself
 *   neither.
 * - The kernel forwards twice (before and after the daemon): the TTL falls by two across the gateway, where a plain
 *   router takes one.
 * - It fails open: without the daemon the TUNs are gone, their tables empty, and the main table routes everything.
 * - Behind the table of a route with NAT stands a rule that refuses: what the table does not have may not leave by the
 *   main table, with another address.
 * - Two routes may share a device with different next hops. What they bring in cannot be told apart by device: it comes
 *   in by the TUN of the first of them.
 */
import { PreflexError, invalidOption, rejectUnknownKeys, requireInteger } from '../errors.ts';
import type { Family, RouteSpec, RuleSpec } from '../netns/index.ts';
import { requireDeviceName, routeArgs } from '../netns/index.ts';
import type { Change } from './change.ts';
import { ruleChange, tableChange } from './change.ts';
import type { MachineState } from './machine-state.ts';
import { defaultRoute, outboundRoutes } from './gateway-routes.ts';
import type { PlumbingPlan } from './plumbing-common.ts';
import {
  DEFAULT_TUN_QUEUE_PACKETS,
  describeRule,
  foreignRules,
  forwardingChange,
  ipv6ForwardingChanges,
  pushDownChanges,
  requireFreeTables,
  requireLink,
  requireRisingPriorities,
  requireTables,
  sharedSysctl,
  tunChanges,
} from './plumbing-common.ts';
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

/**
 * What to change on a machine in this state. Pure: no command is run. Rules come last, the one that diverts the inside
 * at the very end, when every way out is ready.
 *
 * @throws PreflexError ERR_SYSTEM when a device or TUN is missing, or tables clash
 */
export function planGatewayPlumbing(state: MachineState, options: ResolvedGatewayPlumbing): PlumbingPlan {
  const { insideDevice, insideTun, routes, families, rulePriorities: at } = options;
  const warnings: string[] = [];
  const inside = requireLink(state, insideDevice, 'Name the device toward the hosts inside (see "ip link").');
  for (const tun of [insideTun, ...routes.map((route) => route.tun)]) {
    const found = requireLink(state, tun, 'The gateway daemon opens it before the plumbing is set up.');
    if (!found.isUp)
      throw new PreflexError(
        'ERR_SYSTEM',
        `The TUN "${tun}" is down. Set it up first: ip link set ${tun} up`,
      );
  }
  for (const route of routes) requireLink(state, route.device, `Route "${route.name}" needs it.`);
  requireFreeTables(state, families, allTables(options));

  const tables: Change[] = [];
  const rules: Change[] = [];
  const divert: Change[] = [];
  for (const family of families) {
    for (const rule of foreignRules(state, family, -1, at.outbound)) {
      warnings.push(`${describeRule(rule)} comes before the gateway's rules and may take traffic from them.`);
    }
    const ours = options.insidePrefixes.filter((prefix) => prefix.family === family);
    const firstOfDevice = new Set<string>();
    for (const route of routes) {
      const specs = defaultRoute(state, route, family);
      if (route.families.includes(family) && specs.length === 0 && !route.isTableForeign) {
        warnings.push(`Route "${route.name}" is down: ${route.device} is not up.`);
      }
      if (!route.isTableForeign) tables.push(tableChange(family, route.routeTable, addCommands(specs)));
      rules.push(ruleChange({ family, priority: at.route, iif: route.tun, table: route.routeTable }));
      if (route.hasNat)
        rules.push(ruleChange({ family, priority: at.route, iif: route.tun, action: 'unreachable' }));
      if (firstOfDevice.has(route.device)) continue;
      firstOfDevice.add(route.device);
      const toTun = ours.map((prefix): RouteSpec => ({
        family,
        prefix: prefix.text,
        device: route.tun,
        table: route.inboundTable,
      }));
      tables.push(tableChange(family, route.inboundTable, addCommands(toTun)));
      for (const prefix of ours) {
        const rule: RuleSpec = {
          family,
          priority: at.inbound,
          iif: route.device,
          to: prefix.text,
          table: route.inboundTable,
        };
        rules.push(ruleChange(rule));
      }
    }
    tables.push(
      tableChange(
        family,
        options.outboundTable,
        addCommands(outboundRoutes(state.mainRoutes[family], options, family)),
      ),
    );
    divert.push(
      ruleChange({ family, priority: at.outbound, iif: insideDevice, table: options.outboundTable }),
    );
  }
  const tunSettings = {
    mtu: Math.max(
      inside.mtu,
      ...state.links
        .filter((link) => routes.some((route) => route.device === link.name))
        .map((link) => link.mtu),
    ),
    queuePackets: options.queuePackets,
    // Packets come in by the TUNs with sources whose route back is another device.
    ipv4: { rp_filter: '0', forwarding: '1', send_redirects: '0' },
  };
  const tuns = [insideTun, ...routes.map((route) => route.tun)];
  return {
    changes: [
      ...sharedSysctl(state, 'net/ipv4/ip_forward_update_priority', '0'), // or pfifo_fast sends marked packets last
      ...(families.includes(4) ? ipv4Settings(state, options, tuns) : []),
      ...(families.includes(6) ? ipv6ForwardingChanges(state) : []),
      ...tuns.flatMap((tun) => tunChanges(state, tun, tunSettings)),
      ...tables,
      ...rules,
      ...divert,
    ],
    warnings,
  };
}

function ipv4Settings(
  state: MachineState,
  options: ResolvedGatewayPlumbing,
  tuns: readonly string[],
): Change[] {
  const devices = [options.insideDevice, ...new Set(options.routes.map((route) => route.device))];
  return [
    ...pushDownChanges(state, 'rp_filter', tuns),
    ...pushDownChanges(state, 'send_redirects', [...tuns, options.insideDevice]),
    ...sharedSysctl(state, `net/ipv4/conf/${options.insideDevice}/send_redirects`, '0'),
    ...devices.flatMap((device) => forwardingChange(state, device)),
  ];
}

/** `ip` commands that add routes. Pure. */
export function addCommands(specs: readonly RouteSpec[]): string[][] {
  return specs.map((spec) => ['route', 'add', ...routeArgs(spec)]);
}

/** Numbers of all tables that the gateway wants for itself. Pure. */
export function allTables(options: ResolvedGatewayPlumbing): number[] {
  return [
    options.outboundTable,
    ...options.routes.flatMap((route) =>
      route.isTableForeign ? [route.inboundTable] : [route.routeTable, route.inboundTable],
    ),
  ];
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
