/**
 * What the gateway reports to people and programs: plain objects, ready for JSON. Allocates; not for the
 * packet path.
 */

import { formatPrefix } from '../wire/addr.ts';
import { FLAG_ANSWERED, FLAG_PROBE } from './failure-sample.ts';
import type { GatewayCore } from './gateway-core.ts';
import type { DestinationFigures, IntervalFigures, RouteFigures } from './remote-figures.ts';
import { METER_BYTES, METER_FLOWLETS, METER_FNE_REPEAT_BYTES, METER_LEX_BYTES } from './meter.ts';

/** Figures of traffic. */
export interface TrafficStatus {
  /** T_i: bytes with a LEX mark. */
  readonly bytes: number;
  /** L_i: bytes marked LEx. */
  readonly lexBytes: number;
  /** Bytes of FNE packets that were repeated on another route. */
  readonly fneRepeatBytes: number;
  /** Lost bytes as the balancer counts them, of `bytes`: 0..1, 0 without traffic. */
  readonly lossRatio: number;
  /** Flowlets that the route was chosen for. */
  readonly flowlets: number;
}

/**
 * A route of one destination: figures of the last complete update interval, and since the destination was
 * added.
 */
export interface RouteStatus extends TrafficStatus {
  readonly pathId: number;
  readonly name: string;
  readonly up: boolean;
  /** Whether the marks say that it failed for this destination. */
  readonly suspended: boolean;
  /** f_di in force, 0..1. */
  readonly flowletRatio: number;
  readonly total: TrafficStatus;
}

/** A destination and its routes. */
export interface DestinationStatus {
  readonly destination: number;
  readonly prefixes: readonly string[];
  readonly routes: readonly RouteStatus[];
}

/** A route over all destinations. */
export interface EgressStatus extends TrafficStatus {
  readonly pathId: number;
  readonly name: string;
  readonly up: boolean;
  readonly notLectBytes: number;
  readonly inboundBytes: number;
  readonly total: TrafficStatus;
}

/** Sampled flows of the failure detector on one route of a destination. The gateway knows hashes of them, no addresses. */
export interface SampledRoute {
  readonly destination: number;
  readonly pathId: number;
  /** Flows in the sample. */
  readonly flows: number;
  /** Of them: something came back at least once. */
  readonly answered: number;
  /** Of them: exposed loss since they were answered last. */
  readonly exposing: number;
  /** Of them: sent to find out whether the suspended route works. */
  readonly probes: number;
}

/** The gateway as a whole. */
export interface GatewayStatus {
  readonly scheme: string;
  readonly balancer: string;
  /** Length of the running update interval, as planned. */
  readonly updateIntervalNs: number;
  /** Complete update intervals. */
  readonly intervals: number;
  readonly destinationCount: number;
  readonly prefixCount: number;
  readonly outboundPackets: number;
  readonly inboundPackets: number;
  /** Packets by reason. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly pathIdsCleared: number;
  readonly answers: number;
  readonly fneMemoryEvictions: number;
  /** Routes of destinations that are suspended. */
  readonly suspendedRoutes: number;
  /** Decisions about failed routes so far. */
  readonly failureDecisions: number;
  /** LEX-marked bytes that left by the default route. */
  readonly unroutedLexMarkedBytes: number;
  readonly defaultRouteNotLectBytes: number;
  readonly routes: readonly EgressStatus[];
  /** Destinations in order of their index, as many as were asked for. */
  readonly destinations: readonly DestinationStatus[];
}

/** A table of a fixed size, and what of it is in use. */
export interface TableOccupancy {
  readonly size: number;
  readonly capacity: number;
}

/** How full the gateway's tables are. */
export interface GatewayOccupancy {
  readonly destinations: number;
  readonly prefixes: number;
  /** FNE packets that are remembered; of a large memory an estimate. */
  readonly fneMemory: TableOccupancy;
  /** Flows that are watched for failures. */
  readonly failureSample: TableOccupancy;
  /** Routes of destinations that are suspended. */
  readonly suspendedRoutes: number;
}

/** Reports the gateway and its first `maxDestinations` destinations. */
export function gatewayStatus(core: GatewayCore, maxDestinations: number): GatewayStatus {
  const { counters, meter, prefixes, settings, table } = core;
  const destinations: DestinationStatus[] = [];
  for (
    let destination = 0;
    destination < table.capacity && destinations.length < maxDestinations;
    destination++
  ) {
    if (table.has(destination)) destinations.push(destinationStatus(core, destination));
  }
  return {
    scheme: settings.scheme.name,
    balancer: core.balancer.name,
    updateIntervalNs: settings.updateIntervalNs,
    intervals: meter.intervals,
    destinationCount: table.size,
    prefixCount: prefixes.size,
    outboundPackets: counters.outboundPackets,
    inboundPackets: counters.inboundPackets,
    reasons: counters.byName(),
    pathIdsCleared: counters.pathIdsCleared,
    answers: counters.answers,
    fneMemoryEvictions: counters.memoryEvictions,
    suspendedRoutes: core.failures.suspensions.count,
    failureDecisions: core.failures.events.count,
    unroutedLexMarkedBytes: counters.unroutedLexMarkedBytes[0],
    defaultRouteNotLectBytes: counters.notLectBytes[0],
    routes: settings.routes.map(({ pathId, name }, slot) => ({
      pathId,
      name,
      up: table.isRouteUp(slot),
      ...traffic(core, (field) => meter.lastOfRoute(slot, field)),
      notLectBytes: counters.notLectBytes[pathId],
      inboundBytes: counters.inboundBytes[pathId],
      total: traffic(core, (field) => meter.routeTotal(slot, field)),
    })),
    destinations,
  };
}

/** Counts the sampled flows by route, routes with most of them first. */
export function sampledRoutes({ failures: { sample }, table }: GatewayCore): SampledRoute[] {
  const routes: SampledRoute[] = [];
  for (let group = 0; group < sample.groupCount; group++) {
    const flows = sample.sizes[group];
    if (flows === 0) continue;
    const members = Array.from({ length: flows }, (_, i) => sample.memberOf(group, i));
    routes.push({
      destination: sample.destinationOf(group),
      pathId: table.pathIdOf[sample.slotOf(group)],
      flows,
      answered: members.filter((flow) => sample.hasFlag(flow, FLAG_ANSWERED)).length,
      exposing: members.filter((flow) => sample.exposuresOf(flow) > 0).length,
      probes: members.filter((flow) => sample.hasFlag(flow, FLAG_PROBE)).length,
    });
  }
  return routes.sort((a, b) => b.flows - a.flows || a.destination - b.destination || a.pathId - b.pathId);
}

/** Reports one destination, which must exist. */
export function destinationStatus(core: GatewayCore, destination: number): DestinationStatus {
  return {
    destination,
    prefixes: prefixesOf(core, destination),
    routes: destinationRoutes(core, destination),
  };
}

/** Reports the routes of one destination, which must exist; costs the same however many prefixes it has. */
export function destinationRoutes(core: GatewayCore, destination: number): RouteStatus[] {
  const { meter, table } = core;
  const up = table.upMask(destination);
  const suspended = core.failures.suspensions.maskOf(destination);
  const allowed = table.allowedMask(destination);
  const routes: RouteStatus[] = [];
  for (const [slot, { pathId, name }] of core.settings.routes.entries()) {
    if (((allowed >>> slot) & 1) === 0) continue;
    routes.push({
      pathId,
      name,
      up: ((up >>> slot) & 1) === 1,
      suspended: ((suspended >>> slot) & 1) === 1,
      ...traffic(core, (field) => meter.last(destination, slot, field)),
      flowletRatio: table.ratio(destination, slot),
      total: traffic(core, (field) => meter.total(destination, slot, field)),
    });
  }
  return routes;
}

/** Reports how full the tables are. */
export function gatewayOccupancy(core: GatewayCore, nowNs: number): GatewayOccupancy {
  const { failures, memory, prefixes, table } = core;
  return {
    destinations: table.size,
    prefixes: prefixes.size,
    fneMemory: { size: core.sizeOfMemory?.(nowNs) ?? memory.size(nowNs), capacity: memory.capacity },
    failureSample: { size: failures.sample.size, capacity: failures.sample.capacity },
    suspendedRoutes: failures.suspensions.count,
  };
}

/** The prefixes of a destination, which must exist, in no order. */
export function prefixesOf(core: GatewayCore, destination: number): string[] {
  const prefixes: string[] = [];
  core.prefixes.forEachPrefixOf(destination, (version, words, length) => {
    prefixes.push(formatPrefix({ version, words, length }));
  });
  return prefixes;
}

/** The figures of the last complete interval, for other gateways. */
export function finishedFigures(
  core: GatewayCore,
  maxDestinations: number,
): IntervalFigures & { readonly leftOut: number } {
  const { meter, settings, table } = core;
  const destinations: DestinationFigures[] = [];
  let leftOut = 0;
  for (let i = 0; i < meter.endedDestinations; i++) {
    const destination = meter.endedDestination(i);
    // It may have been removed since, and its index given to another.
    if (!table.has(destination) || !meter.hadTraffic(destination)) continue;
    if (destinations.length >= maxDestinations) {
      leftOut++;
      continue;
    }
    const allowed = table.allowedMask(destination);
    const usable = table.upMask(destination) & ~core.failures.suspensions.maskOf(destination);
    const routes: RouteFigures[] = [];
    for (const [slot, { pathId }] of settings.routes.entries()) {
      if (((allowed >>> slot) & 1) === 0) continue;
      routes.push({
        pathId,
        isUsable: ((usable >>> slot) & 1) === 1,
        bytes: meter.last(destination, slot, METER_BYTES),
        lexBytes: meter.last(destination, slot, METER_LEX_BYTES),
        fneRepeatBytes: meter.last(destination, slot, METER_FNE_REPEAT_BYTES),
      });
    }
    destinations.push({ destination, routes });
  }
  return { lengthNs: core.remote.ownLengthNs, destinations, leftOut };
}

function traffic(core: GatewayCore, figure: (field: number) => number): TrafficStatus {
  const bytes = figure(METER_BYTES);
  const lexBytes = figure(METER_LEX_BYTES);
  const fneRepeatBytes = figure(METER_FNE_REPEAT_BYTES);
  const lostBytes = lexBytes + (core.settings.countFneRepeats ? fneRepeatBytes : 0);
  // An FNE packet may be repeated in a later interval than the route last carried anything in.
  const lossRatio = bytes === 0 ? 0 : Math.min(1, lostBytes / bytes);
  return { bytes, lexBytes, fneRepeatBytes, lossRatio, flowlets: figure(METER_FLOWLETS) };
}
