/**
 * What is to be carried: loads, which are flows from one host to another, and the classes they fall into. All flows of a
 * load that take the same route are one class: they see the same links, and so the same loss and round-trip time.
 *
 *      load (from, to) --+-- class: route 1 -- links
 *                        +-- class: route 2 -- links       a load without gateway has one class
 *                        +-- ...
 */
import { invalidOption, rejectUnknownKeys, requireInteger, requireNumber } from '../../errors.ts';
import type { Topology } from '../topology.ts';
import { FluidGateway } from './gateway.ts';
import { FluidLinks } from './links.ts';
import { delayS, WayFinder } from './paths.ts';
import type { Ways } from './paths.ts';
import { INITIAL_WINDOW } from './tcp-model.ts';

/** Flows from one host to another. */
export interface FluidLoad {
  /** Name of the sending host. */
  readonly from: string;
  /** Name of the receiving host. */
  readonly to: string;
  /** Closed loop: so many flows at the same time, 0 to 1e8; default 0. */
  readonly concurrency?: number;
  /** Open loop: so many new flows a second, Poisson, 0 to 1e7; default 0. */
  readonly perSecond?: number;
}

/** Slots of a gateway, at most. */
const SLOTS = 16;
/** Where a load has no gateway. */
export const NO_GATEWAY = -1;

/** Loads and classes as arrays. Class k has the links `links[linkStart[k]]` to `links[linkStart[k + 1] - 1]`. */
export class Classes {
  readonly count: number;
  readonly loads: readonly FluidLoad[];
  readonly gateways: readonly FluidGateway[];
  /** Classes of each gateway. */
  readonly ofGateway: readonly (readonly number[])[];
  readonly links: FluidLinks;
  readonly linkStart: Int32Array;
  readonly linkList: Int32Array;
  /** Round-trip time without queues, s. */
  readonly baseRttS: Float64Array;
  readonly loadOf: Int32Array;
  readonly slotOf: Int32Array;
  readonly pathIdOf: Int32Array;
  /** Gateway of a load, NO_GATEWAY for none. */
  readonly gatewayOf: Int32Array;
  /** Destination of a load at its gateway. */
  readonly destinationOf: Int32Array;

  /** Flows now. */
  readonly flows: Int32Array;
  /** Flows past slow start. */
  readonly steady: Int32Array;
  /** Sum of the windows of flows in slow start, segments. */
  readonly slowWindows: Float64Array;
  /** Window of a flow past slow start, segments. */
  readonly window: Float64Array;
  /** Round-trip time now, s. */
  readonly rttS: Float64Array;
  /** Payload bytes that arrive in this step for each segment of window. */
  readonly served: Float64Array;
  /** Payload bytes that arrive in this step for each flow past slow start. */
  readonly steadyServed: Float64Array;
  /** Factor of windows in slow start in this step. */
  readonly growth: Float64Array;
  /** Window at which slow start ends. */
  readonly slowLimit: Float64Array;
  /** T_i and L_i of the running update interval, bytes. */
  readonly bytes: Float64Array;
  readonly lostBytes: Float64Array;
  /** The same since the measurement began. */
  readonly totalBytes: Float64Array;
  readonly totalLostBytes: Float64Array;
  /** Flowlet ratio in force. */
  readonly ratio: Float64Array;

  readonly #firstClass: Int32Array;
  readonly #classOfSlot: Int32Array;

  /** @throws PreflexError naming what is wrong with the topology or a load */
  constructor(topology: Topology, loads: readonly FluidLoad[]) {
    this.loads = loads;
    this.links = new FluidLinks(topology);
    const finder = new WayFinder(topology);
    const specs = topology.gateways ?? [];
    const indexOfGateway = new Map(specs.map(({ name }, i) => [name, i]));
    this.gateways = specs.map((spec) => new FluidGateway(spec));
    specs.forEach((spec, g) => {
      for (const { pathIds } of spec.destinations) this.gateways[g].addDestination(pathIds);
    });
    const ofGateway: number[][] = specs.map(() => []);
    const linkStart = [0];
    const linkList: number[] = [];
    const baseRttS: number[] = [];
    const loadOf: number[] = [];
    const pathIdOf: number[] = [];
    this.gatewayOf = new Int32Array(loads.length).fill(NO_GATEWAY);
    this.destinationOf = new Int32Array(loads.length).fill(-1);
    this.#firstClass = new Int32Array(loads.length);
    this.#classOfSlot = new Int32Array(loads.length * SLOTS).fill(-1);
    loads.forEach((load, i) => {
      checkLoad(load, i);
      const ways = finder.ways(load.from, load.to);
      const backS = meanDelayS(topology, finder.ways(load.to, load.from));
      const g = ways.gateway === undefined ? NO_GATEWAY : indexOfGateway.get(ways.gateway)!;
      this.gatewayOf[i] = g;
      this.destinationOf[i] = ways.destination;
      this.#firstClass[i] = loadOf.length;
      for (const { directions, pathId } of ways.ways) {
        const k = loadOf.push(i) - 1;
        for (const direction of directions) {
          const link = this.links.indexOf[direction];
          if (link >= 0) linkList.push(link);
        }
        linkStart.push(linkList.length);
        baseRttS.push(delayS(topology, directions) + backS);
        pathIdOf.push(pathId);
        if (g === NO_GATEWAY) continue;
        ofGateway[g].push(k);
        this.#classOfSlot[i * SLOTS + this.gateways[g].slotOf(pathId)] = k;
      }
    });
    this.ofGateway = ofGateway;
    this.count = loadOf.length;
    this.linkStart = Int32Array.from(linkStart);
    this.linkList = Int32Array.from(linkList);
    this.baseRttS = Float64Array.from(baseRttS, (rttS, k) => {
      return requireNumber(
        `round-trip time of ${loads[loadOf[k]].from} to ${loads[loadOf[k]].to}`,
        rttS,
        1e-4,
        60,
      );
    });
    this.loadOf = Int32Array.from(loadOf);
    this.pathIdOf = Int32Array.from(pathIdOf);
    this.slotOf = Int32Array.from(loadOf, (load, k) => {
      const g = this.gatewayOf[load];
      return g === NO_GATEWAY ? 0 : this.gateways[g].slotOf(pathIdOf[k]);
    });
    const zeros = (): Float64Array => new Float64Array(this.count);
    this.flows = new Int32Array(this.count);
    this.steady = new Int32Array(this.count);
    this.slowWindows = zeros();
    this.window = zeros().fill(INITIAL_WINDOW);
    this.rttS = this.baseRttS.slice();
    this.served = zeros();
    this.steadyServed = zeros();
    this.growth = zeros().fill(1);
    this.slowLimit = zeros().fill(INITIAL_WINDOW);
    this.bytes = zeros();
    this.lostBytes = zeros();
    this.totalBytes = zeros();
    this.totalLostBytes = zeros();
    this.ratio = zeros();
    for (let k = 0; k < this.count; k++) this.ratio[k] = this.ratioOf(k);
  }

  /**
   * The class of a new flow of a load: the gateway picks its route.
   *
   * @hotpath
   */
  pick(load: number): number {
    const g = this.gatewayOf[load];
    if (g === NO_GATEWAY) return this.#firstClass[load];
    return this.#classOfSlot[load * SLOTS + this.gateways[g].pick(this.destinationOf[load])];
  }

  /** The flowlet ratio of a class's route now; 1 without gateway. */
  ratioOf(k: number): number {
    const load = this.loadOf[k];
    const g = this.gatewayOf[load];
    return g === NO_GATEWAY ? 1 : this.gateways[g].ratio(this.destinationOf[load], this.slotOf[k]);
  }
}

function checkLoad(load: FluidLoad, i: number): void {
  rejectUnknownKeys(`loads[${i}]`, load, ['from', 'to', 'concurrency', 'perSecond']);
  requireInteger(`loads[${i}].concurrency`, load.concurrency ?? 0, 0, 1e8);
  requireNumber(`loads[${i}].perSecond`, load.perSecond ?? 0, 0, 1e7);
  if (load.from === load.to) throw invalidOption(`loads[${i}].to`, load.to, `another host than ${load.from}`);
}

/** Acknowledgements come back by any of the ways that the other end's gateway has: their mean delay. */
function meanDelayS(topology: Topology, { ways }: Ways): number {
  return ways.reduce((sum, { directions }) => sum + delayS(topology, directions), 0) / ways.length;
}
