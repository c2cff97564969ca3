/**
 * Why a packet was marked as it was: one reason for every packet, each counted.
 *
 * The first reasons are the parse codes of wire/packet-view.ts; a packet that does not parse keeps its own DSCP.
 */
import { CODEPOINT_FNE, CODEPOINT_LECT, CODEPOINT_LEX, CODEPOINT_NOT_LECT } from '../wire/marking/scheme.ts';
import { PARSE_REASONS } from '../wire/packet-view.ts';

/** Outbound: destination is a group or everybody, there is no one path (protocol.md, rule 1). */
export const REASON_MULTICAST = 6;
/** Outbound FNE, rule 2a: first SYN or SYN-ACK. */
export const REASON_FNE_SYN = 7;
/** Outbound FNE, rule 2a: the same SYN or SYN-ACK again. */
export const REASON_FNE_SYN_REPEAT = 8;
/** Outbound FNE, rule 2a: first packet of the flow that this host saw, not a SYN. */
export const REASON_FNE_FIRST_PACKET = 9;
/** Outbound FNE, rule 2b: first packet after an idle gap. */
export const REASON_FNE_IDLE_GAP = 10;
/** Outbound FNE, rule 2c: TCP keep-alive. */
export const REASON_FNE_KEEP_ALIVE = 11;
/** Outbound FNE, rule 2d: head of the window again after successive timeouts; the path is given up. */
export const REASON_FNE_TIMEOUTS = 12;
/** Outbound FNE, rule 2e: answer to an FNE from the peer. */
export const REASON_FNE_ANSWER = 13;
/** Outbound FNE, rule 2f: the application asked for a new flowlet. */
export const REASON_FNE_APPLICATION = 14;
/** Outbound FNE, rule 2g: the peer repeats what was acknowledged; the path is given up. */
export const REASON_FNE_PEER_REPEATS = 15;
/** Outbound LEx, rule 3: payload bytes below the high-water mark. */
export const REASON_LEX_RETRANSMISSION = 16;
/** Outbound LEx, rule 3 for datagrams: the application said that it sends this again. */
export const REASON_LEX_APPLICATION = 17;
/** Outbound LECT: new data. */
export const REASON_LECT_DATA = 18;
/** Outbound LECT: a segment without payload. */
export const REASON_LECT_ACK = 19;
/** Outbound LECT, not LEx: the peer's window is closed and this probes it. */
export const REASON_LECT_ZERO_WINDOW_PROBE = 20;
/** Outbound LECT, not LEx: data that went with the SYN and was refused there (RFC 7413). */
export const REASON_LECT_TFO_REPEAT = 21;
/** Outbound LECT: a datagram. */
export const REASON_LECT_DATAGRAM = 22;
/** Outbound, as its first fragment: a later fragment whose flow was found by (src, dst, ident). */
export const REASON_LECT_FRAGMENT = 23;
/** Outbound LECT: the head of the window after successive timeouts, by another path that the host chose itself. */
export const REASON_LECT_MOVED = 24;
/** Inbound: no flow of this host; nothing is learnt. */
export const REASON_IN_UNKNOWN_FLOW = 25;
/** Inbound: an assignment for a flow that this host does not know; refused. */
export const REASON_IN_REJECTED_ASSIGNMENT = 26;
/** Inbound: an assignment, taken. */
export const REASON_IN_ASSIGNMENT = 27;
/** Inbound: FNE without a path ID. */
export const REASON_IN_FNE = 28;
/** Inbound: anything else of a known flow. */
export const REASON_IN_FEEDBACK = 29;

/** A short camelCase name for each reason; the index is the reason. */
export const REASON_NAMES: readonly string[] = [
  'unused',
  ...PARSE_REASONS.slice(1, 6),
  'multicast',
  'fneSyn',
  'fneSynRepeat',
  'fneFirstPacket',
  'fneIdleGap',
  'fneKeepAlive',
  'fneTimeouts',
  'fneAnswer',
  'fneApplication',
  'fnePeerRepeats',
  'lexRetransmission',
  'lexApplication',
  'lectData',
  'lectAck',
  'lectZeroWindowProbe',
  'lectTfoRepeat',
  'lectDatagram',
  'lectFragment',
  'lectMoved',
  'unknownFlow',
  'rejectedAssignment',
  'assignment',
  'fne',
  'feedback',
];

/** Number of reasons. */
export const REASON_COUNT = REASON_NAMES.length;

/** The codepoint that an outbound reason stands for; the index is the reason. */
export const REASON_CODEPOINT = new Uint8Array(REASON_COUNT).map((_, reason) => {
  if (reason >= REASON_FNE_SYN && reason <= REASON_FNE_PEER_REPEATS) return CODEPOINT_FNE;
  if (reason === REASON_LEX_RETRANSMISSION || reason === REASON_LEX_APPLICATION) return CODEPOINT_LEX;
  if (reason >= REASON_LECT_DATA && reason <= REASON_LECT_MOVED) return CODEPOINT_LECT;
  return CODEPOINT_NOT_LECT;
});
