import { describe, expect, test } from 'vitest';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import { buildTcp, buildUdp } from '../support/packets.ts';
import {
  FNE,
  INSIDE,
  LECT,
  LEX,
  OUTSIDE,
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
  udpOut,
} from './gateway-fixture.ts';

/** Path IDs of `count` flows that differ in their port. */
function pathsOfFlows(gateway: PrefGateway, count: number, dscp: number, nowNs = 0): number[] {
  return Array.from(
    { length: count },
    (_, i) => sendOut(gateway, tcpOut({ dscp, srcPort: 1000 + i }), nowNs).pathId,
  );
}

describe('an outbound packet with a path ID', () => {
  test('takes the route of that path ID', () => {
    const gateway = gatewayWithRoutes();
    for (const pathId of [1, 2, 3]) {
      expect(sendOut(gateway, tcpOut({ dscp: lectOn(pathId) }))).toEqual({
        pathId,
        dscp: 0,
        reason: 'outPathId',
      });
      expect(sendOut(gateway, tcpOut({ dscp: lexOn(pathId) })).pathId).toBe(pathId);
    }
  });

  test('takes one other route, the same for the whole flow, when its own is down', () => {
    const gateway = gatewayWithRoutes();
    gateway.setRouteUp(2, false);
    const flow = Array.from({ length: 20 }, () => sendOut(gateway, tcpOut({ dscp: lectOn(2) })));
    expect(new Set(flow.map(({ pathId }) => pathId)).size).toBe(1);
    expect(flow[0].reason).toBe('outDownPathId');
    const flows = pathsOfFlows(gateway, 200, lectOn(2));
    expect([...new Set(flows)].sort()).toEqual([1, 3]);
  });

  test('is counted apart when no such route leads there', () => {
    const gateway = gatewayWithRoutes({}, [1, 2]);
    expect(sendOut(gateway, tcpOut({ dscp: lectOn(3) })).reason).toBe('outUnknownPathId');
    expect(sendOut(gateway, tcpOut({ dscp: lectOn(6) })).reason).toBe('outUnknownPathId');
  });

  test('does not use up flowlets of the round robin when its route is gone', () => {
    const gateway = gatewayWithRoutes();
    gateway.setRouteUp(2, false);
    pathsOfFlows(gateway, 50, lectOn(2));
    expect([1, 3].map((pathId) => routeOf(gateway, pathId).total.flowlets)).toEqual([0, 0]);
  });

  test('comes back to its route when that does', () => {
    const gateway = gatewayWithRoutes();
    gateway.setDestinationRouteUp(0, 2, false);
    expect(sendOut(gateway, tcpOut({ dscp: lectOn(2) })).pathId).not.toBe(2);
    gateway.setDestinationRouteUp(0, 2, true);
    expect(sendOut(gateway, tcpOut({ dscp: lectOn(2) })).pathId).toBe(2);
  });
});

describe('an outbound FNE packet', () => {
  test('is drawn by the flowlet ratios', () => {
    const gateway = gatewayWithRoutes();
    const paths = pathsOfFlows(gateway, 90, FNE);
    for (const pathId of [1, 2, 3]) {
      expect(paths.filter((path) => path === pathId)).toHaveLength(30);
      expect(routeOf(gateway, pathId).total.flowlets).toBe(30);
    }
    expect(gateway.counters.byName()['outFneDrawn']).toBe(90);
  });

  test('repeated by TCP takes another route and tells of loss on the one before', () => {
    const gateway = gatewayWithRoutes();
    const syn = (): Uint8Array => tcpOut({ dscp: FNE, tcpFlags: SYN });
    const first = sendOut(gateway, syn(), 0);
    const second = sendOut(gateway, syn(), 1 * S);
    expect(second).toMatchObject({ reason: 'outFneRepeated', dscp: 0 });
    expect(second.pathId).not.toBe(first.pathId);
    expect(routeOf(gateway, first.pathId).total).toMatchObject({
      bytes: 40,
      fneRepeatBytes: 40,
      flowlets: 1,
    });
    expect(routeOf(gateway, second.pathId).total).toMatchObject({
      bytes: 40,
      fneRepeatBytes: 0,
      flowlets: 0,
    });
  });

  test('repeated again tries every route before any for the second time', () => {
    const gateway = gatewayWithRoutes();
    const paths = [0, 1, 3, 7, 14].map(
      (s) => sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN }), s * S).pathId,
    );
    expect([...new Set(paths.slice(0, 3))].sort()).toEqual([1, 2, 3]);
    expect(paths[3]).not.toBe(paths[2]);
    expect(paths[4]).not.toBe(paths[3]);
  });

  test('repeated when there is one route only stays on it and is counted all the same', () => {
    const gateway = gatewayWithRoutes({}, [2]);
    sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN }), 0);
    expect(sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN }), 1 * S)).toMatchObject({
      pathId: 2,
      reason: 'outFneRepeated',
    });
    expect(routeOf(gateway, 2).total.fneRepeatBytes).toBe(40);
  });

  test('is no repetition after the lifetime of the memory, nor after an answer', () => {
    const gateway = gatewayWithRoutes();
    sendOut(gateway, tcpOut({ dscp: FNE }), 0);
    expect(sendOut(gateway, tcpOut({ dscp: FNE }), 11 * S).reason).toBe('outFneDrawn');
    letIn(gateway, tcpIn(), 11.1 * S);
    expect(sendOut(gateway, tcpOut({ dscp: FNE }), 13 * S).reason).toBe('outFneDrawn');
  });

  test('is no repetition after an answer even where answers are not assigned', () => {
    const gateway = gatewayWithRoutes({ inferFromAnswer: false });
    sendOut(gateway, tcpOut({ dscp: FNE }), 0);
    expect(letIn(gateway, tcpIn(), 1 * S)).toEqual({ pathId: 0, dscp: 0, reason: 'inPassed' });
    expect(sendOut(gateway, tcpOut({ dscp: FNE }), 2 * S).reason).toBe('outFneDrawn');
  });

  test('of a datagram flow stays on its route when repeated, which is no evidence of loss', () => {
    const gateway = gatewayWithRoutes();
    const first = sendOut(gateway, udpOut({ dscp: FNE }), 0);
    for (let s = 1; s < 30; s += 2) {
      expect(sendOut(gateway, udpOut({ dscp: FNE }), s * S)).toMatchObject({
        pathId: first.pathId,
        reason: 'outFneRepeatedDatagram',
      });
    }
    expect(routeOf(gateway, first.pathId).total).toMatchObject({ fneRepeatBytes: 0, flowlets: 1 });
    gateway.setRouteUp(first.pathId, false);
    expect(sendOut(gateway, udpOut({ dscp: FNE }), 30 * S).reason).toBe('outFneDrawn');
  });

  test('answers one from outside on the route that was assigned, without a second draw', () => {
    const gateway = gatewayWithRoutes();
    const { pathId } = letIn(gateway, tcpIn({ dscp: FNE, tcpFlags: SYN }), 0);
    expect(sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN_ACK }), 1)).toEqual({
      pathId,
      dscp: 0,
      reason: 'outFneAssigned',
    });
    expect(routeOf(gateway, pathId).total.flowlets).toBe(1);
    expect(sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN_ACK }), 1 * S).reason).toBe('outFneRepeated');
    expect(routeOf(gateway, pathId).total.fneRepeatBytes).toBe(40);
  });

  test('is drawn anew when the assigned route went down', () => {
    const gateway = gatewayWithRoutes();
    const { pathId } = letIn(gateway, tcpIn({ dscp: FNE, tcpFlags: SYN }), 0);
    gateway.setRouteUp(pathId, false);
    const answer = sendOut(gateway, tcpOut({ dscp: FNE, tcpFlags: SYN_ACK }), 1);
    expect(answer.reason).toBe('outFneDrawn');
    expect([0, pathId]).not.toContain(answer.pathId);
  });

  test('without ports goes by its addresses and is not remembered', () => {
    const gateway = gatewayWithRoutes();
    const fragment = (offset: number): Uint8Array =>
      udpOut({ dscp: FNE, payloadLength: 64, fragment: { offset, more: true, identification: 9 } });
    const later = sendOut(gateway, fragment(8));
    expect([later.reason, sendOut(gateway, fragment(16)).pathId]).toEqual(['outFneNoPorts', later.pathId]);
    expect(routeOf(gateway, later.pathId).total.flowlets).toBe(0);
  });

  test('with a path ID, in the scheme full, takes that route; repeated, another one', () => {
    const gateway = gatewayWithRoutes({ scheme: 'full' });
    const fneOn = (pathId: number): number => (pathId << 2) | 3;
    expect(sendOut(gateway, tcpOut({ dscp: fneOn(2) }), 0)).toEqual({
      pathId: 2,
      dscp: 0,
      reason: 'outPathId',
    });
    const again = sendOut(gateway, tcpOut({ dscp: fneOn(2) }), 1 * S);
    expect(again.reason).toBe('outFneRepeated');
    expect(again.pathId).not.toBe(2);
    expect(sendOut(gateway, tcpOut({ dscp: fneOn(9), srcPort: 1 }), 1 * S).reason).toBe('outUnknownPathId');
  });
});

describe('an outbound packet without assignment', () => {
  test('follows its flow’s FNE packet while that is unanswered', () => {
    const gateway = gatewayWithRoutes();
    for (let srcPort = 1; srcPort < 40; srcPort++) {
      const { pathId } = sendOut(gateway, udpOut({ dscp: FNE, srcPort }), 0);
      expect(sendOut(gateway, udpOut({ dscp: LECT, srcPort }), 5 * S)).toMatchObject({
        pathId,
        reason: 'outFollowsFne',
      });
    }
  });

  test('is spread evenly and stays where it is while the routes do', () => {
    const gateway = gatewayWithRoutes();
    const paths = pathsOfFlows(gateway, 300, LECT);
    for (const pathId of [1, 2, 3])
      expect(paths.filter((path) => path === pathId).length).toBeGreaterThan(70);
    expect(pathsOfFlows(gateway, 300, LEX, 100 * S)).toEqual(paths);
    expect(gateway.counters.byName()['outUnassigned']).toBe(600);
  });

  test('Not-LECT keeps its DSCP and its route, whatever the ratios', () => {
    const gateway = gatewayWithRoutes({ startShare: 'equal' });
    const paths = pathsOfFlows(gateway, 300, 46);
    gateway.setRouteUp(3, false);
    const during = pathsOfFlows(gateway, 300, 46);
    expect(during.filter((path, i) => paths[i] !== 3 && path !== paths[i])).toEqual([]);
    gateway.setRouteUp(3, true);
    expect(pathsOfFlows(gateway, 300, 46)).toEqual(paths);
    expect(sendOut(gateway, tcpOut({ dscp: 46 }))).toMatchObject({ dscp: 46, reason: 'outNotLectHashed' });
  });

  test('Not-LECT fragments of one packet take one route', () => {
    const gateway = gatewayWithRoutes();
    for (let host = 1; host < 30; host++) {
      const fragment = (offset: number): Uint8Array =>
        buildUdp({
          src: `10.0.0.${host}`,
          dst: OUTSIDE,
          payloadLength: 64,
          fragment: { offset, more: true },
        });
      expect(sendOut(gateway, fragment(8)).pathId).toBe(sendOut(gateway, fragment(0)).pathId);
    }
  });

  test('Not-LECT takes the default route where that is configured', () => {
    const gateway = gatewayWithRoutes({ notLect: 'default' });
    expect(sendOut(gateway, tcpOut({ dscp: 10 }))).toEqual({
      pathId: 0,
      dscp: 10,
      reason: 'outNotLectDefault',
    });
  });

  test('a stock host’s SYN is not remembered', () => {
    const gateway = gatewayWithRoutes();
    sendOut(gateway, tcpOut({ tcpFlags: SYN }));
    expect(letIn(gateway, tcpIn({ tcpFlags: SYN_ACK })).reason).toBe('inAssignedSyn');
  });
});

describe('the default route', () => {
  test('takes what no prefix covers, without its mark', () => {
    const gateway = gatewayWithRoutes();
    const bytes = buildTcp({ src: INSIDE, dst: '203.0.113.1', dscp: lectOn(1) });
    expect(sendOut(gateway, bytes)).toEqual({ pathId: 0, dscp: 0, reason: 'outNoDestination' });
    expect(gateway.status().unroutedLexMarkedBytes).toBe(40);
  });

  test('takes what no route leads to any more', () => {
    const gateway = gatewayWithRoutes();
    for (const pathId of [1, 2, 3]) gateway.setRouteUp(pathId, false);
    expect(sendOut(gateway, tcpOut({ dscp: FNE }))).toEqual({ pathId: 0, dscp: 0, reason: 'outNoRouteUp' });
    expect(sendOut(gateway, tcpOut({ dscp: 46 }))).toEqual({ pathId: 0, dscp: 46, reason: 'outNoRouteUp' });
  });

  test.each([
    ['outNotIp', Uint8Array.of(0x20, 1, 2)],
    ['outTruncated', tcpOut({ payloadLength: 20 }).subarray(0, 50)],
    ['outBadHeader', Uint8Array.of(0x44, ...tcpOut().subarray(1))],
  ])('takes what cannot be read, untouched: %s', (reason, bytes) => {
    const gateway = gatewayWithRoutes();
    const copy = bytes.slice();
    expect(gateway.handleOutbound(new DataView(copy.buffer), 0, copy.length, 0, 0)).toBe(0);
    expect([gateway.lastReasonName, copy]).toEqual([reason, Uint8Array.from(bytes)]);
  });
});

describe('at the border', () => {
  test('the codepoint is kept toward neighbours that take it, never the path ID', () => {
    const gateway = gatewayWithRoutes({ exposeTo: new Set([2]) });
    const dscps = [1, 2, 3].map((pathId) => sendOut(gateway, tcpOut({ dscp: lectOn(pathId) })).dscp);
    expect(dscps).toEqual([0, LECT, 0]);
    expect(sendOut(gateway, tcpOut({ dscp: lexOn(2) })).dscp).toBe(LEX);
  });

  test('the codepoint is kept on the default route if that is in the list', () => {
    const gateway = gatewayWithRoutes({ exposeTo: [0] });
    expect(sendOut(gateway, buildTcp({ src: INSIDE, dst: '203.0.113.1', dscp: lexOn(3) })).dscp).toBe(LEX);
    expect(sendOut(gateway, tcpOut({ dscp: lexOn(3) })).dscp).toBe(0);
  });
});

describe('the meters', () => {
  test('count wire bytes with a LEX mark, and those marked LEx among them', () => {
    const gateway = gatewayWithRoutes();
    sendOut(gateway, tcpOut({ dscp: lectOn(1), payloadLength: 1000 }));
    sendOut(gateway, tcpOut({ dscp: lexOn(1), payloadLength: 500 }));
    sendOut(gateway, tcpOut({ dscp: 46, payloadLength: 300 }));
    expect(routeOf(gateway, 1).total).toMatchObject({
      bytes: 1040 + 540,
      lexBytes: 540,
      lossRatio: 540 / 1580,
    });
    const notLect = gateway.status().routes.reduce((sum, route) => sum + route.notLectBytes, 0);
    expect(notLect).toBe(340);
  });

  test('count a super-packet as the packets it becomes', () => {
    const gateway = gatewayWithRoutes();
    sendOut(gateway, tcpOut({ dscp: lectOn(1), payloadLength: 3500 }), 0, 1000);
    expect(routeOf(gateway, 1).total.bytes).toBe(3500 + 4 * 40);
  });

  test('answers of datagram flows are assigned the route of the FNE packet', () => {
    const gateway = gatewayWithRoutes();
    const { pathId } = sendOut(gateway, udpOut({ dscp: FNE }), 0);
    expect(letIn(gateway, udpIn(), 1)).toEqual({ pathId, dscp: lectOn(pathId), reason: 'inAssignedAnswer' });
  });
});
