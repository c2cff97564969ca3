/** Another balancer or interval for a gateway that runs, with traffic and virtual time. */
import { describe, expect, it } from 'vitest';
import type { Balancer } from '../../lib/pref/balancers/balancer.ts';
import { equal } from '../../lib/pref/balancers/equal.ts';
import { loss } from '../../lib/pref/balancers/loss.ts';
import { selfTuning } from '../../lib/pref/balancers/self-tuning.ts';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import { gatewayWithRoutes, lectOn, lexOn, runTimeouts, S, sendOut, tcpOut } from './gateway-fixture.ts';

/** Traffic on all routes; every other packet of route 1 is marked LEx. */
function sendSome(gateway: PrefGateway, nowNs: number): void {
  for (let i = 0; i < 100; i++) {
    sendOut(gateway, tcpOut({ dscp: i % 2 === 0 ? lexOn(1) : lectOn(1), payloadLength: 1460 }), nowNs);
    sendOut(gateway, tcpOut({ dscp: lectOn(2), payloadLength: 1460 }), nowNs);
    sendOut(gateway, tcpOut({ dscp: lectOn(3), payloadLength: 1460 }), nowNs);
  }
}

const start = (balancer: Balancer = equal()): PrefGateway =>
  gatewayWithRoutes({ balancer, updateIntervalNs: 10 * S });

describe('a gateway that is to balance in another way', () => {
  it('leaves the interval exactly as it is when nothing changes', () => {
    const gateway = start(loss());
    for (let t = 0; t < 4; t++) {
      sendSome(gateway, t * 10 * S);
      gateway.useBalancing({ balancer: loss(), updateIntervalNs: 10 * S });
      runTimeouts(gateway, (t + 1) * 10 * S);
    }
    expect([gateway.updateIntervalNs, gateway.intervals, gateway.isIntervalPending]).toEqual([
      10 * S,
      4,
      false,
    ]);
  });

  it('lets another strategy count from the end of the running interval on', () => {
    const gateway = start();
    sendSome(gateway, 0);
    runTimeouts(gateway, 10 * S);
    expect(gateway.flowletRatio(0, 1)).toBeCloseTo(1 / 3, 12);
    gateway.useBalancing({ balancer: loss(0.1), updateIntervalNs: 10 * S });
    expect(gateway.status().balancer).toBe('loss');
    expect(gateway.flowletRatio(0, 1)).toBeCloseTo(1 / 3, 12);
    sendSome(gateway, 11 * S);
    runTimeouts(gateway, 20 * S);
    expect(gateway.flowletRatio(0, 1)).toBeLessThan(0.2);
  });

  it.each([
    [2, 'with traffic'],
    [25, 'with traffic'],
    [2, 'without'],
    [25, 'without'],
  ])('begins an interval of %i s after the running one, %s', (seconds, traffic) => {
    const gateway = start();
    if (traffic === 'without') gateway.handleTimeout(0);
    else sendSome(gateway, 0);
    gateway.useBalancing({ balancer: equal(), updateIntervalNs: seconds * S });
    expect([gateway.isIntervalPending, gateway.updateIntervalNs]).toEqual([true, 10 * S]);
    runTimeouts(gateway, 10 * S);
    expect([gateway.isIntervalPending, gateway.updateIntervalNs]).toEqual([false, seconds * S]);
    sendSome(gateway, 11 * S);
    runTimeouts(gateway, (10 + seconds - 0.1) * S);
    expect(gateway.intervals).toBe(1);
    runTimeouts(gateway, (10 + seconds + 0.1) * S);
    expect(gateway.intervals).toBe(2);
  });

  it('does not cut an interval that was made longer, however much is lost in it', () => {
    const gateway = start();
    sendSome(gateway, 0);
    gateway.useBalancing({ balancer: equal(), updateIntervalNs: 40 * S });
    runTimeouts(gateway, 10 * S);
    for (let i = 0; i < 20; i++) sendSome(gateway, 12 * S);
    runTimeouts(gateway, 49.9 * S);
    expect(gateway.intervals).toBe(1);
    runTimeouts(gateway, 50.1 * S);
    expect(gateway.intervals).toBe(2);
  });

  it('holds a strategy that sets the interval within its bounds', () => {
    const restless: Balancer = { ...equal(), name: 'restless', wantedIntervalNs: () => 1 };
    const gateway = start();
    gateway.useBalancing({ balancer: restless, updateIntervalNs: 10 * S, shortestIntervalNs: S });
    sendSome(gateway, 0);
    runTimeouts(gateway, 10 * S);
    expect([gateway.updateIntervalNs, gateway.isIntervalPending]).toEqual([S, false]);
    gateway.useBalancing({ balancer: equal(), updateIntervalNs: 5 * S });
    sendSome(gateway, 10.5 * S);
    runTimeouts(gateway, 11 * S);
    expect(gateway.updateIntervalNs).toBe(5 * S);
  });

  it('refuses bounds with a strategy that keeps the interval, and changes nothing', () => {
    const gateway = start();
    expect(() => gateway.useBalancing({ balancer: loss(), shortestIntervalNs: S })).toThrow(
      /^shortestIntervalNs: /,
    );
    expect(gateway.status().balancer).toBe('equal');
    gateway.useBalancing({ balancer: selfTuning(), shortestIntervalNs: S });
    expect(gateway.status().balancer).toBe('self-tuning');
  });

  it('starts a route that comes up with an equal share when the new strategy never probes', () => {
    const gateway = start(loss(0.1));
    sendSome(gateway, 0);
    gateway.setRouteUp(2, false);
    sendSome(gateway, S);
    gateway.useBalancing({ balancer: loss(0) });
    gateway.setRouteUp(2, true);
    expect(gateway.flowletRatio(0, 2)).toBeCloseTo(1 / 3, 12);
  });
});
