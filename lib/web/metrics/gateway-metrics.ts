/**
 * What a gateway exports. Destinations are bounded: the first {@link EXPORTED_DESTINATIONS} of the configuration have
 * series of their own, of the others only the number is told.
 */
import type { FailureDecision } from '../../pref/failure-events.ts';
import { FAILURE_DECISIONS } from '../../pref/failure-events.ts';
import type { EgressStatus, GatewayStatus, RouteStatus, TrafficStatus } from '../../pref/gateway-status.ts';
import type { PrefGateway } from '../../pref/gateway.ts';
import {
  FIRST_INBOUND_REASON,
  IN_DESTINATION_LIMIT,
  IN_TOTAL_LIMIT,
  REASON_NAMES,
} from '../../pref/reasons.ts';
import type { GatewayDaemon } from '../../runtime/gateway-daemon.ts';
import { nowNs } from '../../sys/clock.ts';
import { oncePerTurn } from './exporter.ts';
import type { Labels, MetricFamily } from './family.ts';
import { single } from './family.ts';
import { deviceFamilies, loopFamilies, processFamilies } from './process-metrics.ts';

/** Destinations with series of their own. */
export const EXPORTED_DESTINATIONS = 64;

/** What of the daemon is needed here. */
export interface MeasuredGateway extends Pick<
  GatewayDaemon,
  'drainedRoutes' | 'loopReport' | 'reportDevices'
> {
  readonly gateway: Pick<
    PrefGateway,
    'counters' | 'destinationRoutes' | 'failureDecisions' | 'occupancy' | 'status'
  >;
  readonly destinations: Pick<GatewayDaemon['destinations'], 'entries'>;
  readonly datapath: Pick<GatewayDaemon['datapath'], 'readFigures'>;
}

/** Strategy and weights in force, as configured. */
export interface ConfiguredBalancing {
  readonly strategy: string;
  readonly betas: { readonly equal: number; readonly conservative: number; readonly loss: number };
}

/** A route of a destination with the labels of its series. */
interface LabelledRoute {
  readonly route: RouteStatus;
  readonly labels: Labels;
}

/** All families of a gateway. */
export function gatewayFamilies(
  daemon: MeasuredGateway,
  balancing: () => ConfiguredBalancing,
): MetricFamily[] {
  // The kernel may have counted since its figures were read last; whichever family comes first has them read.
  const gateway = oncePerTurn(() => {
    daemon.datapath.readFigures();
    return daemon.gateway;
  });
  const status = oncePerTurn(() => gateway().status(0));
  return [
    ...processFamilies(),
    ...loopFamilies(oncePerTurn(() => daemon.loopReport)),
    ...deviceFamilies(oncePerTurn(() => daemon.reportDevices())),
    ...packetFamilies(gateway),
    ...tableFamilies(gateway, daemon.destinations),
    ...balancingFamilies(status, balancing),
    ...routeFamilies(() => status().routes, daemon),
    ...destinationFamilies(oncePerTurn(() => exportedRoutes(gateway(), daemon.destinations))),
  ];
}

function packetFamilies(gateway: () => MeasuredGateway['gateway']): MetricFamily[] {
  const counters = (): PrefGateway['counters'] => gateway().counters;
  return [
    {
      name: 'preflex_gateway_packets_total',
      help: 'Packets by direction and reason of the verdict; every packet has one reason.',
      type: 'counter',
      labels: ['direction', 'reason'],
      read: (add) => {
        for (const [reason, name] of REASON_NAMES.entries()) {
          const direction = reason < FIRST_INBOUND_REASON ? 'outbound' : 'inbound';
          add(counters().packets[reason], { direction, reason: name });
        }
      },
    },
    {
      name: 'preflex_gateway_fne_received_total',
      help: 'Inbound packets that asked for a route: marked FNE, or inferred from a SYN or from the answer to an FNE packet.',
      type: 'counter',
      labels: ['kind'],
      read: (add) => {
        for (const [kind, value] of Object.entries(counters().fneReceived)) add(value, { kind });
      },
    },
    {
      name: 'preflex_gateway_fne_limited_total',
      help: 'Inbound packets that asked for a route and went on without, since their prefix or the gateway was over its limit.',
      type: 'counter',
      labels: ['limit'],
      read: (add) => {
        add(counters().packets[IN_DESTINATION_LIMIT], { limit: 'prefix' });
        add(counters().packets[IN_TOTAL_LIMIT], { limit: 'total' });
      },
    },
    single(
      'counter',
      'preflex_gateway_path_ids_cleared_total',
      'Inbound packets that came with a path ID from outside, which was cleared.',
      () => counters().pathIdsCleared,
    ),
    single(
      'counter',
      'preflex_gateway_answers_total',
      'Inbound packets that answered an FNE packet of an inside host.',
      () => counters().answers,
    ),
    single(
      'counter',
      'preflex_gateway_fne_memory_evictions_total',
      'Remembered FNE packets that had to go before their lifetime was over.',
      () => counters().memoryEvictions,
    ),
    single(
      'counter',
      'preflex_gateway_unrouted_bytes_total',
      'LEX-marked bytes that left by the default route, so that no route counts them.',
      () => counters().unroutedLexMarkedBytes[0],
    ),
    {
      name: 'preflex_gateway_failure_decisions_total',
      help: 'Decisions about routes that seemed to have failed for a destination.',
      type: 'counter',
      labels: ['decision'],
      read: (add) => {
        for (const decision of FAILURE_DECISIONS) {
          add(gateway().failureDecisions(decision satisfies FailureDecision), { decision });
        }
      },
    },
  ];
}

function tableFamilies(
  gateway: () => MeasuredGateway['gateway'],
  destinations: MeasuredGateway['destinations'],
): MetricFamily[] {
  const occupancy = oncePerTurn(() => gateway().occupancy(nowNs()));
  return [
    single(
      'gauge',
      'preflex_gateway_destinations',
      'Destinations that are balanced.',
      () => occupancy().destinations,
    ),
    single(
      'gauge',
      'preflex_gateway_destinations_omitted',
      `Destinations beyond the first ${EXPORTED_DESTINATIONS}, which have no series of their own.`,
      () => Math.max(0, destinations.entries.length - EXPORTED_DESTINATIONS),
    ),
    single('gauge', 'preflex_gateway_prefixes', 'Prefixes of all destinations.', () => occupancy().prefixes),
    single(
      'gauge',
      'preflex_gateway_suspended_routes',
      'Routes of destinations that are suspended, since the marks say that they failed.',
      () => occupancy().suspendedRoutes,
    ),
    single(
      'gauge',
      'preflex_gateway_fne_memory_entries',
      'FNE packets that are remembered; of more than 65536 places an estimate.',
      () => occupancy().fneMemory.size,
    ),
    single(
      'gauge',
      'preflex_gateway_fne_memory_capacity',
      'FNE packets that can be remembered.',
      () => occupancy().fneMemory.capacity,
    ),
    single(
      'gauge',
      'preflex_gateway_failure_sample_flows',
      'Flows that are watched for failures.',
      () => occupancy().failureSample.size,
    ),
    single(
      'gauge',
      'preflex_gateway_failure_sample_capacity',
      'Flows that can be watched for failures.',
      () => occupancy().failureSample.capacity,
    ),
  ];
}

function balancingFamilies(
  status: () => GatewayStatus,
  balancing: () => ConfiguredBalancing,
): MetricFamily[] {
  return [
    {
      name: 'preflex_gateway_info',
      help: 'Strategy and marking scheme; always 1.',
      type: 'gauge',
      labels: ['strategy', 'scheme'],
      read: (add) => {
        add(1, { strategy: balancing().strategy, scheme: status().scheme });
      },
    },
    {
      name: 'preflex_gateway_beta_ratio',
      help: 'Weight of each split as configured; the strategy self-tuning begins with them.',
      type: 'gauge',
      labels: ['split'],
      read: (add) => {
        for (const [split, value] of Object.entries(balancing().betas)) add(value, { split });
      },
    },
    single(
      'gauge',
      'preflex_gateway_update_interval_seconds',
      'Length of the running update interval, as planned.',
      () => status().updateIntervalNs / 1e9,
    ),
    single(
      'counter',
      'preflex_gateway_update_intervals_total',
      'Complete update intervals.',
      () => status().intervals,
    ),
  ];
}

function routeFamilies(routes: () => readonly EgressStatus[], daemon: MeasuredGateway): MetricFamily[] {
  const family = (
    type: 'counter' | 'gauge',
    name: string,
    help: string,
    value: (route: EgressStatus) => number,
  ): MetricFamily => ({
    name: `preflex_gateway_route_${name}`,
    help,
    type,
    labels: ['route'],
    read: (add) => {
      for (const route of routes()) add(value(route), { route: route.name });
    },
  });
  return [
    family('gauge', 'up', '1 while the route is in use: its device is up, and it is not drained.', (route) =>
      Number(route.up),
    ),
    family('gauge', 'drained', '1 while the route is drained by hand.', ({ name }) =>
      Number(daemon.drainedRoutes.includes(name)),
    ),
    ...trafficFamilies(family, 'through the route'),
    family(
      'counter',
      'not_lect_bytes_total',
      'Bytes without a LEX mark sent through the route.',
      (route) => route.notLectBytes,
    ),
    family(
      'counter',
      'inbound_bytes_total',
      'Bytes that came in by the route.',
      (route) => route.inboundBytes,
    ),
  ];
}

function destinationFamilies(exported: () => readonly LabelledRoute[]): MetricFamily[] {
  const family = (
    type: 'counter' | 'gauge',
    name: string,
    help: string,
    value: (route: RouteStatus) => number,
  ): MetricFamily => ({
    name: `preflex_gateway_destination_${name}`,
    help,
    type,
    labels: ['destination', 'route'],
    read: (add) => {
      for (const { route, labels } of exported()) add(value(route), labels);
    },
  });
  return [
    family(
      'gauge',
      'flowlet_ratio',
      'Share of new flowlets to the destination that the route gets (f_di).',
      (route) => route.flowletRatio,
    ),
    family('gauge', 'route_up', '1 while the route is in use for the destination.', (route) =>
      Number(route.up),
    ),
    family(
      'gauge',
      'route_suspended',
      '1 while the route is suspended for the destination, since the marks say that it failed.',
      (route) => Number(route.suspended),
    ),
    ...trafficFamilies(family, 'to the destination through the route'),
  ];
}

/** The figures that routes have in total and for each destination. */
function trafficFamilies<T extends TrafficStatus & { readonly total: TrafficStatus }>(
  family: (
    type: 'counter' | 'gauge',
    name: string,
    help: string,
    value: (route: T) => number,
  ) => MetricFamily,
  where: string,
): MetricFamily[] {
  return [
    family(
      'counter',
      'bytes_total',
      `LEX-marked bytes sent ${where}, IP headers included.`,
      (route) => route.total.bytes,
    ),
    family(
      'counter',
      'lex_bytes_total',
      `Bytes marked LEx, retransmissions, sent ${where}.`,
      (route) => route.total.lexBytes,
    ),
    family(
      'counter',
      'fne_repeat_bytes_total',
      `Bytes of FNE packets ${where} that were repeated on another route.`,
      (route) => route.total.fneRepeatBytes,
    ),
    family(
      'counter',
      'flowlets_total',
      `Flowlets for which the route was chosen, ${where}.`,
      (route) => route.total.flowlets,
    ),
    family(
      'gauge',
      'interval_bytes',
      `LEX-marked bytes sent ${where} in the last update interval (T_i).`,
      (route) => route.bytes,
    ),
    family(
      'gauge',
      'interval_lex_bytes',
      `Bytes marked LEx sent ${where} in the last update interval (L_i).`,
      (route) => route.lexBytes,
    ),
    family(
      'gauge',
      'loss_ratio',
      `Lost bytes of those sent ${where} in the last update interval (p_i), repeated FNE packets included.`,
      (route) => route.lossRatio,
    ),
  ];
}

function exportedRoutes(
  gateway: MeasuredGateway['gateway'],
  destinations: MeasuredGateway['destinations'],
): LabelledRoute[] {
  const labelled: LabelledRoute[] = [];
  for (const { index, prefixes } of destinations.entries.slice(0, EXPORTED_DESTINATIONS)) {
    for (const route of gateway.destinationRoutes(index)) {
      // No two destinations have a prefix in common, so the first names them.
      labelled.push({ route, labels: { destination: prefixes[0] ?? String(index), route: route.name } });
    }
  }
  return labelled;
}
