/** Routes of the gateway's configuration file that follow tables, or have NAT. */
import { describe, expect, it } from 'vitest';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { resolveGatewayPlumbing } from '../../lib/runtime/gateway-plumbing-options.ts';
import { gatewayDaemonOptions } from '../../lib/runtime/config-options.ts';
import { loadGatewayConfig } from '../../lib/runtime/config.ts';
import { problemsOf } from './config-problems.ts';

const SAMPLE = new URL('../../docs/samples/gateway-bird.yaml', import.meta.url).pathname;

describe('routes with tables and NAT', () => {
  const withRoutes = (...routes: string[]): string =>
    [
      'inside: { device: lan, prefixes: [10.0.0.0/24] }',
      'routes:',
      ...routes.map((route) => `  - ${route}`),
    ].join('\n');
  const A = '{ name: a, device: wan1, table: 101 }';
  const B = '{ name: b, device: wan2, nextHop: 10.2.0.2 }';

  it('the documented sample parses; routes with next hops alone have destinations of the file', async () => {
    const config = await loadGatewayConfig(SAMPLE);
    expect(config.routes.map(({ name, table, nat }) => [name, table, nat])).toEqual([
      ['north', 101, false],
      ['south', 102, false],
      ['mobile', undefined, true],
    ]);
    const options = gatewayDaemonOptions(config);
    const { routes } = resolveGatewayPlumbing(options.plumbing);
    expect(
      routes.map(({ routeTable, isTableForeign, hasNat }) => [routeTable, isTableForeign, hasNat]),
    ).toEqual([
      [101, true, false],
      [102, true, false],
      [7212, false, true],
    ]);
    expect(checkGatewayOptions(options.gateway).routes.map(({ nat }) => nat)).toEqual([false, false, true]);
    expect(options.destinations).toEqual([
      { prefixes: ['0.0.0.0/0'], pathIds: [3] },
      { prefixes: ['::/0'], pathIds: [1, 2] },
    ]);
  });

  it.each([
    ['{ name: a, device: wan1, table: 0 }', /table: 0 .* a whole number from 1 to 4294967295/],
    ['{ name: a, device: wan1, table: 254 }', /table: 254 .* other than 253 to 255/],
    ['{ name: a, device: wan1, table: 7211 }', /table: 7211 .* that the gateway does not fill itself/],
    ['{ name: a, device: wan1, table: 101, nextHop: 10.1.0.2 }', /table: 101 .* nothing beside nextHop/],
    ['{ name: a, device: wan1, table: 101, nat: maybe }', /nat: "maybe" .* true or false/],
    ['{ name: a, device: wan2, table: 101, nat: true }', /nat: true .* a device that no other route has/],
  ])('%s is refused', async (route, message) => {
    const problems = await problemsOf(withRoutes(route, B));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(message);
  });

  it('a table belongs to one route, and what it leads to cannot be named', async () => {
    expect(await problemsOf(withRoutes(A, '{ name: b, device: wan2, table: 101 }'))).toEqual([
      expect.stringMatching(/routes\[1\]\.table: 101 .* a value that routes\[0\] does not have/),
    ]);
    const named = `${withRoutes(A, B)}\ndestinations: [{ prefixes: [192.0.2.0/24], routes: [b, a] }]`;
    expect(await problemsOf(named)).toEqual([
      expect.stringMatching(/destinations\[0\]\.routes\[1\]: "a" .* what a leads to is in table 101/),
    ]);
    // Two tables over one device are fine.
    expect(await problemsOf(withRoutes(A, '{ name: b, device: wan1, table: 102 }'))).toEqual([]);
  });
});
