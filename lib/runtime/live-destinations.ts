/**
 * The destinations of a running gateway, exchanged for others so that what stays keeps its ratios and counters.
 */
import type { PrefGateway } from '../pref/gateway.ts';

/** A destination and the path IDs of the routes that lead there. */
export interface GatewayDestination {
  readonly prefixes: readonly string[];
  readonly pathIds: readonly number[];
}

/** What of the gateway is needed here. */
export type DestinationTable = Pick<
  PrefGateway,
  'addDestination' | 'removeDestination' | 'addPrefix' | 'removePrefix'
>;

/** A destination that the gateway has. */
export interface LiveDestination extends GatewayDestination {
  /** Its index in the gateway. */
  readonly index: number;
}

/** Knows which index of the gateway is which destination of the configuration. */
export class LiveDestinations {
  readonly #gateway: DestinationTable;
  #entries: readonly LiveDestination[];

  /** Adds the destinations to the gateway. */
  constructor(gateway: DestinationTable, destinations: readonly GatewayDestination[]) {
    this.#gateway = gateway;
    this.#entries = destinations.map((destination) => ({
      ...destination,
      index: gateway.addDestination(destination.prefixes, destination.pathIds),
    }));
  }

  /** The destinations, each with its index in the gateway, in the order of the configuration. */
  get entries(): readonly LiveDestination[] {
    return this.#entries;
  }

  /**
   * Puts others in their place, in one go between two packets. A destination with the same routes and at least one
   * prefix in common goes on with its ratios and counters; one whose routes changed begins anew.
   *
   * @param destinations - checked: no prefix twice, known path IDs
   */
  replace(destinations: readonly GatewayDestination[]): void {
    const left = new Set(this.#entries);
    const kept = destinations.map((destination) => {
      const entry = successorOf(destination, left);
      if (entry !== undefined) left.delete(entry);
      return entry;
    });
    for (const { index } of left) this.#gateway.removeDestination(index);
    for (const [i, entry] of kept.entries()) {
      const wanted = destinations[i].prefixes;
      for (const prefix of entry?.prefixes ?? []) {
        if (!wanted.includes(prefix)) this.#gateway.removePrefix(prefix);
      }
    }
    this.#entries = destinations.map((destination, i): LiveDestination => {
      const entry = kept[i];
      if (entry === undefined) {
        const { prefixes, pathIds } = destination;
        return { ...destination, index: this.#gateway.addDestination(prefixes, pathIds) };
      }
      for (const prefix of destination.prefixes) {
        if (!entry.prefixes.includes(prefix)) this.#gateway.addPrefix(entry.index, prefix);
      }
      return { ...destination, index: entry.index };
    });
  }
}

/** The entry with the same routes that shares most prefixes; undefined when none shares any. */
function successorOf(
  destination: GatewayDestination,
  entries: Iterable<LiveDestination>,
): LiveDestination | undefined {
  let best: LiveDestination | undefined;
  let most = 0;
  for (const entry of entries) {
    if (!haveSame(entry.pathIds, destination.pathIds)) continue;
    const shared = destination.prefixes.filter((prefix) => entry.prefixes.includes(prefix)).length;
    if (shared > most) {
      best = entry;
      most = shared;
    }
  }
  return best;
}

function haveSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value) => b.includes(value));
}
