/**
 * What the gateway tests share: a gateway with three routes, packets of a host inside and one outside, and
 * their fate.
 */

import { PrefGateway } from '../../lib/pref/gateway.ts';
import type { GatewayOptions } from '../../lib/pref/gateway-options.ts';
import { readDscp } from '../../lib/wire/ip.ts';
import { buildTcp, buildUdp, viewOf } from '../support/packets.ts';
import type { TcpFields, UdpFields } from '../support/packets.ts';

export const SYN = 2;
export const ACK = 16;
export const SYN_ACK = 18;
export const MS = 1e6;
export const S = 1e9;

/** DSCPs of the scheme pool2. */
export const LECT = 3;
export const FNE = 7;
export const LEX = 63;
export const lectOn = (pathId: number): number => 8 * pathId + 3;
export const lexOn = (pathId: number): number => 8 * pathId + 7;

export const INSIDE = '10.0.0.1';
export const OUTSIDE = '198.51.100.7';
export const OUTSIDE_PREFIX = '198.51.100.0/24';

export const ROUTES = [
  { pathId: 1, name: 'west' },
  { pathId: 2, name: 'north' },
  { pathId: 3, name: 'east' },
];

/** A gateway with the routes 1, 2, 3, and destination 0 behind all of them. */
export function gatewayWithRoutes(options: Partial<GatewayOptions> = {}, pathIds = [1, 2, 3]): PrefGateway {
  const gateway = new PrefGateway({ routes: ROUTES, ...options });
  gateway.addDestination([OUTSIDE_PREFIX], pathIds);
  return gateway;
}

/** What became of a packet. */
export interface Outcome {
  readonly pathId: number;
  readonly dscp: number;
  readonly reason: string;
}

/** Sends a packet's bytes out through the gateway. */
export function sendOut(gateway: PrefGateway, bytes: Uint8Array, nowNs = 0, gsoSize = 0): Outcome {
  const view = viewOf(bytes);
  const pathId = gateway.handleOutbound(view, 0, bytes.length, nowNs, gsoSize);
  return { pathId, dscp: readDscp(view, 0), reason: gateway.lastReasonName };
}

/** Lets a packet's bytes in through the gateway. */
export function letIn(gateway: PrefGateway, bytes: Uint8Array, nowNs = 0): Outcome {
  const view = viewOf(bytes);
  const pathId = gateway.handleInbound(view, 0, bytes.length, nowNs, 0, 0);
  return { pathId, dscp: readDscp(view, 0), reason: gateway.lastReasonName };
}

/** A segment from the host inside to the one outside. */
export function tcpOut(fields: TcpFields = {}): Uint8Array {
  return buildTcp({ src: INSIDE, dst: OUTSIDE, srcPort: 80, dstPort: 40000, ...fields });
}

/** A segment of the same connection the other way. */
export function tcpIn(fields: TcpFields = {}): Uint8Array {
  return buildTcp({ src: OUTSIDE, dst: INSIDE, srcPort: 40000, dstPort: 80, ...fields });
}

export function udpOut(fields: UdpFields = {}): Uint8Array {
  return buildUdp({ src: INSIDE, dst: OUTSIDE, srcPort: 5000, dstPort: 443, ...fields });
}

export function udpIn(fields: UdpFields = {}): Uint8Array {
  return buildUdp({ src: OUTSIDE, dst: INSIDE, srcPort: 443, dstPort: 5000, ...fields });
}

/** The figures of one route of destination 0. */
export function routeOf(gateway: PrefGateway, pathId: number, destination = 0) {
  const route = gateway
    .destinationStatus(destination)
    .routes.find((candidate) => candidate.pathId === pathId);
  if (route === undefined) throw new Error(`destination ${destination} has no route ${pathId}`);
  return route;
}

/** Runs timeouts until the gateway has none left at `nowNs`. */
export function runTimeouts(gateway: PrefGateway, nowNs: number): void {
  while (gateway.pollTimeout() <= nowNs) gateway.handleTimeout(nowNs);
}
