/**
 * The other gateways of the domain as far as one gateway knows them: whose figures count, for how long, and what is not
 * taken from them. Pure: bytes have been read before, and the time is an argument.
 *
 * ```
 *   part --> older sequence, former incarnation? refused       unless it goes on while the one that replaced it says nothing
 *        --> kept until all parts of its sequence are there --> PrefGateway.setRemoteFigures
 *   time --> older than keepIntervals of its intervals?     --> PrefGateway.deleteRemoteFigures
 * ```
 */
import type { PrefGateway } from '../../pref/gateway.ts';
import type { DestinationFigures, RouteFigures } from '../../pref/remote-figures.ts';
import { DestinationKeys } from './destination-keys.ts';
import type { IntervalMessage, RouteState, Sender, SharedDestination, SharedRoute } from './message.ts';
import { FIGURES_A_ROUTE, MAX_DESTINATIONS } from './message.ts';

/** What of the gateway is needed here. */
export type PeeredGateway = Pick<
  PrefGateway,
  'destinationOf' | 'prefixesOf' | 'prefixChanges' | 'setRemoteFigures' | 'deleteRemoteFigures'
>;

/** Other gateways that are known at the same time at most. */
export const MAX_PEERS = 32;
/** Figures count at least so long, however short the intervals are. */
const LEAST_LIFE_NS = 1e9;
/** Incarnations of a gateway that are remembered as ended. */
const MAX_FORMER = 8;
/**
 * New intervals that a former incarnation tells, without a word from the one that took its place, until the name is its
 * own again. What is left of a gateway that has ended on its way here is one interval at most.
 */
const RECLAIM_INTERVALS = 3;
const NS_PER_S = 1e9;

/** Why a message of a known form is not taken. */
export type PeerRefusal =
  'stale' | 'formerIncarnation' | 'nameConflict' | 'tooManyGateways' | 'tooManyDestinations' | 'incomplete';

/** A route of another gateway. */
export interface PeerRouteStatus {
  readonly name: string;
  readonly state: RouteState;
  readonly pathId: number;
  /** The path ID of the route of this name here, null for none. */
  readonly ownPathId: number | null;
  /** T_i and L_i of its last interval, toward destinations that are known here. */
  readonly bytes: number;
  readonly lexBytes: number;
}

/** Another gateway. */
export interface PeerStatus {
  readonly name: string;
  readonly incarnation: string;
  /** Whether its figures count. */
  readonly isLive: boolean;
  /** Since its last interval was heard of. */
  readonly ageSeconds: number;
  readonly intervalSeconds: number;
  /** Destinations of its last interval that are known here, and that are not. */
  readonly destinations: number;
  readonly unknownDestinations: number;
  readonly routes: readonly PeerRouteStatus[];
}

/** An interval of which parts are still missing. */
interface Assembly {
  readonly sequence: number;
  readonly parts: (readonly DestinationFigures[] | undefined)[];
  missing: number;
  destinations: number;
  unknown: number;
  /** State of the gateway's prefixes that the indices of destinations belong to. */
  readonly prefixChanges: number;
}

/** An incarnation that another one took the place of. */
interface Former {
  readonly incarnation: string;
  /** The last interval that it told. */
  sequence: number;
  /** Intervals that it told since the one in its place was heard. */
  told: number;
}

interface Peer {
  readonly incarnation: string;
  readonly former: readonly Former[];
  sequence: number;
  isLive: boolean;
  heardNs: number;
  intervalSeconds: number;
  routes: readonly SharedRoute[];
  destinations: number;
  unknown: number;
  readonly sums: Map<number, { bytes: number; lexBytes: number }>;
  assembly: Assembly | undefined;
}

/** Keeps the other gateways of the domain. */
export class Peers {
  readonly #own: Sender;
  readonly #gateway: PeeredGateway;
  readonly #pathIdOf: ReadonlyMap<string, number>;
  readonly #keepIntervals: number;
  readonly #keys: DestinationKeys;
  readonly #peers = new Map<string, Peer>();

  /**
   * @param pathIdOf - path IDs of the own routes, by name
   * @param keepIntervals - intervals of a gateway for which its figures count, 1 or more
   */
  constructor(
    own: Sender,
    gateway: PeeredGateway,
    pathIdOf: ReadonlyMap<string, number>,
    keepIntervals: number,
  ) {
    this.#own = own;
    this.#gateway = gateway;
    this.#pathIdOf = pathIdOf;
    this.#keepIntervals = keepIntervals;
    this.#keys = new DestinationKeys(gateway);
  }

  /** Takes an interval or a part of one. Returns why not. */
  take(message: IntervalMessage, nowNs: number): PeerRefusal | undefined {
    const peer = this.#admit(message);
    if (typeof peer === 'string') return peer;
    const { sequence, part, parts } = message;
    if (sequence <= peer.sequence) return 'stale';
    let refusal: PeerRefusal | undefined;
    if (peer.assembly !== undefined && peer.assembly.sequence !== sequence) {
      if (sequence < peer.assembly.sequence) return 'stale';
      peer.assembly = undefined;
      refusal = 'incomplete';
    }
    const { prefixChanges } = this.#gateway;
    peer.assembly ??= {
      sequence,
      parts: Array.from({ length: parts }, () => undefined),
      missing: parts,
      destinations: 0,
      unknown: 0,
      prefixChanges,
    };
    const { assembly } = peer;
    if (assembly.parts.length !== parts || assembly.parts[part] !== undefined) return 'stale';
    assembly.destinations += message.destinations.length;
    if (assembly.destinations > MAX_DESTINATIONS) {
      peer.assembly = undefined;
      peer.sequence = sequence;
      return 'tooManyDestinations';
    }
    const figures = this.#figuresOf(message);
    assembly.parts[part] = figures;
    assembly.unknown += message.destinations.length - figures.length;
    assembly.missing--;
    if (assembly.missing > 0) return refusal;
    peer.assembly = undefined;
    peer.sequence = sequence;
    // Indices may mean other destinations now; the next interval comes soon.
    if (assembly.prefixChanges !== prefixChanges) return 'incomplete';
    this.#complete(message, peer, assembly, nowNs);
    return refusal;
  }

  /** Forgets a gateway that says that it ends. Returns why not. */
  dismiss(sender: Sender, nowNs: number): PeerRefusal | undefined {
    const peer = this.#peers.get(sender.gateway);
    if (sender.gateway === this.#own.gateway) return this.#conflict(sender);
    if (peer === undefined) return 'stale';
    if (peer.incarnation !== sender.incarnation) return 'formerIncarnation';
    this.#peers.delete(sender.gateway);
    this.#gateway.deleteRemoteFigures(sender.gateway, nowNs);
    return undefined;
  }

  /** Whether a hello is one of another gateway. Returns why not. */
  greet(sender: Sender): PeerRefusal | undefined {
    return sender.gateway === this.#own.gateway ? this.#conflict(sender) : undefined;
  }

  /** Lets figures that are too old count no more. */
  expire(nowNs: number): void {
    for (const [name, peer] of this.#peers) {
      if (!peer.isLive || nowNs < this.#endOf(peer)) continue;
      peer.isLive = false;
      peer.assembly = undefined;
      this.#gateway.deleteRemoteFigures(name, nowNs);
    }
  }

  /** When {@link expire} has work, ns; Infinity if never. */
  pollTimeout(): number {
    let atNs = Infinity;
    for (const peer of this.#peers.values()) if (peer.isLive) atNs = Math.min(atNs, this.#endOf(peer));
    return atNs;
  }

  /** Forgets all. */
  clear(nowNs: number): void {
    for (const name of this.#peers.keys()) this.#gateway.deleteRemoteFigures(name, nowNs);
    this.#peers.clear();
  }

  /** The keys that destinations go by. */
  get keys(): DestinationKeys {
    return this.#keys;
  }

  /** Reports the gateways that were heard of, by name. */
  status(nowNs: number): PeerStatus[] {
    // One that has not told a whole interval yet has nothing to show.
    const told = [...this.#peers].filter(([, peer]) => peer.routes.length > 0);
    told.sort(([a], [b]) => (a < b ? -1 : 1));
    return told.map(([name, peer]) => {
      return {
        name,
        incarnation: peer.incarnation,
        isLive: peer.isLive,
        ageSeconds: Math.max(0, nowNs - peer.heardNs) / NS_PER_S,
        intervalSeconds: peer.intervalSeconds,
        destinations: peer.destinations,
        unknownDestinations: peer.unknown,
        routes: peer.routes.map((route) => {
          const ownPathId = this.#pathIdOf.get(route.name) ?? null;
          const sums = ownPathId === null ? undefined : peer.sums.get(ownPathId);
          return { ...route, ownPathId, bytes: sums?.bytes ?? 0, lexBytes: sums?.lexBytes ?? 0 };
        }),
      };
    });
  }

  /** The peer that a message is of, made where it is new; or why there can be none. */
  #admit(sender: IntervalMessage): Peer | PeerRefusal {
    const { gateway: name, incarnation } = sender;
    if (name === this.#own.gateway) return this.#conflict(sender) ?? 'stale';
    const known = this.#peers.get(name);
    if (known?.incarnation === incarnation) return known;
    if (known?.isLive === true && !isReclaimed(known, sender)) return 'formerIncarnation';
    if (known === undefined && this.#peers.size >= MAX_PEERS && !this.#makeRoom()) return 'tooManyGateways';
    const peer: Peer = {
      incarnation,
      former: known === undefined ? [] : formerOf(known, incarnation),
      sequence: 0,
      // Until the new incarnation has told a whole interval, the figures of the one before count.
      isLive: known?.isLive ?? false,
      heardNs: known?.heardNs ?? 0,
      intervalSeconds: known?.intervalSeconds ?? 0,
      routes: known?.routes ?? [],
      destinations: known?.destinations ?? 0,
      unknown: known?.unknown ?? 0,
      sums: known?.sums ?? new Map<number, { bytes: number; lexBytes: number }>(),
      assembly: undefined,
    };
    this.#peers.set(name, peer);
    return peer;
  }

  /** The own name from somebody else. */
  #conflict(sender: Sender): PeerRefusal | undefined {
    return sender.incarnation === this.#own.incarnation ? undefined : 'nameConflict';
  }

  /** Gives the place of a gateway that is gone away; of those, the one that was heard of first. */
  #makeRoom(): boolean {
    let oldest: string | undefined;
    let heardNs = Infinity;
    for (const [name, peer] of this.#peers) {
      if (peer.isLive || peer.heardNs >= heardNs) continue;
      oldest = name;
      heardNs = peer.heardNs;
    }
    return oldest !== undefined && this.#peers.delete(oldest);
  }

  #complete(message: IntervalMessage, peer: Peer, assembly: Assembly, nowNs: number): void {
    const { intervalSeconds, routes } = message;
    const seen = new Set<number>();
    const destinations: DestinationFigures[] = [];
    for (const figures of assembly.parts.flatMap((part) => part ?? [])) {
      // Twice in different parts: the first counts.
      if (seen.has(figures.destination)) continue;
      seen.add(figures.destination);
      destinations.push(figures);
    }
    peer.isLive = true;
    for (const former of peer.former) former.told = 0;
    peer.heardNs = nowNs;
    peer.intervalSeconds = intervalSeconds;
    peer.routes = routes;
    peer.destinations = destinations.length;
    peer.unknown = assembly.unknown;
    peer.sums.clear();
    for (const { pathId, bytes, lexBytes } of destinations.flatMap((destination) => destination.routes)) {
      const sum = peer.sums.get(pathId);
      if (sum === undefined) peer.sums.set(pathId, { bytes, lexBytes });
      else {
        sum.bytes += bytes;
        sum.lexBytes += lexBytes;
      }
    }
    this.#gateway.setRemoteFigures(
      message.gateway,
      { lengthNs: intervalSeconds * NS_PER_S, destinations },
      nowNs,
    );
  }

  /** The destinations of a message that are known here, with own indices and path IDs. */
  #figuresOf({ destinations, routes }: IntervalMessage): DestinationFigures[] {
    const pathIds = routes.map(({ name }) => this.#pathIdOf.get(name));
    const found: DestinationFigures[] = [];
    for (const shared of destinations) {
      const destination = this.#keys.destinationOf(shared.key);
      if (destination >= 0) found.push({ destination, routes: routesOf(shared, pathIds) });
    }
    return found;
  }

  #endOf(peer: Peer): number {
    return peer.heardNs + Math.max(LEAST_LIFE_NS, this.#keepIntervals * peer.intervalSeconds * NS_PER_S);
  }
}

/** Whether an incarnation may have the name: a new one, and a former one that has proven that it did not end. */
function isReclaimed({ former }: Peer, { incarnation, sequence }: IntervalMessage): boolean {
  const before = former.find((one) => one.incarnation === incarnation);
  if (before === undefined) return true;
  if (sequence <= before.sequence) return false;
  before.sequence = sequence;
  return ++before.told >= RECLAIM_INTERVALS;
}

/** The former incarnations of a gateway when another one takes the place of the present. */
function formerOf({ incarnation, sequence, former }: Peer, next: string): Former[] {
  const others = former.filter((one) => one.incarnation !== next);
  return [...others, { incarnation, sequence, told: 0 }].slice(-MAX_FORMER);
}

/** Figures of the routes that exist here. @param pathIds - own ones, by place in the message */
function routesOf(
  { figures, usable }: SharedDestination,
  pathIds: readonly (number | undefined)[],
): RouteFigures[] {
  return pathIds.flatMap((pathId, place) => {
    if (pathId === undefined) return [];
    const [bytes, lexBytes, fneRepeatBytes] = figures.slice(place * FIGURES_A_ROUTE);
    return [{ pathId, isUsable: usable.includes(place), bytes, lexBytes, fneRepeatBytes }];
  });
}
