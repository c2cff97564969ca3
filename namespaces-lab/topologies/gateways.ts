/**
 * Topology `gateways`: one domain with two border gateways, which reach the far side over the same three bottlenecks, and
 * a NATS server between them.
 *
 *      ha h0 ------- p0 ga l1, l2, l3 --+==== L1 ====+
 *      10.77.1.2     .1 |               |            |
 *      (agent)          | n0            |            |
 *                    bus a  (NATS)      +==== L2 ====+---- n0 far 10.77.9.1
 *                    bus b              |            |
 *                       | n0            |            |
 *      hb h0 ------- p0 gb l1, l2, l3 --+==== L3 ====+
 *      10.77.2.2     .1
 *      (agent)
 *
 * l1, l2, l3 and far's n0 are ports of the emulated network; the others are veth pairs. Toward far each link has a rate and
 * a drop-tail queue, which the traffic of both gateways shares; back it has none. What goes back to a host takes the reverse
 * of L1 to its own gateway. The server is at 10.77.101.1 for ga and 10.77.102.1 for gb.
 */
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { setLink } from '../../lib/netns/links.ts';
import { addRoutes } from '../../lib/netns/routes.ts';
import type { FabricPlan } from '../links/fabric-plan.ts';
import { prepareHost, prepareRouter, wire } from './wiring.ts';

/** Names and addresses of the topology. */
export const GATEWAYS = {
  routes: ['l1', 'l2', 'l3'],
  far: { address: '10.77.9.1', prefix: '10.77.9.0/24' },
  sides: [
    {
      host: 'ha',
      gateway: 'ga',
      net: '10.77.1',
      inside: '10.77.1.0/24',
      busNet: '10.77.101',
      busDevice: 'a',
    },
    {
      host: 'hb',
      gateway: 'gb',
      net: '10.77.2',
      inside: '10.77.2.0/24',
      busNet: '10.77.102',
      busDevice: 'b',
    },
  ],
} as const;

/** What can be chosen. */
export interface GatewaysOptions {
  /** bit/s of L1, L2 and L3 toward far; default 4, 8 and 12 Mbit/s. */
  readonly ratesBitsPerSec?: readonly [number, number, number];
  /** Queue of each link, packets; default 50. */
  readonly queuePackets?: number;
  /** One-way delay, ms; default 20. */
  readonly delayMs?: number;
  readonly seed?: number;
}

/** The namespaces of a running topology, by role. */
export interface GatewaysTopology {
  readonly namespaces: Readonly<Record<'ha' | 'ga' | 'hb' | 'gb' | 'far' | 'bus' | 'fabric', string>>;
  /** What the emulated network has to be started with; then {@link connectGateways}. */
  readonly plan: FabricPlan;
}

/** Makes the namespaces and the veth pairs. Everything is undone when `scope` closes. */
export function buildGateways(scope: LabScope, options: GatewaysOptions = {}): GatewaysTopology {
  const namespaces = {
    ha: scope.namespace('ha'),
    ga: scope.namespace('ga'),
    hb: scope.namespace('hb'),
    gb: scope.namespace('gb'),
    far: scope.namespace('far'),
    bus: scope.namespace('bus'),
    fabric: scope.namespace('fabric'),
  };
  for (const netns of Object.values(namespaces)) prepareHost(netns);
  for (const { host, gateway, net, busNet, busDevice } of GATEWAYS.sides) {
    prepareRouter(namespaces[gateway]);
    wire(
      { netns: namespaces[host], name: 'h0', addresses: [`${net}.2/24`] },
      { netns: namespaces[gateway], name: 'p0', addresses: [`${net}.1/24`] },
    );
    wire(
      { netns: namespaces[gateway], name: 'n0', addresses: [`${busNet}.2/24`] },
      { netns: namespaces.bus, name: busDevice, addresses: [`${busNet}.1/24`] },
    );
  }
  return { namespaces, plan: gatewaysPlan(namespaces, options) };
}

/** Adds the routes that need the ports of the emulated network. Call it when that is ready. */
export function connectGateways({ namespaces }: GatewaysTopology): void {
  addRoutes([{ family: 4, prefix: 'default', device: 'n0' }], { netns: namespaces.far });
  for (const { host, gateway, net } of GATEWAYS.sides) {
    addRoutes([{ family: 4, prefix: 'default', device: 'l1' }], { netns: namespaces[gateway] });
    addRoutes([{ family: 4, prefix: 'default', via: `${net}.1` }], { netns: namespaces[host] });
  }
}

/** Cuts the server off from a gateway, or joins them again. */
export function setBusLink({ namespaces }: GatewaysTopology, gateway: 'ga' | 'gb', isUp: boolean): void {
  const side = GATEWAYS.sides.find((candidate) => candidate.gateway === gateway)!;
  setLink(side.busDevice, { up: isUp }, { netns: namespaces.bus });
}

/** The emulated network as data; the ports are called `ga-l1`, `gb-l1` and so on, and `far`. Pure. */
export function gatewaysPlan(
  namespaces: GatewaysTopology['namespaces'],
  options: GatewaysOptions = {},
): FabricPlan {
  const rates = options.ratesBitsPerSec ?? [4e6, 8e6, 12e6];
  const delayMs = options.delayMs ?? 20;
  return {
    ports: [
      { name: 'far', netns: namespaces.far, device: 'n0', addresses: [`${GATEWAYS.far.address}/24`] },
      ...GATEWAYS.sides.flatMap(({ gateway }, side) =>
        GATEWAYS.routes.map((device, i) => ({
          name: `${gateway}-${device}`,
          netns: namespaces[gateway],
          device,
          addresses: [`10.77.${11 + i}.${4 * side + 1}/30`],
        })),
      ),
    ],
    links: GATEWAYS.routes.map((name, i) => ({
      name: name.toUpperCase(),
      forward: { rateBitsPerSec: rates[i], delayMs, queuePackets: options.queuePackets ?? 50 },
      backward: { delayMs },
    })),
    paths: GATEWAYS.sides.flatMap(({ gateway, inside }) => [
      ...GATEWAYS.routes.map((name) => ({
        from: `${gateway}-${name}`,
        prefix: GATEWAYS.far.prefix,
        link: name.toUpperCase(),
        direction: 'forward' as const,
        to: 'far',
      })),
      { from: 'far', prefix: inside, link: 'L1', direction: 'backward' as const, to: `${gateway}-l1` },
    ]),
    seed: options.seed ?? 1,
  };
}
