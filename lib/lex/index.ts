/** `preflex/lex`: the host's side, loss exposure. Pure, for any operating system; re-exports only. */
export { PreflexError } from '../errors.ts';
export type { PreflexErrorCode } from '../errors.ts';
export {
  EXCLUSION_FNE_REPEAT,
  EXCLUSION_NAMES,
  EXCLUSION_RESTART,
  EXCLUSION_TFO,
  EXCLUSION_ZERO_WINDOW,
  LexCounters,
  reportLexCounters,
} from './counters.ts';
export type { LexCounterReport } from './counters.ts';
export { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from './datagram.ts';
export type { FlowHistory } from './flow-history.ts';
export { FLOW_SORTS, FlowListing } from './flow-listing.ts';
export type { FlowEnd, FlowMatch, FlowQuery, FlowReport, FlowSort } from './flow-listing.ts';
export { LexHost } from './lex-host.ts';
export type { LexHostOptions, LexRuleOptions } from './options.ts';
export {
  REASON_CODEPOINT,
  REASON_COUNT,
  REASON_FNE_ANSWER,
  REASON_FNE_APPLICATION,
  REASON_FNE_FIRST_PACKET,
  REASON_FNE_IDLE_GAP,
  REASON_FNE_KEEP_ALIVE,
  REASON_FNE_SYN,
  REASON_FNE_SYN_REPEAT,
  REASON_FNE_TIMEOUTS,
  REASON_IN_ASSIGNMENT,
  REASON_IN_FEEDBACK,
  REASON_IN_FNE,
  REASON_IN_REJECTED_ASSIGNMENT,
  REASON_IN_UNKNOWN_FLOW,
  REASON_LECT_ACK,
  REASON_LECT_DATA,
  REASON_LECT_DATAGRAM,
  REASON_LECT_FRAGMENT,
  REASON_LECT_MOVED,
  REASON_LECT_TFO_REPEAT,
  REASON_LECT_ZERO_WINDOW_PROBE,
  REASON_LEX_APPLICATION,
  REASON_LEX_RETRANSMISSION,
  REASON_MULTICAST,
  REASON_NAMES,
} from './reasons.ts';
