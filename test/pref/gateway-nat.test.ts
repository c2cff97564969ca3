/** Routes with NAT: a flow stays on the one where it began, and none that began elsewhere comes to one. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import { readDscp } from '../../lib/wire/ip.ts';
import { viewOf } from '../support/packets.ts';
import {
  ACK,
  FNE,
  LECT,
  S,
  SYN,
  SYN_ACK,
  lectOn,
  letIn,
  sendOut,
  tcpIn,
  tcpOut,
  udpOut,
} from './gateway-fixture.ts';

const PREFIX = '198.51.100.0/24';
/** Path IDs 1 and 2 have NAT, 3 has not. */
const ROUTES = [
  { pathId: 1, name: 'dsl', nat: true },
  { pathId: 2, name: 'mobile', nat: true },
  { pathId: 3, name: 'leased' },
];

function start(routes: readonly { pathId: number; name: string; nat?: boolean }[] = ROUTES): PrefGateway {
  const gateway = new PrefGateway({ routes });
  gateway.addDestination(
    [PREFIX],
    routes.map(({ pathId }) => pathId),
  );
  return gateway;
}

/** Begins connections until one is on the route wanted; returns its port. */
function beginOn(gateway: PrefGateway, pathId: number, dscp = FNE): number {
  for (let srcPort = 10_000; ; srcPort++) {
    if (sendOut(gateway, tcpOut({ srcPort, dscp, tcpFlags: SYN })).pathId === pathId) return srcPort;
  }
}

function letInBy(gateway: PrefGateway, pathId: number, bytes: Uint8Array, nowNs = 0) {
  const view = viewOf(bytes);
  const assigned = gateway.handleInbound(view, 0, bytes.length, nowNs, pathId);
  return { assigned, dscp: readDscp(view, 0), reason: gateway.lastReasonName };
}

describe('a flow on a route with NAT', () => {
  it('is drawn with its SYN, by the ratios, over all routes', () => {
    const gateway = start();
    const counts = [0, 0, 0];
    for (let srcPort = 1000; srcPort < 1300; srcPort++)
      counts[sendOut(gateway, tcpOut({ srcPort, dscp: FNE, tcpFlags: SYN })).pathId - 1]++;
    expect(counts).toEqual([100, 100, 100]);
  });

  it('stays there with an FNE packet in its middle, and is assigned the same path with the answer', () => {
    const gateway = start();
    const srcPort = beginOn(gateway, 2);
    const out = (fields: object, nowNs: number) =>
      sendOut(gateway, tcpOut({ srcPort, tcpFlags: ACK, ...fields }), nowNs);
    const answer = (nowNs: number) => letInBy(gateway, 2, tcpIn({ dstPort: srcPort, tcpFlags: ACK }), nowNs);
    expect(answer(0)).toMatchObject({ assigned: 2, dscp: lectOn(2), reason: 'inAssignedPlaced' });
    expect(out({ dscp: lectOn(2) }, S)).toMatchObject({ pathId: 2, reason: 'outPathId' });
    // Long after the FNE memory has forgotten it.
    for (const at of [60, 3600, 10_000]) {
      expect(out({ dscp: FNE }, at * S)).toMatchObject({ pathId: 2, reason: 'outPlaced' });
      expect(out({ dscp: LECT }, at * S)).toMatchObject({ pathId: 2, reason: 'outPlaced' });
      expect(answer(at * S)).toMatchObject({ assigned: 2, reason: 'inAssignedPlaced' });
    }
  });

  it('stays there while the route is withdrawn, counted by name, and goes on when that comes back', () => {
    const gateway = start();
    const srcPort = beginOn(gateway, 1);
    const out = (dscp: number) => sendOut(gateway, tcpOut({ srcPort, dscp, tcpFlags: ACK }));
    for (const withdraw of [
      (isUp: boolean) => gateway.setRouteUp(1, isUp),
      (isUp: boolean) => gateway.setDestinationRoutes(0, isUp ? [1, 2, 3] : [2, 3]),
    ]) {
      withdraw(false);
      for (const dscp of [lectOn(1), FNE, LECT])
        expect(out(dscp)).toMatchObject({ pathId: 1, reason: 'outPlacedDown' });
      withdraw(true);
      expect(out(lectOn(1))).toMatchObject({ pathId: 1, reason: 'outPathId' });
      expect(out(FNE)).toMatchObject({ pathId: 1, reason: 'outPlaced' });
    }
  });

  it('stays there even when nobody knows its prefix any more', () => {
    const gateway = start();
    const srcPort = beginOn(gateway, 2);
    gateway.removeDestination(0);
    for (const dscp of [lectOn(2), FNE, 0])
      expect(sendOut(gateway, tcpOut({ srcPort, dscp, tcpFlags: ACK }))).toMatchObject({
        pathId: 2,
        reason: 'outPlacedDown',
      });
    const { unroutedLexMarkedBytes, routes } = gateway.status();
    expect(unroutedLexMarkedBytes).toBe(80);
    expect(routes[1].notLectBytes).toBe(40);
  });

  it('a path ID brings back what the memory has forgotten', () => {
    const gateway = start();
    const out = (dscp: number, at: number) =>
      sendOut(gateway, tcpOut({ srcPort: 7, dscp, tcpFlags: ACK }), at * S);
    expect(out(lectOn(2), 0)).toMatchObject({ pathId: 2, reason: 'outPathId' });
    expect(out(FNE, 100)).toMatchObject({ pathId: 2, reason: 'outPlaced' });
  });

  it('repeated FNE packets count as loss and change nothing', () => {
    const gateway = start();
    const srcPort = beginOn(gateway, 1);
    const fne = () => sendOut(gateway, tcpOut({ srcPort, dscp: FNE, tcpFlags: ACK }), S);
    letInBy(gateway, 1, tcpIn({ dstPort: srcPort, tcpFlags: SYN_ACK }), S / 2);
    for (let i = 0; i < 4; i++) expect(fne().pathId).toBe(1);
    gateway.handleTimeout(0);
    gateway.handleTimeout(20 * S);
    expect(gateway.destinationStatus(0).routes[0].total.fneRepeatBytes).toBe(120);
  });

  it('unmarked: stays when another route comes, for connections and datagrams', () => {
    const gateway = start();
    gateway.setRouteUp(2, false);
    const packets = Array.from({ length: 60 }, (_, i) => i + 1000).map((srcPort) => ({
      first: tcpOut({ srcPort, tcpFlags: SYN }),
      later: tcpOut({ srcPort, tcpFlags: ACK }),
      datagram: udpOut({ srcPort }),
    }));
    const before = packets.map(({ first, datagram }) => [
      sendOut(gateway, first).pathId,
      sendOut(gateway, datagram).pathId,
    ]);
    gateway.setRouteUp(2, true);
    for (const [i, { later, datagram }] of packets.entries()) {
      const now = [sendOut(gateway, later, S).pathId, sendOut(gateway, datagram, S).pathId];
      for (const k of [0, 1]) {
        if (before[i][k] === 1) expect(now[k]).toBe(1);
      }
      // What was on the route without NAT does not come to one that has.
      for (const k of [0, 1]) if (before[i][k] === 3) expect(now[k]).toBe(3);
    }
    expect(new Set(before.flat())).toEqual(new Set([1, 3]));
  });
});

describe('a flow on a route without NAT', () => {
  it('never comes to one with NAT: not by FNE, not by assignment, not when its path is down', () => {
    const gateway = start([...ROUTES, { pathId: 4, name: 'other' }]);
    for (let i = 0; i < 40; i++) {
      const srcPort = 20_000 + i;
      const out = (dscp: number) => sendOut(gateway, tcpOut({ srcPort, dscp, tcpFlags: ACK }), i * S).pathId;
      expect([3, 4]).toContain(out(FNE));
      expect([3, 4]).toContain(out(LECT));
      expect([3, 4]).toContain(
        letInBy(gateway, 3, tcpIn({ dstPort: srcPort + 500, dscp: FNE, tcpFlags: ACK }), i * S).assigned,
      );
      gateway.setRouteUp(3, false);
      expect(out(lectOn(3))).toBe(4);
      gateway.setRouteUp(3, true);
    }
  });

  it('with only routes with NAT left, what came in by another is not assigned one', () => {
    const gateway = start();
    gateway.setRouteUp(3, false);
    const syn = tcpIn({ tcpFlags: SYN, dstPort: 80 });
    expect(letInBy(gateway, 3, syn)).toMatchObject({ assigned: 0, reason: 'inNoRouteUp' });
  });

  it('a port that is used again may begin anywhere', () => {
    const gateway = start();
    const srcPort = beginOn(gateway, 1);
    const began = new Set<number>();
    for (let i = 1; i <= 12; i++) {
      const { pathId } = sendOut(gateway, tcpOut({ srcPort, dscp: FNE, tcpFlags: SYN }), i * 100 * S);
      began.add(pathId);
      const { pathId: later } = sendOut(
        gateway,
        tcpOut({ srcPort, dscp: FNE, tcpFlags: ACK }),
        (i * 100 + 50) * S,
      );
      expect(later).toBe(pathId);
    }
    expect(began).toEqual(new Set([1, 2, 3]));
  });
});

describe('a connection from outside over a route with NAT', () => {
  it.each([
    ['a host that speaks LEX', FNE],
    ['a host that does not', 0],
  ])('is answered on that route by %s', (_, dscp) => {
    const gateway = start();
    for (let i = 0; i < 20; i++) {
      const srcPort = 3000 + i;
      const came = letInBy(gateway, 2, tcpIn({ srcPort: 40_000, dstPort: srcPort, tcpFlags: SYN }), i * S);
      expect(came).toMatchObject({ assigned: 2, reason: 'inAssignedPlaced' });
      const out = (tcpFlags: number, at: number) =>
        sendOut(gateway, tcpOut({ srcPort, dscp, tcpFlags }), (i + at) * S);
      expect(out(SYN_ACK, 0.1)).toMatchObject({ pathId: 2, reason: 'outPlaced' });
      expect(out(ACK, 600)).toMatchObject({ pathId: 2, reason: 'outPlaced' });
    }
  });

  it('is answered there even where no path is inferred', () => {
    const gateway = new PrefGateway({ routes: ROUTES, inferFromSyn: false });
    gateway.addDestination([PREFIX], [1, 2, 3]);
    expect(letInBy(gateway, 1, tcpIn({ tcpFlags: SYN })).assigned).toBe(0);
    expect(sendOut(gateway, tcpOut({ tcpFlags: SYN_ACK })).pathId).toBe(1);
  });
});

/** Flows of hosts that do not speak LEX. */
const PLAIN = 3;

describe('whatever happens to routes and ratios', () => {
  it('no connection leaves its route with NAT and none comes to one', () => {
    const step = fc.record({
      flow: fc.nat(7),
      dscp: fc.constantFrom('fne', 'lect', 'pinned'),
      event: fc.constantFrom('none', 'none', 'none', 'toggle', 'interval', 'answer'),
      route: fc.constantFrom(1, 2, 3),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const gateway = start([...ROUTES, { pathId: 4, name: 'always' }]);
        const up = new Map(ROUTES.map(({ pathId }) => [pathId, true]));
        const began = Array.from(
          { length: 8 },
          (_, i) =>
            sendOut(gateway, tcpOut({ srcPort: 5000 + i, dscp: i < PLAIN ? 0 : FNE, tcpFlags: SYN })).pathId,
        );
        for (const [i, { flow, dscp, event, route }] of steps.entries()) {
          const nowNs = (i + 1) * 30 * S;
          const srcPort = 5000 + flow;
          const hasNat = began[flow] <= 2;
          if (event === 'toggle') {
            up.set(route, !up.get(route));
            gateway.setRouteUp(route, up.get(route)!);
          } else if (event === 'interval') gateway.handleTimeout(nowNs);
          else if (event === 'answer') {
            const { assigned } = letInBy(
              gateway,
              began[flow],
              tcpIn({ dstPort: srcPort, tcpFlags: ACK }),
              nowNs,
            );
            if (hasNat) expect([0, began[flow]]).toContain(assigned);
            else expect([0, 3, 4]).toContain(assigned);
          }
          const marks = { fne: FNE, lect: LECT, pinned: lectOn(began[flow]) };
          const packet = tcpOut({ srcPort, dscp: flow < PLAIN ? 0 : marks[dscp], tcpFlags: ACK });
          const { pathId } = sendOut(gateway, packet, nowNs);
          if (hasNat) expect(pathId).toBe(began[flow]);
          else expect([3, 4]).toContain(pathId);
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('without routes with NAT', () => {
  it('the route that a packet comes in by changes nothing', () => {
    const gateways = [1, 2].map(() => start(ROUTES.map(({ pathId, name }) => ({ pathId, name }))));
    const syn = (): Uint8Array => tcpIn({ tcpFlags: SYN });
    expect(letInBy(gateways[0], 2, syn())).toMatchObject({
      assigned: letIn(gateways[1], syn()).pathId,
      reason: 'inAssignedSyn',
    });
  });
});
