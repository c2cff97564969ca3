/**
 * A balancer that can be exchanged while the gateway runs, with the update interval that belongs to it.
 *
 * The gateway takes its balancer once, and asks it at the end of each interval how long the next should be. So this one
 * hands everything on to the strategy in force; and while the interval that is planned is not the one wanted, it says
 * which is. A new interval length therefore begins with the first interval after one that had traffic.
 */
import type { Balancer, IntervalMeasures } from '../pref/balancers/balancer.ts';

/** A strategy and the update interval that goes with it. */
export interface Balancing {
  readonly balancer: Balancer;
  /** Configured interval, ns. */
  readonly intervalNs: number;
  /** Bounds for a strategy that sets the interval, ns; both are `intervalNs` with one that does not. */
  readonly shortestNs: number;
  readonly longestNs: number;
}

/** How far the planned interval may be from the wanted one: it goes through a logarithm. */
const TOLERANCE = 1e-6;

/** Hands on to the strategy in force. */
export class LiveBalancer implements Balancer {
  #balancing: Balancing;
  #plannedNs: () => number;

  constructor(balancing: Balancing) {
    this.#balancing = balancing;
    this.#plannedNs = () => balancing.intervalNs;
  }

  /** What is in force. */
  get balancing(): Balancing {
    return this.#balancing;
  }

  /** Whether the running interval has another length than the one asked for. */
  get isIntervalPending(): boolean {
    const { balancer, intervalNs } = this.#balancing;
    if (balancer.wantedIntervalNs !== undefined) return false;
    return Math.abs(this.#plannedNs() / intervalNs - 1) > TOLERANCE;
  }

  /** Says where the length of the running interval can be read, ns. */
  watch(plannedNs: () => number): void {
    this.#plannedNs = plannedNs;
  }

  /** Puts another strategy or interval in force, from the end of the running interval on. */
  use(balancing: Balancing): void {
    this.#balancing = balancing;
  }

  get name(): string {
    return this.#balancing.balancer.name;
  }

  probeShare(routeCount: number): number {
    return this.#balancing.balancer.probeShare(routeCount);
  }

  balance(
    count: number,
    bytes: Float64Array,
    lostBytes: Float64Array,
    ratios: Float64Array,
    next: Float64Array,
    measures?: IntervalMeasures,
  ): void {
    this.#balancing.balancer.balance(count, bytes, lostBytes, ratios, next, measures);
  }

  /** The wanted interval, within the bounds; Infinity, which says nothing, when it is the planned one. */
  wantedIntervalNs(
    count: number,
    bytes: Float64Array,
    lostBytes: Float64Array,
    measures: IntervalMeasures,
  ): number {
    const { balancer, intervalNs, longestNs, shortestNs } = this.#balancing;
    if (balancer.wantedIntervalNs === undefined) return this.isIntervalPending ? intervalNs : Infinity;
    const wantedNs = balancer.wantedIntervalNs(count, bytes, lostBytes, measures);
    return Math.min(longestNs, Math.max(shortestNs, wantedNs));
  }
}
