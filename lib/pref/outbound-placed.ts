/**
 * Steps of an outbound packet that only a gateway with a route that has NAT takes: a flow that began there stays there,
 * and no other comes. {@link Placements} says why, outbound.ts when.
 */

import { CODEPOINT_FNE, CODEPOINT_NOT_LECT } from '../wire/marking/scheme.ts';
import { FRAGMENT_NONE, TCP_ACK, TCP_SYN } from '../wire/packet-view.ts';
import { PROTOCOL_TCP } from '../wire/protocol-numbers.ts';
import { FNE_SENT } from './fne-memory.ts';
import type { GatewayCore } from './gateway-core.ts';
import { OUT_PATH_ID, OUT_PLACED, OUT_PLACED_DOWN } from './reasons.ts';
import { NO_SLOT } from './route-table.ts';

const NO_ROUTE = -1;

/**
 * The slot with NAT on which the packet's flow is, or NO_ROUTE. The path ID tells it; where there is none, the memory.
 * Else sets which routes the flow may not come to, because it began elsewhere: all with NAT, unless it begins now.
 */
export function placedRoute(
  core: GatewayCore,
  view: DataView,
  mark: number,
  hasPorts: boolean,
  nowNs: number,
): number {
  const { flowHash, memory, packet } = core;
  const placements = core.placements!;
  const named = mark >>> 2 === 0 ? NO_SLOT : core.table.slotOf[mark >>> 2];
  hashFlow(core, view, hasPorts);
  const { h1, h2 } = flowHash;
  core.barred = placements.mask;
  if (named !== NO_SLOT) {
    if (!placements.has(named)) return NO_ROUTE;
    placements.put(h1, h2, named, nowNs);
    return named;
  }
  const isTcp = hasPorts && packet.fragment === FRAGMENT_NONE && packet.protocol === PROTOCOL_TCP;
  const handshake = isTcp ? packet.tcpFlags & (TCP_SYN | TCP_ACK) : 0;
  if (handshake === TCP_SYN) {
    core.barred = 0;
    return NO_ROUTE;
  }
  const known = placements.slotOf(h1, h2, nowNs);
  if (known >= 0) {
    if (!placements.has(known)) return NO_ROUTE;
    placements.put(h1, h2, known, nowNs);
    return known;
  }
  // A connection that was asked for over a route with NAT is answered there.
  const entry = memory.find(h1, h2, nowNs);
  if (entry >= 0 && placements.has(memory.slotOf(entry))) {
    placements.put(h1, h2, memory.slotOf(entry), nowNs);
    return memory.slotOf(entry);
  }
  // Unmarked traffic has its place by its hash alone, whether or not the first packet was seen.
  if (!isTcp || ((mark & 3) === CODEPOINT_NOT_LECT && handshake === TCP_ACK)) core.barred = 0;
  return NO_ROUTE;
}

/**
 * Keeps a packet on its route with NAT, up or not. An FNE packet asks for a path again, and gets the same with its
 * answer; repeated it tells of loss, but not of a better way.
 */
export function stayPlaced(
  core: GatewayCore,
  view: DataView,
  mark: number,
  hasPorts: boolean,
  destination: number,
  slot: number,
  bytes: number,
  nowNs: number,
): void {
  const { failures, flowHash, memory, packet } = core;
  const isUp = destination >= 0 && ((core.table.upMask(destination) >>> slot) & 1) === 1;
  core.reason = !isUp ? OUT_PLACED_DOWN : mark >>> 2 === 0 ? OUT_PLACED : OUT_PATH_ID;
  if ((mark & 3) !== CODEPOINT_FNE || destination < 0 || !hasPorts) return;
  flowHash.compute(view, packet, false, true);
  const { h1, h2 } = flowHash;
  const isTcp = packet.protocol === PROTOCOL_TCP;
  const entry = memory.find(h1, h2, nowNs);
  if (isTcp && entry >= 0 && memory.stateOf(entry) === FNE_SENT) {
    core.meter.addFneRepeat(destination, slot, bytes);
    if (failures.isOn && isUp) {
      failures.setTime(nowNs);
      failures.noteLoss(destination, slot, h1, h2);
    }
  }
  core.rememberFne(FNE_SENT, slot, 1 << slot, nowNs);
}

/** Remembers where a flow without path ID went. */
export function notePlacement(
  core: GatewayCore,
  view: DataView,
  codepoint: number,
  hasPorts: boolean,
  slot: number,
  nowNs: number,
): void {
  const { flowHash, packet } = core;
  const placements = core.placements!;
  hashFlow(core, view, hasPorts);
  const { h1, h2 } = flowHash;
  const isTcp = hasPorts && packet.fragment === FRAGMENT_NONE && packet.protocol === PROTOCOL_TCP;
  const isTold = isTcp && codepoint !== CODEPOINT_NOT_LECT;
  if (placements.has(slot) || !isTold) placements.put(h1, h2, slot, nowNs);
  else placements.remove(h1, h2, nowNs);
}

/** Fragments are hashed without ports: only the first has them, and all should go one way. */
export function hashFlow(core: GatewayCore, view: DataView, hasPorts: boolean): void {
  core.flowHash.compute(view, core.packet, false, hasPorts && core.packet.fragment === FRAGMENT_NONE);
}
