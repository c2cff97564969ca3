/**
 * Routing tables of a real kernel, followed by netlink while `ip` changes them.
 *
 *   [ gateway ] wan1 10.1.0.1 fd01::1 --- peer1      table 101: route west
 *               wan2 10.2.0.1 fd02::1 --- peer2      table 70102: route east
 */
import { expect, it } from 'vitest';
import type { RouteSpec } from '../../lib/netns/index.ts';
import {
  addRoutes,
  deleteAddress,
  deleteRoute,
  ip,
  ipBatch,
  routeArgs,
  setLink,
  waitFor,
} from '../../lib/netns/index.ts';
import { PrefGateway } from '../../lib/pref/gateway.ts';
import { TableDestinations } from '../../lib/runtime/table-destinations.ts';
import type { TableDestinationsOptions } from '../../lib/runtime/table-destinations.ts';
import { withinNetns } from '../support/in-netns.ts';
import { connect, describeNetns, useLab } from '../support/netns.ts';
import { waitForAddresses } from '../support/two-path-lab.ts';

const WEST = { name: 'west', pathId: 1, device: 'wan1', table: 101, families: [4, 6] as const };
const EAST = { name: 'east', pathId: 2, device: 'wan2', table: 70_102, families: [4, 6] as const };
const FIXED = { name: 'fixed', pathId: 3, device: 'wan2', table: undefined, families: [4] as const };
const NET = '198.51.100.0/24';
const WIDE = '198.51.0.0/16';
const NET6 = '2001:db8:7::/48';

const via = (prefix: string, table: number): RouteSpec => {
  const family = prefix.includes(':') ? 6 : 4;
  const net = table === WEST.table ? 1 : 2;
  return { family, prefix, table, via: family === 4 ? `10.${net}.0.2` : `fd0${net}::2`, metric: 32 };
};
const west = (prefix: string): RouteSpec => via(prefix, WEST.table);
const east = (prefix: string): RouteSpec => via(prefix, EAST.table);

describeNetns('kernel tables', () => {
  const lab = useLab();

  const start = async (
    routes: readonly RouteSpec[] = [],
    options: Pick<TableDestinationsOptions, 'receiveBytes' | 'stepNs'> = {},
  ) => {
    const netns = lab.scope.namespace('gw');
    const peer = lab.scope.namespace('peer');
    for (const net of [1, 2]) {
      const addresses = (host: number): string[] => [`10.${net}.0.${host}/24`, `fd0${net}::${host}/64`];
      connect(
        { netns, name: `wan${net}`, addresses: addresses(1) },
        { netns: peer, name: `peer${net}`, addresses: addresses(2) },
      );
    }
    await waitForAddresses(netns);
    addRoutes(routes, { netns });
    const gateway = new PrefGateway({
      routes: [WEST, EAST, FIXED].map(({ name, pathId }) => ({ name, pathId })),
    });
    let linkChanges = 0;
    const tables = withinNetns(netns, () =>
      TableDestinations.open(gateway, {
        routes: [WEST, EAST, FIXED],
        families: [4, 6],
        destinations: [{ prefixes: ['0.0.0.0/0'], pathIds: [3] }],
        onLinks: () => linkChanges++,
        ...options,
      }),
    );
    lab.scope.defer('tables', () => {
      tables.close();
    });
    const known = (): Record<string, string[]> =>
      Object.fromEntries(
        gateway
          .status()
          .destinations.map(({ prefixes, routes: all }) => [
            prefixes.join(),
            all.filter(({ up }) => up).map(({ name }) => name),
          ]),
      );
    const until = (what: string, expected: Record<string, string[]>): Promise<true> =>
      waitFor(what, () => (isEqual(known(), expected) ? true : undefined), { timeoutMs: 20_000 });
    return { netns, peer, gateway, tables, known, until, links: () => linkChanges };
  };
  const base = { '0.0.0.0/0': ['fixed'] };

  it('what the tables have at the start is known at once, tables above 255 and both IP versions included', async () => {
    const { known, tables } = await start([west(NET), east(NET), east(WIDE), west(NET6), west('0.0.0.0/0')]);
    expect(known()).toEqual({
      '0.0.0.0/0': ['west', 'fixed'],
      [NET]: ['west', 'east'],
      [WIDE]: ['east'],
      [NET6]: ['west'],
    });
    expect(tables.status()).toMatchObject({
      isSettled: true,
      tables: [
        { route: 'west', table: 101, entries: { ipv4: 2, ipv6: 1 } },
        { route: 'east', table: 70_102, entries: { ipv4: 2, ipv6: 0 } },
      ],
      badMessages: 0,
      failedDumps: 0,
    });
  });

  it('prefixes come and go as the tables change, and what stays keeps its ratios', async () => {
    const { netns, gateway, tables, until } = await start([west(NET), east(NET)]);
    const [entry] = tables.entries.filter(({ prefixes }) => prefixes[0] === NET);
    deleteRoute(east(NET), { netns });
    await until('the prefix over west alone', { ...base, [NET]: ['west'] });
    expect(gateway.flowletRatio(entry.index, 1)).toBe(1);
    ip(['route', 'add', ...routeArgs(east(NET))], { netns });
    addRoutes([east(NET6)], { netns });
    await until('the prefix over both', { ...base, [NET]: ['west', 'east'], [NET6]: ['east'] });
    expect(tables.entries).toContain(entry);
    // The first share of one that comes: beta_E / N.
    expect(gateway.flowletRatio(entry.index, 2)).toBeCloseTo(0.05, 9);
    for (const spec of [west(NET), east(NET), east(NET6)]) deleteRoute(spec, { netns });
    await until('nothing but the fixed one', base);
  });

  it('replaced, appended, refused and several next hops: what is left leads on', async () => {
    const { netns, until } = await start([west(NET), west(WIDE), east(WIDE)]);
    const run = (...words: string[]): string => ip(words, { netns });
    run('route', 'replace', NET, 'via', '10.2.0.2', 'table', '101', 'metric', '32');
    run('route', 'append', NET, 'via', '10.1.0.9', 'table', '101', 'metric', '32');
    run('route', 'del', NET, 'via', '10.2.0.2', 'table', '101', 'metric', '32');
    run('route', 'add', 'unreachable', '198.51.7.0/24', 'table', '101');
    for (const hop of ['fd01::2', 'fd02::2'])
      run('-6', 'route', 'append', NET6, 'via', hop, 'table', '70102', 'metric', '9');
    run('-6', 'route', 'del', NET6, 'via', 'fd01::2', 'table', '70102', 'metric', '9');
    const left = { ...base, [NET]: ['west'], [WIDE]: ['west', 'east'], [NET6]: ['east'] };
    await until('the refused prefix over east', { ...left, '198.51.7.0/24': ['east'] });
    run('route', 'flush', 'table', '101');
    run('-6', 'route', 'flush', 'table', '70102');
    await until('only what east has', { ...base, [WIDE]: ['east'] });
  });

  // With the shortest steps each dump ends in one, so that the next is left to begin by itself.
  it.each([
    ['steps of the default length', {}],
    ['the shortest steps', { stepNs: 0 }],
  ])(
    'a device that goes takes its routes along, whether or not the kernel says so: %s',
    async (_, options) => {
      const routes = [west(NET), east(NET), west(WIDE), west(NET6)];
      const { netns, peer, gateway, tables, until, links } = await start(routes, options);
      setLink('peer1', { up: false }, { netns: peer });
      await waitFor('the loss of carrier', () => (tables.downRoutes().length > 0 ? true : undefined));
      expect(tables.downRoutes()).toEqual(['west']);
      await until('what east has', { ...base, [NET]: ['east'] });
      setLink('peer1', { up: true }, { netns: peer });
      await until('everything again', {
        ...base,
        [NET]: ['west', 'east'],
        [WIDE]: ['west'],
        [NET6]: ['west'],
      });
      expect(tables.downRoutes()).toEqual([]);
      // Switched off: the kernel drops the IPv4 routes without a word, and brings none back.
      setLink('wan1', { up: false }, { netns });
      await until('what east has', { ...base, [NET]: ['east'] });
      setLink('wan1', { up: true }, { netns });
      await waitFor('the device', () => (tables.downRoutes().length === 0 ? true : undefined));
      addRoutes([west(WIDE)], { netns });
      await until('what was added again', { ...base, [NET]: ['east'], [WIDE]: ['west'] });
      expect(links()).toBeGreaterThanOrEqual(4);
      expect(gateway.status().destinationCount).toBe(3);
    },
  );

  it('an address that goes takes the routes that use it along', async () => {
    const { netns, until } = await start();
    ip(['route', 'add', NET, 'via', '10.2.0.2', 'src', '10.2.0.1', 'table', '101'], { netns });
    await until('the route', { ...base, [NET]: ['west'] });
    deleteAddress('wan2', '10.2.0.1/24', { netns });
    await until('nothing but the fixed one', base);
  });

  it('when the kernel drops notifications everything is read again, and is right', async () => {
    const { netns, tables, until } = await start([west(NET)], { receiveBytes: 4096 });
    // In one process and without a turn of the event loop in between: thousands of notifications for 4 KiB.
    const churn = Array.from({ length: 2000 }, (_, i) => `10.${100 + (i >> 8)}.${i & 255}.0/24`);
    ipBatch(
      [...churn.map((prefix) => east(prefix)), ...churn.slice(3).map((prefix) => east(prefix))].map(
        (spec, i) => ['route', i < churn.length ? 'add' : 'del', ...routeArgs(spec)],
      ),
      { netns, family: 4 },
    );
    deleteRoute(west(NET), { netns });
    await until('the three that are left', {
      ...base,
      ...Object.fromEntries(churn.slice(0, 3).map((prefix) => [prefix, ['east']])),
    });
    expect(tables.status().overflows).toBeGreaterThan(0);
    await waitFor('the dumps to end', () => (tables.status().isSettled ? true : undefined));
    expect(tables.status().tables[1].entries.ipv4).toBe(3);
  });
});

function isEqual(a: Record<string, string[]>, b: Record<string, string[]>): boolean {
  const text = (value: Record<string, string[]>): string => JSON.stringify(Object.entries(value).sort());
  return text(a) === text(b);
}
