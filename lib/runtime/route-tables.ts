/** The gateway's own routing tables while it runs: default routes come back with their device. */
import type { Where } from '../netns/index.ts';
import { TABLE_MAIN, ipBatch, listLinks, listRoutes } from '../netns/index.ts';
import { addCommands } from './gateway-plan.ts';
import type { ResolvedGatewayPlumbing } from './gateway-plumbing-options.ts';
import { defaultRoute } from './gateway-routes.ts';

/**
 * Puts back default routes that the kernel has removed because their device went down, once it is up again.
 *
 * @returns names of the routes with tables of our own that can carry nothing now, because the device is gone or down
 */
export function refreshRouteTables(options: ResolvedGatewayPlumbing, where: Where): string[] {
  const links = listLinks(where);
  const down: string[] = [];
  for (const route of options.routes) {
    if (route.isTableForeign) continue;
    if (!links.some((link) => link.name === route.device && link.isUp && link.hasCarrier))
      down.push(route.name);
    for (const family of options.families) {
      if (!route.families.includes(family) || listRoutes(family, route.routeTable, where).length > 0)
        continue;
      // Read only when it is needed: a router's main table may be large.
      const mainRoutes = { 4: [], 6: [], [family]: listRoutes(family, TABLE_MAIN, where) };
      ipBatch(addCommands(defaultRoute({ links, mainRoutes }, route, family)), {
        ...where,
        family,
        keepGoing: true,
      });
    }
  }
  return down;
}
