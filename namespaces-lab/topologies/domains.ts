/**
 * Topology `domains`: two PREFLEX domains that face each other over three routes, both with agent and gateway.
 *
 *                           +-- l1 ==== L1 ==== l1 --+
 *      s h0 ------ p0 ps ---+-- l2 ==== L2 ==== l2 --+--- pc p0 ------ h0 c
 *      10.76.1.2   .1       +-- l3 ==== L3 ==== l3 --+    10.76.2.1   .2
 *      (agent)     (gateway)                              (gateway)   (agent)
 *
 * h0 - p0 are veth pairs, in baselines links of the emulated network (baseline.ts). With MPTCP the client has an address
 * for each route. The gateways show each other the LEX codepoints (`exposeTo`). A packet that leaves ps by route l2 arrives at pc by
 * its route l2, and the other way. Each direction of each link has its own rate and drop-tail queue, and 50 ms.
 */
import { addAddress } from '../../lib/netns/addresses.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { addRoutes } from '../../lib/netns/routes.ts';
import type { FabricPlan, LinkChange } from '../links/fabric-plan.ts';
import { allowSubflows, pinAddresses, withAccess } from './baseline.ts';
import { prepareHost, prepareRouter, wire } from './wiring.ts';

/** Names and addresses of the topology. */
export const DOMAINS = {
  routes: ['l1', 'l2', 'l3'],
  sides: [
    { host: 's', gateway: 'ps', address: '10.76.1.2', inside: '10.76.1.0/24', net: '10.76.1' },
    { host: 'c', gateway: 'pc', address: '10.76.2.2', inside: '10.76.2.0/24', net: '10.76.2' },
  ],
  /** The client's addresses with MPTCP, one for each route in their order. */
  subflowAddresses: ['10.76.2.2', '10.76.2.3', '10.76.2.4'],
} as const;

/** What can be chosen; both directions of a link are alike. */
export interface DomainsOptions {
  /** bit/s of L1, L2 and L3; default 25 Mbit/s each. */
  readonly ratesBitsPerSec?: readonly [number, number, number];
  /** Queue of each direction, packets; default 300, so that bursts of paced connections are not lost. */
  readonly queuePackets?: number;
  /** One-way delay, ms; default 50. */
  readonly delayMs?: number;
  readonly schedule?: readonly LinkChange[];
  readonly seed?: number;
  /** Whether the emulated network joins hosts and gateways, as baselines need it; default false: veth pairs do. */
  readonly hasEmulatedAccess?: boolean;
}

/** The namespaces of a running topology, by role. */
export interface DomainsTopology {
  readonly namespaces: Readonly<Record<'s' | 'ps' | 'pc' | 'c' | 'fabric', string>>;
  /** What the emulated network has to be started with; then {@link connectDomains}. */
  readonly plan: FabricPlan;
}

/** Makes the namespaces and the veth pairs. Everything is undone when `scope` closes. */
export function buildDomains(scope: LabScope, options: DomainsOptions = {}): DomainsTopology {
  const namespaces = {
    s: scope.namespace('s'),
    ps: scope.namespace('ps'),
    pc: scope.namespace('pc'),
    c: scope.namespace('c'),
    fabric: scope.namespace('fabric'),
  };
  for (const netns of Object.values(namespaces)) prepareHost(netns);
  for (const { gateway } of DOMAINS.sides) prepareRouter(namespaces[gateway]);
  const plan = domainsPlan(namespaces, options);
  if (options.hasEmulatedAccess) {
    const accesses = DOMAINS.sides.map(({ host, gateway, net, inside }) => ({
      name: `access-${host}`,
      host: { netns: namespaces[host], addresses: [`${net}.2/24`] },
      gateway: { netns: namespaces[gateway], address: `${net}.1/24` },
      inside,
    }));
    return { namespaces, plan: withAccess(plan, accesses) };
  }
  for (const { host, gateway, net } of DOMAINS.sides) {
    wire(
      { netns: namespaces[host], name: 'h0', addresses: [`${net}.2/24`] },
      { netns: namespaces[gateway], name: 'p0', addresses: [`${net}.1/24`] },
    );
  }
  return { namespaces, plan };
}

/** Adds the routes that need the ports of the emulated network. Call it when that is ready. */
export function connectDomains({ namespaces }: DomainsTopology): void {
  for (const { host, gateway, net } of DOMAINS.sides) {
    addRoutes([{ family: 4, prefix: 'default', device: DOMAINS.routes[0] }], { netns: namespaces[gateway] });
    addRoutes([{ family: 4, prefix: 'default', via: `${net}.1` }], { netns: namespaces[host] });
  }
}

/**
 * Gives the client an address for each route, pins them to their routes both ways, and lets connections have a subflow
 * from each.
 */
export function connectSubflows({ namespaces }: DomainsTopology): void {
  const { routes, subflowAddresses } = DOMAINS;
  for (const address of subflowAddresses.slice(1)) addAddress('h0', `${address}/24`, { netns: namespaces.c });
  pinAddresses(namespaces.ps, subflowAddresses, routes, 'destination');
  pinAddresses(namespaces.pc, subflowAddresses, routes, 'source');
  allowSubflows(namespaces.s, routes.length, []);
  allowSubflows(namespaces.c, routes.length, subflowAddresses);
}

/** The emulated network as data; the ports are called `ps-l1`, `pc-l1` and so on. Pure. */
export function domainsPlan(
  namespaces: DomainsTopology['namespaces'],
  options: DomainsOptions = {},
): FabricPlan {
  const rates = options.ratesBitsPerSec ?? [25e6, 25e6, 25e6];
  const direction = (i: number) => ({
    rateBitsPerSec: rates[i],
    delayMs: options.delayMs ?? 50,
    queuePackets: options.queuePackets ?? 300,
  });
  const [s, c] = DOMAINS.sides;
  return {
    ports: DOMAINS.routes.flatMap((device, i) =>
      DOMAINS.sides.map(({ gateway }, side) => ({
        name: `${gateway}-${device}`,
        netns: namespaces[gateway],
        device,
        addresses: [`10.76.1${i + 1}.${side + 1}/30`],
      })),
    ),
    links: DOMAINS.routes.map((name, i) => ({
      name: name.toUpperCase(),
      forward: direction(i),
      backward: direction(i),
    })),
    paths: DOMAINS.routes.flatMap((name) => [
      {
        from: `ps-${name}`,
        prefix: c.inside,
        link: name.toUpperCase(),
        direction: 'forward' as const,
        to: `pc-${name}`,
      },
      {
        from: `pc-${name}`,
        prefix: s.inside,
        link: name.toUpperCase(),
        direction: 'backward' as const,
        to: `ps-${name}`,
      },
    ]),
    seed: options.seed ?? 1,
    schedule: options.schedule ?? [],
  };
}
