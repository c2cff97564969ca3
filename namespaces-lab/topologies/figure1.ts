/**
 * Topology `figure1`: the paper's Figure 1, with the links that are in series folded into one.
 *
 *      sources                                   bottlenecks                     clients
 *
 *      i1 n0 ----------------------------------+
 *      10.74.1.1                               |
 *                                    l1 -------+==== L1 ====+
 *      src h0 ------- p0 p           |                      |          +--- n0 e1 10.74.101.1
 *      10.74.3.2      10.74.3.1 -----+ l2 ---- ==== L2 ==== +----------+
 *      (agent)        (gateway)      |                      |          +--- n0 e2 10.74.102.1
 *                                    l3 -------+==== L3 ====+
 *                                              |
 *      i2 n0 ----------------------------------+
 *      10.74.2.1
 *
 * n0, l1, l2, l3 are ports of the emulated network, which is a process of its own in the namespace `fabric`; h0 - p0 is
 * a veth pair, in baselines a link of the emulated network (baseline.ts). L1, L2, L3 toward the clients: rate, drop-tail queue, 50 ms (five links of 10 ms). Back: 50 ms without a
 * rate. What goes back to src takes the reverse of L1, whichever route its data took.
 */
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { addRoutes } from '../../lib/netns/routes.ts';
import { FIGURE1 } from '../../lib/sim/scenarios/figure1-places.ts';
import type { FabricPlan, LinkChange } from '../links/fabric-plan.ts';
import { withAccess } from './baseline.ts';
import { prepareHost, prepareRouter, wire } from './wiring.ts';

export { FIGURE1 };

/** What can be chosen. */
export interface Figure1Options {
  /** bit/s of L1, L2 and L3; default 25 Mbit/s each. */
  readonly ratesBitsPerSec?: readonly [number, number, number];
  /** Queue of each bottleneck, packets; default 100. */
  readonly queuePackets?: number;
  /** One-way delay, ms; default 50. */
  readonly delayMs?: number;
  readonly schedule?: readonly LinkChange[];
  readonly seed?: number;
  /** Whether the emulated network joins src and P, as baselines need it; default false: a veth pair does. */
  readonly hasEmulatedAccess?: boolean;
}

/** The namespaces of a running topology, by role. */
export interface Figure1Topology {
  readonly namespaces: Readonly<Record<'i1' | 'i2' | 'src' | 'p' | 'e1' | 'e2' | 'fabric', string>>;
  /** What the emulated network has to be started with; then {@link connectFigure1}. */
  readonly plan: FabricPlan;
}

const RATE = 25e6;

/** Makes the namespaces and the veth pair. Everything is undone when `scope` closes. */
export function buildFigure1(scope: LabScope, options: Figure1Options = {}): Figure1Topology {
  const namespaces = {
    i1: scope.namespace('i1'),
    i2: scope.namespace('i2'),
    src: scope.namespace('src'),
    p: scope.namespace('p'),
    e1: scope.namespace('e1'),
    e2: scope.namespace('e2'),
    fabric: scope.namespace('fabric'),
  };
  for (const netns of Object.values(namespaces)) prepareHost(netns);
  prepareRouter(namespaces.p);
  const plan = figure1Plan(namespaces, options);
  if (options.hasEmulatedAccess) {
    const access = {
      name: 'access',
      host: { netns: namespaces.src, addresses: ['10.74.3.2/24'] },
      gateway: { netns: namespaces.p, address: '10.74.3.1/24' },
      inside: FIGURE1.insidePrefix,
    };
    return { namespaces, plan: withAccess(plan, [access]) };
  }
  wire(
    { netns: namespaces.src, name: 'h0', addresses: ['10.74.3.2/24'] },
    { netns: namespaces.p, name: 'p0', addresses: ['10.74.3.1/24'] },
  );
  return { namespaces, plan };
}

/** Adds the routes that need the ports of the emulated network. Call it when that is ready. */
export function connectFigure1({ namespaces }: Figure1Topology): void {
  for (const role of ['i1', 'i2', 'e1', 'e2'] as const) {
    addRoutes([{ family: 4, prefix: 'default', device: 'n0' }], { netns: namespaces[role] });
  }
  addRoutes([{ family: 4, prefix: 'default', device: 'l1' }], { netns: namespaces.p });
  addRoutes([{ family: 4, prefix: 'default', via: '10.74.3.1' }], { netns: namespaces.src });
}

/** The emulated network as data. Pure. */
export function figure1Plan(
  namespaces: Figure1Topology['namespaces'],
  options: Figure1Options = {},
): FabricPlan {
  const rates = options.ratesBitsPerSec ?? [RATE, RATE, RATE];
  const delayMs = options.delayMs ?? 50;
  const paths = FIGURE1.egresses.flatMap((egress) => [
    { from: 'i1', prefix: egress.prefix, link: 'L1', direction: 'forward' as const, to: egress.name },
    { from: 'i2', prefix: egress.prefix, link: 'L3', direction: 'forward' as const, to: egress.name },
    ...FIGURE1.routes.map((route) => ({
      from: route.name,
      prefix: egress.prefix,
      link: route.link,
      direction: 'forward' as const,
      to: egress.name,
    })),
    { from: egress.name, prefix: '10.74.1.0/24', link: 'L1', direction: 'backward' as const, to: 'i1' },
    { from: egress.name, prefix: '10.74.2.0/24', link: 'L3', direction: 'backward' as const, to: 'i2' },
    {
      from: egress.name,
      prefix: FIGURE1.insidePrefix,
      link: 'L1',
      direction: 'backward' as const,
      to: 'l1',
    },
  ]);
  return {
    ports: [
      { name: 'i1', netns: namespaces.i1, device: 'n0', addresses: ['10.74.1.1/24'] },
      { name: 'i2', netns: namespaces.i2, device: 'n0', addresses: ['10.74.2.1/24'] },
      { name: 'l1', netns: namespaces.p, device: 'l1', addresses: ['10.74.11.1/30'] },
      { name: 'l2', netns: namespaces.p, device: 'l2', addresses: ['10.74.12.1/30'] },
      { name: 'l3', netns: namespaces.p, device: 'l3', addresses: ['10.74.13.1/30'] },
      { name: 'e1', netns: namespaces.e1, device: 'n0', addresses: ['10.74.101.1/24'] },
      { name: 'e2', netns: namespaces.e2, device: 'n0', addresses: ['10.74.102.1/24'] },
    ],
    links: FIGURE1.routes.map(({ link }, i) => ({
      name: link,
      forward: { rateBitsPerSec: rates[i], delayMs, queuePackets: options.queuePackets ?? 100 },
      backward: { delayMs },
    })),
    paths,
    seed: options.seed ?? 1,
    schedule: options.schedule ?? [],
  };
}
