/**
 * `preflex`: what a program needs that owns packets. The host's and the gateway's cores, the marking schemes, the
 * balancing strategies, the error class. Pure, for any operating system; re-exports only.
 */
export { PreflexError } from './errors.ts';
export type { PreflexErrorCode } from './errors.ts';
export { LexCounters, reportLexCounters } from './lex/counters.ts';
export type { LexCounterReport } from './lex/counters.ts';
export { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from './lex/datagram.ts';
export type { FlowHistory } from './lex/flow-history.ts';
export { FlowListing } from './lex/flow-listing.ts';
export type { FlowEnd, FlowMatch, FlowQuery, FlowReport, FlowSort } from './lex/flow-listing.ts';
export { LexHost } from './lex/lex-host.ts';
export type { LexHostOptions, LexRuleOptions } from './lex/options.ts';
export { REASON_NAMES as LEX_REASON_NAMES } from './lex/reasons.ts';
export type { Balancer, IntervalMeasures } from './pref/balancers/balancer.ts';
export { conservative } from './pref/balancers/conservative.ts';
export { equal } from './pref/balancers/equal.ts';
export { loss } from './pref/balancers/loss.ts';
export { mixed } from './pref/balancers/mixed.ts';
export type { MixedOptions } from './pref/balancers/mixed.ts';
export { selfTuning } from './pref/balancers/self-tuning.ts';
export type { SelfTuningOptions } from './pref/balancers/self-tuning.ts';
export type { EvidenceKind, EvidenceSum, FailureDecision, FailureEvent } from './pref/failure-events.ts';
export { PrefGateway } from './pref/gateway.ts';
export type {
  BalancingOptions,
  GatewayOptions,
  PolicyOptions,
  RouteOptions,
} from './pref/gateway-options.ts';
export type {
  DestinationStatus,
  EgressStatus,
  GatewayStatus,
  RouteStatus,
  SampledRoute,
  TrafficStatus,
} from './pref/gateway-status.ts';
export type { Mix } from './pref/balancers/splits.ts';
export type { FlowEnds, FlowPreview } from './pref/preview.ts';
export { GatewayCounters, REASON_NAMES as PREF_REASON_NAMES } from './pref/reasons.ts';
export type { RatioExplanation, RatioParts } from './pref/update-round.ts';
export type { AddressPrefix } from './wire/addr.ts';
export {
  CODEPOINT_FNE,
  CODEPOINT_LECT,
  CODEPOINT_LEX,
  CODEPOINT_NAMES,
  CODEPOINT_NOT_LECT,
  encodeMark,
  isAssignment,
  markCodepoint,
  markingScheme,
  markPathId,
} from './wire/marking/scheme.ts';
export type { MarkingScheme } from './wire/marking/scheme.ts';
