/**
 * A gateway of the fluid simulation: the balancing parts of PrefGateway, without packets. Route table, selector, meter,
 * update round and balancer are the ones that the daemon runs; here are only the calls.
 */
import { invalidOption } from '../../errors.ts';
import { checkGatewayOptions } from '../../pref/gateway-options.ts';
import { Meter } from '../../pref/meter.ts';
import { RouteTable } from '../../pref/route-table.ts';
import { Selector } from '../../pref/selector.ts';
import { Suspensions } from '../../pref/suspensions.ts';
import { UpdateRound } from '../../pref/update-round.ts';
import type { GatewaySpec } from '../topology.ts';

/** Flowlet ratios of one domain. */
export class FluidGateway {
  readonly name: string;
  readonly pathIds: readonly number[];
  readonly updateIntervalS: number;
  readonly #table: RouteTable;
  readonly #selector: Selector;
  readonly #meter: Meter;
  readonly #round: UpdateRound;

  /** @throws PreflexError naming the option of the gateway, its value and the allowed range */
  constructor({ name, egresses, options }: GatewaySpec) {
    const routes = egresses.map(({ pathId, name: routeName }) => ({ pathId, name: routeName }));
    const { balancer, updateIntervalNs, startShare, countFneRepeats, seed } = checkGatewayOptions({
      ...options,
      routes,
    });
    // Self-tuning needs what only packets tell: which of the flows that lose are new.
    if ('wantedIntervalNs' in balancer) {
      throw invalidOption(
        `${name}.balancer`,
        balancer.name,
        'a balancer that keeps the interval, in the fluid mode',
      );
    }
    this.name = name;
    this.pathIds = routes.map(({ pathId }) => pathId);
    this.updateIntervalS = updateIntervalNs / 1e9;
    const probeShare = (count: number): number => balancer.probeShare(count);
    this.#table = new RouteTable(
      this.pathIds,
      (count) => (startShare === 'equal' ? 1 / count : probeShare(count)),
      seed | 0,
    );
    this.#selector = new Selector(this.#table);
    this.#meter = new Meter(this.#table);
    // Flows that are rates time out never.
    const failures = {
      suspensions: new Suspensions(this.#table, probeShare),
      noteInterval: () => {},
      noteRatios: () => {},
    };
    this.#round = new UpdateRound(this.#table, this.#meter, failures, balancer, countFneRepeats);
  }

  /** Adds a destination with the routes that lead to it; returns its index. */
  addDestination(pathIds: readonly number[]): number {
    let allowed = 0;
    for (const pathId of pathIds) allowed |= 1 << this.#table.slotOf[pathId];
    return this.#table.add(allowed);
  }

  /** Slot of a path ID. */
  slotOf(pathId: number): number {
    return this.#table.slotOf[pathId];
  }

  /**
   * The slot for a new flowlet, by smooth weighted round robin; counts it.
   *
   * @hotpath
   */
  pick(destination: number): number {
    const slot = this.#selector.pick(destination, 0, 0);
    this.#meter.addFlowlet(destination, slot);
    return slot;
  }

  /** Counts T_i and L_i of a route, bytes: as many packets at once. */
  count(destination: number, slot: number, bytes: number, lexBytes: number): void {
    this.#meter.addPacket(destination, slot, bytes - lexBytes, false);
    if (lexBytes > 0) this.#meter.addPacket(destination, slot, lexBytes, true);
  }

  /** Ends the update interval: new ratios for all destinations that had traffic. */
  update(): void {
    this.#round.begin();
    while (this.#round.isRunning) this.#round.step();
  }

  /** The flowlet ratio of a slot. */
  ratio(destination: number, slot: number): number {
    return this.#table.ratio(destination, slot);
  }
}
