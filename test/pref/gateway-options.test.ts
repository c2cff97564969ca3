import { describe, expect, test } from 'vitest';
import { conservative } from '../../lib/pref/balancers/conservative.ts';
import { selfTuning } from '../../lib/pref/balancers/self-tuning.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import type { GatewayOptions } from '../../lib/pref/gateway-options.ts';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import { ROUTES, S, gatewayWithRoutes } from './gateway-fixture.ts';

describe('the options of the gateway', () => {
  test('need only the routes', () => {
    const settings = checkGatewayOptions({ routes: ROUTES });
    expect([
      settings.scheme.name,
      settings.balancer.name,
      settings.updateIntervalNs,
      settings.startShare,
    ]).toEqual(['pool2', 'loss', 10 * S, 'probe']);
  });

  test('let a balancer that sets the interval choose from a quarter to four times of it', () => {
    const settings = checkGatewayOptions({ routes: ROUTES, balancer: selfTuning() });
    expect([settings.shortestIntervalNs, settings.longestIntervalNs]).toEqual([2.5 * S, 40 * S]);
  });

  test('start routes at the equal share by default when there is nothing to probe with', () => {
    expect(checkGatewayOptions({ routes: ROUTES, balancer: conservative(0) }).startShare).toBe('equal');
  });

  test.each<[Record<string, unknown>, RegExp]>([
    [{ routes: [] }, /routes.length: 0 .* from 1 to 6/],
    [{ routes: [{ pathId: 7, name: 'x' }] }, /routes\[0\].pathId: 7 .* from 1 to 6/],
    [{ routes: [ROUTES[0], { pathId: 1, name: 'x' }] }, /routes\[1\].pathId: 1/],
    [{ routes: [ROUTES[0], { pathId: 2, name: 'west' }] }, /routes\[1\].name: "west"/],
    [{ routes: [{ pathId: 1, name: 'x', mtu: 9000 }] }, /routes\[0\].mtu/],
    [{ scheme: 'pool3' }, /pool3/],
    [{ updateIntervalNs: 10 }, /updateIntervalNs: 10 /],
    [{ shortestIntervalNs: S }, /shortestIntervalNs: 1000000000 .* nothing with balancer loss/],
    [{ longestIntervalNs: S }, /longestIntervalNs: 1000000000 .* nothing with balancer loss/],
    [
      { balancer: selfTuning(), shortestIntervalNs: 11 * S },
      /shortestIntervalNs: 11000000000 .* to 10000000000/,
    ],
    [
      { balancer: selfTuning(), longestIntervalNs: 9 * S },
      /longestIntervalNs: 9000000000 .* from 10000000000/,
    ],
    [{ startShare: 'half' }, /startShare: "half" .* probe or equal/],
    [{ startShare: 'probe', balancer: conservative(0) }, /startShare: "probe" .* betaE is 0/],
    [{ countFneRepeats: 1 }, /countFneRepeats: 1 .* true or false/],
    [{ inferFromSyn: 'yes' }, /inferFromSyn/],
    [{ inferFromAnswer: 0 }, /inferFromAnswer/],
    [{ notLect: 'random' }, /notLect: "random" .* default or hash/],
    [{ exposeTo: [4] }, /exposeTo: 4/],
    [{ fneMemoryEntries: 1000 }, /fneMemoryEntries: 1000 .* power of 2/],
    [{ fneMemoryLifetimeNs: 0 }, /fneMemoryLifetimeNs: 0/],
    [{ fneRatePerDestination: 0 }, /fneRatePerDestination: 0/],
    [{ fneBurstPerDestination: 0 }, /fneBurstPerDestination: 0/],
    [{ fneRateTotal: Number.NaN }, /fneRateTotal: NaN/],
    [{ fneBurstTotal: 0.5 }, /fneBurstTotal: 0.5/],
    [{ inferFailures: 'on' }, /inferFailures/],
    [{ failureWindowNs: 0.1e9 }, /failureWindowNs: 100000000 .* from 200000000 to 800000000/],
    [{ failureShare: 0.4 }, /failureShare: 0.4 .* from 0.5 to 1/],
    [{ failureSample: 65 }, /failureSample: 65 .* from 8 to 64/],
    [{ failureSampleEntries: 1000 }, /failureSampleEntries: 1000 .* power of 2/],
    [{ seed: -1 }, /seed: -1/],
    [{ flowTable: true }, /gateway.flowTable/],
  ])('are refused by name: %j', (options, message) => {
    expect(() => new PrefGateway({ routes: ROUTES, ...options } as unknown as GatewayOptions)).toThrow(
      message,
    );
  });
});

describe('destinations and routes at run time', () => {
  test('refuse what does not exist', () => {
    const gateway = gatewayWithRoutes({}, [1, 2]);
    expect(() => gateway.addDestination(['192.0.2.0/24'], [])).toThrow(/pathIds/);
    expect(() => gateway.addDestination(['192.0.2.0/24'], [5])).toThrow(/pathId: 5 .* configured route/);
    expect(() => gateway.addDestination(['198.51.100.0/24'], [1])).toThrow(/prefixes: "198.51.100.0\/24"/);
    expect(() => gateway.addPrefix(7, '192.0.2.0/24')).toThrow(/destination: 7/);
    expect(() => gateway.removeDestination(-1)).toThrow(/destination: -1/);
    expect(() => gateway.setRouteUp(0, true)).toThrow(/pathId: 0/);
    expect(() => gateway.setDestinationRouteUp(0, 3, true)).toThrow(/pathId: 3 .* route of destination 0/);
    expect(gateway.status().prefixCount).toBe(1);
  });

  test('move a prefix from one destination to another', () => {
    const gateway = gatewayWithRoutes();
    const other = gateway.addDestination(['203.0.113.0/24', '2001:db8::/32'], [1, 2]);
    expect(gateway.addPrefix(other, '198.51.100.0/24')).toBe(0);
    expect(gateway.destinationStatus(0).prefixes).toEqual([]);
    expect([...gateway.destinationStatus(other).prefixes].sort()).toEqual([
      '198.51.100.0/24',
      '2001:db8::/32',
      '203.0.113.0/24',
    ]);
    expect([gateway.removePrefix('198.51.100.0/24'), gateway.removePrefix('198.51.100.0/24')]).toEqual([
      other,
      -1,
    ]);
  });

  test('remove a destination with all its prefixes', () => {
    const gateway = gatewayWithRoutes();
    gateway.addPrefix(0, '2001:db8::/32');
    gateway.removeDestination(0);
    expect([gateway.status().prefixCount, gateway.status().destinationCount]).toEqual([0, 0]);
    expect(gateway.addDestination(['198.51.100.0/24'], [1])).toBe(0);
  });

  test('start a route that comes up at beta_E / N, or equally if told so', () => {
    for (const [startShare, expected] of [
      ['probe', 0.1 / 3],
      ['equal', 1 / 3],
    ] as const) {
      const gateway = gatewayWithRoutes({ startShare });
      gateway.setRouteUp(2, false);
      expect(gateway.flowletRatio(0, 1)).toBe(0.5);
      gateway.setRouteUp(2, true);
      expect(gateway.flowletRatio(0, 2)).toBeCloseTo(expected, 12);
    }
  });
});
