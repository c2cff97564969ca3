/** Plans of the host's plumbing as pure functions: from a machine's state to the commands, without a machine. */
import { describe, expect, it } from 'vitest';
import type { Route } from '../../lib/netns/index.ts';
import { describeChanges } from '../../lib/runtime/change.ts';
import { planHostPlumbing, resolveHostPlumbing } from '../../lib/runtime/host-plan.ts';
import { mirrorRoutes, routeDifference } from '../../lib/runtime/route-mirror.ts';
import { localRule, machine, route } from './machine.ts';

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
