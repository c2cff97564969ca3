/**
 * The outbound table of the bump in the stack: the main table seen through one device. Pure.
 *
 * Routes that leave by the device become routes into the shim; every other destination becomes `throw`, which sends
 * the search on to the next rule and so to the main table: traffic over other devices is not captured.
 */
import type { Family, Route, RouteSpec } from '../netns/index.ts';
import { routeArgs } from '../netns/index.ts';

/** What is never diverted: multicast and broadcast cannot be forwarded, link-local must stay on its link. */
const NEVER: Readonly<Record<Family, readonly string[]>> = {
  4: ['224.0.0.0/4', '255.255.255.255/32'],
  6: ['fe80::/10', 'ff00::/8'],
};

/** How to mirror. */
export interface MirrorOptions {
  readonly family: Family;
  /** The device whose routes are diverted. */
  readonly device: string;
  /** The shim's device that they are diverted to. */
  readonly appSide: string;
  /** Source address for sockets that have not chosen one. */
  readonly source: string;
  /** The table to fill. */
  readonly table: number;
}

/**
 * The routes of the outbound table for the main table as it is.
 *
 * Of several routes to one prefix the one with the lowest metric counts, as in the kernel. A route over several devices
 * and one that prescribes another source address are not diverted.
 */
export function mirrorRoutes(mainRoutes: readonly Route[], options: MirrorOptions): RouteSpec[] {
  const { family, device, appSide, source, table } = options;
  const best = new Map<string, Route[]>();
  for (const route of mainRoutes) {
    const known = best.get(route.prefix);
    const metric = known?.[0]?.metric;
    if (known === undefined || metric === undefined || route.metric < metric) best.set(route.prefix, [route]);
    else if (route.metric === metric) known.push(route); // IPv6 multipath, one line a hop
  }
  const specs: RouteSpec[] = NEVER[family].map((prefix) => ({ family, prefix, type: 'throw', table }));
  for (const [prefix, routes] of best) {
    if (isNeverDiverted(prefix, family)) continue;
    const isDiverted = routes.every(
      (route) =>
        route.type === 'unicast' &&
        route.hops.length > 0 &&
        route.hops.every((hop) => hop.device === device) &&
        (route.source === undefined || route.source === source),
    );
    if (isDiverted)
      specs.push({ family, prefix, device: appSide, source, table, attributes: routes[0]?.attributes });
    else specs.push({ family, prefix, type: 'throw', table });
  }
  return specs;
}

/** A route that stands in the table, as {@link mirrorRoutes} says it. */
export function asMirrored(
  { prefix, type, hops, source, attributes }: Route,
  { family, table }: MirrorOptions,
): RouteSpec {
  if (type === 'throw') return { family, prefix, type, table };
  return { family, prefix, device: hops[0]?.device, source, table, attributes };
}

/**
 * The `ip` commands that turn one set of routes into another: removals first, then additions; between the two the
 * destination falls through to the main table.
 */
export function routeDifference(current: readonly RouteSpec[], wanted: readonly RouteSpec[]): string[][] {
  const words = (spec: RouteSpec): string => routeArgs(spec).join(' ');
  const has = new Set(current.map(words));
  const wants = new Set(wanted.map(words));
  return [
    ...current.filter((spec) => !wants.has(words(spec))).map((spec) => ['route', 'del', ...routeArgs(spec)]),
    ...wanted.filter((spec) => !has.has(words(spec))).map((spec) => ['route', 'add', ...routeArgs(spec)]),
  ];
}

/**
 * The same without a gap: what is wanted replaces what is there, and only then goes what is left of the set before. For
 * tables with one route a prefix.
 */
export function replaceCommands(current: readonly RouteSpec[], wanted: readonly RouteSpec[]): string[][] {
  const words = (spec: RouteSpec): string => routeArgs(spec).join(' ');
  const has = new Set(current.map(words));
  const prefixes = new Set(wanted.map((spec) => spec.prefix));
  return [
    ...wanted.filter((spec) => !has.has(words(spec))).map((spec) => ['route', 'replace', ...routeArgs(spec)]),
    ...current
      .filter((spec) => !prefixes.has(spec.prefix))
      .map((spec) => ['route', 'del', ...routeArgs(spec)]),
  ];
}

function isNeverDiverted(prefix: string, family: Family): boolean {
  if (family === 6) return /^(fe[89ab][0-9a-f]|ff[0-9a-f]{2}):/.test(prefix);
  const first = Number(prefix.split('.')[0]);
  return (first >= 224 && first <= 239) || prefix.startsWith('255.255.255.255');
}
