/** Several gateways of one domain that tell each other their figures: ratios from the domain's totals. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mixed } from '../../lib/pref/balancers/mixed.ts';
import { selfTuning } from '../../lib/pref/balancers/self-tuning.ts';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import type { GatewayOptions } from '../../lib/pref/gateway-options.ts';
import type { DestinationFigures } from '../../lib/pref/remote-figures.ts';
import { buildTcp } from '../support/packets.ts';
import { INSIDE, ROUTES, S, gatewayWithRoutes, lectOn, lexOn, runTimeouts } from './gateway-fixture.ts';

const PREFIXES = ['198.51.100.0/24', '203.0.113.0/24'];
const ADDRESSES = ['198.51.100.7', '203.0.113.7'];
const PATH_IDS = [1, 2, 3];
const PACKET_BYTES = 1500;

function gatewayOf(options: Partial<GatewayOptions> = {}): PrefGateway {
  const gateway = new PrefGateway({
    routes: ROUTES,
    balancer: mixed({ betaE: 0.1, betaC: 0.3, betaL: 0.6 }),
    ...options,
  });
  for (const prefix of PREFIXES) gateway.addDestination([prefix], PATH_IDS);
  return gateway;
}

/** Sends packets of 1,500 bytes to a destination on a path, the first `lex` of them marked LEx. */
function send(
  gateway: PrefGateway,
  destination: number,
  pathId: number,
  count: number,
  lex: number,
  nowNs: number,
): void {
  for (let i = 0; i < count; i++) {
    const dscp = i < lex ? lexOn(pathId) : lectOn(pathId);
    const bytes = buildTcp({ src: INSIDE, dst: ADDRESSES[destination], dscp, payloadLength: 1460 });
    gateway.handleOutbound(new DataView(bytes.buffer), 0, bytes.length, nowNs);
  }
}

const ratiosOf = (gateway: PrefGateway): number[][] =>
  PREFIXES.map((_, destination) => PATH_IDS.map((pathId) => gateway.flowletRatio(destination, pathId)));

/** Hands everybody's last interval to everybody else, and lets them compute. Returns the time when that is done. */
function exchange(gateways: readonly PrefGateway[], nowNs: number): number {
  const figures = gateways.map((gateway) => gateway.finishedInterval());
  for (const [i, gateway] of gateways.entries()) {
    for (const [j, told] of figures.entries()) if (i !== j) gateway.setRemoteFigures(`gw${j}`, told, nowNs);
  }
  const doneNs = nowNs + 0.5 * S;
  for (const gateway of gateways) runTimeouts(gateway, doneNs);
  return doneNs;
}

/** Packets of one interval: by destination and route, how many each gateway sends and how many of them are LEx. */
const load = fc.record({ count: fc.nat(6), lex: fc.nat(3) });
const interval = (gateways: number) =>
  fc.array(
    fc.array(fc.array(load, { minLength: gateways, maxLength: gateways }), { minLength: 3, maxLength: 3 }),
    {
      minLength: 2,
      maxLength: 2,
    },
  );

describe('gateways that share their figures', () => {
  test('have, after every interval, the ratios of one gateway that saw all traffic', () => {
    const scenario = fc
      .integer({ min: 2, max: 4 })
      .chain((count) =>
        fc.tuple(fc.constant(count), fc.array(interval(count), { minLength: 1, maxLength: 4 })),
      );
    fc.assert(
      fc.property(scenario, ([count, intervals]) => {
        const one = gatewayOf();
        const gateways = Array.from({ length: count }, () => gatewayOf());
        const all = [one, ...gateways];
        for (const gateway of all) gateway.handleTimeout(0);
        for (const [i, destinations] of intervals.entries()) {
          const nowNs = (10 * i + 5) * S;
          for (const [destination, routes] of destinations.entries()) {
            for (const [slot, loads] of routes.entries()) {
              for (const [g, { count: packets, lex }] of loads.entries()) {
                send(gateways[g], destination, slot + 1, packets, lex, nowNs);
                send(one, destination, slot + 1, packets, lex, nowNs);
              }
            }
          }
          const endNs = 10 * (i + 1) * S;
          for (const gateway of all) runTimeouts(gateway, endNs);
          exchange(gateways, endNs);
          for (const gateway of gateways) expect(ratiosOf(gateway)).toEqual(ratiosOf(one));
        }
      }),
      { numRuns: 60 },
    );
  });

  test('that end their intervals at different times have the same ratios once both have heard the other', () => {
    const [a, b] = [gatewayOf(), gatewayOf()];
    a.handleTimeout(0);
    b.handleTimeout(3 * S);
    for (let k = 0; k < 3; k++) {
      send(a, 0, 1, 20, 2 + k, (10 * k + 5) * S);
      send(a, 0, 2, 10, 0, (10 * k + 5) * S);
      send(b, 0, 2, 5, k, (10 * k + 6) * S);
      send(b, 0, 3, 7, 1, (10 * k + 6) * S);
      for (const [told, heard, atNs] of [
        [a, b, 10 * (k + 1) * S],
        [b, a, (10 * (k + 1) + 3) * S],
      ] as const) {
        runTimeouts(told, atNs);
        heard.setRemoteFigures('other', told.finishedInterval(), atNs);
        runTimeouts(heard, atNs + S);
        if (k > 0 || told === b) expect(ratiosOf(heard)[0]).toEqual(ratiosOf(told)[0]);
      }
    }
    expect(ratiosOf(a)[0]).not.toEqual([1 / 3, 1 / 3, 1 / 3]);
  });

  test('with intervals of different length are added as rates', () => {
    const [slow, fast, one] = [gatewayOf(), gatewayOf({ updateIntervalNs: 5 * S }), gatewayOf()];
    for (const gateway of [slow, fast, one]) gateway.handleTimeout(0);
    const loads = [
      [1, 40, 4],
      [2, 20, 2],
    ] as const;
    for (const [pathId, count, lex] of loads) {
      send(slow, 0, pathId, count, lex, S);
      send(fast, 0, pathId, count / 2, lex / 2, S);
      send(one, 0, pathId, 2 * count, 2 * lex, S);
    }
    runTimeouts(fast, 5 * S);
    slow.setRemoteFigures('fast', fast.finishedInterval(), 6 * S);
    runTimeouts(slow, 10 * S);
    runTimeouts(one, 10 * S);
    const told = fast.finishedInterval();
    expect(told.lengthNs).toBe(5 * S);
    expect(told.destinations[0].routes[0]).toEqual({
      pathId: 1,
      isUsable: true,
      bytes: 20 * PACKET_BYTES,
      lexBytes: 2 * PACKET_BYTES,
      fneRepeatBytes: 0,
    });
    expect(ratiosOf(slow)).toEqual(ratiosOf(one));
  });

  test('forget one that is gone: the next interval counts the own traffic alone', () => {
    const [gateway, alone, other] = [gatewayOf(), gatewayOf(), gatewayOf()];
    for (const each of [gateway, alone, other]) each.handleTimeout(0);
    send(other, 0, 3, 50, 0, S);
    for (const each of [gateway, alone]) send(each, 0, 1, 10, 1, S);
    for (const each of [gateway, alone, other]) runTimeouts(each, 10 * S);
    gateway.setRemoteFigures('other', other.finishedInterval(), 10 * S);
    runTimeouts(gateway, 11 * S);
    expect(ratiosOf(gateway)).not.toEqual(ratiosOf(alone));
    gateway.deleteRemoteFigures('other', 12 * S);
    runTimeouts(gateway, 13 * S);
    expect(ratiosOf(gateway)).toEqual(ratiosOf(alone));
    expect(gateway.pollTimeout()).toBe(20 * S);
  });

  test('compute once for messages that come together, a twentieth of an interval after the first', () => {
    const gateway = gatewayOf();
    gateway.handleTimeout(0);
    const told = (bytes: number): { lengthNs: number; destinations: DestinationFigures[] } => ({
      lengthNs: 10 * S,
      destinations: [
        { destination: 0, routes: [{ pathId: 1, isUsable: true, bytes, lexBytes: 0, fneRepeatBytes: 0 }] },
      ],
    });
    gateway.setRemoteFigures('a', told(1000), 2 * S);
    expect(gateway.pollTimeout()).toBe(2.5 * S);
    gateway.setRemoteFigures('b', told(1000), 2.4 * S);
    gateway.handleTimeout(2.4 * S);
    expect(gateway.flowletRatio(0, 1)).toBe(1 / 3);
    gateway.handleTimeout(2.5 * S);
    expect(gateway.pollTimeout()).toBe(10 * S);
    expect(gateway.intervals).toBe(0);
  });

  test('pass over destinations and routes that they do not have', () => {
    const gateway = gatewayOf();
    gateway.handleTimeout(0);
    const routes = [
      { pathId: 9, isUsable: true, bytes: 5000, lexBytes: 10, fneRepeatBytes: 0 },
      { pathId: 200, isUsable: true, bytes: 5000, lexBytes: 10, fneRepeatBytes: 0 },
    ];
    gateway.setRemoteFigures(
      'a',
      {
        lengthNs: 10 * S,
        destinations: [
          { destination: 77, routes },
          { destination: 0, routes },
        ],
      },
      0,
    );
    runTimeouts(gateway, 9 * S);
    expect(ratiosOf(gateway)[0]).toEqual([1 / 3, 1 / 3, 1 / 3]);
    gateway.removeDestination(0);
    runTimeouts(gateway, 11 * S);
    expect(gateway.status().destinationCount).toBe(1);
  });
});

describe('a gateway that cannot use all routes', () => {
  const told = (
    routes: readonly (readonly [pathId: number, isUsable: boolean, bytes: number, lexBytes: number])[],
  ) => ({
    lengthNs: 10 * S,
    destinations: [
      {
        destination: 0,
        routes: routes.map(([pathId, isUsable, bytes, lexBytes]) => ({
          pathId,
          isUsable,
          bytes,
          lexBytes,
          fneRepeatBytes: 0,
        })),
      },
    ],
  });

  test('does not make the others leave the routes that it lacks', () => {
    // No loss anywhere: f(C) and f(L) keep the split, so nothing may move.
    const gateway = gatewayWithRoutes({ balancer: mixed({ betaE: 0, betaC: 0.5, betaL: 0.5 }) });
    gateway.handleTimeout(0);
    gateway.setRemoteFigures(
      'a',
      told([
        [1, true, 800_000, 0],
        [2, true, 800_000, 0],
        [3, false, 0, 0],
      ]),
      S,
    );
    for (let pathId = 1; pathId <= 3; pathId++) send(gateway, 0, pathId, 10, 0, S);
    runTimeouts(gateway, 10 * S);
    for (const pathId of PATH_IDS) expect(gateway.flowletRatio(0, pathId)).toBeCloseTo(1 / 3, 9);
  });

  test('tells what it knows of the losses on the others', () => {
    const [alone, gateway] = [gatewayWithRoutes(), gatewayWithRoutes()];
    for (const each of [alone, gateway]) {
      each.handleTimeout(0);
      for (let pathId = 1; pathId <= 3; pathId++) send(each, 0, pathId, 100, 1, S);
    }
    gateway.setRemoteFigures(
      'a',
      told([
        [1, true, 600_000, 60_000],
        [2, true, 600_000, 0],
      ]),
      S,
    );
    for (const each of [alone, gateway]) runTimeouts(each, 10 * S);
    expect(gateway.flowletRatio(0, 1)).toBeLessThan(alone.flowletRatio(0, 1) / 2);
    expect(gateway.flowletRatio(0, 2)).toBeGreaterThan(gateway.flowletRatio(0, 3));
  });

  test('counts what others carried on its own routes, and nothing of those that are down here', () => {
    const [gateway, expected] = [gatewayWithRoutes(), gatewayWithRoutes()];
    for (const each of [gateway, expected]) {
      each.handleTimeout(0);
      each.setRouteUp(3, false);
      send(each, 0, 1, 10, 1, S);
      send(each, 0, 2, 10, 0, S);
    }
    gateway.setRemoteFigures(
      'a',
      told([
        [1, true, 15_000, 0],
        [2, true, 30_000, 1500],
        [3, true, 900_000, 0],
      ]),
      S,
    );
    send(expected, 0, 1, 10, 0, S);
    send(expected, 0, 2, 20, 1, S);
    for (const each of [gateway, expected]) runTimeouts(each, 10 * S);
    expect(firstRatiosOf(gateway)).toEqual(firstRatiosOf(expected));
  });

  const firstRatiosOf = (gateway: PrefGateway): number[] =>
    PATH_IDS.map((pathId) => gateway.flowletRatio(0, pathId));
});

describe('a late computation', () => {
  test('leaves a destination alone whose routes changed since the figures were taken', () => {
    const gateway = gatewayWithRoutes({ startShare: 'equal' });
    gateway.handleTimeout(0);
    gateway.setRouteUp(3, false);
    const figures = [1, 2].map((pathId) => ({
      pathId,
      isUsable: true,
      bytes: 30_000,
      lexBytes: 0,
      fneRepeatBytes: 0,
    }));
    const told = { lengthNs: 10 * S, destinations: [{ destination: 0, routes: figures }] };
    gateway.setRemoteFigures('a', told, S);
    send(gateway, 0, 1, 20, 0, S);
    send(gateway, 0, 2, 20, 0, S);
    runTimeouts(gateway, 10 * S);
    gateway.setRouteUp(3, true);
    expect(gateway.flowletRatio(0, 3)).toBeCloseTo(1 / 3, 9);
    gateway.setRemoteFigures('a', told, 11 * S);
    runTimeouts(gateway, 15 * S);
    expect(gateway.flowletRatio(0, 3)).toBeCloseTo(1 / 3, 9);
  });

  test('does not change the interval of a balancer that sets it', () => {
    const gateway = gatewayWithRoutes({ balancer: selfTuning() });
    gateway.handleTimeout(0);
    for (const pathId of [1, 2]) send(gateway, 0, pathId, 400, 20, S);
    runTimeouts(gateway, 10 * S);
    expect(gateway.updateIntervalNs).toBe(20 * S);
    gateway.useBalancing({ balancer: selfTuning(), updateIntervalNs: 5 * S });
    gateway.setRemoteFigures(
      'a',
      {
        lengthNs: 10 * S,
        destinations: [
          {
            destination: 0,
            routes: [{ pathId: 1, isUsable: true, bytes: 1e6, lexBytes: 0, fneRepeatBytes: 0 }],
          },
        ],
      },
      12 * S,
    );
    runTimeouts(gateway, 15 * S);
    expect([gateway.intervals, gateway.updateIntervalNs, gateway.isIntervalPending]).toEqual([
      1,
      20 * S,
      true,
    ]);
    expect(gateway.pollTimeout()).toBeLessThanOrEqual(30 * S);
  });
});

describe('the figures of a finished interval', () => {
  test('are those of the destinations that had traffic, as many as asked for', () => {
    const gateway = gatewayOf();
    expect(gateway.finishedInterval()).toEqual({ lengthNs: 10 * S, destinations: [], leftOut: 0 });
    gateway.handleTimeout(0);
    send(gateway, 1, 2, 3, 1, S);
    expect([gateway.finishedIntervals, gateway.finishedInterval().destinations]).toEqual([0, []]);
    runTimeouts(gateway, 10 * S);
    expect(gateway.finishedIntervals).toBe(1);
    const figures = gateway.finishedInterval();
    expect(figures.destinations.map(({ destination }) => destination)).toEqual([1]);
    expect(figures.destinations[0].routes[1]).toMatchObject({ bytes: 4500, lexBytes: 1500, isUsable: true });
    send(gateway, 0, 1, 1, 0, 11 * S);
    send(gateway, 1, 1, 1, 0, 11 * S);
    gateway.setRouteUp(1, false);
    runTimeouts(gateway, 20 * S);
    const both = gateway.finishedInterval(1);
    expect([both.destinations.length, both.destinations[0].destination, both.leftOut]).toEqual([1, 0, 1]);
    expect(both.destinations[0].routes.map(({ isUsable }) => isUsable)).toEqual([false, true, true]);
  });

  test('are not of a destination that was removed since, nor of the one that took its index', () => {
    const gateway = gatewayOf();
    gateway.handleTimeout(0);
    send(gateway, 0, 1, 3, 0, S);
    runTimeouts(gateway, 10 * S);
    gateway.removeDestination(0);
    expect(gateway.finishedInterval().destinations).toEqual([]);
    expect(gateway.addDestination(['192.0.2.0/24'], PATH_IDS)).toBe(0);
    expect(gateway.finishedInterval().destinations).toEqual([]);
  });

  test('of many destinations are complete when all books are closed', () => {
    const gateway = new PrefGateway({ routes: ROUTES });
    for (let i = 0; i < 5000; i++) gateway.addDestination([`100.${64 + (i >> 8)}.${i & 255}.0/24`], [1, 2]);
    for (let i = 0; i < 5000; i++) {
      const bytes = buildTcp({ src: INSIDE, dst: `100.${64 + (i >> 8)}.${i & 255}.1`, dscp: lectOn(1) });
      gateway.handleOutbound(new DataView(bytes.buffer), 0, bytes.length, 0);
    }
    gateway.handleTimeout(10 * S);
    expect([gateway.intervals, gateway.finishedIntervals]).toEqual([1, 0]);
    gateway.handleTimeout(10 * S);
    expect([gateway.finishedIntervals, gateway.finishedInterval().destinations.length]).toEqual([1, 5000]);
  });
});
