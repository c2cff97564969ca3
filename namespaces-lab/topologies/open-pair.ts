/**
 * Topology `open-pair`: a gateway with two routes of plain veth pairs, the fastest that there is; everything outside is one
 * namespace, which can also send packets of any source through a TUN.
 *
 *                               wan0 10.74.10.0/30 p1
 *      host -------------- P -------------------------+ outside ---- flood0 (packets of any source)
 *      .2  10.74.1.0/24 .1      wan1 10.74.20.0/30 p2
 *      h0                p0
 */
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { addRoutes } from '../../lib/netns/routes.ts';
import { prepareRouter, wire } from './wiring.ts';

/** Addresses of the topology. */
export const OPEN_PAIR = {
  hostAddress: '10.74.1.2',
  /** Inside, and nobody has it: the host drops what comes for it. */
  voidAddress: '10.74.2.2',
  farAddress: '10.74.10.2',
  insidePrefixes: ['10.74.1.0/24', '10.74.2.0/24'],
  routes: [
    { name: 'a', device: 'wan0', nextHop: '10.74.10.2' },
    { name: 'b', device: 'wan1', nextHop: '10.74.20.2' },
  ],
} as const;

/** The namespaces of the topology. */
export interface OpenPairTopology {
  readonly host: string;
  readonly gateway: string;
  readonly outside: string;
}

/**
 * Builds the topology; everything in it is undone when `scope` closes.
 *
 * @param suffix - of the namespaces' roles, for one beside another
 */
export function buildOpenPair(scope: LabScope, suffix = ''): OpenPairTopology {
  const host = scope.namespace(`host${suffix}`);
  const gateway = scope.namespace(`p${suffix}`);
  const outside = scope.namespace(`out${suffix}`);
  for (const netns of [gateway, outside]) prepareRouter(netns);
  wire(
    { netns: host, name: 'h0', addresses: ['10.74.1.2/24'] },
    { netns: gateway, name: 'p0', addresses: ['10.74.1.1/24'] },
  );
  wire(
    { netns: gateway, name: 'wan0', addresses: ['10.74.10.1/30'] },
    { netns: outside, name: 'p1', addresses: ['10.74.10.2/30'] },
  );
  wire(
    { netns: gateway, name: 'wan1', addresses: ['10.74.20.1/30'] },
    { netns: outside, name: 'p2', addresses: ['10.74.20.2/30'] },
  );
  addRoutes([{ family: 4, prefix: 'default', via: '10.74.1.1' }], { netns: host });
  addRoutes(
    [
      { family: 4, prefix: 'default', via: '10.74.10.2' },
      { family: 4, prefix: '10.74.2.0/24', via: '10.74.1.2' },
    ],
    { netns: gateway },
  );
  addRoutes(
    [
      { family: 4, prefix: '10.74.1.0/24', via: '10.74.10.1' },
      { family: 4, prefix: '10.74.2.0/24', via: '10.74.10.1' },
    ],
    { netns: outside },
  );
  return { host, gateway, outside };
}
