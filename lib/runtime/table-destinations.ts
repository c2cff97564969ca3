/**
 * The destinations of a gateway some of whose routes are kernel tables: each prefix that a table has is a destination of
 * its own, over the routes whose tables have it.
 *
 * A prefix that goes from one table goes on over the others at once, with the ratios that these had among each other; one
 * that comes back begins with its first share (beta_E / N). Routes without a table lead to the prefixes that the
 * configuration names for them, as if these stood in a table.
 */
import type { Family } from '../netns/index.ts';
import type { PrefGateway } from '../pref/gateway.ts';
import { formatPrefix, parsePrefix } from '../wire/addr.ts';
import type { AddressPrefix } from '../wire/addr.ts';
import type { GatewayDestination, LiveDestination } from './live-destinations.ts';
import type { VisitPrefix } from './route-book.ts';
import type { FollowerCounters } from './table-follower.ts';
import { TableFollower } from './table-follower.ts';

/** A route of the gateway. */
export interface TableRoute {
  readonly name: string;
  readonly pathId: number;
  /** Its device: without it the route is down. */
  readonly device: string;
  /** The kernel table with its prefixes; undefined when the configuration names them. */
  readonly table: number | undefined;
  /** IP versions that it carries. */
  readonly families: readonly Family[];
}

/** Options of {@link TableDestinations}. */
export interface TableDestinationsOptions {
  /** All routes of the gateway, in its order. */
  readonly routes: readonly TableRoute[];
  readonly families: readonly Family[];
  /** What routes without a table lead to. */
  readonly destinations: readonly GatewayDestination[];
  /** Told when devices of routes went or came; {@link TableDestinations.downRoutes} names the routes. */
  readonly onLinks: () => void;
  /** As for {@link TableFollower}. */
  readonly receiveBytes?: number;
  /** As for {@link TableFollower}, ns. */
  readonly stepNs?: number;
}

/** A table that is followed. */
export interface TableStatus {
  readonly route: string;
  readonly table: number;
  /** Entries by IP version. */
  readonly entries: { readonly ipv4: number; readonly ipv6: number };
}

/** What is known of the kernel's tables. */
export interface TablesStatus extends FollowerCounters {
  readonly tables: readonly TableStatus[];
  /** Whether every table that was asked for has been read. */
  readonly isSettled: boolean;
}

/** What of the gateway is needed here. */
export type TableGateway = Pick<PrefGateway, 'addDestination' | 'removeDestination' | 'setDestinationRoutes'>;

/** Keeps a gateway's destinations as the kernel's tables are. */
export class TableDestinations {
  readonly #gateway: TableGateway;
  readonly #options: TableDestinationsOptions;
  readonly #follower: TableFollower;
  readonly #entries: PrefixEntry[] = [];
  readonly #pathIdsOfMask = new Map<number, readonly number[]>();
  readonly #tableMask: number;
  #fixed: readonly AddressPrefix[] = [];

  /**
   * Reads the tables, adds what they have to the gateway, and follows them from then on.
   *
   * @throws SystemError
   */
  static open(gateway: TableGateway, options: TableDestinationsOptions): TableDestinations {
    return new TableDestinations(gateway, options);
  }

  private constructor(gateway: TableGateway, options: TableDestinationsOptions) {
    this.#gateway = gateway;
    this.#options = options;
    this.#tableMask = maskOf(options.routes, ({ table }) => table !== undefined);
    this.#follower = TableFollower.open({
      tables: options.routes.map((route) => route.table),
      families: options.families,
      onPrefix: { 4: this.#visitor(4), 6: this.#visitor(6) },
      onLinks: options.onLinks,
      ...(options.receiveBytes === undefined ? {} : { receiveBytes: options.receiveBytes }),
      ...(options.stepNs === undefined ? {} : { stepNs: options.stepNs }),
    });
    this.replace(options.destinations);
  }

  /** The destinations, each with its index in the gateway, in no order. */
  get entries(): readonly LiveDestination[] {
    return this.#entries;
  }

  /**
   * Names other prefixes for the routes without a table, at once. What leads to a prefix before and after keeps its
   * ratios.
   */
  replace(destinations: readonly GatewayDestination[]): void {
    const masks = new Map<string, { readonly prefix: AddressPrefix; mask: number }>();
    for (const prefix of this.#fixed) masks.set(keyOf(prefix), { prefix, mask: 0 });
    const fixed: AddressPrefix[] = [];
    for (const { prefixes, pathIds } of destinations) {
      const named = maskOf(this.#options.routes, ({ pathId }) => pathIds.includes(pathId));
      for (const text of prefixes) {
        const prefix = parsePrefix(text);
        fixed.push(prefix);
        masks.set(keyOf(prefix), { prefix, mask: named & ~this.#tableMask });
      }
    }
    for (const { prefix, mask } of masks.values()) {
      this.#follower.books.get(prefix.version)?.setFixed(prefix.words, prefix.length, mask);
    }
    this.#fixed = fixed;
    this.#follower.flush();
  }

  /** Names of the routes with a table whose device is gone, switched off or without carrier. */
  downRoutes(): string[] {
    return this.#options.routes
      .filter(({ device, table }) => table !== undefined && !this.#follower.isLinkUp(device))
      .map(({ name }) => name);
  }

  /** Tables and counters now. */
  status(): TablesStatus {
    const { books } = this.#follower;
    const tables = this.#options.routes.flatMap(({ name, table }, position): TableStatus[] => {
      const count = (family: Family): number => books.get(family)?.entryCount(position) ?? 0;
      return table === undefined ? [] : [{ route: name, table, entries: { ipv4: count(4), ipv6: count(6) } }];
    });
    return { tables, isSettled: this.#follower.isSettled, ...this.#follower.counters };
  }

  /** Stops following; the gateway keeps what it has. */
  close(): void {
    this.#follower.close();
  }

  #visitor(family: Family): VisitPrefix {
    /** By number of the prefix. */
    const entries: (PrefixEntry | undefined)[] = [];
    const able = this.#options.routes
      .filter(({ families }) => families.includes(family))
      .map(({ pathId }) => pathId);
    return (record, words, length, mask) => {
      let entry = entries[record];
      if (mask === 0) {
        entries[record] = undefined;
        if (entry !== undefined) this.#remove(entry);
        return;
      }
      if (entry === undefined) {
        const index = this.#gateway.addDestination([{ version: family, words, length }], able);
        entry = new PrefixEntry(index, able, family, words, length, this.#entries.length);
        this.#entries.push(entry);
        entries[record] = entry;
      }
      this.#gateway.setDestinationRoutes(entry.index, this.#pathIdsOf(mask));
    };
  }

  /** The last entry takes the place of one that goes: the list has no holes, and nothing moves a hundred thousand. */
  #remove(entry: PrefixEntry): void {
    this.#gateway.removeDestination(entry.index);
    const last = this.#entries.pop()!;
    if (last === entry) return;
    last.position = entry.position;
    this.#entries[entry.position] = last;
  }

  #pathIdsOf(mask: number): readonly number[] {
    let pathIds = this.#pathIdsOfMask.get(mask);
    if (pathIds === undefined) {
      pathIds = this.#options.routes.filter((_, i) => ((mask >>> i) & 1) === 1).map(({ pathId }) => pathId);
      this.#pathIdsOfMask.set(mask, pathIds);
    }
    return pathIds;
  }
}

/** A destination of one prefix, which it can say as text. */
class PrefixEntry implements LiveDestination {
  readonly index: number;
  readonly pathIds: readonly number[];
  /** Where it is in the list of all. */
  position: number;
  readonly #prefix: AddressPrefix;

  constructor(
    index: number,
    pathIds: readonly number[],
    version: Family,
    words: Int32Array,
    length: number,
    position: number,
  ) {
    this.index = index;
    this.pathIds = pathIds;
    this.position = position;
    this.#prefix = { version, words: words.slice(), length };
  }

  /** Made when asked for. */
  get prefixes(): readonly string[] {
    return [formatPrefix(this.#prefix)];
  }
}

function maskOf(routes: readonly TableRoute[], isIn: (route: TableRoute) => boolean): number {
  return routes.reduce((mask, route, i) => (isIn(route) ? mask | (1 << i) : mask), 0);
}

function keyOf({ version, words, length }: AddressPrefix): string {
  return `${version} ${words.join(' ')} ${length}`;
}
