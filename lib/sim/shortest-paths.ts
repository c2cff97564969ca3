/** Routes by least delay: for each node and each host, the direction of a link that leads there. */
import type { Carrier } from './carrier.ts';
import { Host } from './host.ts';
import type { NetworkNode } from './node.ts';

/** Added to the delay of each hop, in ns, so that of two ways without delay the one with fewer hops is taken. */
const HOP_NS = 1;

/**
 * Gives each node a route to each host that it can reach, by Dijkstra's algorithm from the host backwards. Ties go to
 * the link that comes first. Hosts do not forward for others.
 *
 * @param delayNs - of each carrier, by its index
 */
export function addShortestRoutes(
  nodes: readonly NetworkNode[],
  carriers: readonly Carrier[],
  delayNs: readonly number[],
): void {
  const inward: Carrier[][] = nodes.map(() => []);
  for (const carrier of carriers) inward[carrier.to.index].push(carrier);
  for (const host of nodes) {
    if (!(host instanceof Host)) continue;
    const distance = nodes.map(() => Infinity);
    const way: (Carrier | undefined)[] = nodes.map(() => undefined);
    const isDone = nodes.map(() => false);
    distance[host.index] = 0;
    for (;;) {
      let nearest = -1;
      for (let i = 0; i < nodes.length; i++) {
        if (!isDone[i] && distance[i] < (nearest < 0 ? Infinity : distance[nearest])) nearest = i;
      }
      if (nearest < 0) break;
      isDone[nearest] = true;
      if (nearest !== host.index && nodes[nearest] instanceof Host) continue;
      for (const carrier of inward[nearest]) {
        const through = distance[nearest] + delayNs[carrier.index] + HOP_NS;
        if (through >= distance[carrier.from.index]) continue;
        distance[carrier.from.index] = through;
        way[carrier.from.index] = carrier;
      }
    }
    for (const node of nodes) {
      const carrier = way[node.index];
      // A host with one link needs no table.
      if (carrier === undefined || (node instanceof Host && node.carriers.length === 1)) continue;
      node.addRoute(`${host.address}/32`, carrier);
    }
  }
}
