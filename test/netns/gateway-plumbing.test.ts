/**
 * The gateway's policy routing, set up and taken back, with TUNs that nobody reads: where packets would go is asked of
 * the kernel.
 *
 *   inside --- lan [ gateway ] wan1 10.1.0.1 --- 10.1.0.2 (a) and 10.1.0.3 (b)
 *   10.0.0.0/24              wan2 10.2.0.1 --- 10.2.0.2 (c)
 *   fd00::/64                vpn  10.8.0.1 --- another site, none of the gateway's routes
 */
import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import {
  addAddress,
  addRoute,
  deleteLink,
  deleteRule,
  flushTable,
  listRoutes,
  listRules,
  readSysctl,
  setLink,
  writeSysctl,
} from '../../lib/netns/index.ts';
import type { GatewayPlumbingOptions } from '../../lib/runtime/gateway-plumbing.ts';
import { GatewayPlumbing } from '../../lib/runtime/gateway-plumbing.ts';
import { resolveGatewayPlumbing } from '../../lib/runtime/gateway-plumbing-options.ts';
import { connect, describeNetns, deviceOfRoute, makeTuns, snapshot, useLab } from '../support/netns.ts';

const TUNS = ['pref-in', 'pref-a', 'pref-b', 'pref-c'];

describeNetns('gateway plumbing', () => {
  const lab = useLab();

  const makeGateway = (): string => {
    const gateway = lab.scope.namespace('gw');
    const other = lab.scope.namespace('other');
    const link = (name: string, ours: string[], theirs: string[]): void =>
      connect({ netns: gateway, name, addresses: ours }, { netns: other, name, addresses: theirs });
    link('lan', ['10.0.0.1/24', 'fd00::1/64'], ['10.0.0.9/24', 'fd00::9/64']);
    link('wan1', ['10.1.0.1/24', 'fd01::1/64'], ['10.1.0.2/24', 'fd01::2/64']);
    link('wan2', ['10.2.0.1/24'], ['10.2.0.2/24']);
    link('vpn', ['10.8.0.1/24'], ['10.8.0.2/24']);
    addRoute({ family: 4, prefix: 'default', via: '10.1.0.2' }, { netns: gateway });
    addRoute({ family: 4, prefix: '10.88.0.0/16', via: '10.8.0.2' }, { netns: gateway });
    addRoute({ family: 6, prefix: 'default', via: 'fd01::2' }, { netns: gateway });
    makeTuns(gateway, TUNS);
    return gateway;
  };
  const options = (gateway: string, more: Partial<GatewayPlumbingOptions> = {}): GatewayPlumbingOptions => ({
    insideDevice: 'lan',
    insidePrefixes: ['10.0.0.0/24', 'fd00::/64'],
    routes: [
      { name: 'a', device: 'wan1', nextHop: '10.1.0.2', nextHop6: 'fd01::2' },
      { name: 'b', device: 'wan1', nextHop: '10.1.0.3' },
      { name: 'c', device: 'wan2', nextHop: '172.16.0.1' },
    ],
    destinations: ['0.0.0.0/0', '::/0'],
    netns: gateway,
    journalDirectory: lab.folder,
    ...more,
  });

  it('leads the inside through pref-in, each route to its next hop, and what comes back through the TUN of its route', () => {
    const gateway = makeGateway();
    const plumbing = GatewayPlumbing.setUp(options(gateway));
    expect(plumbing.warnings).toEqual([
      'Route "c": no network of wan2 has the next hop 172.16.0.1; it is looked for on the link itself.',
    ]);
    const to = (...words: string[]): string | undefined =>
      deviceOfRoute(gateway, words[0]?.includes(':') ? 6 : 4, words);
    expect(to('192.0.2.9', 'from', '10.0.0.9', 'iif', 'lan')).toBe('pref-in');
    expect(to('2001:db8::9', 'from', 'fd00::9', 'iif', 'lan')).toBe('pref-in');
    expect(to('10.88.0.1', 'from', '10.0.0.9', 'iif', 'lan')).toBe('vpn');
    expect(to('10.8.0.2', 'from', '10.0.0.9', 'iif', 'lan')).toBe('vpn');
    expect(to('10.0.0.1', 'from', '10.0.0.9', 'iif', 'lan')).toBe('lo');
    expect(to('192.0.2.9', 'from', '10.0.0.9', 'iif', 'pref-a')).toBe('wan1');
    expect(to('192.0.2.9', 'from', '10.0.0.9', 'iif', 'pref-c')).toBe('wan2');
    expect(to('2001:db8::9', 'from', 'fd00::9', 'iif', 'pref-a')).toBe('wan1');
    expect(to('10.0.0.9', 'from', '192.0.2.9', 'iif', 'wan1')).toBe('pref-a');
    expect(to('10.0.0.9', 'from', '192.0.2.9', 'iif', 'wan2')).toBe('pref-c');
    expect(to('fd00::9', 'from', '2001:db8::9', 'iif', 'wan1')).toBe('pref-a');
    expect(to('10.0.0.9', 'from', '192.0.2.9', 'iif', 'pref-in')).toBe('lan');
    expect(to('192.0.2.9')).toBe('wan1');
    plumbing.tearDown();
  });

  it('setting up and tearing down leaves rules, routes and settings exactly as they were', () => {
    const gateway = makeGateway();
    const where = { netns: gateway };
    writeSysctl('net/ipv4/conf/all/rp_filter', 1, where);
    const before = snapshot(gateway, TUNS);
    const plumbing = GatewayPlumbing.setUp(options(gateway));
    expect(readSysctl('net/ipv6/conf/all/forwarding', where)).toBe('1');
    expect(readSysctl('net/ipv6/conf/vpn/accept_ra', where)).toBe('2');
    expect(readSysctl('net/ipv4/conf/wan2/forwarding', where)).toBe('1');
    expect(readSysctl('net/ipv4/conf/vpn/forwarding', where)).toBe('0');
    expect(readSysctl('net/ipv4/conf/vpn/rp_filter', where)).toBe('1');
    expect(readSysctl('net/ipv4/conf/pref-c/rp_filter', where)).toBe('0');
    expect(readSysctl('net/ipv4/conf/lan/send_redirects', where)).toBe('0');
    plumbing.tearDown();
    expect(snapshot(gateway, TUNS)).toEqual(before);
    expect(readdirSync(lab.folder)).toEqual([]);
  });

  it('fails open: without its TUNs the main table routes', () => {
    const gateway = makeGateway();
    GatewayPlumbing.setUp(options(gateway));
    for (const tun of TUNS) deleteLink(tun, { netns: gateway });
    expect(deviceOfRoute(gateway, 4, ['192.0.2.9', 'from', '10.0.0.9', 'iif', 'lan'])).toBe('wan1');
    expect(deviceOfRoute(gateway, 4, ['10.0.0.9', 'from', '192.0.2.9', 'iif', 'wan2'])).toBe('lan');
  });

  it('a route whose device goes down is reported, and comes back with it', () => {
    const gateway = makeGateway();
    setLink('wan2', { up: false }, { netns: gateway });
    const plumbing = GatewayPlumbing.setUp(options(gateway));
    expect(plumbing.warnings).toEqual(['Route "c" is down: wan2 is not up.']);
    expect(plumbing.refresh()).toEqual(['c']);
    setLink('wan2', { up: true }, { netns: gateway });
    expect(plumbing.refresh()).toEqual([]);
    expect(deviceOfRoute(gateway, 4, ['192.0.2.9', 'from', '10.0.0.9', 'iif', 'pref-c'])).toBe('wan2');
    plumbing.tearDown();
  });

  it('a default route that the kernel does not take is tried again, and the route is up as long as one is there', () => {
    const gateway = makeGateway();
    const plumbing = GatewayPlumbing.setUp(options(gateway));
    const switchIpv6 = (isOn: boolean): void => {
      writeSysctl('net/ipv6/conf/wan1/disable_ipv6', isOn ? 0 : 1, { netns: gateway });
    };
    const { routeTable } = resolveGatewayPlumbing(options(gateway)).routes[0];
    const routesOf = (family: 4 | 6): number => listRoutes(family, routeTable, { netns: gateway }).length;
    switchIpv6(false);
    expect([routesOf(4), routesOf(6)]).toEqual([1, 0]);
    expect(plumbing.refresh()).toEqual([]);
    expect([routesOf(4), routesOf(6)]).toEqual([1, 0]);
    switchIpv6(true);
    addAddress('wan1', 'fd01::1/64', { netns: gateway });
    expect(plumbing.refresh()).toEqual([]);
    expect([routesOf(4), routesOf(6)]).toEqual([1, 1]);
    plumbing.tearDown();
  });

  it('puts back what somebody took away, rules, routes and settings, and says what', () => {
    const gateway = makeGateway();
    const where = { netns: gateway };
    const told: string[] = [];
    const plumbing = GatewayPlumbing.setUp(options(gateway), (what) => told.push(...what));
    const before = snapshot(gateway, []);
    plumbing.putBack();
    expect(told).toEqual([]);
    const { insideDevice, outboundTable, rulePriorities, routes } = resolveGatewayPlumbing(options(gateway));
    for (const family of [4, 6] as const) {
      for (const table of [outboundTable, ...routes.map((route) => route.inboundTable)])
        flushTable(family, table, where);
      for (const rule of listRules(family, where))
        if (Object.values(rulePriorities).includes(rule.priority)) deleteRule(rule, where);
    }
    // As when the device went and came again.
    writeSysctl(`net/ipv4/conf/${insideDevice}/forwarding`, 0, where);
    expect(snapshot(gateway, [])).not.toEqual(before);
    plumbing.putBack();
    expect(snapshot(gateway, []).sort()).toEqual(before.sort());
    expect(told).toContain(`routes of IPv4 table ${outboundTable}`);
    expect(told).toContain('sysctl -w net/ipv4/conf/lan/forwarding=1');
    plumbing.tearDown();
  });

  it('puts a rule back before the one that refuses what its table does not have', () => {
    const gateway = makeGateway();
    const where = { netns: gateway };
    const routes = [
      { name: 'a', device: 'wan1', nextHop: '10.1.0.2' },
      { name: 'c', device: 'wan2', nextHop: '10.2.0.2', nat: true },
    ];
    const plumbing = GatewayPlumbing.setUp(options(gateway, { routes }));
    const ofRoute = (): (string | number | undefined)[] =>
      listRules(4, where)
        .filter((rule) => rule.iif === 'pref-c')
        .map((rule) => rule.action ?? rule.table);
    const before = ofRoute();
    expect(before).toEqual([expect.any(Number), 'unreachable']);
    const [lookup] = listRules(4, where).filter((rule) => rule.iif === 'pref-c');
    deleteRule(lookup, where);
    plumbing.putBack();
    expect(ofRoute()).toEqual(before);
    plumbing.tearDown();
  });

  it('puts back all that can be when a TUN is down, says what cannot, and does so once it is up', () => {
    const gateway = makeGateway();
    const where = { netns: gateway };
    const plumbing = GatewayPlumbing.setUp(options(gateway));
    const before = snapshot(gateway, []);
    setLink('pref-in', { up: false }, where);
    const [rule] = listRules(4, where).filter(({ iif }) => iif === 'wan1');
    deleteRule(rule, where);
    expect(() => {
      plumbing.putBack();
    }).toThrow(/Network is down|Device for nexthop is not up/);
    expect(listRules(4, where).filter(({ iif }) => iif === 'wan1')).toHaveLength(1);
    setLink('pref-in', { up: true }, where);
    plumbing.putBack();
    expect(snapshot(gateway, []).sort()).toEqual(before.sort());
    plumbing.tearDown();
  });

  it('only configured destinations are diverted', () => {
    const gateway = makeGateway();
    const plumbing = GatewayPlumbing.setUp(
      options(gateway, { destinations: ['192.0.2.0/24', '10.88.3.0/24'] }),
    );
    const to = (address: string): string | undefined =>
      deviceOfRoute(gateway, 4, [address, 'from', '10.0.0.9', 'iif', 'lan']);
    expect([to('192.0.2.1'), to('10.88.3.1'), to('10.88.4.1'), to('198.51.100.1')]).toEqual([
      'pref-in',
      'pref-in',
      'vpn',
      'wan1',
    ]);
    plumbing.tearDown();
  });
});
