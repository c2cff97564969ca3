/** The balancer that is exchanged while the gateway runs, in a gateway with traffic and virtual time. */
import { describe, expect, it } from 'vitest';
import { equal } from '../../lib/pref/balancers/equal.ts';
import { loss } from '../../lib/pref/balancers/loss.ts';
import type { Balancer } from '../../lib/pref/balancers/balancer.ts';
import type { Balancing } from '../../lib/runtime/live-balancer.ts';
import { LiveBalancer } from '../../lib/runtime/live-balancer.ts';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import {
  gatewayWithRoutes,
  lectOn,
  lexOn,
  runTimeouts,
  S,
  sendOut,
  tcpOut,
} from '../pref/gateway-fixture.ts';

const balancing = (balancer: Balancer, intervalNs: number): Balancing => ({
  balancer,
  intervalNs,
  shortestNs: intervalNs,
  longestNs: intervalNs,
});

function start(first: Balancing): { live: LiveBalancer; gateway: PrefGateway } {
  const live = new LiveBalancer(first);
  const gateway = gatewayWithRoutes({
    balancer: live,
    updateIntervalNs: first.intervalNs,
    shortestIntervalNs: 1e6,
    longestIntervalNs: 86_400e9,
  });
  live.watch(() => gateway.updateIntervalNs);
  return { live, gateway };
}

/** Traffic on all routes; every other packet of route 1 is marked LEx. */
function sendSome(gateway: PrefGateway, nowNs: number): void {
  for (let i = 0; i < 100; i++) {
    sendOut(gateway, tcpOut({ dscp: i % 2 === 0 ? lexOn(1) : lectOn(1), payloadLength: 1460 }), nowNs);
    sendOut(gateway, tcpOut({ dscp: lectOn(2), payloadLength: 1460 }), nowNs);
    sendOut(gateway, tcpOut({ dscp: lectOn(3), payloadLength: 1460 }), nowNs);
  }
}

describe('a live balancer', () => {
  it('leaves the interval exactly as it is while nothing is changed', () => {
    const { gateway } = start(balancing(loss(), 10 * S));
    for (let t = 0; t < 4; t++) {
      sendSome(gateway, t * 10 * S);
      runTimeouts(gateway, (t + 1) * 10 * S);
    }
    expect([gateway.updateIntervalNs, gateway.intervals]).toEqual([10 * S, 4]);
  });

  it('another strategy counts from the end of the running interval on', () => {
    const { live, gateway } = start(balancing(equal(), 10 * S));
    sendSome(gateway, 0);
    runTimeouts(gateway, 10 * S);
    expect(gateway.flowletRatio(0, 1)).toBeCloseTo(1 / 3, 12);
    live.use(balancing(loss(0.1), 10 * S));
    expect(gateway.status().balancer).toBe('loss');
    expect(gateway.flowletRatio(0, 1)).toBeCloseTo(1 / 3, 12);
    sendSome(gateway, 11 * S);
    runTimeouts(gateway, 20 * S);
    expect(gateway.flowletRatio(0, 1)).toBeLessThan(0.2);
  });

  it.each([2, 25])('a new interval of %i s begins after the running one', (seconds) => {
    const { live, gateway } = start(balancing(equal(), 10 * S));
    sendSome(gateway, 0);
    live.use(balancing(equal(), seconds * S));
    expect(live.isIntervalPending).toBe(true);
    runTimeouts(gateway, 10 * S);
    expect(live.isIntervalPending).toBe(false);
    expect(gateway.updateIntervalNs / S).toBeCloseTo(seconds, 6);
    sendSome(gateway, 11 * S);
    runTimeouts(gateway, (10 + seconds - 0.1) * S);
    expect(gateway.intervals).toBe(1);
    runTimeouts(gateway, (10 + seconds + 0.1) * S);
    expect(gateway.intervals).toBe(2);
  });

  it('an interval without traffic leaves the new length waiting', () => {
    const { live, gateway } = start(balancing(equal(), 10 * S));
    gateway.handleTimeout(0);
    live.use(balancing(equal(), 2 * S));
    runTimeouts(gateway, 10 * S);
    expect([live.isIntervalPending, gateway.updateIntervalNs]).toEqual([true, 10 * S]);
    sendSome(gateway, 11 * S);
    runTimeouts(gateway, 20 * S);
    expect(live.isIntervalPending).toBe(false);
  });

  it('a strategy that sets the interval is held within its bounds', () => {
    const restless: Balancer = { ...equal(), name: 'restless', wantedIntervalNs: () => 1 };
    const { live, gateway } = start({
      balancer: restless,
      intervalNs: 10 * S,
      shortestNs: S,
      longestNs: 40 * S,
    });
    sendSome(gateway, 0);
    runTimeouts(gateway, 10 * S);
    expect(gateway.updateIntervalNs / S).toBeCloseTo(1, 6);
    expect(live.isIntervalPending).toBe(false);
  });
});
