/**
 * A network as data: nodes, links with their two directions, routes. network.ts makes it run.
 *
 * ```
 * const topology: Topology = {
 *   hosts: [{ name: 'a', address: '10.0.0.1', lex: true }, { name: 'b', address: '10.0.1.1' }],
 *   routers: [{ name: 'r' }],
 *   links: [
 *     { name: 'a-r', between: ['a', 'r'], delayNs: 10e6 },
 *     { name: 'r-b', between: ['r', 'b'], delayNs: 40e6, rateBitsPerSec: 25e6, queueBytes: 312_500 },
 *   ],
 * };
 * ```
 */
import type { GatewayOptions, RouteOptions } from '../pref/gateway-options.ts';
import { invalidOption, rejectUnknownKeys } from '../errors.ts';
import type { HostOptions } from './host.ts';
import type { LinkOptions } from './link.ts';

/** A route of a node: packets to the prefix leave by that link. */
export interface RouteSpec {
  readonly prefix: string;
  /** Name of a link that ends at the node. */
  readonly link: string;
}

/** What every node may have. */
export interface NodeSpec {
  /** Different for each node. */
  readonly name: string;
  /** Routes beside those that `routing` adds. */
  readonly routes?: readonly RouteSpec[];
}

/** A host. */
export type HostSpec = NodeSpec & HostOptions;

/** A plain router. */
export type RouterSpec = NodeSpec;

/** A route of a gateway out of its domain. */
export interface EgressSpec extends RouteOptions {
  /** Name of the link that it leaves by. */
  readonly link: string;
}

/** A gateway: packets that come in by an egress link are inbound, all others outbound. */
export interface GatewaySpec extends NodeSpec {
  readonly egresses: readonly EgressSpec[];
  /** Destinations with the path IDs that lead there. */
  readonly destinations: readonly {
    readonly prefixes: readonly string[];
    readonly pathIds: readonly number[];
  }[];
  readonly options?: Omit<GatewayOptions, 'routes'>;
}

/** A link. The properties hold for both directions unless `back` says otherwise. */
export interface LinkSpec extends Omit<LinkOptions, 'random'> {
  /** Different for each link. */
  readonly name: string;
  /** Names of the nodes at its ends; the first direction goes from the first to the second. */
  readonly between: readonly [string, string];
  /** The direction from the second node to the first. */
  readonly back?: Omit<LinkOptions, 'random'>;
}

/** A network. */
export interface Topology {
  readonly hosts: readonly HostSpec[];
  readonly routers?: readonly RouterSpec[];
  readonly gateways?: readonly GatewaySpec[];
  readonly links: readonly LinkSpec[];
  /** `shortest` (default) gives each node a route to each host, by least delay; `listed` only those that are listed. */
  readonly routing?: 'shortest' | 'listed';
}

const KNOWN = ['hosts', 'routers', 'gateways', 'links', 'routing'];
const NODE = ['name', 'routes'];
const NOT_OF_LINK = ['name', 'between', 'back'];

/** Checks names and references; the values are checked by what they are given to. */
export function checkTopology(topology: Topology): void {
  rejectUnknownKeys('topology', topology, KNOWN);
  const nodes = new Set<string>();
  const claim = (names: Set<string>, field: string, name: string): void => {
    if (typeof name !== 'string' || name === '' || names.has(name)) {
      throw invalidOption(field, name, 'a name that no other one has');
    }
    names.add(name);
  };
  for (const host of topology.hosts) {
    rejectUnknownKeys(`hosts.${host.name}`, host, [...NODE, 'address', 'lex', 'tcp']);
    claim(nodes, 'hosts.name', host.name);
  }
  for (const router of topology.routers ?? []) {
    rejectUnknownKeys(`routers.${router.name}`, router, NODE);
    claim(nodes, 'routers.name', router.name);
  }
  for (const gateway of topology.gateways ?? []) {
    rejectUnknownKeys(`gateways.${gateway.name}`, gateway, [...NODE, 'egresses', 'destinations', 'options']);
    claim(nodes, 'gateways.name', gateway.name);
  }
  const links = new Set<string>();
  for (const link of topology.links) {
    claim(links, 'links.name', link.name);
    for (const end of link.between) {
      if (!nodes.has(end)) throw invalidOption(`links.${link.name}.between`, end, 'the names of two nodes');
    }
  }
  const { routing } = topology;
  if (routing !== undefined && routing !== 'shortest' && routing !== 'listed') {
    throw invalidOption('topology.routing', routing, 'shortest or listed');
  }
}

/** What a link of a topology says of one direction. */
export function directionOptions(link: LinkSpec, isBack: boolean): Omit<LinkOptions, 'random'> {
  if (isBack && link.back !== undefined) return link.back;
  return Object.fromEntries(Object.entries(link).filter(([key]) => !NOT_OF_LINK.includes(key)));
}
