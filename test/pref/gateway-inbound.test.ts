import { describe, expect, test } from 'vitest';
import { buildTcp } from '../support/packets.ts';
import {
  ACK,
  FNE,
  INSIDE,
  LECT,
  LEX,
  MS,
  S,
  SYN,
  SYN_ACK,
  gatewayWithRoutes,
  lectOn,
  letIn,
  lexOn,
  routeOf,
  sendOut,
  tcpIn,
  tcpOut,
  udpIn,
} from './gateway-fixture.ts';

describe('a path ID from outside', () => {
  test.each([
    [lectOn(2), LECT],
    [lexOn(6), LEX],
  ])('is cleared and counted, DSCP %d becoming %d', (dscp, cleared) => {
    const gateway = gatewayWithRoutes();
    expect(letIn(gateway, tcpIn({ dscp }))).toEqual({ pathId: 0, dscp: cleared, reason: 'inPassed' });
    expect(gateway.counters.pathIdsCleared).toBe(1);
  });

  test('does not survive beside an assignment', () => {
    const gateway = gatewayWithRoutes({ scheme: 'full' });
    const { pathId, dscp } = letIn(gateway, tcpIn({ dscp: (9 << 2) | 3 }));
    expect([dscp, gateway.counters.pathIdsCleared]).toEqual([(pathId << 2) | 3, 1]);
  });

  test('leaves other packets alone', () => {
    const gateway = gatewayWithRoutes();
    for (const dscp of [0, LECT, LEX, 46, 8]) expect(letIn(gateway, tcpIn({ dscp })).dscp).toBe(dscp);
    expect(gateway.counters.pathIdsCleared).toBe(0);
  });
});

describe('an inbound FNE packet', () => {
  test('is assigned a route for its source by the flowlet ratios', () => {
    const gateway = gatewayWithRoutes();
    const paths = Array.from({ length: 90 }, (_, i) => letIn(gateway, tcpIn({ dscp: FNE, srcPort: i + 1 })));
    for (const pathId of [1, 2, 3]) {
      expect(paths.filter((path) => path.pathId === pathId && path.dscp === lectOn(pathId))).toHaveLength(30);
      expect(routeOf(gateway, pathId).total).toMatchObject({ flowlets: 30, bytes: 0 });
    }
    expect(gateway.counters.byName()['inAssignedFne']).toBe(90);
  });

  test('carries codepoint and path ID together in the scheme full', () => {
    const gateway = gatewayWithRoutes({ scheme: 'full' });
    const { pathId, dscp } = letIn(gateway, udpIn({ dscp: 3 }));
    expect([pathId > 0, dscp]).toEqual([true, (pathId << 2) | 3]);
  });

  test('from where no prefix is known goes on as it is', () => {
    const gateway = gatewayWithRoutes();
    const bytes = buildTcp({ src: '203.0.113.1', dst: INSIDE, dscp: FNE });
    expect(letIn(gateway, bytes)).toEqual({ pathId: 0, dscp: FNE, reason: 'inNoDestination' });
  });

  test('goes on as it is when no route leads back', () => {
    const gateway = gatewayWithRoutes();
    for (const pathId of [1, 2, 3]) gateway.setDestinationRouteUp(0, pathId, false);
    expect(letIn(gateway, tcpIn({ dscp: FNE }))).toEqual({ pathId: 0, dscp: FNE, reason: 'inNoRouteUp' });
  });

  test('over the limit of its prefix goes on without assignment', () => {
    const gateway = gatewayWithRoutes({ fneRatePerDestination: 1, fneBurstPerDestination: 2 });
    gateway.addDestination(['203.0.113.0/24'], [1]);
    const outcomes = [1, 2, 3].map((srcPort) => letIn(gateway, tcpIn({ dscp: FNE, srcPort })));
    expect(outcomes[2]).toEqual({ pathId: 0, dscp: FNE, reason: 'inDestinationLimit' });
    expect(letIn(gateway, buildTcp({ src: '203.0.113.1', dst: INSIDE, dscp: FNE })).pathId).toBe(1);
    expect(letIn(gateway, tcpIn({ dscp: FNE, srcPort: 3 }), 1 * S).reason).toBe('inAssignedFne');
  });

  test('over the limit of all goes on without assignment', () => {
    const gateway = gatewayWithRoutes({ fneRateTotal: 1, fneBurstTotal: 1 });
    letIn(gateway, tcpIn({ dscp: FNE }));
    expect(letIn(gateway, tcpIn({ dscp: FNE, srcPort: 9 }))).toEqual({
      pathId: 0,
      dscp: FNE,
      reason: 'inTotalLimit',
    });
  });
});

describe('a stock host outside', () => {
  test.each([SYN, SYN_ACK])('is taken to ask for a path by a segment with flags %d', (tcpFlags) => {
    const gateway = gatewayWithRoutes();
    const { pathId, dscp, reason } = letIn(gateway, tcpIn({ tcpFlags }));
    expect([pathId > 0, dscp, reason]).toEqual([true, lectOn(pathId), 'inAssignedSyn']);
  });

  test('is not by any other segment', () => {
    const gateway = gatewayWithRoutes();
    expect(letIn(gateway, tcpIn({ tcpFlags: ACK })).reason).toBe('inPassed');
    expect(letIn(gateway, udpIn()).reason).toBe('inPassed');
  });

  test('is not when that is switched off', () => {
    const gateway = gatewayWithRoutes({ inferFromSyn: false });
    expect(letIn(gateway, tcpIn({ tcpFlags: SYN }))).toEqual({ pathId: 0, dscp: 0, reason: 'inPassed' });
  });

  test('keeps a class that somebody gave to its SYN', () => {
    const gateway = gatewayWithRoutes();
    expect(letIn(gateway, tcpIn({ tcpFlags: SYN, dscp: 46 }))).toEqual({
      pathId: 0,
      dscp: 46,
      reason: 'inOwnDscp',
    });
    expect(routeOf(gateway, 1).total.flowlets).toBe(0);
  });

  test('gets the same route again for a repeated SYN', () => {
    const gateway = gatewayWithRoutes();
    const { pathId } = letIn(gateway, tcpIn({ tcpFlags: SYN }), 0);
    const again = letIn(gateway, tcpIn({ tcpFlags: SYN }), 1 * S);
    expect(again).toEqual({ pathId, dscp: lectOn(pathId), reason: 'inAssignedAgain' });
    const flowlets = [1, 2, 3].map((id) => routeOf(gateway, id).total.flowlets);
    expect(flowlets.reduce((sum, count) => sum + count, 0)).toBe(1);
  });
});

describe('the answer to an FNE packet', () => {
  test('is assigned the route on which that left, without a second draw', () => {
    const gateway = gatewayWithRoutes();
    for (let srcPort = 1; srcPort < 30; srcPort++) {
      const { pathId } = sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN, srcPort }), 0);
      expect(letIn(gateway, tcpIn({ tcpFlags: SYN_ACK, dstPort: srcPort }), 100 * MS)).toEqual({
        pathId,
        dscp: lectOn(pathId),
        reason: 'inAssignedAnswer',
      });
    }
    const flowlets = [1, 2, 3].map((id) => routeOf(gateway, id).total.flowlets);
    expect(flowlets.reduce((sum, count) => sum + count, 0)).toBe(29);
    expect(gateway.counters.answers).toBe(29);
  });

  test('is one packet only', () => {
    const gateway = gatewayWithRoutes();
    sendOut(gateway, tcpOut({ dscp: FNE }), 0);
    const reasons = [1, 2].map((ms) => letIn(gateway, tcpIn(), ms * MS).reason);
    expect(reasons).toEqual(['inAssignedAnswer', 'inPassed']);
  });

  test('is drawn a route when the remembered one went down', () => {
    const gateway = gatewayWithRoutes();
    const { pathId } = sendOut(gateway, tcpOut({ dscp: FNE }), 0);
    gateway.setRouteUp(pathId, false);
    const answer = letIn(gateway, tcpIn(), 1);
    expect([answer.reason, answer.pathId === pathId, answer.pathId > 0]).toEqual([
      'inAssignedAnswer',
      false,
      true,
    ]);
  });

  test('keeps a class of its own', () => {
    const gateway = gatewayWithRoutes();
    sendOut(gateway, tcpOut({ dscp: FNE }), 0);
    expect(letIn(gateway, tcpIn({ dscp: 34 }), 1)).toEqual({ pathId: 0, dscp: 34, reason: 'inOwnDscp' });
    expect(letIn(gateway, tcpIn(), 2).reason).toBe('inPassed');
  });

  test('may carry a LEX mark, which the assignment replaces', () => {
    const gateway = gatewayWithRoutes();
    const { pathId } = sendOut(gateway, tcpOut({ dscp: FNE }), 0);
    expect(letIn(gateway, tcpIn({ dscp: LECT }), 1).dscp).toBe(lectOn(pathId));
  });

  test('comes too late after the lifetime of the memory', () => {
    const gateway = gatewayWithRoutes({ fneMemoryLifetimeNs: 1 * S });
    sendOut(gateway, tcpOut({ dscp: FNE }), 0);
    expect(letIn(gateway, tcpIn(), 2 * S).reason).toBe('inPassed');
  });

  test('is not a repeated SYN: that shows that the SYN-ACK has not arrived', () => {
    const gateway = gatewayWithRoutes();
    const { pathId } = letIn(gateway, tcpIn({ dscp: FNE, tcpFlags: SYN }), 0);
    sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN_ACK }), 1 * MS);
    expect(letIn(gateway, tcpIn({ dscp: FNE, tcpFlags: SYN }), 1 * S)).toMatchObject({
      pathId,
      reason: 'inAssignedAgain',
    });
    const repeated = sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN_ACK }), 1.001 * S);
    expect(repeated.reason).toBe('outFneRepeated');
    expect(letIn(gateway, tcpIn({ dscp: LECT }), 1.1 * S)).toMatchObject({
      pathId: repeated.pathId,
      reason: 'inAssignedAnswer',
    });
  });

  test('from another flow is none', () => {
    const gateway = gatewayWithRoutes();
    sendOut(gateway, tcpOut({ dscp: FNE }), 0);
    expect(letIn(gateway, tcpIn({ srcPort: 40_001 }), 1).reason).toBe('inPassed');
  });
});

test.each([
  ['inNotIp', Uint8Array.of(0)],
  ['inTruncated', tcpIn({ payloadLength: 20 }).subarray(0, 50)],
  ['inBadHeader', Uint8Array.of(0x44, ...tcpIn().subarray(1))],
])('an inbound packet that cannot be read passes untouched: %s', (reason, bytes) => {
  const gateway = gatewayWithRoutes();
  const copy = bytes.slice();
  expect(gateway.handleInbound(new DataView(copy.buffer), 0, copy.length, 0, 0, 0)).toBe(0);
  expect([gateway.lastReasonName, copy]).toEqual([reason, Uint8Array.from(bytes)]);
});

test('inbound bytes are counted by the route they came in by', () => {
  const gateway = gatewayWithRoutes();
  const bytes = tcpIn({ payloadLength: 60 });
  gateway.handleInbound(new DataView(bytes.buffer), 0, bytes.length, 0, 2, 0);
  expect(gateway.status().routes.map((route) => route.inboundBytes)).toEqual([0, 100, 0]);
});
