/** The public surface of preflex: the host's and the gateway's cores, the marking schemes, the error class. */
export { PreflexError } from './errors.ts';
export type { PreflexErrorCode } from './errors.ts';
export { LexHost } from './lex/lex-host.ts';
export type { LexHostOptions } from './lex/options.ts';
export { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from './lex/datagram.ts';
export { LexCounters, reportLexCounters } from './lex/counters.ts';
export type { LexCounterReport } from './lex/counters.ts';
export { REASON_NAMES as LEX_REASON_NAMES } from './lex/reasons.ts';
export { PrefGateway } from './pref/gateway.ts';
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
