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
    const owners = new Map<string, LiveDestination>();
    for (const entry of left) for (const prefix of entry.prefixes) owners.set(prefix, entry);
    const kept = destinations.map((destination) => {
      const entry = successorOf(destination, owners, left);
      if (entry !== undefined) left.delete(entry);
      return entry;
    });
    for (const { index } of left) this.#gateway.removeDestination(index);
    for (const [i, entry] of kept.entries()) {
      const wanted = new Set(destinations[i].prefixes);
      for (const prefix of entry?.prefixes ?? []) {
        if (!wanted.has(prefix)) this.#gateway.removePrefix(prefix);
      }
    }
    this.#entries = destinations.map((destination, i): LiveDestination => {
      const entry = kept[i];
      if (entry === undefined) {
        const { prefixes, pathIds } = destination;
        return { ...destination, index: this.#gateway.addDestination(prefixes, pathIds) };
      }
      for (const prefix of destination.prefixes) {
        if (owners.get(prefix) !== entry) this.#gateway.addPrefix(entry.index, prefix);
      }
      return { ...destination, index: entry.index };
    });
  }
}

/**
 * The entry with the same routes that shares most prefixes; undefined when none shares any.
 *
 * @param owners - the entry that has had each prefix
 * @param left - entries without a successor so far
 */
function successorOf(
  destination: GatewayDestination,
  owners: ReadonlyMap<string, LiveDestination>,
  left: ReadonlySet<LiveDestination>,
): LiveDestination | undefined {
  const shared = new Map<LiveDestination, number>();
  for (const prefix of destination.prefixes) {
    const entry = owners.get(prefix);
    if (entry !== undefined && left.has(entry) && haveSame(entry.pathIds, destination.pathIds))
      shared.set(entry, (shared.get(entry) ?? 0) + 1);
  }
  let best: LiveDestination | undefined;
  let most = 0;
  for (const [entry, count] of shared) {
    if (count > most) {
      best = entry;
      most = count;
    }
  }
  return best;
}

function haveSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value) => b.includes(value));
}
