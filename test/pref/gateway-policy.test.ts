/** Other limits, neighbours and rules of inferring failures for a gateway that runs. */
import { describe, expect, it } from 'vitest';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import { parseAddress } from '../../lib/wire/addr.ts';
import {
  FNE,
  INSIDE,
  LECT,
  OUTSIDE,
  S,
  SYN,
  gatewayWithRoutes,
  lectOn,
  letIn,
  sendOut,
  tcpIn,
  tcpOut,
} from './gateway-fixture.ts';
import { TcpModel, randomLoss } from './tcp-model.ts';

const ratiosOf = (gateway: PrefGateway): number[] =>
  [1, 2, 3].map((pathId) => gateway.flowletRatio(0, pathId));

/** A gateway whose route 2 failed under twenty flows. */
function withFailedRoute(): { gateway: PrefGateway; model: TcpModel } {
  const gateway = gatewayWithRoutes();
  const paths = [1, 2, 3].map((pathId) => ({ pathId, rttMs: 10, loss: randomLoss(0.002) }));
  const model = new TcpModel(gateway, paths, { maxWindow: 2 });
  for (let i = 0; i < 60; i++) {
    model.open(1000 + i);
    if (i % 10 === 9) model.run(model.nowMs + 7);
  }
  model.run(25_000);
  model.deadOut.add(2);
  model.run(26_000);
  expect(gateway.isSuspended(0, 2)).toBe(true);
  return { gateway, model };
}

describe('a gateway that is to follow another policy', () => {
  it('exposes LEX codepoints to the neighbours that it names, and to no others any more', () => {
    const gateway = gatewayWithRoutes({ exposeTo: [1] });
    const dscps = (): number[] =>
      [1, 2].map((pathId) => sendOut(gateway, tcpOut({ dscp: lectOn(pathId) })).dscp);
    expect(dscps()).toEqual([LECT, 0]);
    gateway.usePolicy({ exposeTo: [2] });
    expect(dscps()).toEqual([0, LECT]);
    gateway.usePolicy({});
    expect(dscps()).toEqual([0, 0]);
  });

  it('takes other limits over, with full buckets', () => {
    const gateway = gatewayWithRoutes({ fneRatePerDestination: 0.001, fneBurstPerDestination: 1 });
    let port = 0;
    const ask = (): string => letIn(gateway, tcpIn({ dscp: FNE, dstPort: ++port }), S).reason;
    expect([ask(), ask()]).toEqual(['inAssignedFne', 'inDestinationLimit']);
    gateway.usePolicy({ fneRateTotal: 0.001, fneBurstTotal: 2 });
    expect([ask(), ask(), ask()]).toEqual(['inAssignedFne', 'inAssignedFne', 'inTotalLimit']);
    gateway.usePolicy({});
    expect(ask()).toBe('inAssignedFne');
  });

  it('keeps ratios, counters and the memory of FNE packets', () => {
    const gateway = gatewayWithRoutes();
    sendOut(gateway, tcpOut({ dscp: FNE }), S);
    gateway.setRouteUp(3, false);
    const before = [ratiosOf(gateway), gateway.counters.byName()];
    gateway.usePolicy({ exposeTo: [1], fneRateTotal: 5, inferFailures: false });
    expect([ratiosOf(gateway), gateway.counters.byName()]).toEqual(before);
    expect(letIn(gateway, tcpIn({ tcpFlags: SYN | 16 }), 1.1 * S).reason).toBe('inAssignedAnswer');
  });

  it('uses a suspended route as before when failures are no longer inferred, and suspends none', () => {
    const { gateway, model } = withFailedRoute();
    gateway.usePolicy({ inferFailures: false });
    expect([gateway.isSuspended(0, 2), gateway.status().suspendedRoutes]).toEqual([false, 0]);
    for (const ratio of ratiosOf(gateway)) expect(ratio).toBeCloseTo(1 / 3, 1);
    expect(gateway.failureEvents().at(-1)).toMatchObject({ decision: 'switchedOff', pathId: 2 });
    const decisions = gateway.status().failureDecisions;
    model.run(30_000);
    expect([gateway.status().failureDecisions, gateway.isSuspended(0, 2)]).toEqual([decisions, false]);
  });

  it('infers failures from when it is told to', () => {
    const gateway = gatewayWithRoutes({ inferFailures: false });
    expect(gateway.sampledFlows()).toEqual([]);
    gateway.usePolicy({ failureWindowNs: 0.8 * S, failureShare: 0.5 });
    sendOut(gateway, tcpOut({ dscp: FNE }), S);
    expect(gateway.sampledFlows()).toMatchObject([
      { destination: 0, flows: 1, answered: 0, exposing: 0, probes: 0 },
    ]);
  });

  it.each([
    [{ exposeTo: [9] }, 'exposeTo: 9 is not allowed'],
    [{ fneRateTotal: 0 }, 'fneRateTotal: 0 is not allowed'],
    [{ failureShare: 0.4 }, 'failureShare: 0.4 is not allowed'],
    [{ failureWindowNs: S }, 'failureWindowNs: 1000000000 is not allowed'],
  ])('%j is refused, and nothing of it is taken over', (policy, message) => {
    const gateway = gatewayWithRoutes({ exposeTo: [1] });
    expect(() => gateway.usePolicy({ exposeTo: [2], ...policy })).toThrow(message);
    expect(sendOut(gateway, tcpOut({ dscp: lectOn(1) })).dscp).toBe(LECT);
  });
});

describe('what is said of a suspended route', () => {
  it('the sampled flows count its probes, and a preview leads pinned packets around it', () => {
    const { gateway, model } = withFailedRoute();
    const sampled = gateway.sampledFlows();
    expect(sampled.map((route) => route.pathId).sort()).toEqual([1, 2, 3]);
    const ends = {
      protocol: 6,
      src: parseAddress(INSIDE),
      srcPort: 1,
      dst: parseAddress(OUTSIDE),
      dstPort: 2,
    };
    const preview = gateway.previewFlow(ends, model.nowMs * 1e6) ?? [];
    const pinned = preview.find(({ carries }) => carries === 2);
    expect(pinned?.reason).toBe('outSuspendedPathId');
    expect([1, 3]).toContain(pinned?.pathId);
    expect(gateway.explainRatios(0).routes.map((route) => route.pathId)).not.toContain(2);
  });
});
