/**
 * A packet from a host inside to the outside: which route it leaves by, and what the outside may see of its
 * mark.
 *
 * ```
 * handleOutbound
 *   parsePacket, wireBytes
 *   destinationOfDst                 longest prefix match
 *   placedRoute                      a flow that began on a route with NAT stays there
 *   chooseRoute                      by the first that fits:
 *     routeOfPathId                    a path ID and its route
 *     routeAroundSuspended             a path ID whose route is suspended
 *     routeForFne                      a new flowlet: draw, or follow the assignment
 *     routeForNotLect                  unmarked traffic
 *     routeUnassigned                  marked, not assigned yet
 *   notePlacement                    where a flow begins, if there are routes with NAT
 *   noteLoss, noteFlow               LEx is evidence about its route; what else flows do there
 *   countBytes                       T_i and L_i, or Not-LECT bytes
 *   leaveDomain                      path ID cleared, codepoint kept only where it is welcome
 * ```
 */

import { writeDscp } from '../wire/ip.ts';
import { CODEPOINT_FNE, CODEPOINT_LECT, CODEPOINT_LEX, CODEPOINT_NOT_LECT } from '../wire/marking/scheme.ts';
import {
  FRAGMENT_NONE,
  PARSE_BAD_HEADER,
  PARSE_NOT_IP,
  PARSE_OK,
  PARSE_TRUNCATED,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  parsePacket,
} from '../wire/packet-view.ts';
import { PROTOCOL_TCP } from '../wire/protocol-numbers.ts';
import { wireBytes } from '../wire/wire-bytes.ts';
import { FNE_ASSIGNED, FNE_REROUTED, FNE_SENT } from './fne-memory.ts';
import type { GatewayCore } from './gateway-core.ts';
import { hashFlow, notePlacement, placedRoute, stayPlaced } from './outbound-placed.ts';
import {
  EVENT_OUTBOUND_PACKET,
  OUT_BAD_HEADER,
  OUT_DOWN_PATH_ID,
  OUT_FNE_ASSIGNED,
  OUT_FNE_DRAWN,
  OUT_FNE_NO_PORTS,
  OUT_FNE_REPEATED,
  OUT_FNE_REPEATED_DATAGRAM,
  OUT_FOLLOWS_FNE,
  OUT_NO_DESTINATION,
  OUT_NO_ROUTE_UP,
  OUT_NOT_IP,
  OUT_NOT_LECT_DEFAULT,
  OUT_NOT_LECT_HASHED,
  OUT_PATH_ID,
  OUT_PLACED_DOWN,
  OUT_SUSPENDED_PATH_ID,
  OUT_TRUNCATED,
  OUT_UNASSIGNED,
  OUT_UNKNOWN_PATH_ID,
} from './reasons.ts';
import { NO_SLOT } from './route-table.ts';

/** The default route. */
const NO_ROUTE = -1;

/**
 * Handles one packet; the DSCP may be rewritten in place.
 *
 * @returns the path ID of the route, 0 = default route; the reason is in `core.reason`
 * @hotpath
 */
export function handleOutbound(
  core: GatewayCore,
  view: DataView,
  at: number,
  length: number,
  nowNs: number,
  gsoSize: number,
): number {
  const packet = core.packet;
  core.counters.events[EVENT_OUTBOUND_PACKET]++;
  const parsed = parsePacket(view, at, length, packet);
  if (parsed === PARSE_NOT_IP) return countUnreadable(core, OUT_NOT_IP);
  if (parsed === PARSE_TRUNCATED) return countUnreadable(core, OUT_TRUNCATED);
  if (parsed === PARSE_BAD_HEADER) return countUnreadable(core, OUT_BAD_HEADER);

  const mark = core.decodeTable[packet.dscp];
  const bytes = wireBytes(packet, gsoSize);
  const destination = core.destinationOfDst(view);
  const hasPorts = parsed === PARSE_OK;
  let slot = core.placements === undefined ? NO_ROUTE : placedRoute(core, view, mark, hasPorts, nowNs);
  if (slot >= 0) stayPlaced(core, view, mark, hasPorts, destination, slot, bytes, nowNs);
  else if (destination < 0) core.reason = OUT_NO_DESTINATION;
  else {
    const up = core.table.upMask(destination);
    if (up === 0) core.reason = OUT_NO_ROUTE_UP;
    else slot = chooseRoute(core, view, mark, hasPorts, destination, up, bytes, nowNs);
    if (core.placements !== undefined && slot >= 0)
      notePlacement(core, view, mark & 3, hasPorts, slot, nowNs);
  }
  const pathId = slot < 0 ? 0 : core.table.pathIdOf[slot];
  core.counters.packets[core.reason]++;
  if (slot >= 0 && hasPorts && core.reason !== OUT_PLACED_DOWN) {
    if ((mark & 3) === CODEPOINT_LEX) {
      core.failures.setTime(nowNs);
      noteLoss(core, view, destination, slot);
    } else if (core.failures.isOn && packet.protocol === PROTOCOL_TCP && packet.fragment === FRAGMENT_NONE) {
      noteFlow(core, view, mark & 3, destination, slot, nowNs);
    }
  }
  countBytes(core, mark & 3, destination, slot, pathId, bytes);
  leaveDomain(core, view, at, mark & 3, pathId);
  return pathId;
}

function countUnreadable(core: GatewayCore, reason: number): number {
  core.reason = reason;
  core.counters.packets[reason]++;
  return 0;
}

/** A slot that is up, or NO_ROUTE; sets the reason. */
function chooseRoute(
  core: GatewayCore,
  view: DataView,
  mark: number,
  hasPorts: boolean,
  destination: number,
  up: number,
  bytes: number,
  nowNs: number,
): number {
  const codepoint = mark & 3;
  if (codepoint === CODEPOINT_NOT_LECT) return routeForNotLect(core, view, hasPorts, destination);
  const suspended = core.failures.suspensions.maskOf(destination);
  let pinned = NO_ROUTE;
  let badPathId = 0;
  if (mark >>> 2 !== 0) {
    const slot = core.table.slotOf[mark >>> 2];
    if (slot !== NO_SLOT && ((up >>> slot) & 1) === 1) {
      if (((suspended >>> slot) & 1) === 1) {
        if (codepoint !== CODEPOINT_FNE) {
          return routeAroundSuspended(core, view, hasPorts, destination, up, suspended, slot, nowNs);
        }
        badPathId = OUT_SUSPENDED_PATH_ID;
      } else {
        core.reason = OUT_PATH_ID;
        if (codepoint !== CODEPOINT_FNE) return slot;
        pinned = slot;
      }
    } else {
      const isKnown = slot !== NO_SLOT && ((core.table.allowedMask(destination) >>> slot) & 1) === 1;
      badPathId = isKnown ? OUT_DOWN_PATH_ID : OUT_UNKNOWN_PATH_ID;
    }
  }
  if (codepoint === CODEPOINT_FNE) {
    const slot = routeForFne(core, view, hasPorts, destination, up, suspended, pinned, bytes, nowNs);
    if (badPathId !== 0) core.reason = badPathId;
    return slot;
  }
  if (badPathId !== 0) {
    core.reason = badPathId;
    // Not by round robin: the packets of one flowlet all come this way, and must stay together.
    hashFlow(core, view, hasPorts);
    const { h1, h2 } = core.flowHash;
    return core.selector.chooseByRatio(destination, h1, h2, suspended | core.barred);
  }
  return routeUnassigned(core, view, hasPorts, destination, up, suspended, nowNs);
}

/**
 * A packet whose path is suspended: unless its flowlet probes that path, it goes by the hash of the flow over the
 * others, where it stays, and the next packet from outside will tell the host. FNE packets and assignments that
 * are remembered come first, so that the flow goes one way.
 */
function routeAroundSuspended(
  core: GatewayCore,
  view: DataView,
  hasPorts: boolean,
  destination: number,
  up: number,
  suspended: number,
  slot: number,
  nowNs: number,
): number {
  const { flowHash, memory, packet } = core;
  hashFlow(core, view, hasPorts);
  const { h1, h2 } = flowHash;
  if (core.failures.isProbe(destination, slot, h1, h2)) {
    core.reason = OUT_PATH_ID;
    return slot;
  }
  core.reason = OUT_SUSPENDED_PATH_ID;
  const entry = memory.find(h1, h2, nowNs);
  if (entry >= 0 && (((up & ~suspended) >>> memory.slotOf(entry)) & 1) === 1) return memory.slotOf(entry);
  const other = core.selector.chooseByRatio(destination, h1, h2, suspended | core.barred);
  if (hasPorts && packet.fragment === FRAGMENT_NONE) core.rememberFne(FNE_REROUTED, other, 0, nowNs);
  return other;
}

/**
 * The route of a flowlet that begins. A TCP FNE packet that comes again while the memory waits for an answer
 * tells of loss on the route before, and takes one that this flow has not tried; a datagram tells nothing,
 * since a one-way stream is never answered.
 *
 * A route that is suspended may be drawn, which is how it is probed; but not for a flow that is in trouble, and only
 * while the sample has room, since a probe that nobody watches is a loss for nothing.
 *
 * @param pinned - the slot of the packet's own path ID (scheme `full`), taken instead of a draw
 */
function routeForFne(
  core: GatewayCore,
  view: DataView,
  hasPorts: boolean,
  destination: number,
  up: number,
  suspended: number,
  pinned: number,
  bytes: number,
  nowNs: number,
): number {
  const { flowHash, memory, selector } = core;
  if (!hasPorts) {
    core.reason = OUT_FNE_NO_PORTS;
    hashFlow(core, view, false);
    return selector.chooseByRatio(destination, flowHash.h1, flowHash.h2, suspended | core.barred);
  }
  flowHash.compute(view, core.packet, false, true);
  const { failures } = core;
  const { h1, h2 } = flowHash;
  const isWatched = failures.isOn && core.packet.protocol === PROTOCOL_TCP;
  if (isWatched) failures.setTime(nowNs);
  const entry = memory.find(h1, h2, nowNs);
  let tried = 0;
  let slot = pinned;
  core.reason = OUT_PATH_ID;
  if (entry >= 0) {
    const before = memory.slotOf(entry);
    const isUp = ((up >>> before) & 1) === 1;
    if (memory.stateOf(entry) === FNE_ASSIGNED) {
      if (isUp && pinned < 0 && isUsable(core, destination, before, suspended)) {
        slot = before;
        core.reason = OUT_FNE_ASSIGNED;
      }
    } else if (memory.stateOf(entry) === FNE_REROUTED) {
      if (isUp && pinned < 0 && ((suspended >>> before) & 1) === 0) {
        slot = before;
        core.reason = OUT_FNE_ASSIGNED;
      }
    } else if (core.packet.protocol === PROTOCOL_TCP) {
      core.meter.addFneRepeat(destination, before, bytes);
      if (isWatched) failures.noteLoss(destination, before, h1, h2);
      tried = memory.triedOf(entry);
      if ((up & ~tried) === 0) tried = 1 << before;
      slot = NO_ROUTE;
    } else if (isUp && pinned < 0 && ((suspended >>> before) & 1) === 0) {
      slot = before;
      core.reason = OUT_FNE_REPEATED_DATAGRAM;
    }
  } else if (isWatched && pinned < 0) {
    const failing = failures.failingSlot(destination, h1, h2);
    if (failing >= 0) {
      failures.noteLoss(destination, failing, h1, h2);
      tried = 1 << failing;
    } else tried = failures.repeats.repeatedMask(destination, h1, h2);
  }
  if (slot < 0) {
    core.reason = tried === 0 ? OUT_FNE_DRAWN : OUT_FNE_REPEATED;
    // Evidence of this very packet may have suspended a route.
    const avoid = failures.suspensions.maskOf(destination);
    const isSyn = (core.packet.tcpFlags & TCP_SYN) !== 0;
    const isProbe = avoid !== 0 && tried === 0 && isWatched && failures.mayProbe(isSyn);
    slot = selector.pick(
      destination,
      avoidedBy(up & ~core.barred, tried, isProbe ? 0 : avoid) | core.barred,
      h1,
    );
    if (((avoid >>> slot) & 1) === 1 && !failures.noteFlowlet(destination, slot, h1, h2)) {
      slot = selector.pick(destination, avoid | core.barred, h1);
    }
    // One that is chosen again is the same flowlet.
    if (tried === 0) core.beginFlowlet(destination, slot);
  }
  if (isWatched) failures.noteFlowlet(destination, slot, h1, h2);
  core.rememberFne(FNE_SENT, slot, tried | (1 << slot), nowNs);
  return slot;
}

/** Whether a flow may use a route: one that is suspended, only as a probe. */
function isUsable(core: GatewayCore, destination: number, slot: number, suspended: number): boolean {
  if (((suspended >>> slot) & 1) === 0) return true;
  return core.failures.isProbe(destination, slot, core.flowHash.h1, core.flowHash.h2);
}

/** The slots not to draw: tried and suspended ones as long as another is up, else suspended ones, else those tried. */
function avoidedBy(up: number, tried: number, suspended: number): number {
  if ((up & ~(tried | suspended)) !== 0) return tried | suspended;
  return (up & ~suspended) !== 0 && suspended !== 0 ? suspended : tried;
}

/** Unmarked traffic stays where it is as long as the routes do, whatever the ratios are. */
function routeForNotLect(core: GatewayCore, view: DataView, hasPorts: boolean, destination: number): number {
  if (!core.isNotLectHashed) {
    core.reason = OUT_NOT_LECT_DEFAULT;
    return NO_ROUTE;
  }
  core.reason = OUT_NOT_LECT_HASHED;
  hashFlow(core, view, hasPorts);
  const suspended = core.failures.suspensions.maskOf(destination);
  return core.selector.chooseEqually(
    destination,
    core.flowHash.h1,
    core.flowHash.h2,
    suspended | core.barred,
  );
}

/**
 * Until the host knows its path, its packets follow their FNE packet as long as that is remembered, so that a
 * flowlet has one route; after that they are spread like unmarked traffic.
 */
function routeUnassigned(
  core: GatewayCore,
  view: DataView,
  hasPorts: boolean,
  destination: number,
  up: number,
  suspended: number,
  nowNs: number,
): number {
  const { flowHash, memory } = core;
  hashFlow(core, view, hasPorts);
  const entry = memory.find(flowHash.h1, flowHash.h2, nowNs);
  if (entry >= 0 && memory.stateOf(entry) === FNE_SENT && ((up >>> memory.slotOf(entry)) & 1) === 1) {
    if (isUsable(core, destination, memory.slotOf(entry), suspended)) {
      core.reason = OUT_FOLLOWS_FNE;
      return memory.slotOf(entry);
    }
  }
  core.reason = OUT_UNASSIGNED;
  return core.selector.chooseEqually(destination, flowHash.h1, flowHash.h2, suspended | core.barred);
}

/** Tells the detector of failures where a TCP flow exposes loss, and the measure of turnover where any does. */
function noteLoss(core: GatewayCore, view: DataView, destination: number, slot: number): void {
  const isWatched = core.failures.isOn && core.packet.protocol === PROTOCOL_TCP;
  if (!isWatched && core.turnover === undefined) return;
  if (core.packet.fragment !== FRAGMENT_NONE) return;
  core.flowHash.compute(view, core.packet, false, true);
  if (core.turnover !== undefined) core.turnover.noteLoss(destination, core.flowHash.h1);
  if (!isWatched) return;
  core.failures.noteLoss(destination, slot, core.flowHash.h1, core.flowHash.h2);
}

/** Shows the detector of failures where acknowledgments go, and now and then where a flow sends. */
function noteFlow(
  core: GatewayCore,
  view: DataView,
  codepoint: number,
  destination: number,
  slot: number,
  nowNs: number,
): void {
  const { failures, flowHash, packet } = core;
  if (packet.payloadLength === 0) {
    if ((packet.tcpFlags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) !== TCP_ACK) return;
    failures.setTime(nowNs);
    flowHash.compute(view, packet, false, true);
    failures.noteAck(destination, slot, flowHash.h1, flowHash.h2, packet.ackNumber);
  } else if (codepoint === CODEPOINT_LECT && failures.isToSample(nowNs)) {
    flowHash.compute(view, packet, false, true);
    failures.noteSending(destination, slot, flowHash.h1, flowHash.h2);
  }
}

function countBytes(
  core: GatewayCore,
  codepoint: number,
  destination: number,
  slot: number,
  pathId: number,
  bytes: number,
): void {
  if (codepoint === CODEPOINT_NOT_LECT) core.counters.notLectBytes[pathId] += bytes;
  else if (slot < 0 || destination < 0) core.counters.unroutedLexMarkedBytes[0] += bytes;
  else core.meter.addPacket(destination, slot, bytes, codepoint === CODEPOINT_LEX);
}

/** Path IDs have local meaning only, and a codepoint goes to neighbours that agreed to take it. */
function leaveDomain(core: GatewayCore, view: DataView, at: number, codepoint: number, pathId: number): void {
  if (codepoint === CODEPOINT_NOT_LECT) return;
  const dscp = core.isExposed[pathId] === 1 ? core.encodeTable[codepoint] : 0;
  if (dscp !== core.packet.dscp) writeDscp(view, at, dscp);
}
