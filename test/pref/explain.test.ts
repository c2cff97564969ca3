/** What the gateway says about its ratios and about packets it has not seen: held against what it really does. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Balancer } from '../../lib/pref/balancers/balancer.ts';
import { loss } from '../../lib/pref/balancers/loss.ts';
import { selfTuning } from '../../lib/pref/balancers/self-tuning.ts';
import { STRATEGIES, balancerOf } from '../../lib/pref/balancers/strategies.ts';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import { parseAddress } from '../../lib/wire/addr.ts';
import {
  FNE,
  INSIDE,
  LECT,
  OUTSIDE,
  OUTSIDE_PREFIX,
  S,
  gatewayWithRoutes,
  lectOn,
  letIn,
  lexOn,
  runTimeouts,
  sendOut,
  tcpIn,
  tcpOut,
  udpIn,
  udpOut,
} from './gateway-fixture.ts';

function runInterval(gateway: PrefGateway, packets: readonly number[]): void {
  for (const [i, count] of packets.entries()) {
    for (let packet = 0; packet < count; packet++) {
      const dscp = packet % (i + 3) === 0 ? lexOn(i + 1) : lectOn(i + 1);
      sendOut(gateway, tcpOut({ dscp, srcPort: 100 + packet, payloadLength: 1000 }), 0);
    }
  }
  runTimeouts(gateway, 10 * S);
}

describe('how ratios come about', () => {
  it.each(STRATEGIES)('the parts of %s add up to the ratios in force', (strategy) => {
    const gateway = gatewayWithRoutes({ balancer: balancerOf(strategy) });
    runInterval(gateway, [400, 200, 0]);
    const { balancer, mix, routes } = gateway.explainRatios(0);
    expect([balancer, routes.map((route) => route.pathId)]).toEqual([strategy, [1, 2, 3]]);
    expect((mix?.betaE ?? 0) + (mix?.betaC ?? 0) + (mix?.betaL ?? 0)).toBeCloseTo(1, 12);
    for (const { pathId, equalPart, conservativePart, lossPart } of routes) {
      expect(equalPart + conservativePart + lossPart).toBeCloseTo(gateway.flowletRatio(0, pathId), 12);
      expect(equalPart).toBeCloseTo((mix?.betaE ?? 0) / 3, 12);
    }
    expect(routes.map((route) => route.bytes)).toEqual([400 * 1040, 200 * 1040, 0]);
    expect(routes[0].lostBytes).toBe(134 * 1040);
    expect(routes[2]).toMatchObject({ conservativePart: 0, lossPart: 0 });
  });

  it('asking changes nothing', () => {
    const [asked, left] = [selfTuning(), selfTuning()].map((balancer) => {
      const gateway = gatewayWithRoutes({ balancer });
      runInterval(gateway, [300, 200, 100]);
      return gateway;
    });
    expect(asked.explainRatios(0)).toEqual(asked.explainRatios(0));
    runTimeouts(asked, 40 * S);
    runTimeouts(left, 40 * S);
    expect(asked.status()).toEqual(left.status());
  });

  it('the turnover is there with a strategy that asks for it', () => {
    const gateway = gatewayWithRoutes({ balancer: selfTuning() });
    runInterval(gateway, [300, 200, 100]);
    expect(gateway.explainRatios(0).turnover).toBeGreaterThanOrEqual(0);
    expect(gatewayWithRoutes().explainRatios(0).turnover).toBeUndefined();
  });

  it('there are no parts when nothing was sent, or the strategy is no mix', () => {
    const idle = gatewayWithRoutes();
    runTimeouts(idle, 10 * S);
    expect(idle.explainRatios(0)).toEqual({ balancer: 'loss', routes: [] });
    const own: Balancer = { ...loss(), name: 'own', mix: undefined as never };
    const gateway = gatewayWithRoutes({ balancer: own });
    runInterval(gateway, [10, 10, 10]);
    expect(gateway.explainRatios(0)).toEqual({ balancer: 'own', routes: [] });
  });

  it('a destination that is none is refused', () => {
    expect(() => gatewayWithRoutes().explainRatios(7)).toThrow('destination: 7 is not allowed');
  });
});

describe('the destination of an address', () => {
  it('is that of the longest prefix, with that prefix', () => {
    const gateway = gatewayWithRoutes();
    const wide = gateway.addDestination(['198.51.0.0/16', '0.0.0.0/0', '2001:db8::/32'], [1]);
    const host = gateway.addDestination(['198.51.100.9/32', '2001:db8::5/128'], [2]);
    const find = (text: string) => gateway.findDestination(parseAddress(text));
    expect(find(OUTSIDE)).toEqual({ destination: 0, prefix: OUTSIDE_PREFIX });
    expect(find('198.51.100.9')).toEqual({ destination: host, prefix: '198.51.100.9/32' });
    expect(find('198.51.7.1')).toEqual({ destination: wide, prefix: '198.51.0.0/16' });
    expect(find('9.9.9.9')).toEqual({ destination: wide, prefix: '0.0.0.0/0' });
    expect(find('2001:db8::5')).toEqual({ destination: host, prefix: '2001:db8::5/128' });
    expect(find('2001:db8:1::')).toEqual({ destination: wide, prefix: '2001:db8::/32' });
    expect(find('2001:db9::')).toBeUndefined();
  });
});

describe('the preview of a flow', () => {
  const ends = (srcPort: number, protocol = 6) => ({
    protocol,
    src: parseAddress(INSIDE),
    srcPort,
    dst: parseAddress(OUTSIDE),
    dstPort: protocol === 6 ? 40_000 : 443,
  });

  it('says of every kind of packet what the gateway then does, in whatever state it is', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('fne' as const), port: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ kind: fc.constant('in' as const), port: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ kind: fc.constant('route' as const), port: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant('bytes' as const), port: fc.integer({ min: 1, max: 3 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), fc.nat(8), fc.boolean(), (steps, which, isTcp) => {
        const gateway = gatewayWithRoutes({
          fneBurstPerDestination: 4,
          fneRatePerDestination: 0.001,
          inferFailures: false,
        });
        let nowNs = 0;
        const up = [true, true, true];
        for (const { kind, port } of steps) {
          nowNs += 0.1 * S;
          if (kind === 'fne') sendOut(gateway, tcpOut({ dscp: FNE, srcPort: port }), nowNs);
          else if (kind === 'in') letIn(gateway, tcpIn({ dscp: FNE, dstPort: port }), nowNs);
          else if (kind === 'bytes')
            sendOut(gateway, tcpOut({ dscp: lexOn(port), payloadLength: 999 }), nowNs);
          else gateway.setRouteUp(port, (up[port - 1] = !up[port - 1]));
          runTimeouts(gateway, nowNs);
        }
        const before = gateway.status();
        const preview = gateway.previewFlow(ends(3, isTcp ? 6 : 17), nowNs) ?? [];
        expect(gateway.status()).toEqual(before);
        const { direction, codepoint, carries, pathId, reason } = preview[which % preview.length];
        const dscp =
          codepoint === 'FNE' ? FNE : codepoint === 'Not-LECT' ? 0 : carries === 0 ? LECT : lectOn(carries);
        const build = isTcp ? tcpOut : udpOut;
        const outcome =
          direction === 'out'
            ? sendOut(gateway, build({ dscp, srcPort: 3 }), nowNs)
            : letIn(gateway, (isTcp ? tcpIn : udpIn)({ dscp, dstPort: 3 }), nowNs);
        expect([pathId, reason]).toEqual([outcome.pathId, outcome.reason]);
      }),
      { numRuns: 150 },
    );
  });

  it('is none for an address that no destination covers', () => {
    const preview = gatewayWithRoutes().previewFlow({ ...ends(1), dst: parseAddress('9.9.9.9') }, 0);
    expect(preview).toBeUndefined();
  });
});
