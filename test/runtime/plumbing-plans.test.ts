/** Plans of the plumbing as pure functions: from a machine's state to the commands, without a machine. */
import { describe, expect, it } from 'vitest';
import type { Link, Route, Rule } from '../../lib/netns/index.ts';
import { describeChanges } from '../../lib/runtime/change.ts';
import { ownTables } from '../../lib/runtime/gateway-ebpf-datapath.ts';
import { allTables, planGatewayPlumbing, resolveGatewayPlumbing } from '../../lib/runtime/gateway-plan.ts';
import { kernelDiversion, planKernelPlumbing } from '../../lib/runtime/gateway-kernel-plan.ts';
import { planHostPlumbing, resolveHostPlumbing } from '../../lib/runtime/host-plan.ts';
import type { MachineState } from '../../lib/runtime/machine-state.ts';
import { requireMarkMask } from '../../lib/runtime/mark-mask.ts';
import { mirrorRoutes, routeDifference } from '../../lib/runtime/route-mirror.ts';

const link = (name: string, more: Partial<Link> = {}): Link => ({
  name,
  index: 1,
  mtu: 1500,
  txQueueLength: 1000,
  isUp: true,
  hasCarrier: true,
  kind: '',
  ...more,
});

const route = (prefix: string, device: string, more: Partial<Route> = {}): Route => ({
  family: prefix.includes(':') ? 6 : 4,
  prefix,
  type: 'unicast',
  hops: [{ device, via: undefined }],
  metric: 0,
  attributes: {},
  ...more,
});

const localRule = (family: 4 | 6): Rule => ({ family, priority: 0, table: 255, other: '' });

function machine(devices: readonly string[], more: Partial<MachineState> = {}): MachineState {
  return {
    links: devices.map((name) => link(name)),
    addresses: [
      {
        device: 'eth0',
        family: 4,
        address: '10.0.0.1',
        prefixLength: 24,
        scope: 'global',
        isTentative: false,
      },
      {
        device: 'eth0',
        family: 6,
        address: 'fd00::1',
        prefixLength: 64,
        scope: 'global',
        isTentative: false,
      },
    ],
    rules: { 4: [localRule(4)], 6: [localRule(6)] },
    mainRoutes: {
      4: [route('default', 'eth0'), route('10.8.0.0/16', 'vpn')],
      6: [route('default', 'eth0'), route('fe80::/64', 'eth0')],
    },
    ownTables: new Map(),
    sysctls: new Map([
      ['net/ipv4/ip_early_demux', '1'],
      ['net/ipv4/conf/all/rp_filter', '2'],
      ['net/ipv4/conf/default/rp_filter', '0'],
      ['net/ipv4/conf/eth0/rp_filter', '1'],
      ['net/ipv4/conf/lex0/rp_filter', '2'],
      ['net/ipv4/conf/all/forwarding', '0'],
      ['net/ipv4/conf/eth0/forwarding', '0'],
      ['net/ipv6/conf/all/forwarding', '0'],
      ['net/ipv6/conf/eth0/accept_ra', '1'],
      ['net/ipv6/conf/eth0/forwarding', '0'],
      ['net/ipv6/conf/eth1/forwarding', '1'],
    ]),
    peerKeys: new Set(),
    ...more,
  };
}

describe('the plan of a host', () => {
  const devices = ['lo', 'eth0', 'eth1', 'vpn', 'lex0', 'lex1'];
  const options = resolveHostPlumbing({ addresses: ['10.0.0.1'], device: 'eth0' });

  it('sets settings and routes first, moves the local table without a gap, and diverts what is sent last', () => {
    const lines = describeChanges(planHostPlumbing(machine(devices), options).changes).split('\n');
    expect(lines).toEqual([
      'ip -4 rule add priority 26 iif eth0 blackhole',
      'sysctl -w net/ipv4/ip_early_demux=0',
      'sysctl -w net/ipv4/conf/default/rp_filter=2',
      'sysctl -w net/ipv4/conf/eth0/rp_filter=2',
      'sysctl -w net/ipv4/conf/all/rp_filter=0',
      'sysctl -w net/ipv4/conf/eth0/forwarding=1',
      'ip link set dev lex0 mtu 1500 txqueuelen 10000',
      'sysctl -w net/ipv4/conf/lex0/rp_filter=0',
      'ip link set dev lex1 mtu 1500 txqueuelen 10000',
      'ip -4 route add 10.0.0.1 dev lex1 table 7101',
      'ip -4 route add throw 224.0.0.0/4 table 7100',
      'ip -4 route add throw 255.255.255.255/32 table 7100',
      'ip -4 route add default dev lex0 src 10.0.0.1 table 7100',
      'ip -4 route add throw 10.8.0.0/16 table 7100',
      'ip -4 rule add priority 25 lookup 255',
      'ip -4 rule add priority 20 iif eth0 ipproto tcp lookup 7101',
      'ip -4 rule add priority 20 iif eth0 ipproto udp lookup 7101',
      'ip -4 rule del priority 0 lookup 255',
      'ip -4 rule add priority 30 from 10.0.0.1/32 iif lo ipproto tcp lookup 7100',
      'ip -4 rule add priority 30 from 10.0.0.1/32 iif lo ipproto udp lookup 7100',
      'ip -4 rule add priority 31 from 0.0.0.0/32 iif lo ipproto tcp lookup 7100',
      'ip -4 rule add priority 31 from 0.0.0.0/32 iif lo ipproto udp lookup 7100',
    ]);
  });

  it('brings the local table back before its second rule goes', () => {
    const { changes } = planHostPlumbing(machine(devices), options);
    const undone = [...changes]
      .reverse()
      .flatMap((change) =>
        change.undo.map((command) => (command.kind === 'ip' ? command.args.join(' ') : '')),
      );
    const back = undone.indexOf('-4 rule add priority 0 lookup 255 protocol 2');
    expect(back).toBeGreaterThan(
      undone.indexOf('-4 rule del priority 30 from 10.0.0.1/32 iif lo ipproto tcp lookup 7100'),
    );
    expect(undone.indexOf('-4 rule del priority 25 lookup 255')).toBeGreaterThan(back);
  });

  it('without forwarding for single IPv6 devices keeps router advertisements coming, and puts every device back', () => {
    const six = resolveHostPlumbing({ addresses: ['fd00::1'], device: 'eth0' });
    const { changes, warnings } = planHostPlumbing(machine(devices), six);
    const keys = changes.map((change) => change.key);
    expect(keys.indexOf('sysctl net/ipv6/conf/eth0/accept_ra')).toBeGreaterThanOrEqual(0);
    expect(keys.indexOf('sysctl net/ipv6/conf/eth0/accept_ra')).toBeLessThan(
      keys.indexOf('sysctl net/ipv6/conf/all/forwarding'),
    );
    const forwarding = changes.find((change) => change.key === 'sysctl net/ipv6/conf/all/forwarding');
    expect(forwarding?.undo).toEqual([
      { kind: 'sysctl', name: 'net/ipv6/conf/all/forwarding', value: '0', onlyIf: '1' },
      { kind: 'sysctl', name: 'net/ipv6/conf/eth1/forwarding', value: '1' },
    ]);
    expect(warnings).toEqual([expect.stringContaining('before 6.17')]);
  });

  it('with forwarding for single IPv6 devices leaves the machine-wide setting alone', () => {
    const sysctls = new Map([
      ...machine(devices).sysctls,
      ['net/ipv6/conf/eth0/force_forwarding', '0'],
      ['net/ipv6/conf/lex1/force_forwarding', '0'],
    ]);
    const six = resolveHostPlumbing({ addresses: ['fd00::1'], device: 'eth0' });
    const text = describeChanges(planHostPlumbing(machine(devices, { sysctls }), six).changes);
    expect(text).toContain('net/ipv6/conf/eth0/force_forwarding=1');
    expect(text).toContain('net/ipv6/conf/lex1/force_forwarding=1');
    expect(text).not.toContain('conf/all/forwarding');
  });

  it('a machine that forwards already gets no blackhole', () => {
    const sysctls = new Map([...machine(devices).sysctls, ['net/ipv4/conf/all/forwarding', '1']]);
    expect(describeChanges(planHostPlumbing(machine(devices, { sysctls }), options).changes)).not.toContain(
      'blackhole',
    );
  });

  it('only claims the local table where another agent has moved it already', () => {
    const rules = { 4: [{ ...localRule(4), priority: 25 }], 6: [] };
    const peerKeys = new Set(['rule -4 priority 25 lookup 255', 'no rule -4 priority 0 lookup 255']);
    const { changes } = planHostPlumbing(machine(devices, { rules, peerKeys }), options);
    const claims = changes.filter((change) => peerKeys.has(change.key));
    expect(claims.map((change) => [change.key, change.shared, change.run])).toEqual([
      ['rule -4 priority 25 lookup 255', true, []],
      ['no rule -4 priority 0 lookup 255', true, []],
    ]);
  });

  it.each([
    [{ addresses: [], device: 'eth0' }, /addresses: \[\] is not allowed; it takes one IPv4 address/],
    [
      { addresses: ['10.0.0.1', '10.0.0.2'], device: 'eth0' },
      /one IPv4 address, one IPv6 address, or one of each/,
    ],
    [{ addresses: ['10.0.1'], device: 'eth0' }, /addresses: "10.0.1" is not allowed/],
    [
      { addresses: ['10.0.0.1'], device: 'lex0' },
      /netSide: "lex1" is not allowed; it takes a name other than/,
    ],
    [
      { addresses: ['10.0.0.1'], device: 'eth0', tables: { outbound: 254, inbound: 7101 } },
      /tables.outbound: 254 is a table of the kernel/,
    ],
    [
      { addresses: ['10.0.0.1'], device: 'eth0', tables: { outbound: 7, inbound: 7 } },
      /tables.inbound: 7 is tables.outbound already/,
    ],
    [
      { addresses: ['10.0.0.1'], device: 'eth0', rulePriorities: { inbound: 20, local: 25, outbound: 26 } },
      /rulePriorities.outbound: 26 is not allowed; it takes a whole number from 27/,
    ],
    [{ addresses: ['10.0.0.1'], device: 'eth0', colour: 1 }, /hostPlumbing.colour/],
  ])('refuses bad options: %j', (bad, message) => {
    expect(() => resolveHostPlumbing(bad)).toThrow(message);
  });
});

describe('the mirror of the main table', () => {
  const mirror = (routes: readonly Route[]): string[] =>
    mirrorRoutes(routes, { family: 4, device: 'eth0', appSide: 'lex0', source: '10.0.0.1', table: 7100 })
      .slice(2)
      .map((spec) =>
        `${spec.type ?? 'unicast'} ${spec.prefix} ${spec.device ?? ''}${spec.attributes?.['mtu'] ?? ''}`.trim(),
      );

  it('keeps the attributes of a route that leaves by the device', () => {
    expect(mirror([route('default', 'eth0', { attributes: { mtu: 1400 } })])).toEqual([
      'unicast default lex01400',
    ]);
  });

  it('of several routes to a prefix follows the one with the lowest metric', () => {
    expect(
      mirror([route('default', 'eth1', { metric: 200 }), route('default', 'eth0', { metric: 100 })]),
    ).toEqual(['unicast default lex0']);
    expect(
      mirror([route('default', 'eth0', { metric: 200 }), route('default', 'eth1', { metric: 100 })]),
    ).toEqual(['throw default']);
  });

  it('throws what leaves by several devices, by another source address, or nowhere', () => {
    const hops = [{ device: 'eth0' }, { device: 'eth1' }];
    expect(
      mirror([
        route('10.1.0.0/16', '', { hops }),
        route('10.2.0.0/16', 'eth0', { source: '10.0.0.7' }),
        route('10.3.0.0/16', '', { type: 'blackhole', hops: [] }),
        route('10.4.0.0/16', 'eth0', { source: '10.0.0.1' }),
      ]),
    ).toEqual(['throw 10.1.0.0/16', 'throw 10.2.0.0/16', 'throw 10.3.0.0/16', 'unicast 10.4.0.0/16 lex0']);
  });

  it('never diverts multicast, broadcast or link-local destinations', () => {
    expect(mirror([route('224.0.0.0/4', 'eth0'), route('239.1.1.1', 'eth0')])).toEqual([]);
    const six = mirrorRoutes([route('fe80::/64', 'eth0'), route('ff02::/16', 'eth0')], {
      family: 6,
      device: 'eth0',
      appSide: 'lex0',
      source: 'fd00::1',
      table: 7100,
    });
    expect(six.map((spec) => `${spec.type} ${spec.prefix}`)).toEqual(['throw fe80::/10', 'throw ff00::/8']);
  });

  it('the difference of two mirrors removes before it adds, and is empty for equal ones', () => {
    const options = { family: 4, device: 'eth0', appSide: 'lex0', source: '10.0.0.1', table: 7100 } as const;
    const before = mirrorRoutes([route('default', 'eth0')], options);
    const after = mirrorRoutes([route('default', 'eth1')], options);
    expect(routeDifference(before, before)).toEqual([]);
    expect(routeDifference(before, after).map((words) => words.join(' '))).toEqual([
      'route del default dev lex0 src 10.0.0.1 table 7100',
      'route add throw default table 7100',
    ]);
  });
});

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
    expect(warnings).toEqual([]);
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
    ]);
    const some = kernelDiversion(state, resolveGatewayPlumbing({ ...base, destinations: ['100.64.0.0/10'] }));
    expect(some.diverted).toEqual(['100.64.0.0/10']);
    expect(some.passed).toContain('0.0.0.0/0');
  });

  it.each([0, 0x1f00_0000, 0x5f00_0000, -1, 2 ** 32])('refuses the mask %j', (mask) => {
    expect(() => requireMarkMask('markMask', mask)).toThrow(/markMask: .* whose ones stand together/);
  });

  it('takes masks at both ends of the mark', () => {
    expect(requireMarkMask('markMask', 0x3f)).toEqual({ mask: 0x3f, shift: 0, width: 6 });
    expect(requireMarkMask('markMask', 0xff00_0000)).toEqual({ mask: 0xff00_0000, shift: 24, width: 8 });
  });
});
