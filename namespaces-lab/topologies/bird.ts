/**
 * Topology `bird`: a gateway with two BGP neighbours, each an autonomous system of its own, and two networks behind both.
 *
 *                                 10.70.10.0/30
 *                  route a wan1 +-------------- p0 n1 (AS 65001) f1 -+
 *      host ---------- P -------|                                     +--- far: 10.70.101.1 in network X
 *      .2 10.70.1.0/24 .1       | 10.70.20.0/30                       |         10.70.102.1 in network Y
 *      h0     p0   route b wan2 +-------------- p0 n2 (AS 65002) f2 -+
 *
 * All links are veth pairs. What goes out is the routing daemons' business: P has no default route. What comes back goes
 * by n1, whatever is announced.
 */
import { addAddress } from '../../lib/netns/addresses.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { addRoutes } from '../../lib/netns/routes.ts';
import { writeSysctl } from '../../lib/netns/sysctl.ts';
import { wire } from './wiring.ts';

/** Addresses of the topology. */
export const BIRD = {
  hostAddress: '10.70.1.2',
  insidePrefix: '10.70.1.0/24',
  /** The networks behind both neighbours, and where in them `far` is. */
  networks: [
    { name: 'x', prefix: '10.70.101.0/24', address: '10.70.101.1' },
    { name: 'y', prefix: '10.70.102.0/24', address: '10.70.102.1' },
  ],
  /** The neighbours: the route and the device toward them, the two ends of its link, the link behind them, the kernel table of P. */
  neighbours: [
    {
      route: 'a',
      device: 'wan1',
      as: 65_001,
      gateway: '10.70.10.1',
      address: '10.70.10.2',
      behind: '10.70.91',
      table: 101,
    },
    {
      route: 'b',
      device: 'wan2',
      as: 65_002,
      gateway: '10.70.20.1',
      address: '10.70.20.2',
      behind: '10.70.92',
      table: 102,
    },
  ],
  gatewayAs: 65_000,
} as const;

/** The namespaces of a running topology. */
export interface BirdTopology {
  readonly host: string;
  readonly gateway: string;
  /** In the order of `BIRD.neighbours`. */
  readonly neighbours: readonly string[];
  readonly far: string;
}

/** Builds the topology; everything in it is undone when `scope` closes. */
export function buildBird(scope: LabScope): BirdTopology {
  const host = scope.namespace('host');
  const gateway = scope.namespace('p');
  const far = scope.namespace('far');
  const neighbours = BIRD.neighbours.map((_, i) => scope.namespace(`n${i + 1}`));
  for (const netns of [host, gateway, far, ...neighbours]) {
    // IPv4 only: neighbour discovery would be packets that nobody asked for.
    writeSysctl('net/ipv6/conf/all/disable_ipv6', 1, { netns });
    writeSysctl('net/ipv6/conf/default/disable_ipv6', 1, { netns });
    writeSysctl('net/ipv4/conf/all/rp_filter', 0, { netns });
    writeSysctl('net/ipv4/conf/default/rp_filter', 0, { netns });
  }
  for (const netns of [gateway, ...neighbours]) writeSysctl('net/ipv4/ip_forward', 1, { netns });
  wire(
    { netns: host, name: 'h0', addresses: [`${BIRD.hostAddress}/24`] },
    { netns: gateway, name: 'p0', addresses: ['10.70.1.1/24'] },
  );
  addRoutes([{ family: 4, prefix: 'default', via: '10.70.1.1' }], { netns: host });
  for (const [i, { device, gateway: ours, address, behind }] of BIRD.neighbours.entries()) {
    const netns = neighbours[i];
    wire(
      { netns: gateway, name: device, addresses: [`${ours}/30`] },
      { netns, name: 'p0', addresses: [`${address}/30`] },
    );
    wire(
      { netns, name: `f${i + 1}`, addresses: [`${behind}.1/30`] },
      { netns: far, name: `f${i + 1}`, addresses: [`${behind}.2/30`] },
    );
    addRoutes(
      [
        { family: 4, prefix: BIRD.insidePrefix, via: ours },
        ...BIRD.networks.map(({ prefix }) => ({ family: 4 as const, prefix, via: `${behind}.2` })),
      ],
      { netns },
    );
  }
  for (const { address } of BIRD.networks) addAddress('lo', `${address}/32`, { netns: far });
  addRoutes([{ family: 4, prefix: 'default', via: `${BIRD.neighbours[0].behind}.1` }], { netns: far });
  return { host, gateway, neighbours, far };
}
