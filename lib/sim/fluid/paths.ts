/**
 * The ways through a topology: from a host to an address, by the routing tables, one way for each route where a gateway
 * chooses. Only for building a fluid simulation; nothing here is fast.
 */
import { invalidOption } from '../../errors.ts';
import { parsePrefix } from '../../wire/addr.ts';
import { ipv4Word } from '../host.ts';
import { directionOptions } from '../topology.ts';
import type { GatewaySpec, HostSpec, LinkSpec, RouteSpec, Topology } from '../topology.ts';

/** One direction of a link. The index is twice the link's in the topology, one more for the direction back. */
export type Direction = number;

/** A way from a host to another. */
export interface Way {
  readonly directions: readonly Direction[];
  /** Path ID of the gateway's route, 0 where no gateway chose. */
  readonly pathId: number;
}

/** All ways from a host to another. */
export interface Ways {
  /** The gateway that chooses; undefined when there is none on the way. */
  readonly gateway: string | undefined;
  /** Index of the gateway's destination, as in its `destinations`. */
  readonly destination: number;
  readonly ways: readonly Way[];
}

/** Longest way in links; more is a loop. */
const MAX_HOPS = 64;

interface Node {
  readonly name: string;
  readonly host?: HostSpec;
  readonly gateway?: GatewaySpec;
  readonly links: Direction[];
  readonly routes: PrefixList;
  /** Of a gateway: which of its destinations an address belongs to. */
  readonly destinations: PrefixList;
}

/** The ways of one topology. */
export class WayFinder {
  readonly #nodes = new Map<string, Node>();
  readonly #links: readonly LinkSpec[];
  readonly #directionOf = new Map<string, number>();

  /** @throws PreflexError when the topology has no routes listed, or they name what is not there */
  constructor(topology: Topology) {
    if (topology.routing !== 'listed') {
      throw invalidOption('topology.routing', topology.routing, 'listed, in the fluid mode');
    }
    this.#links = topology.links;
    for (const host of topology.hosts) this.#add({ host, ...emptyNode(host.name) });
    for (const { name } of topology.routers ?? []) this.#add(emptyNode(name));
    for (const gateway of topology.gateways ?? []) this.#add({ gateway, ...emptyNode(gateway.name) });
    topology.links.forEach(({ name, between }, i) => {
      this.#directionOf.set(name, 2 * i);
      between.forEach((end, isBack) => this.#node(end).links.push(2 * i + isBack));
    });
    for (const spec of [...topology.hosts, ...(topology.routers ?? []), ...(topology.gateways ?? [])]) {
      const node = this.#node(spec.name);
      for (const route of spec.routes ?? []) node.routes.add(route.prefix, this.#away(node, route));
    }
    for (const { name, destinations } of topology.gateways ?? []) {
      destinations.forEach(({ prefixes }, i) => {
        for (const prefix of prefixes) this.#node(name).destinations.add(prefix, i);
      });
    }
  }

  /**
   * The ways from a host to another.
   *
   * @throws PreflexError when there is none, or when two gateways on the way would choose
   */
  ways(from: string, to: string): Ways {
    const target = this.#host(to);
    const addr = ipv4Word(target.address, `${to}.address`);
    let node = this.#node(from);
    this.#host(from);
    const begun: Direction[] = [];
    for (;;) {
      const { gateway } = node;
      const destination =
        gateway !== undefined && !this.#isInbound(gateway, begun) ? node.destinations.find(addr) : -1;
      if (gateway !== undefined && destination >= 0) {
        const { pathIds } = gateway.destinations[destination];
        const ways = pathIds.map((pathId) => {
          const egress = gateway.egresses.find((other) => other.pathId === pathId);
          if (egress === undefined)
            throw invalidOption(`${gateway.name}.pathIds`, pathId, 'a path ID of an egress');
          const directions = [...begun, this.#away(node, egress)];
          this.#follow(directions, addr, target);
          return { pathId, directions };
        });
        return { gateway: gateway.name, destination, ways };
      }
      if (node.host !== undefined && begun.length > 0) break;
      begun.push(this.#next(node, addr, to));
      if (begun.length > MAX_HOPS) throw invalidOption('routes', to, 'routes that do not go in circles');
      node = this.#end(begun);
    }
    if (node.host !== target)
      throw invalidOption('routes', to, `routes that lead to ${to}, not to ${node.name}`);
    return { gateway: undefined, destination: -1, ways: [{ pathId: 0, directions: begun }] };
  }

  #follow(directions: Direction[], addr: number, target: HostSpec): void {
    for (let node = this.#end(directions); node.host !== target; node = this.#end(directions)) {
      if (
        node.gateway !== undefined &&
        !this.#isInbound(node.gateway, directions) &&
        node.destinations.find(addr) >= 0
      ) {
        throw invalidOption(
          'routes',
          target.name,
          `a way with one gateway that chooses, not ${node.name} as well`,
        );
      }
      if (node.host !== undefined || directions.length > MAX_HOPS) {
        throw invalidOption('routes', target.name, `routes that lead to ${target.name}`);
      }
      directions.push(this.#next(node, addr, target.name));
    }
  }

  /** Whether the last of these directions is an egress link of the gateway, toward it. */
  #isInbound(gateway: GatewaySpec, directions: readonly Direction[]): boolean {
    const last = directions.at(-1);
    return last !== undefined && gateway.egresses.some(({ link }) => this.#links[last >> 1].name === link);
  }

  #next(node: Node, addr: number, to: string): Direction {
    const direction = node.routes.isEmpty && node.links.length === 1 ? node.links[0] : node.routes.find(addr);
    if (direction < 0) throw invalidOption(`${node.name}.routes`, to, `a route to ${to}`);
    return direction;
  }

  #end(directions: readonly Direction[]): Node {
    const last = directions.at(-1)!;
    return this.#node(this.#links[last >> 1].between[(last & 1) === 0 ? 1 : 0]);
  }

  /** The direction of a link away from a node. */
  #away(node: Node, { link }: Pick<RouteSpec, 'link'>): Direction {
    const forward = this.#directionOf.get(link);
    const direction = node.links.find((other) => forward !== undefined && other >> 1 === forward >> 1);
    if (direction === undefined)
      throw invalidOption(`${node.name}.link`, link, `a link that ends at ${node.name}`);
    return direction;
  }

  #add(node: Node): void {
    this.#nodes.set(node.name, node);
  }

  #node(name: string): Node {
    const node = this.#nodes.get(name);
    if (node === undefined) throw invalidOption('node', name, 'the name of a node');
    return node;
  }

  #host(name: string): HostSpec {
    const { host } = this.#node(name);
    if (host === undefined) throw invalidOption('host', name, 'the name of a host');
    return host;
  }
}

/** One-way delay of a way in s. */
export function delayS(topology: Topology, directions: readonly Direction[]): number {
  const delaysNs = directions.map((direction) => {
    const link = topology.links[direction >> 1];
    // The whole check of a link's options is the packet mode's.
    return ((direction & 1) === 0 ? link : directionOptions(link, true)).delayNs ?? 0;
  });
  return delaysNs.reduce((sum, ns) => sum + ns, 0) / 1e9;
}

function emptyNode(name: string): Node {
  return { name, links: [], routes: new PrefixList(), destinations: new PrefixList() };
}

/** Longest prefix match for IPv4 by one map a length: small, where a node's PrefixTable takes half a megabyte. */
class PrefixList {
  readonly #byLength: (Map<number, number> | undefined)[] = [];

  get isEmpty(): boolean {
    return this.#byLength.length === 0;
  }

  add(prefix: string, value: number): void {
    const { version, words, length } = parsePrefix(prefix);
    if (version !== 4) return;
    this.#byLength[length] ??= new Map();
    this.#byLength[length].set(words[0], value);
  }

  find(addr: number): number {
    for (let length = this.#byLength.length - 1; length >= 0; length--) {
      const mask = length === 0 ? 0 : -1 << (32 - length);
      const value = this.#byLength[length]?.get(addr & mask);
      if (value !== undefined) return value;
    }
    return -1;
  }
}
