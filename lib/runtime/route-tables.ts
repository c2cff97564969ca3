/** The gateway's own routing tables while it runs: default routes come back with their device. */
import type { Family, Link, Where } from '../netns/index.ts';
import { CommandError, TABLE_MAIN, countRoutes, ipBatch, listLinks, listRoutes } from '../netns/index.ts';
import { addCommands } from './gateway-plan.ts';
import type { ResolvedGatewayPlumbing, ResolvedGatewayRoute } from './gateway-plumbing-options.ts';
import { defaultRoute } from './gateway-routes.ts';

/**
 * Puts back default routes that the kernel has removed because their device went down, once it is up again. What the
 * kernel does not take, such as IPv6 on a device without, or a device that went down meanwhile, is tried again by the
 * next call.
 *
 * @returns names of the routes with tables of our own that can carry nothing now: the device is gone or down, or their
 *   tables stay empty
 * @throws PreflexError ERR_SYSTEM when the kernel cannot be asked
 */
export function refreshRouteTables(options: ResolvedGatewayPlumbing, where: Where): string[] {
  const links = listLinks(where);
  const down: string[] = [];
  for (const route of options.routes) {
    if (route.isTableForeign) continue;
    const isUp = links.some((link) => link.name === route.device && link.isUp && link.hasCarrier);
    const families = options.families.filter((family) => route.families.includes(family));
    // All of them, whatever the first says.
    const filled = families.map((family) => fillTable(route, family, links, where));
    if (!isUp || !filled.includes(true)) down.push(route.name);
  }
  return down;
}

/** Puts the default route of one IP version in if there is none; whether there is one then. */
function fillTable(
  route: ResolvedGatewayRoute,
  family: Family,
  links: readonly Link[],
  where: Where,
): boolean {
  if (countRoutes(family, route.routeTable, where) > 0) return true;
  // Read only when it is needed: a router's main table may be large.
  const mainRoutes = { 4: [], 6: [], [family]: listRoutes(family, TABLE_MAIN, where) };
  const commands = addCommands(defaultRoute({ links, mainRoutes }, route, family));
  try {
    ipBatch(commands, { ...where, family });
  } catch (error) {
    if (error instanceof CommandError) return false;
    throw error;
  }
  return commands.length > 0;
}
