/**
 * The rows of a result: each update interval of the gateway, as the gateway saw it and as the links did; without a
 * PREFLEX gateway each interval of the run's own clock, as the links saw it. Pure.
 *
 * The counters of the links are read when the gateway's line about an interval arrives, a few milliseconds after its
 * end; so a row's link figures cover the same interval but for that.
 */
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { FabricCounters, IngressCounters, LaneCounters } from '../links/fabric-core.ts';
import type { DestinationRoute, RunInterval, RunRoute } from '../result.ts';
import { busiestRatio } from '../result.ts';
import type { DestinationPlace, RoutePlace } from './experiment-setup.ts';

/** Counters of the emulated network at a moment. */
export interface TimedCounters extends Pick<FabricCounters, 'lanes'> {
  /** Seconds after the start of the traffic. */
  readonly seconds: number;
}

const NOTHING: IngressCounters = { offeredPackets: 0, offeredBytes: 0, droppedPackets: 0, droppedBytes: 0 };

/** Collects intervals. */
export class IntervalRecorder {
  readonly intervals: RunInterval[] = [];
  readonly #routes: readonly RoutePlace[];
  readonly #destinations: readonly DestinationPlace[];
  #before: TimedCounters;

  /** @param start - counters when the traffic starts */
  constructor(
    routes: readonly RoutePlace[],
    destinations: readonly DestinationPlace[],
    start: TimedCounters,
  ) {
    this.#routes = routes;
    this.#destinations = destinations;
    this.#before = start;
  }

  /** Adds the interval that a status line tells of. */
  add(status: GatewayDaemonStatus, counters: TimedCounters): void {
    this.#push(counters, {
      routes: this.#routes.map((place) => this.#route(place, status, counters)),
      destinations: this.#destinations.map(({ name, prefix }) => ({
        name,
        routes: destinationRoutes(status, prefix),
      })),
    });
  }

  /** Adds the interval that ends now, of which the links alone tell. */
  addByLinks(counters: TimedCounters): void {
    this.#push(counters, { routes: this.#routes.map((place) => this.#routeByLinks(place, counters)) });
  }

  #push(counters: TimedCounters, interval: Omit<RunInterval, 't'>): void {
    this.intervals.push({ t: Math.round(counters.seconds * 1000) / 1000, ...interval });
    this.#before = counters;
  }

  #routeByLinks(place: RoutePlace, counters: TimedCounters): RunRoute {
    const ingress = ingressBetween(place, this.#before, counters);
    return {
      name: place.name,
      up: true,
      bytes: ingress.offeredBytes,
      lexBytes: null,
      fneRepeatBytes: null,
      lossRatio: null,
      trueDropRatio: dropRatio(ingress),
      flowletRatio: null,
      flowlets: null,
      utilisation: utilisation(place, this.#before, counters),
    };
  }

  #route(place: RoutePlace, status: GatewayDaemonStatus, counters: TimedCounters): RunRoute {
    const route = status.routes.find((candidate) => candidate.name === place.name)!;
    return {
      name: route.name,
      up: route.up,
      bytes: route.bytes,
      lexBytes: route.lexBytes,
      fneRepeatBytes: route.fneRepeatBytes,
      lossRatio: route.lossRatio,
      trueDropRatio: dropRatio(ingressBetween(place, this.#before, counters)),
      flowletRatio: busiestRatio(status, route.name),
      flowlets: route.flowlets,
      utilisation: utilisation(place, this.#before, counters),
    };
  }
}

function destinationRoutes(status: GatewayDaemonStatus, prefix: string): DestinationRoute[] {
  const found = status.destinations.find((destination) => destination.prefixes.includes(prefix));
  return (found?.routes ?? []).map((route) => ({
    name: route.name,
    bytes: route.bytes,
    lexBytes: route.lexBytes,
    fneRepeatBytes: route.fneRepeatBytes,
    lossRatio: route.lossRatio,
    flowletRatio: route.flowletRatio,
    flowlets: route.flowlets,
  }));
}

/** What a route's port sent into its link, and lost there, between two moments. */
export function ingressBetween(
  place: RoutePlace,
  before: Pick<TimedCounters, 'lanes'>,
  after: Pick<TimedCounters, 'lanes'>,
): IngressCounters {
  const old = forwardLane(place, before)?.ingress[place.port] ?? NOTHING;
  const now = forwardLane(place, after)?.ingress[place.port] ?? NOTHING;
  return {
    offeredPackets: now.offeredPackets - old.offeredPackets,
    offeredBytes: now.offeredBytes - old.offeredBytes,
    droppedPackets: now.droppedPackets - old.droppedPackets,
    droppedBytes: now.droppedBytes - old.droppedBytes,
  };
}

/** Dropped bytes of those offered, 0 without any. */
export function dropRatio({ offeredBytes, droppedBytes }: IngressCounters): number {
  return offeredBytes === 0 ? 0 : droppedBytes / offeredBytes;
}

/** Share of a link's rate that was used between two moments, by everyone. */
export function utilisation(place: RoutePlace, before: TimedCounters, after: TimedCounters): number {
  const bytes =
    (forwardLane(place, after)?.forwardedBytes ?? 0) - (forwardLane(place, before)?.forwardedBytes ?? 0);
  const seconds = after.seconds - before.seconds;
  return seconds <= 0 ? 0 : (bytes * 8) / (place.rateBitsPerSec * seconds);
}

function forwardLane(place: RoutePlace, counters: Pick<TimedCounters, 'lanes'>): LaneCounters | undefined {
  return counters.lanes.find((lane) => lane.link === place.link && lane.direction === 'forward');
}
