/** Plans of the gateway's plumbing as pure functions: from a machine's state to the commands, without a machine. */
import { describe, expect, it } from 'vitest';
import type { Rule } from '../../lib/netns/index.ts';
import { describeChanges } from '../../lib/runtime/change.ts';
import { allTables, planGatewayPlumbing } from '../../lib/runtime/gateway-plan.ts';
import { resolveGatewayPlumbing } from '../../lib/runtime/gateway-plumbing-options.ts';
import { kernelDiversion, ownTables, planKernelPlumbing } from '../../lib/runtime/gateway-kernel-plan.ts';
import { requireMarkMask } from '../../lib/runtime/mark-mask.ts';
import { localRule, machine, route } from './machine.ts';

describe('the plan of a gateway', () => {
  const devices = ['lo', 'lan', 'wan1', 'wan2', 'pref-in', 'pref-a', 'pref-b'];
  const base = {
    insideDevice: 'lan',
    insidePrefixes: ['10.0.0.0/24'],
    routes: [
      { name: 'a', device: 'wan1', nextHop: '10.1.0.2' },
      { name: 'b', device: 'wan2', nextHop: '172.16.0.1' },
    ],
    destinations: ['0.0.0.0/0'],
  };
  const state = machine(devices, {
    mainRoutes: {
      4: [route('default', 'wan1'), route('10.1.0.0/24', 'wan1'), route('10.2.0.0/24', 'wan2')],
      6: [],
    },
    sysctls: new Map(),
  });

  it('fills the tables first, then makes the rules, and diverts the inside last', () => {
    const { changes, warnings } = planGatewayPlumbing(state, resolveGatewayPlumbing(base));
    expect(warnings).toEqual([
      'Route "b": no network of wan2 has the next hop 172.16.0.1; it is looked for on the link itself.',
    ]);
    expect(
      describeChanges(changes)
        .split('\n')
        .filter((line) => line.startsWith('ip -4')),
    ).toEqual([
      'ip -4 route add default via 10.1.0.2 dev wan1 table 7210',
      'ip -4 route add 10.0.0.0/24 dev pref-a table 7240',
      'ip -4 route add default via 172.16.0.1 dev wan2 onlink table 7211',
      'ip -4 route add 10.0.0.0/24 dev pref-b table 7241',
      'ip -4 route add 0.0.0.0/0 dev pref-in table 7200',
      'ip -4 route add throw 10.0.0.0/24 table 7200',
      'ip -4 route add throw 10.1.0.0/24 table 7200',
      'ip -4 route add throw 10.2.0.0/24 table 7200',
      'ip -4 rule add priority 7010 iif pref-a lookup 7210',
      'ip -4 rule add priority 7020 to 10.0.0.0/24 iif wan1 lookup 7240',
      'ip -4 rule add priority 7010 iif pref-b lookup 7211',
      'ip -4 rule add priority 7020 to 10.0.0.0/24 iif wan2 lookup 7241',
      'ip -4 rule add priority 7030 iif lan lookup 7200',
    ]);
  });

  it('a table of somebody else is looked into and left alone; behind one with NAT the search ends', () => {
    const routes = [
      { name: 'a', device: 'wan1', table: 101, nat: true },
      { name: 'b', device: 'wan2', table: 102 },
    ];
    const resolved = resolveGatewayPlumbing({ ...base, routes });
    const { changes } = planGatewayPlumbing(state, resolved);
    const lines = describeChanges(changes).split('\n');
    expect(lines.filter((line) => /table 10[12]$/.test(line))).toEqual([]);
    expect(lines.filter((line) => line.includes('priority 7010'))).toEqual([
      'ip -4 rule add priority 7010 iif pref-a lookup 101',
      'ip -4 rule add priority 7010 iif pref-a unreachable',
      'ip -4 rule add priority 7010 iif pref-b lookup 102',
    ]);
    expect(allTables(resolved)).toEqual([7200, 7240, 7241]);
  });

  it('what comes in over a device that two routes share belongs to the first', () => {
    const routes = [base.routes[0]!, { name: 'b', device: 'wan1', nextHop: '10.1.0.3' }];
    const text = describeChanges(
      planGatewayPlumbing(state, resolveGatewayPlumbing({ ...base, routes })).changes,
    );
    expect(text.match(/iif wan1 lookup/g)).toHaveLength(1);
    expect(text).toContain('default via 10.1.0.3 dev wan1 table 7211');
  });

  it('a prefix that the user names is diverted even where the main table knows it', () => {
    const text = describeChanges(
      planGatewayPlumbing(
        state,
        resolveGatewayPlumbing({ ...base, destinations: ['0.0.0.0/0', '10.2.0.0/24'] }),
      ).changes,
    );
    expect(text).toContain('route add 10.2.0.0/24 dev pref-in table 7200');
    expect(text).not.toContain('throw 10.2.0.0/24');
  });

  it.each([
    [{ routes: [] }, /routes: \[\] is not allowed; it takes at least one route/],
    [{ insidePrefixes: ['10.0.0.1/24'] }, /insidePrefixes: "10.0.0.1\/24" is not allowed/],
    [{ destinations: ['::/0'] }, /a prefix of an IP version that the inside has/],
    [{ insideDevice: 'wan1' }, /device: "wan1" is not allowed; it takes each value once/],
    [{ routes: [base.routes[0]!, { ...base.routes[0]!, name: 'b' }] }, /routes \(device and next hops\)/],
    [
      { routes: [{ name: 'a', device: 'wan1', nextHop: 'fe80::1' }] },
      /routes\[0\].nextHop: "fe80::1" is not allowed; it takes an IPv4 address/,
    ],
  ])('refuses bad options: %j', (bad, message) => {
    expect(() => resolveGatewayPlumbing({ ...base, ...bad })).toThrow(message);
  });
});

describe('the plan of a gateway in the kernel', () => {
  const devices = ['lo', 'lan', 'wan1', 'wan2'];
  const base = {
    insideDevice: 'lan',
    insidePrefixes: ['10.0.0.0/24'],
    routes: [
      { name: 'a', device: 'wan1', nextHop: '10.1.0.2' },
      { name: 'b', device: 'wan2', table: 102 },
    ],
    destinations: ['0.0.0.0/0'],
  };
  const options = resolveGatewayPlumbing(base);
  const mainRoutes = {
    4: [route('default', 'wan1'), route('10.1.0.0/24', 'wan1'), route('10.8.0.0/16', 'vpn')],
    6: [],
  };
  const state = machine(devices, { mainRoutes, sysctls: new Map() });
  const kernel = {
    mark: requireMarkMask('markMask', 0x3f00_0000),
    pathIds: new Map([
      ['a', 1],
      ['b', 6],
    ]),
    standing: new Set<string>(),
  };

  it('the tables that nobody else fills are known by the path IDs of their routes', () => {
    const pathIds = new Map([
      ['a', 5],
      ['b', 2],
    ]);
    expect(ownTables(options, pathIds)).toEqual(new Set([5]));
  });

  it('fills its tables, then looks into the table of a route by the mark, of what comes from inside alone', () => {
    const { changes, warnings } = planKernelPlumbing(state, options, kernel);
    expect(warnings).toEqual([]);
    expect(describeChanges(changes).split('\n')).toEqual([
      'ip -4 route replace default via 10.1.0.2 dev wan1 table 7210',
      'ip -4 rule add priority 7010 iif lan fwmark 0x1000000/0x3f000000 lookup 7210',
      'ip -4 rule add priority 7010 iif lan fwmark 0x6000000/0x3f000000 lookup 102',
    ]);
  });

  it.each([
    ['10.1.0.2', []],
    [
      '10.9.0.2',
      ['Route "a": no network of wan1 has the next hop 10.9.0.2; it is looked for on the link itself.'],
    ],
  ])('warns of a next hop that no network of the device has, and uses it: %s', (nextHop, warnings) => {
    const routes = options.routes.map((route) =>
      route.name === 'a' ? { ...route, nextHops: { 4: nextHop, 6: undefined } } : route,
    );
    const plan = planKernelPlumbing(
      { ...state, mainRoutes: { 4: [route('10.1.0.0/24', 'wan1')], 6: [] } },
      { ...options, routes },
      kernel,
    );
    expect(plan.warnings).toEqual(warnings);
    expect(describeChanges(plan.changes)).toContain(`ip -4 route replace default via ${nextHop} dev wan1`);
  });

  it('takes what an earlier daemon made for its own, and warns of rules that look at its bits of the mark', () => {
    const { changes } = planKernelPlumbing(state, options, kernel);
    const standing = new Set(changes.map(({ key }) => key));
    const own: Rule = {
      family: 4,
      priority: 7010,
      iif: 'lan',
      fwmark: { value: 0x1000000, mask: 0x3f000000 },
      table: 7210,
      other: '',
    };
    const other: Rule = {
      ...own,
      priority: 8000,
      iif: undefined,
      fwmark: { value: 1, mask: 0x1000001 },
      table: 9,
    };
    const rules = { 4: [localRule(4), own, other], 6: [] };
    const again = planKernelPlumbing({ ...state, rules }, options, { ...kernel, standing });
    expect(again.changes.map(({ key }) => key)).toEqual([...standing]);
    expect(again.warnings).toEqual([
      expect.stringMatching(/rule "priority 8000 fwmark 0x1\/0x1000001 lookup 9" looks at bits .*"markMask"/),
    ]);
    expect(() => planKernelPlumbing({ ...state, rules }, options, kernel)).toThrow(/table 7210 is in use/);
  });

  it('leaves alone what the main table knows better, the machine itself, and groups', () => {
    const { diverted, passed } = kernelDiversion(state, options);
    expect(diverted).toEqual(['0.0.0.0/0']);
    expect(passed).toEqual([
      ...['10.0.0.0/24', '10.1.0.0/24', '10.8.0.0/16'],
      ...['224.0.0.0/4', '255.255.255.255/32', '169.254.0.0/16', '10.0.0.1/32'],
      '::/0',
    ]);
    const some = kernelDiversion(state, resolveGatewayPlumbing({ ...base, destinations: ['100.64.0.0/10'] }));
    expect(some.diverted).toEqual(['100.64.0.0/10']);
    expect(some.passed).toContain('0.0.0.0/0');
  });

  it('leaves all of an IP version alone of which nothing is inside, whatever the destinations are', () => {
    const both = ['0.0.0.0/0', '::/0'];
    const only4 = kernelDiversion(state, resolveGatewayPlumbing({ ...base, destinations: both }));
    expect(only4.diverted).toEqual(['0.0.0.0/0']);
    expect(only4.passed).toContain('::/0');
    const insidePrefixes = ['2001:db8::/32'];
    const only6 = kernelDiversion(
      state,
      resolveGatewayPlumbing({ ...base, insidePrefixes, destinations: both }),
    );
    expect(only6.diverted).toEqual(['::/0']);
    expect(only6.passed).toContain('0.0.0.0/0');
  });

  it.each([0, 0x1f00_0000, 0x5f00_0000, -1, 2 ** 32])('refuses the mask %j', (mask) => {
    expect(() => requireMarkMask('markMask', mask)).toThrow(/markMask: .* whose ones stand together/);
  });

  it('takes masks at both ends of the mark', () => {
    expect(requireMarkMask('markMask', 0x3f)).toEqual({ mask: 0x3f, shift: 0, width: 6 });
    expect(requireMarkMask('markMask', 0xff00_0000)).toEqual({ mask: 0xff00_0000, shift: 24, width: 8 });
  });
});
