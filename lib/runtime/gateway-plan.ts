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
import { PreflexError } from '../errors.ts';
import type { RouteSpec, RuleSpec } from '../netns/index.ts';
import { routeArgs } from '../netns/index.ts';
import type { Change } from './change.ts';
import { fixedTableChange, ruleChange, tableChange } from './change.ts';
import type { ResolvedGatewayPlumbing } from './gateway-plumbing-options.ts';
import { defaultRoute, outboundRoutes, routeWarnings } from './gateway-routes.ts';
import type { MachineState } from './machine-state.ts';
import type { PlumbingPlan } from './plumbing-common.ts';
import {
  describeRule,
  foreignRules,
  forwardingChange,
  ipv6ForwardingChanges,
  pushDownChanges,
  requireFreeTables,
  requireLink,
  sharedSysctl,
  tunChanges,
} from './plumbing-common.ts';

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
      warnings.push(...routeWarnings(route, family, specs));
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
      tables.push(fixedTableChange(family, route.inboundTable, addCommands(toTun)));
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
