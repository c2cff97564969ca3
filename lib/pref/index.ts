/** `preflex/pref`: the gateway's side, path re-feedback. Pure, for any operating system; re-exports only. */
export { PreflexError } from '../errors.ts';
export type { PreflexErrorCode } from '../errors.ts';
export type { AddressPrefix } from '../wire/addr.ts';
export type { Balancer, IntervalMeasures } from './balancers/balancer.ts';
export { conservative } from './balancers/conservative.ts';
export { equal } from './balancers/equal.ts';
export { loss } from './balancers/loss.ts';
export { mixed } from './balancers/mixed.ts';
export type { MixedOptions } from './balancers/mixed.ts';
export { selfTuning } from './balancers/self-tuning.ts';
export type { SelfTuningOptions } from './balancers/self-tuning.ts';
export {
  conservativeShare,
  DEFAULT_SHRINK_BYTES,
  equalShare,
  lossShares,
  MIN_LOSS_RATIO,
  mixShares,
} from './balancers/splits.ts';
export type { Mix } from './balancers/splits.ts';
export { balancerOf, BETAS, STRATEGIES } from './balancers/strategies.ts';
export type { Betas, Strategy } from './balancers/strategies.ts';
export { FAILURE_DECISIONS } from './failure-events.ts';
export type { EvidenceKind, EvidenceSum, FailureDecision, FailureEvent } from './failure-events.ts';
export { PrefGateway } from './gateway.ts';
export type { BalancingOptions, GatewayOptions, PolicyOptions, RouteOptions } from './gateway-options.ts';
export type {
  DestinationStatus,
  EgressStatus,
  GatewayOccupancy,
  GatewayStatus,
  RouteStatus,
  SampledRoute,
  TableOccupancy,
  TrafficStatus,
} from './gateway-status.ts';
export type { FlowEnds, FlowPreview } from './preview.ts';
export type { DestinationFigures, IntervalFigures, RouteFigures } from './remote-figures.ts';
export {
  EVENT_ANSWER,
  EVENT_INBOUND_PACKET,
  EVENT_MEMORY_EVICTION,
  EVENT_OUTBOUND_PACKET,
  EVENT_PATH_ID_CLEARED,
  FIRST_INBOUND_REASON,
  IN_ASSIGNED_AGAIN,
  IN_ASSIGNED_ANSWER,
  IN_ASSIGNED_FNE,
  IN_ASSIGNED_SYN,
  IN_BAD_HEADER,
  IN_DESTINATION_LIMIT,
  IN_NOT_IP,
  IN_NO_DESTINATION,
  IN_NO_ROUTE_UP,
  IN_OWN_DSCP,
  IN_PASSED,
  IN_REASSIGNED,
  IN_TOTAL_LIMIT,
  IN_TRUNCATED,
  OUT_BAD_HEADER,
  OUT_DOWN_PATH_ID,
  OUT_FNE_ASSIGNED,
  OUT_FNE_DRAWN,
  OUT_FNE_NO_PORTS,
  OUT_FNE_REPEATED,
  OUT_FNE_REPEATED_DATAGRAM,
  OUT_FOLLOWS_FNE,
  OUT_NOT_IP,
  OUT_NOT_LECT_DEFAULT,
  OUT_NOT_LECT_HASHED,
  OUT_NO_DESTINATION,
  OUT_NO_ROUTE_UP,
  OUT_PATH_ID,
  OUT_SUSPENDED_PATH_ID,
  OUT_TRUNCATED,
  OUT_UNASSIGNED,
  OUT_UNKNOWN_PATH_ID,
  GatewayCounters,
  REASON_NAMES,
} from './reasons.ts';
export type { RatioExplanation, RatioParts } from './update-round.ts';
