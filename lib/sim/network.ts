/**
 * A network that runs: makes the nodes and links of a topology, and lets their events happen one after the other.
 *
 *      run -> EventQueue.take -> arrival   Carrier.arrive -> NetworkNode.receive -> ... -> Carrier.offer
 *                                TCP       TcpStack.wake
 *                                ACK       TcpStack.acknowledge
 *                                gateway   GatewayNode.handleTimeout
 *                                LEX       Host.sweep
 *                                action    a function given to `at`
 *
 * The same topology, seed and calls give the same run to the last bit.
 */
import { invalidOption } from '../errors.ts';
import { Carrier, EVENT_ARRIVAL } from './carrier.ts';
import type { CarrierReport } from './carrier.ts';
import { EventQueue } from './event-queue.ts';
import { EVENT_GATEWAY, GatewayNode } from './gateway-node.ts';
import { EVENT_LEX, Host } from './host.ts';
import type { NetworkNode } from './node.ts';
import { PacketPool } from './packet-pool.ts';
import { RandomStreams } from './random.ts';
import type { RandomStream } from './random.ts';
import { Router } from './router.ts';
import { addShortestRoutes } from './shortest-paths.ts';
import { EVENT_DELAYED_ACK } from './tcp/delayed-acks.ts';
import { EVENT_TCP } from './tcp/stack.ts';
import { checkTopology, directionOptions } from './topology.ts';
import type { GatewaySpec, LinkSpec, Topology } from './topology.ts';

const EVENT_ACTION = 4;

/** Where every packet that was ever sent is: sent = delivered + dropped + inFlight, in packets and in bytes. */
export interface Conservation {
  readonly sent: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly inFlight: number;
  readonly sentBytes: number;
  readonly deliveredBytes: number;
  readonly droppedBytes: number;
  readonly inFlightBytes: number;
}

/** The state of a network as plain data. */
export interface NetworkReport {
  readonly nowNs: number;
  readonly events: number;
  readonly conservation: Conservation;
  readonly nodes: readonly {
    readonly name: string;
    readonly dropped: Readonly<Record<string, number>>;
    readonly tcp?: Readonly<Record<string, number>>;
  }[];
  readonly links: readonly CarrierReport[];
}

/** A running network. */
export class Network {
  readonly queue = new EventQueue();
  readonly pool = new PacketPool();
  readonly nodes: NetworkNode[] = [];
  /** Directions of links: two for each link of the topology, forward and back. */
  readonly carriers: Carrier[] = [];
  readonly #streams: RandomStreams;
  readonly #byName = new Map<string, NetworkNode>();
  readonly #links = new Map<string, readonly [Carrier, Carrier]>();
  /** What `at` was given; a place is used again once its action was called. */
  readonly #actions: (() => void)[] = [];
  readonly #freeActions: number[] = [];

  /**
   * @param seed - an int32
   * @throws PreflexError naming what is wrong with the topology
   */
  constructor(topology: Topology, seed: number) {
    checkTopology(topology);
    this.#streams = new RandomStreams(seed);
    for (const spec of topology.hosts) {
      this.#add(new Host(this.nodes.length, spec.name, this.pool, this.queue, this.#streams.next(), spec));
    }
    for (const { name } of topology.routers ?? []) this.#add(new Router(this.nodes.length, name, this.pool));
    for (const { name, egresses, options } of topology.gateways ?? []) {
      const routes = egresses.map(({ pathId, name: routeName }) => ({ pathId, name: routeName }));
      this.#add(new GatewayNode(this.nodes.length, name, this.pool, this.queue, { ...options, routes }));
    }
    for (const link of topology.links) this.#addLink(link);
    if (topology.routing !== 'listed') addShortestRoutes(this.nodes, this.carriers, delays(topology));
    for (const spec of [...topology.hosts, ...(topology.routers ?? []), ...(topology.gateways ?? [])]) {
      for (const { prefix, link } of spec.routes ?? []) {
        const node = this.node(spec.name);
        node.addRoute(prefix, this.#awayFrom(node, link)[0]);
      }
    }
    for (const gateway of topology.gateways ?? []) this.#bind(gateway);
  }

  /** Time of the run in ns, from 0. */
  get nowNs(): number {
    return this.queue.nowNs;
  }

  /** A stream of random numbers of its own, for a generator of traffic; the order of the calls matters. */
  randomStream(): RandomStream {
    return this.#streams.next();
  }

  /** The node of that name. @throws PreflexError when there is none */
  node(name: string): NetworkNode {
    const node = this.#byName.get(name);
    if (node === undefined) throw invalidOption('node', name, [...this.#byName.keys()].join(', '));
    return node;
  }

  /** The host of that name. @throws PreflexError when there is none */
  host(name: string): Host {
    const node = this.node(name);
    if (!(node instanceof Host)) throw invalidOption('host', name, 'the name of a host');
    return node;
  }

  /** The gateway of that name. @throws PreflexError when there is none */
  gateway(name: string): GatewayNode {
    const node = this.node(name);
    if (!(node instanceof GatewayNode)) throw invalidOption('gateway', name, 'the name of a gateway');
    return node;
  }

  /** Both directions of a link, as `between` names its ends: [forward, back]. @throws PreflexError when there is none */
  link(name: string): readonly [Carrier, Carrier] {
    const link = this.#links.get(name);
    if (link === undefined) throw invalidOption('link', name, [...this.#links.keys()].join(', '));
    return link;
  }

  /** Makes a link swallow everything in both directions, or stops that. What is under way still arrives. */
  setBlackhole(name: string, isBlackhole: boolean): void {
    for (const carrier of this.link(name)) carrier.link.isBlackhole = isBlackhole;
  }

  /** Calls a function at a time of the run, among the events of that time in the order of scheduling. */
  at(timeNs: number, action: () => void): void {
    const place = this.#freeActions.pop() ?? this.#actions.length;
    this.#actions[place] = action;
    this.queue.schedule(timeNs, EVENT_ACTION, place, 0);
  }

  /**
   * Runs until that time, which then is the time of the run.
   *
   * @hotpath
   */
  run(untilNs: number): void {
    const { queue, carriers, nodes } = this;
    for (;;) {
      const kind = queue.take(untilNs);
      if (kind < 0) break;
      if (kind === EVENT_ARRIVAL) carriers[queue.first].arrive();
      else if (kind === EVENT_TCP) (nodes[queue.first] as Host).stack.wake(queue.second);
      else if (kind === EVENT_DELAYED_ACK) (nodes[queue.first] as Host).stack.acknowledge();
      else this.#handleRare(kind);
    }
    queue.advanceTo(untilNs);
  }

  /** Counts every packet that was ever sent. */
  conservation(): Conservation {
    const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
    const hosts = this.nodes.filter((node) => node instanceof Host);
    const { carriers, nodes } = this;
    return {
      sent: sum(hosts.map((host) => host.sentPackets)),
      delivered: sum(hosts.map((host) => host.deliveredPackets)),
      dropped:
        sum(carriers.map((carrier) => carrier.droppedPackets)) +
        sum(nodes.map((node) => sum(node.droppedPackets))),
      inFlight: sum(carriers.map((carrier) => carrier.inFlight)),
      sentBytes: sum(hosts.map((host) => host.sentBytes)),
      deliveredBytes: sum(hosts.map((host) => host.deliveredBytes)),
      droppedBytes:
        sum(carriers.map((carrier) => carrier.droppedBytes)) +
        sum(nodes.map((node) => sum(node.droppedBytes))),
      inFlightBytes: sum(carriers.map((carrier) => carrier.inFlightBytes)),
    };
  }

  /** Everything counted, as plain data. */
  report(): NetworkReport {
    return {
      nowNs: this.nowNs,
      events: this.queue.taken,
      conservation: this.conservation(),
      nodes: this.nodes.map((node) => ({
        name: node.name,
        dropped: node.reportDrops(),
        ...(node instanceof Host ? { tcp: { ...node.stack.totals } } : {}),
      })),
      links: this.carriers.map((carrier) => carrier.report()),
    };
  }

  /** Apart from the loop, which otherwise would be compiled anew whenever one of these comes for the first time. */
  #handleRare(kind: number): void {
    const { first } = this.queue;
    if (kind === EVENT_LEX) (this.nodes[first] as Host).sweep();
    else if (kind === EVENT_GATEWAY) (this.nodes[first] as GatewayNode).handleTimeout();
    else this.#act(first);
  }

  #act(place: number): void {
    const action = this.#actions[place];
    this.#freeActions.push(place);
    action();
  }

  #add(node: NetworkNode): void {
    this.nodes.push(node);
    this.#byName.set(node.name, node);
  }

  #addLink(link: LinkSpec): void {
    const [a, b] = [this.node(link.between[0]), this.node(link.between[1])];
    const direction = (from: NetworkNode, to: NetworkNode, isBack: boolean): Carrier => {
      const stream = this.#streams.next();
      const options = { ...directionOptions(link, isBack), random: () => stream.uniform() };
      const name = isBack ? `${link.name}/back` : link.name;
      const carrier = new Carrier(this.carriers.length, name, from, to, options, this.queue, this.pool);
      this.carriers.push(carrier);
      from.carriers.push(carrier);
      return carrier;
    };
    this.#links.set(link.name, [direction(a, b, false), direction(b, a, true)]);
  }

  #bind(spec: GatewaySpec): void {
    const node = this.gateway(spec.name);
    for (const { pathId, link } of spec.egresses) node.bindEgress(pathId, ...this.#awayFrom(node, link));
    for (const { prefixes, pathIds } of spec.destinations) node.gateway.addDestination(prefixes, pathIds);
  }

  /** The directions of a link away from a node and toward it. */
  #awayFrom(node: NetworkNode, name: string): readonly [Carrier, Carrier] {
    const [forward, back] = this.link(name);
    if (forward.from === node) return [forward, back];
    if (back.from === node) return [back, forward];
    throw invalidOption(`${node.name}.link`, name, `a link that ends at ${node.name}`);
  }
}

/** Delay of each direction, by the index that its carrier gets. */
function delays(topology: Topology): number[] {
  return topology.links.flatMap((link) =>
    [false, true].map((isBack) => directionOptions(link, isBack).delayNs ?? 0),
  );
}
