import { describe, expect, test } from 'vitest';
import { mixed } from '../../lib/pref/balancers/mixed.ts';
import { selfTuning } from '../../lib/pref/balancers/self-tuning.ts';
import type { PrefGateway } from '../../lib/pref/gateway.ts';
import { buildTcp } from '../support/packets.ts';
import {
  FNE,
  INSIDE,
  MS,
  S,
  SYN,
  gatewayWithRoutes,
  lectOn,
  lexOn,
  routeOf,
  runTimeouts,
  sendOut,
  tcpOut,
} from './gateway-fixture.ts';

/** Sends `count` packets of 1,500 bytes on a path. */
function sendMany(gateway: PrefGateway, dscp: number, count: number, nowNs: number): void {
  for (let i = 0; i < count; i++) sendOut(gateway, tcpOut({ dscp, payloadLength: 1460 }), nowNs);
}

const ratios = (gateway: PrefGateway): number[] => [1, 2, 3].map((pathId) => gateway.flowletRatio(0, pathId));

describe('the update interval', () => {
  test('begins with the first packet', () => {
    const gateway = gatewayWithRoutes();
    expect(gateway.pollTimeout()).toBe(Infinity);
    sendOut(gateway, tcpOut(), 5 * S);
    expect(gateway.pollTimeout()).toBe(15 * S);
    gateway.handleTimeout(14 * S);
    expect([gateway.status().intervals, gateway.pollTimeout()]).toEqual([0, 15 * S]);
    gateway.handleTimeout(15 * S);
    expect([gateway.status().intervals, gateway.pollTimeout()]).toEqual([1, 25 * S]);
  });

  test('that was missed is not made up for', () => {
    const gateway = gatewayWithRoutes({ updateIntervalNs: 100 * MS });
    gateway.handleTimeout(0);
    gateway.handleTimeout(5 * S);
    expect([gateway.status().intervals, gateway.pollTimeout()]).toEqual([1, 5.1 * S]);
  });

  test('ends with ratios by equation 3', () => {
    const gateway = gatewayWithRoutes({
      balancer: mixed({ betaE: 0.3, betaC: 0.3, betaL: 0.4, shrinkBytes: 150_000 }),
    });
    // T = 150, 150, 300 kB; L = 15, 0, 0 kB; p = 1 / 40, k p = 3,750.
    sendMany(gateway, lectOn(1), 90, 0);
    sendMany(gateway, lexOn(1), 10, 0);
    sendMany(gateway, lectOn(2), 100, 0);
    sendMany(gateway, lectOn(3), 200, 0);
    runTimeouts(gateway, 10 * S);
    const shares = [150_000 / (18_750 / 300_000), 150_000 / (3_750 / 300_000), 300_000 / (3_750 / 450_000)];
    const sum = shares[0] + shares[1] + shares[2];
    const expected = [0.25, 0.25, 0.5].map((split, i) => 0.1 + 0.3 * split + (0.4 * shares[i]) / sum);
    for (const [i, ratio] of ratios(gateway).entries()) expect(ratio).toBeCloseTo(expected[i], 12);
  });

  test('ends without a change for a destination without traffic', () => {
    const gateway = gatewayWithRoutes();
    sendMany(gateway, lexOn(1), 100, 0);
    sendMany(gateway, lectOn(2), 100, 0);
    runTimeouts(gateway, 10 * S);
    const before = ratios(gateway);
    expect(before).not.toEqual([1 / 3, 1 / 3, 1 / 3]);
    runTimeouts(gateway, 20 * S);
    expect(ratios(gateway)).toEqual(before);
  });

  test('counts repeated FNE packets as loss unless told otherwise', () => {
    const after = [true, false].map((countFneRepeats) => {
      const gateway = gatewayWithRoutes({ countFneRepeats }, [1, 2]);
      for (let port = 1; port <= 200; port++) {
        const syn = (): Uint8Array => tcpOut({ dscp: FNE, tcpFlags: SYN, srcPort: port });
        const first = sendOut(gateway, syn(), 0).pathId;
        // Route 1 loses every SYN.
        if (first === 1) sendOut(gateway, syn(), 1 * S);
        else sendOut(gateway, tcpOut({ dscp: lectOn(2), srcPort: port }), 1 * S);
      }
      runTimeouts(gateway, 10 * S);
      return routeOf(gateway, 1);
    });
    expect(after[0].lossRatio).toBeGreaterThan(0.9);
    expect(after[1].lossRatio).toBe(0);
    expect(after[0].flowletRatio).toBeLessThan(after[1].flowletRatio);
    expect(after[1].fneRepeatBytes).toBe(after[0].fneRepeatBytes);
  });

  test('leaves out routes that are down, and N counts the others', () => {
    const gateway = gatewayWithRoutes();
    sendMany(gateway, lectOn(1), 100, 0);
    sendMany(gateway, lectOn(2), 100, 0);
    gateway.setRouteUp(1, false);
    runTimeouts(gateway, 10 * S);
    expect(ratios(gateway)).toEqual([0, expect.closeTo(0.95, 12), expect.closeTo(0.05, 12)]);
  });

  test('updates many destinations in steps of 4,096, and only those with traffic', () => {
    const gateway = gatewayWithRoutes();
    for (let i = 0; i < 10_000; i++) gateway.addDestination([`100.${64 + (i >> 8)}.${i & 255}.0/24`], [1, 2]);
    for (let i = 0; i < 10_000; i += 2) {
      sendOut(
        gateway,
        buildTcp({ src: INSIDE, dst: `100.${64 + (i >> 8)}.${i & 255}.1`, dscp: lectOn(1) }),
        0,
      );
    }
    let steps = 0;
    while (gateway.pollTimeout() <= 10 * S) {
      gateway.handleTimeout(10 * S);
      steps++;
    }
    expect([steps, gateway.pollTimeout()]).toEqual([2, 20 * S]);
    expect([gateway.flowletRatio(1, 1), gateway.flowletRatio(2, 1)]).toEqual([expect.closeTo(0.95, 12), 0.5]);
    expect([gateway.flowletRatio(9_999, 1), gateway.flowletRatio(10_000, 1)]).toEqual([
      expect.closeTo(0.95, 12),
      0.5,
    ]);
  });
});

describe('an interval that the balancer sets', () => {
  /** Old flows lose so many packets each on routes 1 and 2, from `nowNs`. */
  const lose = (gateway: PrefGateway, count: number, nowNs: number): void => {
    for (const pathId of [1, 2]) {
      sendMany(gateway, lectOn(pathId), count * 20, nowNs);
      sendMany(gateway, lexOn(pathId), count, nowNs);
    }
  };

  test('is stretched while little is lost, as far as allowed, and shortened again when there is plenty', () => {
    const gateway = gatewayWithRoutes({ balancer: selfTuning(), longestIntervalNs: 30 * S });
    lose(gateway, 20, 0);
    runTimeouts(gateway, 10 * S);
    expect([gateway.updateIntervalNs, gateway.status().updateIntervalNs]).toEqual([20 * S, 20 * S]);
    lose(gateway, 20, 11 * S);
    runTimeouts(gateway, 30 * S);
    expect([gateway.intervals, gateway.updateIntervalNs]).toEqual([2, 30 * S]);
    // A surge ends the stretched interval at a multiple of the configured 10 s.
    lose(gateway, 400, 31 * S);
    runTimeouts(gateway, 40 * S);
    expect(gateway.intervals).toBe(3);
    for (let port = 1; port <= 400; port++) {
      const from = { srcPort: port, dscp: FNE };
      const { pathId } = sendOut(gateway, tcpOut({ ...from, tcpFlags: SYN }), 41 * S);
      for (let i = 0; i < 8; i++) {
        sendOut(gateway, tcpOut({ ...from, dscp: lexOn(pathId), payloadLength: 1460 }), 41 * S);
      }
    }
    const before = gateway.updateIntervalNs;
    runTimeouts(gateway, 40 * S + before);
    expect(gateway.updateIntervalNs).toBe(before / 2);
  });

  test('is the mean of what the destinations want, by their bytes', () => {
    const gateway = gatewayWithRoutes({
      balancer: { ...selfTuning(), wantedIntervalNs: (_n, bytes) => bytes[0] },
    });
    gateway.addDestination(['192.0.2.0/24'], [1]);
    const toOther = (): Uint8Array =>
      buildTcp({ src: INSIDE, dst: '192.0.2.1', dscp: lectOn(1), payloadLength: 1460 });
    // 6 MB and 3 MB, and as many ms wanted: exp((6 ln 6 + 3 ln 3) / 9) ms = 4.76 ms is below the bound.
    sendMany(gateway, lectOn(1), 4000, 0);
    for (let i = 0; i < 2000; i++) sendOut(gateway, toOther(), 0);
    runTimeouts(gateway, 10 * S);
    expect(gateway.updateIntervalNs).toBe(2.5 * S);
    const free = gatewayWithRoutes({
      balancer: { ...selfTuning(), wantedIntervalNs: (_n, bytes) => bytes[0] },
      updateIntervalNs: 10 * MS,
      shortestIntervalNs: MS,
    });
    free.addDestination(['192.0.2.0/24'], [1]);
    sendMany(free, lectOn(1), 4000, 0);
    for (let i = 0; i < 2000; i++) sendOut(free, toOther(), 0);
    runTimeouts(free, 10 * MS);
    expect(free.updateIntervalNs).toBeCloseTo(MS * 6 ** (2 / 3) * 3 ** (1 / 3), 0);
  });
});

describe('the status', () => {
  test('shows the last complete interval and the totals of each route', () => {
    const gateway = gatewayWithRoutes();
    sendMany(gateway, lectOn(1), 3, 0);
    sendMany(gateway, lexOn(1), 1, 0);
    runTimeouts(gateway, 10 * S);
    sendMany(gateway, lectOn(1), 2, 11 * S);
    const [west] = gateway.status().destinations[0].routes;
    expect(west).toEqual({
      pathId: 1,
      name: 'west',
      up: true,
      suspended: false,
      bytes: 6000,
      lexBytes: 1500,
      fneRepeatBytes: 0,
      lossRatio: 0.25,
      flowlets: 0,
      flowletRatio: gateway.flowletRatio(0, 1),
      total: { bytes: 9000, lexBytes: 1500, fneRepeatBytes: 0, lossRatio: 1500 / 9000, flowlets: 0 },
    });
    expect(gateway.status().routes[0]).toMatchObject({ bytes: 6000, total: { bytes: 9000 } });
  });

  test('is plain JSON, and lists as many destinations as asked for', () => {
    const gateway = gatewayWithRoutes();
    gateway.addDestination(['192.0.2.0/24'], [2]);
    const status = gateway.status(1);
    expect(JSON.parse(JSON.stringify(status))).toEqual(status);
    expect([status.destinations.length, status.destinationCount]).toEqual([1, 2]);
    expect(gateway.destinationStatus(1).routes.map((route) => route.name)).toEqual(['north']);
  });
});
