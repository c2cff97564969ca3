/**
 * `preflex`: what a program needs that owns packets. The host's and the gateway's cores, the marking schemes, the
 * balancing strategies, the error class. Pure, for any operating system; re-exports only.
 */
export { PreflexError } from './errors.ts';
export type { PreflexErrorCode } from './errors.ts';
export { LexCounters, reportLexCounters } from './lex/counters.ts';
export type { LexCounterReport } from './lex/counters.ts';
export { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from './lex/datagram.ts';
export { LexHost } from './lex/lex-host.ts';
export type { LexHostOptions } from './lex/options.ts';
export { REASON_NAMES as LEX_REASON_NAMES } from './lex/reasons.ts';
export type { Balancer, IntervalMeasures } from './pref/balancers/balancer.ts';
export { conservative } from './pref/balancers/conservative.ts';
export { equal } from './pref/balancers/equal.ts';
export { loss } from './pref/balancers/loss.ts';
export { mixed } from './pref/balancers/mixed.ts';
export type { MixedOptions } from './pref/balancers/mixed.ts';
export { selfTuning } from './pref/balancers/self-tuning.ts';
export type { SelfTuningOptions } from './pref/balancers/self-tuning.ts';
export type { FailureDecision, FailureEvent } from './pref/failure-events.ts';
export { PrefGateway } from './pref/gateway.ts';
export type { GatewayOptions, RouteOptions } from './pref/gateway-options.ts';
export type {
  DestinationStatus,
  EgressStatus,
  GatewayStatus,
  RouteStatus,
  TrafficStatus,
} from './pref/gateway-status.ts';
export { GatewayCounters, REASON_NAMES as PREF_REASON_NAMES } from './pref/reasons.ts';
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
