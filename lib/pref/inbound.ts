/**
 * A packet from outside into the domain: foreign path IDs go, and the first packet of a flowlet is told the
 * route that the answers shall take.
 *
 * ```
 * handleInbound
 *   parsePacket
 *   decode, clear a path ID from outside
 *   failures.noteInbound             of a flow in the sample: an answer?
 *   failures.noteInboundData         of a flow that receives: new, or repeated?
 *   occasionOf                       is it to be assigned?
 *     a packet of a flow whose path is suspended
 *     an answer to an FNE packet that a host inside sent
 *     an FNE packet
 *     a Not-LECT SYN or SYN-ACK
 *   assignRoute
 *     destinationOfSrc               longest prefix match on the source: where answers go
 *     the remembered route, or limiter and draw
 *   write the assignment
 * ```
 */

import { writeDscp } from '../wire/ip.ts';
import { CODEPOINT_FNE, CODEPOINT_NOT_LECT } from '../wire/marking/scheme.ts';
import {
  PARSE_BAD_HEADER,
  PARSE_NOT_IP,
  PARSE_OK,
  PARSE_TRUNCATED,
  TCP_ACK,
  TCP_SYN,
  parsePacket,
} from '../wire/packet-view.ts';
import { PROTOCOL_TCP } from '../wire/protocol-numbers.ts';
import { wireBytes } from '../wire/wire-bytes.ts';
import { LIMIT_DESTINATION, LIMIT_NONE } from './fne-limiter.ts';
import { FNE_ASSIGNED, FNE_REROUTED, FNE_SENT } from './fne-memory.ts';
import type { GatewayCore } from './gateway-core.ts';
import { NO_SLOT } from './route-table.ts';
import {
  EVENT_ANSWER,
  EVENT_FNE_ANSWER,
  EVENT_FNE_MARKED,
  EVENT_FNE_SYN,
  EVENT_INBOUND_PACKET,
  EVENT_PATH_ID_CLEARED,
  IN_ASSIGNED_AGAIN,
  IN_ASSIGNED_ANSWER,
  IN_ASSIGNED_FNE,
  IN_ASSIGNED_PLACED,
  IN_ASSIGNED_SYN,
  IN_BAD_HEADER,
  IN_DESTINATION_LIMIT,
  IN_NO_DESTINATION,
  IN_NO_ROUTE_UP,
  IN_NOT_IP,
  IN_OWN_DSCP,
  IN_PASSED,
  IN_REASSIGNED,
  IN_TOTAL_LIMIT,
  IN_TRUNCATED,
} from './reasons.ts';

/** No route was assigned. */
const NO_ROUTE = -1;

/**
 * Handles one packet; the DSCP may be rewritten in place.
 *
 * @param fromPathId - the route it came in by, 0 when unknown; counted, and with NAT the route of its flow
 * @returns the path ID assigned, 0 = none; the reason is in `core.reason`
 * @hotpath
 */
export function handleInbound(
  core: GatewayCore,
  view: DataView,
  at: number,
  length: number,
  nowNs: number,
  fromPathId: number,
  gsoSize: number,
): number {
  const packet = core.packet;
  core.counters.events[EVENT_INBOUND_PACKET]++;
  const parsed = parsePacket(view, at, length, packet);
  if (parsed === PARSE_NOT_IP) return countUnreadable(core, IN_NOT_IP);
  if (parsed === PARSE_TRUNCATED) return countUnreadable(core, IN_TRUNCATED);
  if (parsed === PARSE_BAD_HEADER) return countUnreadable(core, IN_BAD_HEADER);

  core.counters.inboundBytes[fromPathId & 63] += wireBytes(packet, gsoSize);
  const mark = core.decodeTable[packet.dscp];
  const codepoint = mark & 3;
  let dscp = packet.dscp;
  if (mark >>> 2 !== 0) {
    core.counters.events[EVENT_PATH_ID_CLEARED]++;
    dscp = core.encodeTable[codepoint];
  }
  core.reason = IN_PASSED;
  const slot = parsed === PARSE_OK ? considerAssignment(core, view, codepoint, nowNs, fromPathId) : NO_ROUTE;
  const pathId = slot < 0 ? 0 : core.table.pathIdOf[slot];
  if (pathId !== 0) dscp = core.encodeTable[core.assignmentCodepoint | (pathId << 2)];
  if (dscp !== packet.dscp) writeDscp(view, at, dscp);
  core.counters.packets[core.reason]++;
  return pathId;
}

function countUnreadable(core: GatewayCore, reason: number): number {
  core.reason = reason;
  core.counters.packets[reason]++;
  return 0;
}

/** The slot to assign, or NO_ROUTE; sets the reason. */
function considerAssignment(
  core: GatewayCore,
  view: DataView,
  codepoint: number,
  nowNs: number,
  fromPathId: number,
): number {
  const { flowHash, memory, packet } = core;
  flowHash.compute(view, packet, true, true);
  const entry = memory.find(flowHash.h1, flowHash.h2, nowNs);
  const isTcp = packet.protocol === PROTOCOL_TCP;
  if (isTcp && core.failures.isOn) {
    const flow = core.failures.sample.find(flowHash.h1, flowHash.h2);
    if (flow >= 0) {
      core.failures.setTime(nowNs);
      core.failures.noteInbound(flow, packet);
    }
    if (packet.payloadLength > 0) {
      const receiver = core.failures.repeats.sample.find(flowHash.h1, flowHash.h2);
      if (receiver >= 0) {
        core.failures.setTime(nowNs);
        core.failures.noteInboundData(receiver, packet);
      }
    }
  }
  // A SYN without ACK acknowledges nothing: repeated, it tells that our SYN-ACK has not arrived.
  const isRequest = isTcp && (packet.tcpFlags & (TCP_SYN | TCP_ACK)) === TCP_SYN;
  const isAnswer = entry >= 0 && memory.stateOf(entry) === FNE_SENT && !isRequest;
  const isRerouted = entry >= 0 && memory.stateOf(entry) === FNE_REROUTED;
  const isKnown = isAnswer || isRerouted || (isRequest && entry >= 0);
  const remembered = isKnown ? memory.slotOf(entry) : NO_ROUTE;
  if (isAnswer) {
    // Forgotten whatever becomes of the assignment, or the flow's next FNE packet would look like a repeated
    // one.
    core.counters.events[EVENT_ANSWER]++;
    memory.remove(entry);
  }
  const placed = placedSlot(core, fromPathId);
  // Whether or not it is assigned: the answer must go back that way.
  if (placed >= 0 && isRequest) core.rememberFne(FNE_ASSIGNED, placed, 0, nowNs);
  const isSyn = isTcp && (packet.tcpFlags & TCP_SYN) !== 0;
  const reason = isRerouted ? IN_REASSIGNED : occasionOf(core, codepoint, isAnswer, isSyn);
  if (reason === IN_PASSED) return NO_ROUTE;
  countOccasion(core, reason);
  if (codepoint === CODEPOINT_NOT_LECT && packet.dscp !== 0) {
    core.reason = IN_OWN_DSCP;
    return NO_ROUTE;
  }
  return placed >= 0
    ? assignPlaced(core, view, placed, isRequest && entry < 0, isAnswer, nowNs)
    : assignRoute(core, view, reason, remembered, isAnswer, nowNs);
}

/** The slot that a packet came in by if that has NAT, else NO_ROUTE. */
function placedSlot(core: GatewayCore, fromPathId: number): number {
  if (core.placements === undefined) return NO_ROUTE;
  const slot = core.table.slotOf[fromPathId & 63];
  return slot !== NO_SLOT && core.placements.has(slot) ? slot : NO_ROUTE;
}

/** Assigns the route with NAT that the packet came in by: its flow is there, and can be nowhere else. */
function assignPlaced(
  core: GatewayCore,
  view: DataView,
  slot: number,
  isStart: boolean,
  isAnswer: boolean,
  nowNs: number,
): number {
  const destination = core.destinationOfSrc(view);
  if (destination < 0) {
    core.reason = IN_NO_DESTINATION;
    return NO_ROUTE;
  }
  const limit = isAnswer ? LIMIT_NONE : core.limiter.take(destination, nowNs);
  if (limit !== LIMIT_NONE) {
    core.reason = limit === LIMIT_DESTINATION ? IN_DESTINATION_LIMIT : IN_TOTAL_LIMIT;
    return NO_ROUTE;
  }
  core.reason = IN_ASSIGNED_PLACED;
  if (isStart) core.beginFlowlet(destination, slot);
  return slot;
}

/** Why the packet is to be assigned, or IN_PASSED. */
function occasionOf(core: GatewayCore, codepoint: number, isAnswer: boolean, isSyn: boolean): number {
  if (isAnswer && core.inferFromAnswer) return IN_ASSIGNED_ANSWER;
  if (codepoint === CODEPOINT_FNE) return IN_ASSIGNED_FNE;
  if (codepoint === CODEPOINT_NOT_LECT && isSyn && core.inferFromSyn) return IN_ASSIGNED_SYN;
  return IN_PASSED;
}

/** Counts an FNE packet, or what is taken for one. */
function countOccasion(core: GatewayCore, reason: number): void {
  const { events } = core.counters;
  if (reason === IN_ASSIGNED_FNE) events[EVENT_FNE_MARKED]++;
  else if (reason === IN_ASSIGNED_SYN) events[EVENT_FNE_SYN]++;
  else if (reason === IN_ASSIGNED_ANSWER) events[EVENT_FNE_ANSWER]++;
}

/**
 * @param remembered - slot of the flow's last FNE packet. The flowlet was drawn then; an answer shows that
 *   the route works, and a repeated SYN must not draw a second one. Or the slot that stands in for a suspended one.
 */
function assignRoute(
  core: GatewayCore,
  view: DataView,
  reason: number,
  remembered: number,
  isAnswer: boolean,
  nowNs: number,
): number {
  const destination = core.destinationOfSrc(view);
  if (destination < 0) {
    core.reason = IN_NO_DESTINATION;
    return NO_ROUTE;
  }
  const up = core.table.upMask(destination);
  if (up === 0) {
    core.reason = IN_NO_ROUTE_UP;
    return NO_ROUTE;
  }
  core.reason = reason;
  const { failures, flowHash } = core;
  const suspended = failures.suspensions.maskOf(destination);
  if (remembered >= 0 && ((up >>> remembered) & 1) === 1) {
    const isUsable =
      ((suspended >>> remembered) & 1) === 0 ||
      failures.isProbe(destination, remembered, flowHash.h1, flowHash.h2);
    if (reason === IN_REASSIGNED && isUsable) {
      core.beginFlowlet(destination, remembered);
      core.rememberFne(FNE_ASSIGNED, remembered, 0, nowNs);
      return remembered;
    }
    if (isUsable) {
      if (!isAnswer) core.reason = IN_ASSIGNED_AGAIN;
      return remembered;
    }
  }
  // An answer is not the sender's doing alone: the limit is for what outsiders can cause.
  const limit = isAnswer ? LIMIT_NONE : core.limiter.take(destination, nowNs);
  if (limit !== LIMIT_NONE) {
    core.reason = limit === LIMIT_DESTINATION ? IN_DESTINATION_LIMIT : IN_TOTAL_LIMIT;
    return NO_ROUTE;
  }
  // Answers and reassignments are of flows that run already, and others may be in trouble: they are no probes.
  const barred = core.placements === undefined ? 0 : core.placements.mask;
  failures.setTime(nowNs);
  const isSyn = core.packet.protocol === PROTOCOL_TCP && (core.packet.tcpFlags & TCP_SYN) !== 0;
  const isProbe =
    suspended !== 0 && remembered < 0 && failures.mayProbe(isSyn) && !failures.isRepeated(flowHash);
  let avoid = (isProbe ? 0 : suspended) | barred;
  // What was acknowledged by a route and came again, not by that one, if there is another.
  const repeated = failures.repeats.repeatedMask(destination, flowHash.h1, flowHash.h2);
  if ((up & ~(avoid | repeated)) !== 0) avoid |= repeated;
  let slot = core.selector.pick(destination, avoid, flowHash.h1);
  if (((barred >>> slot) & 1) === 1) {
    // Only routes with NAT are left, and the flow began elsewhere.
    core.reason = IN_NO_ROUTE_UP;
    return NO_ROUTE;
  }
  if (((suspended >>> slot) & 1) === 1) {
    const isSampled = failures.noteFlowlet(destination, slot, flowHash.h1, flowHash.h2);
    if (!isSampled) slot = core.selector.pick(destination, suspended | barred, flowHash.h1);
  }
  core.beginFlowlet(destination, slot);
  // So that the host's own FNE packet, a SYN-ACK for one, leaves by the same route without a second draw.
  if (!isAnswer) core.rememberFne(FNE_ASSIGNED, slot, 0, nowNs);
  return slot;
}
