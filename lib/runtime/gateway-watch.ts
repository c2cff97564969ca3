/**
 * Watches a gateway for its event log: decisions about failed routes, limits reached, ratios that moved. The core only
 * counts and computes; what of it is an event is decided here, a few times a second, in bounded steps.
 */
import type { PrefGateway } from '../pref/gateway.ts';
import { IN_DESTINATION_LIMIT, IN_TOTAL_LIMIT } from '../pref/reasons.ts';
import type { EventLog, RatioMove } from './events.ts';
import { RATIO_STEP } from './events.ts';
import type { LiveDestinations } from './live-destinations.ts';
import type { TimedCore } from './packet-loop.ts';

/** Time between two looks at decisions and limits, ns. */
const LOOK_NS = 200e6;
/** Looks without another packet over the limit after which it was left: 2 s. */
const QUIET_LOOKS = 10;
/** What the datapath has no room for is told again after so long, if it has become more, ns. */
const LEFT_OUT_NS = 60e9;
/** Destinations whose ratios are compared at the end of an interval; with more of them they take turns. */
export const DESTINATIONS_A_LOOK = 1024;
/** Destinations whose moves are told one by one at the end of an interval; the others are counted. */
export const MOVES_A_LOOK = 8;

/** What of the gateway is needed here. */
export type WatchedGateway = Pick<PrefGateway, 'counters' | 'failureEvents' | 'flowletRatio'>;

/** What a datapath has no room for: destinations, and prefixes of others. */
export interface LeftOut {
  readonly destinations: number;
  readonly prefixes: number;
}

const NOTHING_LEFT_OUT: LeftOut = { destinations: 0, prefixes: 0 };

type Entry = LiveDestinations['entries'][number];

/** Tells an event log what a gateway does. */
export class GatewayWatch implements TimedCore {
  readonly #gateway: WatchedGateway;
  readonly #destinations: Pick<LiveDestinations, 'entries'>;
  readonly #log: EventLog;
  readonly #nameOf: (pathId: number) => string;
  readonly #limits: readonly LimitWatch[];
  readonly #leftOut: () => LeftOut;
  #toldLeftOut = 0;
  #leftOutAtNs = -Infinity;
  /** Ratios as they were last told, by the order of the destination's path IDs. */
  readonly #told = new WeakMap<Entry, number[]>();
  #nextFailure = 0;
  #nextEntry = 0;
  #lookAtNs = 0;

  /**
   * @param nameOf - the name of the route with a path ID
   * @param leftOut - what the datapath has no room for
   */
  constructor(
    gateway: WatchedGateway,
    destinations: Pick<LiveDestinations, 'entries'>,
    log: EventLog,
    nameOf: (pathId: number) => string,
    leftOut: () => LeftOut = () => NOTHING_LEFT_OUT,
  ) {
    this.#gateway = gateway;
    this.#destinations = destinations;
    this.#log = log;
    this.#nameOf = nameOf;
    this.#leftOut = leftOut;
    this.#limits = [
      new LimitWatch('prefix', () => gateway.counters.packets[IN_DESTINATION_LIMIT]),
      new LimitWatch('total', () => gateway.counters.packets[IN_TOTAL_LIMIT]),
    ];
    for (const entry of destinations.entries.slice(0, DESTINATIONS_A_LOOK)) this.#movesOf(entry);
  }

  /** When the next look is due, ns. */
  pollTimeout(): number {
    return this.#lookAtNs;
  }

  /** Looks for decisions and limits. */
  handleTimeout(nowNs: number): void {
    this.#lookAtNs = nowNs + LOOK_NS;
    for (const event of this.#gateway.failureEvents(this.#nextFailure)) {
      this.#nextFailure = event.number + 1;
      const entry = this.#destinations.entries.find(({ index }) => index === event.destination);
      const {
        by,
        sampleFlows,
        failingFlows,
        overdueFlows,
        answeredFlows,
        exposures,
        silenceNs,
        probeAnswers,
        usualFailingShare,
      } = event;
      this.#log.add(
        {
          kind: event.decision,
          // The destination may be gone since.
          prefix: entry?.prefixes[0] ?? `destination ${event.destination}`,
          route: this.#nameOf(event.pathId),
          evidence: {
            by,
            sampleFlows,
            failingFlows,
            overdueFlows,
            answeredFlows,
            exposures,
            silenceNs,
            probeAnswers,
            usualFailingShare,
          },
        },
        event.timeNs,
      );
    }
    for (const limit of this.#limits) limit.look(this.#log);
    this.#lookForLeftOut(nowNs);
  }

  /** Looks for ratios that moved; call it at the end of an update interval. */
  lookAtRatios(): void {
    const { entries } = this.#destinations;
    let moved = 0;
    const count = Math.min(entries.length, DESTINATIONS_A_LOOK);
    for (let i = 0; i < count; i++) {
      const entry = entries[(this.#nextEntry + i) % entries.length];
      const routes = this.#movesOf(entry);
      if (routes.length === 0) continue;
      moved++;
      if (moved <= MOVES_A_LOOK) this.#log.add({ kind: 'ratioMoved', prefix: entry.prefixes[0], routes });
    }
    this.#nextEntry = entries.length === 0 ? 0 : (this.#nextEntry + count) % entries.length;
    if (moved > MOVES_A_LOOK) this.#log.add({ kind: 'ratiosMoved', destinations: moved - MOVES_A_LOOK });
  }

  #lookForLeftOut(nowNs: number): void {
    const { destinations, prefixes } = this.#leftOut();
    const count = destinations + prefixes;
    if (count < this.#toldLeftOut) this.#toldLeftOut = count;
    if (count === this.#toldLeftOut || nowNs - this.#leftOutAtNs < LEFT_OUT_NS) return;
    this.#leftOutAtNs = nowNs;
    this.#toldLeftOut = count;
    this.#log.add({ kind: 'destinationsLeftOut', destinations, prefixes }, nowNs);
  }

  /** The moves of a destination that are large enough to be told, all of its routes then; none at its first look. */
  #movesOf(entry: Entry): RatioMove[] {
    const now = entry.pathIds.map((pathId) => this.#gateway.flowletRatio(entry.index, pathId));
    const told = this.#told.get(entry);
    if (told !== undefined && now.every((ratio, i) => Math.abs(ratio - told[i]) < RATIO_STEP)) return [];
    this.#told.set(entry, now);
    if (told === undefined) return [];
    return now.map((after, i) => ({ route: this.#nameOf(entry.pathIds[i]), before: told[i], after }));
  }
}

/** Turns a counter of packets over a limit into the beginning and the end of being over it. */
class LimitWatch {
  readonly #limit: 'prefix' | 'total';
  readonly #count: () => number;
  #seen = 0;
  #before = 0;
  #quiet = QUIET_LOOKS;

  constructor(limit: 'prefix' | 'total', count: () => number) {
    this.#limit = limit;
    this.#count = count;
  }

  look(log: EventLog): void {
    const count = this.#count();
    const wasOver = this.#quiet < QUIET_LOOKS;
    if (count > this.#seen) {
      if (!wasOver) {
        this.#before = this.#seen;
        log.add({ kind: 'limitReached', limit: this.#limit });
      }
      this.#quiet = 0;
    } else if (wasOver && ++this.#quiet === QUIET_LOOKS) {
      log.add({ kind: 'limitLeft', limit: this.#limit, packets: count - this.#before });
    }
    this.#seen = count;
  }
}
