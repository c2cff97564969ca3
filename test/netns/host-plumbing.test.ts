/**
 * The host's bump in the stack, set up and taken back, with TUNs that nobody reads: where packets would go is asked of
 * the kernel.
 *
 *   host: eth0 10.0.0.1/24 10.0.0.7/24 fd00::1/64, default over eth0; eth1 10.1.0.1/24 (management)
 *    |eth0           |eth1
 *   net: 10.0.0.2   net: 10.1.0.2
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  addAddress,
  addRoute,
  addRule,
  bootId,
  deleteAddress,
  deleteLink,
  deleteRoute,
  deleteRule,
  flushTable,
  listRoutes,
  listRules,
  readSysctl,
  writeSysctl,
} from '../../lib/netns/index.ts';
import type { HostPlumbingOptions } from '../../lib/runtime/host-plumbing.ts';
import { resolveHostPlumbing } from '../../lib/runtime/host-plan.ts';
import { HostPlumbing } from '../../lib/runtime/host-plumbing.ts';
import { connect, describeNetns, deviceOfRoute, makeTuns, snapshot, useLab } from '../support/netns.ts';

const TUNS = ['lex0', 'lex1'];

describeNetns('host plumbing', () => {
  const lab = useLab();

  const makeHost = (): string => {
    const host = lab.scope.namespace('host');
    const net = lab.scope.namespace('net');
    connect(
      { netns: host, name: 'eth0', addresses: ['10.0.0.1/24', '10.0.0.7/24', 'fd00::1/64'] },
      { netns: net, name: 'eth0', addresses: ['10.0.0.2/24', 'fd00::2/64'] },
    );
    connect(
      { netns: host, name: 'eth1', addresses: ['10.1.0.1/24'] },
      { netns: net, name: 'eth1', addresses: ['10.1.0.2/24'] },
    );
    addRoute(
      { family: 4, prefix: 'default', via: '10.0.0.2', attributes: { mtu: 1400, advmss: 1300 } },
      { netns: host },
    );
    addRoute({ family: 6, prefix: 'default', via: 'fd00::2' }, { netns: host });
    addRoute({ family: 4, prefix: '10.77.0.0/16', via: '10.1.0.2' }, { netns: host });
    makeTuns(host, TUNS);
    return host;
  };
  const options = (host: string, more: Partial<HostPlumbingOptions> = {}): HostPlumbingOptions => ({
    addresses: ['10.0.0.1', 'fd00::1'],
    device: 'eth0',
    netns: host,
    journalDirectory: lab.folder,
    ...more,
  });

  it('diverts TCP and UDP of the address over its device, and nothing else', () => {
    const host = makeHost();
    const plumbing = HostPlumbing.setUp(options(host));
    expect(plumbing.warnings).toEqual([]);
    const out = (...words: string[]): string | undefined =>
      deviceOfRoute(host, words[0]?.includes(':') ? 6 : 4, words);
    expect(out('192.0.2.9', 'from', '10.0.0.1', 'ipproto', 'tcp')).toBe('lex0');
    expect(out('192.0.2.9', 'ipproto', 'udp')).toBe('lex0');
    expect(out('10.0.0.2', 'ipproto', 'udp')).toBe('lex0');
    expect(out('2001:db8::9', 'from', 'fd00::1', 'ipproto', 'tcp')).toBe('lex0');
    expect(out('2001:db8::9', 'ipproto', 'udp')).toBe('lex0');
    expect(out('192.0.2.9', 'from', '10.0.0.1', 'ipproto', 'icmp')).toBe('eth0');
    expect(out('2001:db8::9', 'from', 'fd00::1', 'ipproto', 'ipv6-icmp')).toBe('eth0');
    expect(out('192.0.2.9', 'from', '10.0.0.7', 'ipproto', 'tcp')).toBe('eth0');
    expect(out('10.77.0.1', 'ipproto', 'tcp')).toBe('eth1');
    expect(out('10.1.0.2', 'ipproto', 'tcp')).toBe('eth1');
    expect(out('10.0.0.1', 'ipproto', 'tcp')).toBe('lo');
    expect(out('10.0.0.1', 'from', '192.0.2.9', 'iif', 'eth0', 'ipproto', 'tcp')).toBe('lex1');
    expect(out('fd00::1', 'from', '2001:db8::9', 'iif', 'eth0', 'ipproto', 'udp')).toBe('lex1');
    expect(out('10.0.0.1', 'from', '192.0.2.9', 'iif', 'eth0', 'ipproto', 'icmp')).toBe('lo');
    expect(out('10.0.0.7', 'from', '192.0.2.9', 'iif', 'eth0', 'ipproto', 'tcp')).toBe('lo');
    expect(out('192.0.2.9', 'from', '10.0.0.1', 'iif', 'lex1', 'ipproto', 'tcp')).toBe('eth0');
    // What the neighbours might want to send through this host is dropped, as before.
    expect(() => out('10.77.0.1', 'from', '192.0.2.9', 'iif', 'eth0', 'ipproto', 'tcp')).toThrow(
      /RTNETLINK answers/,
    );
    plumbing.tearDown();
  });

  it('setting up and tearing down leaves rules, routes and settings exactly as they were', () => {
    const host = makeHost();
    writeSysctl('net/ipv4/conf/all/rp_filter', 1, { netns: host });
    writeSysctl('net/ipv4/conf/eth1/rp_filter', 2, { netns: host });
    const before = snapshot(host, TUNS);
    const plumbing = HostPlumbing.setUp(options(host));
    const value = (name: string): string | undefined => readSysctl(`net/ipv4/${name}`, { netns: host });
    expect([value('conf/all/rp_filter'), value('conf/eth0/rp_filter'), value('conf/eth1/rp_filter')]).toEqual(
      ['0', '1', '2'],
    );
    expect([
      value('conf/default/rp_filter'),
      value('conf/lex0/rp_filter'),
      value('conf/lex1/accept_local'),
    ]).toEqual(['1', '0', '1']);
    expect([value('ip_forward'), value('conf/eth0/forwarding'), value('conf/eth1/forwarding')]).toEqual([
      '0',
      '1',
      '0',
    ]);
    expect(snapshot(host, TUNS)).not.toEqual(before);
    plumbing.tearDown();
    plumbing.tearDown();
    expect(snapshot(host, TUNS)).toEqual(before);
    expect(readdirSync(lab.folder)).toEqual([]);
  });

  it('fails open: without its TUNs everything goes as if it were not there', () => {
    const host = makeHost();
    HostPlumbing.setUp(options(host));
    for (const tun of TUNS) deleteLink(tun, { netns: host });
    expect(deviceOfRoute(host, 4, ['192.0.2.9', 'ipproto', 'tcp'])).toBe('eth0');
    expect(deviceOfRoute(host, 6, ['2001:db8::9', 'from', 'fd00::1', 'ipproto', 'udp'])).toBe('eth0');
    expect(deviceOfRoute(host, 4, ['10.0.0.1', 'from', '192.0.2.9', 'iif', 'eth0', 'ipproto', 'tcp'])).toBe(
      'lo',
    );
  });

  it('what a killed agent left is taken back by the next start, also after its TUNs have vanished', () => {
    const host = makeHost();
    const before = snapshot(host, TUNS);
    HostPlumbing.setUp(options(host)); // never torn down
    for (const tun of TUNS) deleteLink(tun, { netns: host });
    pretendDead(lab.folder);
    makeTuns(host, TUNS);
    const next = HostPlumbing.setUp(options(host));
    expect(next.recovered).toHaveLength(1);
    expect(deviceOfRoute(host, 4, ['192.0.2.9', 'ipproto', 'tcp'])).toBe('lex0');
    next.tearDown();
    expect(snapshot(host, TUNS)).toEqual(before);
  });

  it('a failure on the way takes back what was done before it', () => {
    const host = makeHost();
    writeSysctl('net/ipv6/conf/lex1/disable_ipv6', 1, { netns: host }); // settings and IPv4 routes are made before
    const before = snapshot(host, TUNS);
    expect(() => HostPlumbing.setUp(options(host))).toThrow(/batch -: [^]*IPv6 is disabled/);
    expect(snapshot(host, TUNS)).toEqual(before);
    expect(readdirSync(lab.folder)).toEqual([]);
  });

  it('two agents share a machine: the first to go leaves what the other needs, the last restores everything', () => {
    const host = makeHost();
    const tuns = [...TUNS, 'lex2', 'lex3'];
    makeTuns(host, ['lex2', 'lex3']);
    writeSysctl('net/ipv4/conf/all/rp_filter', 2, { netns: host });
    const before = snapshot(host, tuns);
    const first = HostPlumbing.setUp(options(host, { addresses: ['10.0.0.1'] }));
    const second = HostPlumbing.setUp(
      options(host, {
        addresses: ['10.1.0.1'],
        device: 'eth1',
        appSide: 'lex2',
        netSide: 'lex3',
        tables: { outbound: 7110, inbound: 7111 },
      }),
    );
    expect(second.warnings).toEqual([]);
    expect(deviceOfRoute(host, 4, ['10.77.0.1', 'ipproto', 'tcp'])).toBe('lex2');
    expect(deviceOfRoute(host, 4, ['192.0.2.9', 'ipproto', 'tcp'])).toBe('lex0');
    first.tearDown();
    expect(deviceOfRoute(host, 4, ['10.1.0.1', 'from', '10.77.0.1', 'iif', 'eth1', 'ipproto', 'tcp'])).toBe(
      'lex3',
    );
    expect(readSysctl('net/ipv4/conf/all/rp_filter', { netns: host })).toBe('0');
    second.tearDown();
    expect(snapshot(host, tuns)).toEqual(before);
  });

  it('follows the main table: routes that come and go are mirrored', () => {
    const host = makeHost();
    const plumbing = HostPlumbing.setUp(options(host));
    expect(plumbing.refresh()).toBe(0);
    addRoute({ family: 4, prefix: '198.51.100.0/24', via: '10.1.0.2' }, { netns: host });
    deleteRoute({ family: 4, prefix: '10.77.0.0/16' }, { netns: host });
    expect(plumbing.refresh()).toBe(2);
    expect(deviceOfRoute(host, 4, ['198.51.100.1', 'ipproto', 'tcp'])).toBe('eth1');
    expect(deviceOfRoute(host, 4, ['10.77.0.1', 'ipproto', 'tcp'])).toBe('lex0');
    plumbing.tearDown();
  });

  it('says when the kernel takes no route of an address that is gone, follows the other address, and mirrors all once it is back', () => {
    const host = makeHost();
    const where = { netns: host };
    const wanted = options(host, { addresses: ['fd00::1', '10.0.0.1'] });
    const { outbound } = resolveHostPlumbing(wanted).tables;
    const plumbing = HostPlumbing.setUp(wanted);
    deleteAddress('eth0', 'fd00::1/64', where);
    addRoute({ family: 6, prefix: '2001:db8:5::/48', device: 'eth0' }, where);
    addRoute({ family: 4, prefix: '198.51.100.0/24', via: '10.0.0.2' }, where);
    deleteRoute({ family: 4, prefix: '10.77.0.0/16' }, where);
    const to = (address: string): string | undefined => deviceOfRoute(host, 4, [address, 'ipproto', 'tcp']);
    const sources = (): (string | undefined)[] =>
      ['default', '2001:db8:5::/48'].map(
        (prefix) => listRoutes(6, outbound, where).find((route) => route.prefix === prefix)?.source,
      );
    expect(sources()).toEqual([undefined, undefined]);
    for (let i = 0; i < 2; i++) {
      expect(() => plumbing.refresh()).toThrow(/batch -: [^]*Invalid/);
      expect([to('198.51.100.1'), to('10.77.0.1')]).toEqual(['lex0', 'lex0']);
    }
    addAddress('eth0', 'fd00::1/64', where);
    expect(plumbing.refresh()).toBeGreaterThan(0);
    expect([to('198.51.100.1'), to('10.77.0.1')]).toEqual(['lex0', 'lex0']);
    expect(sources()).toEqual(['fd00::1', 'fd00::1']);
    expect(plumbing.refresh()).toBe(0);
    plumbing.tearDown();
  });

  it('lifts its own blackhole when somebody makes the machine a router, and leaves that on when it goes', () => {
    const host = makeHost();
    const plumbing = HostPlumbing.setUp(options(host, { addresses: ['10.0.0.1'] }));
    writeSysctl('net/ipv4/ip_forward', 1, { netns: host });
    plumbing.refresh();
    expect(listRules(4, { netns: host }).some((rule) => rule.action === 'blackhole')).toBe(false);
    plumbing.tearDown();
    expect(readSysctl('net/ipv4/conf/eth0/forwarding', { netns: host })).toBe('1');
  });

  it('puts back what somebody took away, rules, routes and settings, and says what', () => {
    const host = makeHost();
    const where = { netns: host };
    const told: string[] = [];
    const plumbing = HostPlumbing.setUp(options(host), (what) => told.push(...what));
    const before = snapshot(host, []);
    expect(plumbing.refresh()).toBe(0);
    for (const family of [4, 6] as const) {
      for (const table of [7100, 7101]) flushTable(family, table, where);
      for (const rule of listRules(family, where))
        if (rule.priority === 20 || rule.priority > 25) {
          if (rule.priority < 32_766) deleteRule(rule, where);
        }
    }
    writeSysctl('net/ipv4/conf/eth0/forwarding', 0, where);
    writeSysctl('net/ipv4/ip_early_demux', 1, where);
    writeSysctl('net/ipv4/conf/lex0/rp_filter', 1, where);
    expect(snapshot(host, [])).not.toEqual(before);
    plumbing.refresh();
    expect(snapshot(host, []).sort()).toEqual(before.sort());
    expect(told).toContain('routes of IPv6 table 7101');
    expect(told).toContain('rule -4 priority 20 iif eth0 ipproto tcp lookup 7101');
    expect(told).toContain('sysctl -w net/ipv4/conf/eth0/forwarding=1');
    told.length = 0;
    expect([plumbing.refresh(), told]).toEqual([0, []]);
    plumbing.tearDown();
  });

  it('mirrors again what went with an address that is back before anybody looked', () => {
    const host = makeHost();
    const where = { netns: host };
    const plumbing = HostPlumbing.setUp(options(host, { addresses: ['fd00::1'] }));
    const before = snapshot(host, []);
    const source = (): string | undefined =>
      listRoutes(6, 7100, where).find(({ prefix }) => prefix === 'default')?.source;
    deleteAddress('eth0', 'fd00::1/64', where);
    addAddress('eth0', 'fd00::1/64', where);
    // The kernel has cleared it, and with it the choice of the address that is served.
    expect(source()).toBeUndefined();
    plumbing.refresh();
    expect(source()).toBe('fd00::1');
    expect(snapshot(host, []).sort()).toEqual(before.sort());
    expect(plumbing.refresh()).toBe(0);
    plumbing.tearDown();
  });

  it('lets a device that was made anew forward to the shim, without which it would drop all that comes', () => {
    const host = makeHost();
    const where = { netns: host };
    const plumbing = HostPlumbing.setUp(options(host, { addresses: ['10.0.0.1'] }));
    deleteLink('eth0', where);
    plumbing.refresh();
    connect(
      { netns: host, name: 'eth0', addresses: ['10.0.0.1/24'] },
      { netns: lab.scope.namespace('net2'), name: 'eth0', addresses: ['10.0.0.2/24'] },
    );
    const inward = (): string | undefined =>
      deviceOfRoute(host, 4, ['10.0.0.1', 'from', '10.0.0.2', 'iif', 'eth0', 'ipproto', 'tcp']);
    expect(inward).toThrow(/unreachable|No route to host/);
    plumbing.refresh();
    expect(inward()).toBe('lex1');
    plumbing.tearDown();
  });

  it('is no router for its neighbours again when somebody ends what made it one', () => {
    const host = makeHost();
    const plumbing = HostPlumbing.setUp(options(host, { addresses: ['10.0.0.1'] }));
    const isGuarded = (): boolean =>
      listRules(4, { netns: host }).some((rule) => rule.action === 'blackhole');
    for (const [value, guarded] of [
      [1, false],
      [0, true],
    ] as const) {
      writeSysctl('net/ipv4/ip_forward', value, { netns: host });
      plumbing.refresh();
      expect(isGuarded()).toBe(guarded);
      expect(readSysctl('net/ipv4/conf/eth0/forwarding', { netns: host })).toBe('1');
    }
    plumbing.tearDown();
    expect(isGuarded()).toBe(false);
  });

  it('gives every device the filter that somebody turns on for all, and keeps it from its TUNs', () => {
    const host = makeHost();
    const where = { netns: host };
    const plumbing = HostPlumbing.setUp(options(host, { addresses: ['10.0.0.1'] }));
    writeSysctl('net/ipv4/conf/eth1/rp_filter', 2, where);
    writeSysctl('net/ipv4/conf/all/rp_filter', 1, where);
    plumbing.refresh();
    const filters = ['all', 'default', 'eth0', 'eth1', 'lex0', 'lex1'].map((device) =>
      readSysctl(`net/ipv4/conf/${device}/rp_filter`, where),
    );
    expect(filters).toEqual(['0', '1', '1', '2', '0', '0']);
    plumbing.tearDown();
  });

  it('says what clashes: tables in use, rules before the local table, a foreign address, a TUN that is missing', () => {
    const host = makeHost();
    const where = { netns: host };
    addRoute({ family: 4, prefix: '10.5.0.0/16', via: '10.0.0.2', table: 7101 }, where);
    expect(() => HostPlumbing.setUp(options(host))).toThrow(
      /IPv4 routing table 7101 is in use: it has 1 route/,
    );
    addRule({ family: 4, priority: 10, iif: 'eth1', table: 99 }, where);
    const elsewhere = { tables: { outbound: 7120, inbound: 7121 } };
    expect(() => HostPlumbing.setUp(options(host, elsewhere))).toThrow(
      /priority 10 iif eth1 lookup 99.*stands before 25/,
    );
    expect(() => HostPlumbing.setUp(options(host, { addresses: ['10.0.0.9'] }))).toThrow(
      /table 7101 is in use/,
    );
    expect(() => HostPlumbing.setUp(options(host, { addresses: ['10.0.0.9'], ...elsewhere }))).toThrow(
      /eth0 does not have the address 10.0.0.9; its IPv4 addresses: 10.0.0.1, 10.0.0.7/,
    );
    deleteLink('lex1', where);
    expect(() => HostPlumbing.setUp(options(host))).toThrow(/no device "lex1"/);
    expect(readdirSync(lab.folder)).toEqual([]);
  });

  it('a second agent for the same address is refused and told who runs', () => {
    const host = makeHost();
    const plumbing = HostPlumbing.setUp(options(host));
    expect(() => HostPlumbing.setUp(options(host))).toThrow(
      new RegExp(`already running: pid ${process.pid} `),
    );
    plumbing.tearDown();
  });

  it('warns of rules that other programs have made', () => {
    const host = makeHost();
    addAddress('eth1', '10.1.0.9/24', { netns: host });
    addRule({ family: 4, priority: 5210, from: '10.1.0.9/32', table: 52 }, { netns: host });
    const plumbing = HostPlumbing.setUp(options(host));
    expect(plumbing.warnings).toEqual([expect.stringContaining('priority 5210 from 10.1.0.9/32 lookup 52')]);
    plumbing.tearDown();
  });
});

/** Rewrites the one journal of a folder as if its process were dead. */
function pretendDead(folder: string): void {
  const path = join(folder, readdirSync(folder).find((name) => name.endsWith('.journal')) ?? '');
  const lines = readFileSync(path, 'utf8').split('\n');
  const header = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
  expect(header['bootId']).toBe(bootId());
  writeFileSync(
    path,
    [JSON.stringify({ ...header, pid: spawnSync('true').pid }), ...lines.slice(1)].join('\n'),
  );
}
