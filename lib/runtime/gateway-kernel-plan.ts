/**
 * The policy routing of the gateway whose packets stay in the kernel: its programs write the route into the packet's
 * mark, and a rule for each route looks into that route's table.
 *
 * ```
 *   inside (LAN) --> tc ingress: pref_outbound, mark = path ID
 *                      |
 *                      +-- rule  iif LAN fwmark PATH-ID/MASK  lookup route(i)   default via NEXT HOP dev DEVICE,
 *                      |                                                        or a table that a routing daemon fills
 *                      +-- mark 0, or the table has no route: the main table
 *
 *   DEVICE --> tc ingress: pref_inbound, the assignment --> main table --> inside
 * ```
 *
 * - No TUN, and the kernel forwards once: the TTL falls by one, as in any router.
 * - It fails open: a table that is empty, because its device is down, leaves the packet to the main table.
 * - Rules and tables stay when the daemon ends, since the programs do (undo-journal.ts, lasting).
 */
import type { Family } from '../netns/index.ts';
import { routeArgs } from '../netns/index.ts';
import type { Change } from './change.ts';
import { ruleChange, ruleKey, tableChange } from './change.ts';
import type { ResolvedGatewayPlumbing } from './gateway-plumbing-options.ts';
import { defaultRoute, outboundRoutes, routeWarnings } from './gateway-routes.ts';
import type { MachineState } from './machine-state.ts';
import type { MarkMask } from './mark-mask.ts';
import { markOf } from './mark-mask.ts';
import type { PlumbingPlan } from './plumbing-common.ts';
import {
  describeRule,
  foreignRules,
  forwardingChange,
  ipv6ForwardingChanges,
  requireFreeTables,
  requireLink,
  sharedSysctl,
} from './plumbing-common.ts';

/** What the plan needs beside the plumbing. */
export interface KernelPlanOptions {
  readonly mark: MarkMask;
  /** By the name of the route. */
  readonly pathIds: ReadonlyMap<string, number>;
  /** Keys of the changes that stand already, since an earlier daemon made them. */
  readonly standing: ReadonlySet<string>;
}

/** Tables that the gateway fills. */
export function kernelTables(options: ResolvedGatewayPlumbing): number[] {
  return options.routes.filter((route) => !route.isTableForeign).map((route) => route.routeTable);
}

/**
 * What to change on a machine in this state. Pure: no command is run. Every change can be made again over itself.
 *
 * @throws PreflexError ERR_SYSTEM when a device is missing, or tables clash
 */
export function planKernelPlumbing(
  state: MachineState,
  options: ResolvedGatewayPlumbing,
  { mark, pathIds, standing }: KernelPlanOptions,
): PlumbingPlan {
  const { insideDevice, routes, families, rulePriorities: at } = options;
  const warnings: string[] = [];
  requireLink(state, insideDevice, 'Name the device toward the hosts inside (see "ip link").');
  for (const route of routes) requireLink(state, route.device, `Route "${route.name}" needs it.`);
  const tables: Change[] = [];
  const rules: Change[] = [];
  for (const family of families) {
    const isFree = (table: number): boolean => !standing.has(tableChange(family, table, []).key);
    requireFreeTables(state, [family], kernelTables(options).filter(isFree));
    for (const rule of foreignRules(state, family, -1, at.route)) {
      if (standing.has(ruleKey(rule))) continue;
      warnings.push(`${describeRule(rule)} comes before the gateway's rules and may take traffic from them.`);
    }
    warnings.push(...markClashes(state, family, mark, at.route, insideDevice));
    for (const route of routes) {
      const specs = defaultRoute(state, route, family);
      warnings.push(...routeWarnings(route, family, specs));
      if (!route.isTableForeign) {
        const commands = specs.map((spec) => ['route', 'replace', ...routeArgs(spec)]);
        tables.push(tableChange(family, route.routeTable, commands));
      }
      rules.push(
        ruleChange({
          family,
          priority: at.route,
          iif: insideDevice,
          fwmark: markOf(mark, pathIds.get(route.name) ?? 0),
          table: route.routeTable,
        }),
      );
    }
  }
  const devices = [insideDevice, ...new Set(routes.map((route) => route.device))];
  return {
    changes: [
      // Or pfifo_fast sends marked packets last.
      ...sharedSysctl(state, 'net/ipv4/ip_forward_update_priority', '0'),
      ...(families.includes(4) ? devices.flatMap((device) => forwardingChange(state, device)) : []),
      ...(families.includes(6) ? ipv6ForwardingChanges(state) : []),
      ...tables,
      ...rules,
    ],
    warnings,
  };
}

/** Rules of others that look at bits of the mask. */
function markClashes(
  state: MachineState,
  family: Family,
  { mask }: MarkMask,
  priority: number,
  insideDevice: string,
): string[] {
  return state.rules[family]
    .filter(({ fwmark, ...rule }) => {
      if (fwmark === undefined || (fwmark.mask & mask) === 0) return false;
      return !(rule.priority === priority && rule.iif === insideDevice && fwmark.mask === mask);
    })
    .map(
      (rule) =>
        `${describeRule(rule)} looks at bits of the mark that are the gateway's (0x${mask.toString(16)}): ` +
        'give one of them another mask ("markMask").',
    );
}

/** Prefixes that are left alone, though a destination covers them, and those that are diverted. */
export interface KernelDiversion {
  /** What the main table knows better: inside prefixes, networks of the machine's own. */
  readonly passed: readonly string[];
  /** What the configuration says is to be diverted. */
  readonly diverted: readonly string[];
}

/** Never to be routed by path: multicast, broadcast, link-local. */
const NEVER_DIVERTED: Readonly<Record<Family, readonly string[]>> = {
  4: ['224.0.0.0/4', '255.255.255.255/32', '169.254.0.0/16'],
  6: ['ff00::/8', 'fe80::/10'],
};

/**
 * Which destinations the programs are to touch: the same as the TUN gateway's outbound table says, without those that
 * routing does not reach (the machine's own addresses). Pure.
 */
export function kernelDiversion(
  state: Pick<MachineState, 'mainRoutes' | 'addresses'>,
  options: ResolvedGatewayPlumbing,
): KernelDiversion {
  const passed: string[] = [];
  const diverted: string[] = [];
  for (const family of [4, 6] as const) {
    const all = family === 4 ? '0.0.0.0/0' : '::/0';
    // There are no rules for it, so what the programs made of it would not come true.
    if (!options.families.includes(family)) {
      passed.push(all);
      continue;
    }
    const found = new Set<string>();
    for (const spec of outboundRoutes(state.mainRoutes[family], options, family)) {
      if (spec.type === 'throw') found.add(spec.prefix);
      else diverted.push(spec.prefix);
    }
    for (const prefix of NEVER_DIVERTED[family]) found.add(prefix);
    for (const { family: own, address } of state.addresses) {
      if (own === family) found.add(`${address}/${family === 4 ? 32 : 128}`);
    }
    if (!diverted.includes(all)) found.add(all);
    passed.push(...[...found].filter((prefix) => !diverted.includes(prefix)));
  }
  return { passed, diverted };
}

/** The table of each route, by its path ID. Pure. @param pathIds - by the names of the routes */
export function tablesByPathId(
  { routes }: ResolvedGatewayPlumbing,
  pathIds: ReadonlyMap<string, number>,
): Map<number, number> {
  return new Map(routes.map(({ name, routeTable }) => [pathIds.get(name) ?? 0, routeTable]));
}

/**
 * Path IDs of the routes whose tables are the gateway's own, and hold nothing but their default routes. Pure.
 *
 * @param pathIds - by the names of the routes
 */
export function ownTables(
  { routes }: ResolvedGatewayPlumbing,
  pathIds: ReadonlyMap<string, number>,
): ReadonlySet<number> {
  const own = routes.filter(({ isTableForeign }) => !isTableForeign);
  return new Set(own.map(({ name }) => pathIds.get(name) ?? 0));
}
