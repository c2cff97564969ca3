/**
 * Why the gateway gave a packet its verdict: one reason for each packet, as a small number, with a table of
 * names; and the counters by reason. Packets handled in one direction = sum of the counters of its reasons.
 */

/** Outbound, default route: the bytes are no IP packet; untouched. */
export const OUT_NOT_IP = 0;
/** Outbound, default route: fewer bytes than the headers claim; untouched. */
export const OUT_TRUNCATED = 1;
/** Outbound, default route: lying lengths; untouched. */
export const OUT_BAD_HEADER = 2;
/** Outbound, default route: no prefix covers the destination address. */
export const OUT_NO_DESTINATION = 3;
/** Outbound, default route: no route of the destination is up. */
export const OUT_NO_ROUTE_UP = 4;
/** Outbound: the route of the packet's path ID. */
export const OUT_PATH_ID = 5;
/** Outbound: the path ID has no route to this destination; by the flow's hash, or drawn for an FNE packet. */
export const OUT_UNKNOWN_PATH_ID = 6;
/** Outbound: the route of the path ID is down; by the flow's hash, or drawn for an FNE packet. */
export const OUT_DOWN_PATH_ID = 7;
/** Outbound: a new flowlet, drawn by the flowlet ratios. */
export const OUT_FNE_DRAWN = 8;
/** Outbound: an FNE packet that answers one from outside, on the route assigned to that. */
export const OUT_FNE_ASSIGNED = 9;
/**
 * Outbound: an FNE packet repeated without an answer, or of a flow whose route seems to have failed; on another
 * route than before where there is one.
 */
export const OUT_FNE_REPEATED = 10;
/** Outbound: an FNE datagram repeated without an answer, on the same route: nothing says that it was lost. */
export const OUT_FNE_REPEATED_DATAGRAM = 11;
/** Outbound: an FNE packet without visible ports, by the hash of its addresses. */
export const OUT_FNE_NO_PORTS = 12;
/** Outbound: LECT or LEx without path ID, on the route of its FNE packet that is still unanswered. */
export const OUT_FOLLOWS_FNE = 13;
/** Outbound: LECT or LEx without path ID, by the flow's hash. */
export const OUT_UNASSIGNED = 14;
/** Outbound: Not-LECT, by the flow's hash. */
export const OUT_NOT_LECT_HASHED = 15;
/** Outbound: Not-LECT, default route by configuration. */
export const OUT_NOT_LECT_DEFAULT = 16;
/** Outbound: the route of the path ID is suspended for this destination; by the flow's hash over the others. */
export const OUT_SUSPENDED_PATH_ID = 17;
/** Outbound: a packet of a flow that began on a route with NAT, on that route; not told by a path ID that is in use. */
export const OUT_PLACED = 18;
/**
 * Outbound: the same while that route is withdrawn: it breaks unless the route comes back in time. No other route would
 * do, since the far end knows the flow by the translated address.
 */
export const OUT_PLACED_DOWN = 19;

/** Inbound: the bytes are no IP packet; untouched. */
export const IN_NOT_IP = 20;
/** Inbound: fewer bytes than the headers claim; untouched. */
export const IN_TRUNCATED = 21;
/** Inbound: lying lengths; untouched. */
export const IN_BAD_HEADER = 22;
/** Inbound: nothing to assign. */
export const IN_PASSED = 23;
/** Inbound: assigned to an FNE packet, drawn by the flowlet ratios. */
export const IN_ASSIGNED_FNE = 24;
/** Inbound: assigned to a Not-LECT SYN or SYN-ACK, drawn by the flowlet ratios. */
export const IN_ASSIGNED_SYN = 25;
/** Inbound: assigned to the answer to an FNE packet, the route on which that left. */
export const IN_ASSIGNED_ANSWER = 26;
/** Inbound: assigned to a repeated SYN, the same route again. */
export const IN_ASSIGNED_AGAIN = 27;
/** Inbound: would have been assigned, but carries a DSCP of its own that is not overwritten. */
export const IN_OWN_DSCP = 28;
/** Inbound: would have been assigned, but no prefix covers the source address. */
export const IN_NO_DESTINATION = 29;
/** Inbound: would have been assigned, but no route back to the source is up. */
export const IN_NO_ROUTE_UP = 30;
/** Inbound: not assigned, the source's prefix is over its limit of FNE packets. */
export const IN_DESTINATION_LIMIT = 31;
/** Inbound: not assigned, the gateway is over its limit of FNE packets. */
export const IN_TOTAL_LIMIT = 32;
/** Inbound: assigned since the path of the flow is suspended, the route that its packets take meanwhile. */
export const IN_REASSIGNED = 33;
/** Inbound: assigned the route it came in by, which has NAT: answers go back the same way. */
export const IN_ASSIGNED_PLACED = 34;

/** Name of each reason in reports, outbound ones first. */
export const REASON_NAMES: readonly string[] = [
  'outNotIp',
  'outTruncated',
  'outBadHeader',
  'outNoDestination',
  'outNoRouteUp',
  'outPathId',
  'outUnknownPathId',
  'outDownPathId',
  'outFneDrawn',
  'outFneAssigned',
  'outFneRepeated',
  'outFneRepeatedDatagram',
  'outFneNoPorts',
  'outFollowsFne',
  'outUnassigned',
  'outNotLectHashed',
  'outNotLectDefault',
  'outSuspendedPathId',
  'outPlaced',
  'outPlacedDown',
  'inNotIp',
  'inTruncated',
  'inBadHeader',
  'inPassed',
  'inAssignedFne',
  'inAssignedSyn',
  'inAssignedAnswer',
  'inAssignedAgain',
  'inOwnDscp',
  'inNoDestination',
  'inNoRouteUp',
  'inDestinationLimit',
  'inTotalLimit',
  'inReassigned',
  'inAssignedPlaced',
];

/** Reasons below this one are outbound. */
export const FIRST_INBOUND_REASON = IN_NOT_IP;

/** Event: a call of handleOutbound. */
export const EVENT_OUTBOUND_PACKET = 0;
/** Event: a call of handleInbound. */
export const EVENT_INBOUND_PACKET = 1;
/** Event: an inbound packet came with a path ID from outside. */
export const EVENT_PATH_ID_CLEARED = 2;
/** Event: an inbound packet answered an FNE packet, assigned or not. */
export const EVENT_ANSWER = 3;
/** Event: the FNE memory gave up an entry before its lifetime was over. */
export const EVENT_MEMORY_EVICTION = 4;
/** Event: an inbound FNE packet asked for a route. */
export const EVENT_FNE_MARKED = 5;
/** Event: an inbound Not-LECT SYN or SYN-ACK was taken for an FNE packet. */
export const EVENT_FNE_SYN = 6;
/** Event: an inbound answer to an FNE packet was taken for one. */
export const EVENT_FNE_ANSWER = 7;
const EVENT_COUNT = 8;

/** Packets by reason; and beside the verdict bytes, and events that may come with any reason. */
export class GatewayCounters {
  /** Packets by reason. */
  readonly packets = new Float64Array(REASON_NAMES.length);
  /** Events by EVENT_ number. */
  readonly events = new Float64Array(EVENT_COUNT);
  /** Not-LECT bytes by path ID of the route, 0 = default route. */
  readonly notLectBytes = new Float64Array(64);
  /** LEX-marked bytes that left by the default route or to a prefix that is gone, so that no T_i counts them. */
  readonly unroutedLexMarkedBytes = new Float64Array(1);
  /** Inbound wire bytes by path ID of the route they came in by. */
  readonly inboundBytes = new Float64Array(64);

  /** Packets handled outbound; the sum over the outbound reasons. */
  get outboundPackets(): number {
    return this.events[EVENT_OUTBOUND_PACKET];
  }

  /** Packets handled inbound; the sum over the inbound reasons. */
  get inboundPackets(): number {
    return this.events[EVENT_INBOUND_PACKET];
  }

  /** Inbound packets that came with a path ID from outside. */
  get pathIdsCleared(): number {
    return this.events[EVENT_PATH_ID_CLEARED];
  }

  /** Inbound packets that answered an FNE packet, assigned or not. */
  get answers(): number {
    return this.events[EVENT_ANSWER];
  }

  /** FNE memory entries that had to go before their lifetime was over. */
  get memoryEvictions(): number {
    return this.events[EVENT_MEMORY_EVICTION];
  }

  /** Inbound FNE packets that asked for a route, and packets taken for such, by why; whatever became of them. */
  get fneReceived(): { readonly marked: number; readonly syn: number; readonly answer: number } {
    return {
      marked: this.events[EVENT_FNE_MARKED],
      syn: this.events[EVENT_FNE_SYN],
      answer: this.events[EVENT_FNE_ANSWER],
    };
  }

  /** Packets by name of the reason, for reports; allocates. */
  byName(): Record<string, number> {
    return Object.fromEntries(REASON_NAMES.map((name, reason) => [name, this.packets[reason]]));
  }
}
