/**
 * The routes in the gateway's own tables, from its options and the main table. Pure.
 */
import type { Family, Route, RouteSpec } from '../netns/index.ts';
import type { ResolvedGatewayPlumbing, ResolvedGatewayRoute } from './gateway-plumbing-options.ts';
import type { MachineState } from './machine-state.ts';
import type { Prefix } from './prefixes.ts';
import { coversPrefix, parseRoutePrefix } from './prefixes.ts';

/** The routes of the outbound table: destinations to the TUN, `throw` for what the main table knows better. Pure. */
export function outboundRoutes(
  mainRoutes: readonly Route[],
  options: ResolvedGatewayPlumbing,
  family: Family,
): RouteSpec[] {
  const table = options.outboundTable;
  const specs = new Map<string, RouteSpec>();
  const destinations = options.destinations.filter((prefix) => prefix.family === family);
  for (const { text } of destinations)
    specs.set(text, { family, prefix: text, device: options.insideTun, table });
  const keep = (prefix: Prefix): void => {
    // More specific than a destination, or the destination would not catch it; equal ones the user has asked for.
    if (specs.has(prefix.text) || !destinations.some((destination) => coversPrefix(destination, prefix)))
      return;
    specs.set(prefix.text, { family, prefix: prefix.text, type: 'throw', table });
  };
  options.insidePrefixes.filter((prefix) => prefix.family === family).forEach(keep);
  const routeDevices = new Set(options.routes.map((route) => route.device));
  for (const route of mainRoutes) {
    const prefix = parseRoutePrefix(route.prefix, family);
    if (prefix === undefined || prefix.length === 0) continue;
    const leavesByRoute =
      route.hops.length > 0 &&
      route.hops.every((hop) => routeDevices.has(hop.device ?? '') && hop.via !== undefined);
    if (!leavesByRoute) keep(prefix);
  }
  return [...specs.values()];
}

/**
 * The default route of a route's own table; none when its device is down, it does not carry the family, or the table is
 * somebody else's. Pure.
 */
export function defaultRoute(
  state: Pick<MachineState, 'links' | 'mainRoutes'>,
  route: ResolvedGatewayRoute,
  family: Family,
): RouteSpec[] {
  const isUp = state.links.some((link) => link.name === route.device && link.isUp);
  if (!isUp || route.isTableForeign || !route.families.includes(family)) return [];
  const via = route.nextHops[family];
  return [
    {
      family,
      prefix: 'default',
      via,
      device: route.device,
      table: route.routeTable,
      onlink: via !== undefined && !isOnConnectedPrefix(state.mainRoutes[family], route.device, via),
    },
  ];
}

/**
 * What the user should know of a route in one family: that its device is down, or that its next hop may be a slip of the
 * pen, since no network of the device has it. Such a next hop is used all the same: some providers have theirs elsewhere.
 *
 * @param specs - what {@link defaultRoute} gave
 */
export function routeWarnings(
  route: ResolvedGatewayRoute,
  family: Family,
  specs: readonly Pick<RouteSpec, 'onlink' | 'via'>[],
): string[] {
  if (!route.families.includes(family) || route.isTableForeign) return [];
  if (specs.length === 0) return [`Route "${route.name}" is down: ${route.device} is not up.`];
  return specs
    .filter(({ onlink, via }) => onlink === true && via?.startsWith('fe80:') === false)
    .map(
      ({ via }) =>
        `Route "${route.name}": no network of ${route.device} has the next hop ${via}; it is looked for on the link itself.`,
    );
}

// IPv6 next hops are link-local as a rule, which every device has a prefix for; onlink does no harm there.
function isOnConnectedPrefix(mainRoutes: readonly Route[], device: string, address: string): boolean {
  const family = address.includes(':') ? 6 : 4;
  const host = parseRoutePrefix(address, family);
  return mainRoutes.some((route) => {
    const prefix = parseRoutePrefix(route.prefix, family);
    const isConnected = route.hops.some((hop) => hop.device === device && hop.via === undefined);
    return isConnected && prefix !== undefined && host !== undefined && coversPrefix(prefix, host);
  });
}
