/**
 * The wrappers over `ip`, against a real kernel.
 *
 *   a: eth0 10.0.0.1/24 fd00::1/64 ---- b: eth0 10.0.0.2/24 fd00::2/64
 */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import {
  CommandError,
  LabScope,
  NAMESPACE_PREFIX,
  addRoute,
  addRoutes,
  addRule,
  countRoutes,
  countRules,
  deleteLink,
  deleteRoute,
  deleteRule,
  execIn,
  findLink,
  flushTable,
  ip,
  ipBatch,
  isAlive,
  linkCounters,
  listAddresses,
  listNamespaces,
  listRoutes,
  listRules,
  namespaceInode,
  readSysctls,
  ruleArgs,
  ruleKind,
  setLink,
  sweepStaleNamespaces,
  waitFor,
  waitForLink,
  waitForListen,
  withLabScope,
  writeSysctl,
} from '../../lib/netns/index.ts';
import { withinNetns } from '../support/in-netns.ts';
import { connect, describeNetns, useLab } from '../support/netns.ts';

describeNetns('namespaces and links', () => {
  const lab = useLab();
  const pair = (): { a: string; b: string } => {
    const a = lab.scope.namespace('a');
    const b = lab.scope.namespace('b');
    connect(
      { netns: a, name: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64'] },
      { netns: b, name: 'eth0', addresses: ['10.0.0.2/24', 'fd00::2/64'] },
    );
    return { a, b };
  };

  it('a scope makes namespaces that carry the pid and removes them when it closes', async () => {
    const scope = new LabScope();
    const name = scope.namespace('short');
    expect(name).toBe(`${NAMESPACE_PREFIX}-${process.pid}-short`);
    expect(listNamespaces()).toContain(name);
    await scope.close();
    expect(listNamespaces()).not.toContain(name);
  });

  it('two namespaces have two inodes, and neither is that of this process', () => {
    const { a, b } = pair();
    expect(new Set([namespaceInode(), namespaceInode({ netns: a }), namespaceInode({ netns: b })]).size).toBe(
      3,
    );
  });

  it('a namespace of a dead process is swept together with what runs in it', async () => {
    // A pid that is certainly dead: that of a process that has just ended.
    const dead = spawnSync('true').pid;
    const name = `${NAMESPACE_PREFIX}-${dead}-left`;
    ip(['netns', 'add', name]);
    const orphan = lab.scope.spawn(['sleep', '600'], { netns: name });
    await waitFor('the orphan to be inside', () =>
      ip(['netns', 'pids', name]).includes(String(orphan.pid)) ? true : undefined,
    );
    expect(sweepStaleNamespaces()).toContain(name);
    expect(listNamespaces()).not.toContain(name);
    expect(isAlive(orphan.pid ?? 0)).toBe(false);
  });

  it('a veth pair has the settings given to it and counts what it carries', async () => {
    const { a, b } = pair();
    setLink('eth0', { mtu: 1400, txQueueLength: 77 }, { netns: a });
    await waitForLink('eth0', { netns: a });
    expect(findLink('eth0', { netns: a })).toMatchObject({
      mtu: 1400,
      txQueueLength: 77,
      isUp: true,
      hasCarrier: true,
      kind: 'veth',
    });
    expect(listAddresses({ netns: a, device: 'eth0' }).map((address) => address.address)).toEqual(
      expect.arrayContaining(['10.0.0.1', 'fd00::1']),
    );
    const before = linkCounters('eth0', { netns: b }).rxPackets;
    await execIn(['bash', '-c', 'echo x >/dev/udp/10.0.0.2/9'], { netns: a });
    expect(linkCounters('eth0', { netns: b }).rxPackets).toBeGreaterThan(before);
  });

  it('a link that is not there is undefined to find and no error to delete', () => {
    const a = lab.scope.namespace('a');
    expect(findLink('nothing', { netns: a })).toBeUndefined();
    expect(() => deleteLink('nothing', { netns: a })).not.toThrow();
  });

  it('a failing command says its command line, what ip said, and what to do', () => {
    const a = lab.scope.namespace('a');
    const fail = (): void => setLink('nothing', { up: true }, { netns: a });
    expect(fail).toThrow(CommandError);
    expect(fail).toThrow(
      new RegExp(`ip -n ${a} link set dev nothing up: Cannot find device "nothing"\n.*see "ip link"`),
    );
  });

  it('routes are read back as they were written, in both families', () => {
    const { a } = pair();
    const where = { netns: a };
    addRoute(
      {
        family: 4,
        prefix: '10.9.0.0/16',
        via: '10.0.0.2',
        table: 77,
        attributes: { mtu: 1300, advmss: 1200, rto_min: '5ms', congctl: 'reno' },
      },
      where,
    );
    addRoutes(
      [
        { family: 4, prefix: '10.8.0.0/16', type: 'throw', table: 77 },
        { family: 6, prefix: 'fd09::/64', via: 'fd00::2', device: 'eth0', table: 77, source: 'fd00::1' },
        { family: 6, prefix: 'fd08::/64', type: 'throw', table: 77 },
      ],
      where,
    );
    expect(listRoutes(4, 77, where)).toEqual([
      expect.objectContaining({ prefix: '10.8.0.0/16', type: 'throw', hops: [] }),
      expect.objectContaining({
        prefix: '10.9.0.0/16',
        type: 'unicast',
        hops: [{ device: 'eth0', via: '10.0.0.2' }],
        attributes: { mtu: 1300, advmss: 1200, rto_min: '5ms', congctl: 'reno' },
      }),
    ]);
    expect(
      listRoutes(6, 77, where).map((route) => [route.prefix, route.type, route.source, route.hops.length]),
    ).toEqual(
      expect.arrayContaining([
        ['fd09::/64', 'unicast', 'fd00::1', 1],
        ['fd08::/64', 'throw', undefined, 0],
      ]),
    );
    deleteRoute({ family: 4, prefix: '10.8.0.0/16', type: 'throw', table: 77 }, where);
    expect(listRoutes(4, 77, where)).toHaveLength(1);
    flushTable(6, 77, where);
    expect(listRoutes(6, 77, where)).toEqual([]);
  });

  it('rules are read back as they were written, and foreign selectors are kept in words', () => {
    const where = { netns: lab.scope.namespace('a') };
    for (const family of [4, 6] as const) {
      const from = family === 4 ? '10.0.0.1/32' : 'fd00::1/128';
      const specs = [
        { family, priority: 30, from, iif: 'lo', ipProtocol: 'tcp', table: 7100 },
        { family, priority: 31, iif: 'eth0', action: 'blackhole' },
        { family, priority: 32, to: family === 4 ? '10.8.0.0/16' : 'fd08::/64', table: 254 },
      ] as const;
      for (const spec of specs) addRule(spec, where);
      ip([`-${family}`, 'rule', 'add', 'pref', '33', 'fwmark', '1', 'oif', 'lo', 'lookup', '9'], where);
      const rules = listRules(family, where).filter((rule) => rule.priority > 0 && rule.priority < 1000);
      expect(rules.slice(0, 3).map(ruleArgs)).toEqual(specs.map(ruleArgs));
      expect(rules.slice(0, 3).map((rule) => rule.other)).toEqual(['', '', '']);
      expect(rules[3]?.fwmark).toEqual({ value: 1, mask: 0xffff_ffff });
      expect(rules[3]?.other).toContain('oif');
      for (const spec of specs) deleteRule(spec, where);
      expect(() => deleteRule(specs[0], where)).not.toThrow();
      expect(listRules(family, where).filter((rule) => [30, 31, 32].includes(rule.priority))).toEqual([]);
    }
  });

  it('routes and rules are counted as they are listed', () => {
    const { a } = pair();
    const where = { netns: a };
    addRoutes(
      [
        { family: 4, prefix: '192.0.2.0/24', via: '10.0.0.2', table: 99 },
        { family: 4, prefix: '198.51.100.0/24', type: 'throw', table: 99 },
        { family: 4, prefix: '203.0.113.0/24', via: '10.0.0.2', table: 98 },
        { family: 6, prefix: 'default', via: 'fd00::2', table: 99 },
      ],
      where,
    );
    for (const family of [4, 6] as const) {
      addRule({ family, priority: 10, iif: 'eth0', ipProtocol: 'tcp', table: 99 }, where);
      addRule({ family, priority: 10, iif: 'eth0', ipProtocol: 'udp', table: 99 }, where);
      addRule({ family, priority: 11, iif: 'eth0', fwmark: { value: 1, mask: 3 }, table: 98 }, where);
      addRule({ family, priority: 12, iif: 'eth0', action: 'blackhole' }, where);
      const listed = new Map<string, number>();
      for (const rule of listRules(family, where))
        listed.set(ruleKind(rule), (listed.get(ruleKind(rule)) ?? 0) + 1);
      expect(withinNetns(a, () => countRules(family))).toEqual(listed);
      expect(listed.get('10 99 eth0')).toBe(2);
    }
    const tables = ([4, 6] as const).flatMap((family) =>
      [97, 98, 99].map((table) => withinNetns(a, () => countRoutes(family, table))),
    );
    expect(tables).toEqual([0, 1, 2, 0, 0, 1]);
  });

  it('a batch stops at the first failure unless it is told to go on', () => {
    const { a } = pair();
    const route = (prefix: string): string[] => ['route', 'add', prefix, 'via', '10.0.0.2', 'table', '78'];
    const commands = [route('10.1.0.0/16'), route('10.1.0.0/16'), route('10.2.0.0/16')];
    expect(() => ipBatch(commands, { netns: a, family: 4 })).toThrow(/File exists/);
    expect(listRoutes(4, 78, { netns: a })).toHaveLength(1);
    expect(() => ipBatch(commands, { netns: a, family: 4, keepGoing: true })).toThrow(/File exists/);
    expect(listRoutes(4, 78, { netns: a })).toHaveLength(2);
    expect(() => ipBatch([['route', 'add', 'default; reboot']], { netns: a })).toThrow(/plain words/);
  });

  it('settings are written and read inside the namespace, and unknown ones are missing', () => {
    const netns = lab.scope.namespace('a');
    const outside = readSysctls(['net/ipv4/ip_early_demux']);
    writeSysctl('net/ipv4/ip_early_demux', 0, { netns });
    expect(readSysctls(['net/ipv4/ip_early_demux', 'net/ipv4/no_such_thing'], { netns })).toEqual(
      new Map([['net/ipv4/ip_early_demux', '0']]),
    );
    expect(readSysctls(['net/ipv4/ip_early_demux'])).toEqual(outside);
    expect(() => writeSysctl('net/ipv4/no_such_thing', 1, { netns })).toThrow(/no_such_thing/);
    expect(() => writeSysctl('net/../kernel/hostname', 1, { netns })).toThrow(/not allowed/);
  });
});

describeNetns('programs in namespaces', () => {
  const lab = useLab();

  it('a listener is seen when it listens, and not before', async () => {
    const netns = lab.scope.namespace('a');
    await expect(waitForListen(5201, { netns, timeoutMs: 30 })).rejects.toThrow(
      /Waited 30 ms in vain for a listener on tcp port 5201 in namespace pfx-/,
    );
    lab.scope.spawn(['node', '-e', 'require("net").createServer().listen(5201)'], { netns });
    await expect(waitForListen(5201, { netns, timeoutMs: 20_000 })).resolves.toBeUndefined();
  });

  it('closing a scope ends its programs with their children, even those that ignore SIGTERM', async () => {
    let pids: number[] = [];
    await withLabScope(
      async (scope) => {
        const netns = scope.namespace('stubborn');
        const child = scope.spawn(['sh', '-c', 'trap "" TERM; sleep 600 & echo $!; wait; sleep 600'], {
          netns,
        });
        const text = await new Promise<string>((resolve) =>
          child.stdout?.once('data', (data) => resolve(String(data))),
        );
        pids = [child.pid ?? 0, Number(text)];
        expect(pids.every((pid) => isAlive(pid))).toBe(true);
      },
      { graceMs: 100 },
    );
    await waitFor('both to be gone', () => (pids.some((pid) => isAlive(pid)) ? undefined : true));
    expect(listNamespaces().filter((name) => name.endsWith('stubborn'))).toEqual([]);
  });

  it('a process that is interrupted leaves neither namespace nor program behind', async () => {
    const code = `
      import { LabScope } from '${new URL('../../lib/netns/index.ts', import.meta.url).pathname}';
      const scope = new LabScope();
      const netns = scope.namespace('interrupted');
      const child = scope.spawn(['sleep', '600'], { netns });
      console.log(JSON.stringify({ netns, pid: child.pid }));
      setInterval(() => {}, 1000);
    `;
    for (const [signal, expected] of [
      ['SIGINT', 'SIGINT'],
      ['SIGTERM', 'SIGTERM'],
    ] as const) {
      const program = lab.scope.spawn(['node', '--import', 'tsx', '--input-type=module', '-e', code]);
      const text = await new Promise<string>((resolve) =>
        program.stdout?.once('data', (data) => resolve(String(data))),
      );
      const made = JSON.parse(text) as { netns: string; pid: number };
      expect(listNamespaces()).toContain(made.netns);
      const ended = new Promise((resolve) => program.once('exit', (_code, by) => resolve(by)));
      process.kill(program.pid ?? 0, signal);
      expect(await ended).toBe(expected);
      expect(listNamespaces()).not.toContain(made.netns);
      expect(isAlive(made.pid)).toBe(false);
    }
  });

  it.each([
    ['interrupted', ''],
    ['closing', 'void scope.close();'],
  ])(
    'a process that is %s leaves nothing behind when it is interrupted again meanwhile',
    async (_, begun) => {
      // The program says that it was told to end, and does not: so the scope is closing until the time of grace is over.
      const code = `
      import { LabScope } from '${new URL('../../lib/netns/index.ts', import.meta.url).pathname}';
      const scope = new LabScope({ graceMs: 1000 });
      const netns = scope.namespace('again');
      const stubborn = 'trap "echo told" TERM; echo ready; while :; do sleep 600 & wait; done';
      const child = scope.spawn(['sh', '-c', stubborn], { netns, stdio: ['ignore', 'inherit', 'inherit'] });
      console.log(JSON.stringify({ netns, pid: child.pid }));
      process.once('SIGUSR2', () => { ${begun} });
      setInterval(() => {}, 1000);
    `;
      const program = lab.scope.spawn(['node', '--import', 'tsx', '--input-type=module', '-e', code]);
      let output = '';
      program.stdout?.on('data', (data) => (output += String(data)));
      const says = (text: RegExp) => waitFor(String(text), () => (text.test(output) ? true : undefined));
      await Promise.all([says(/\}/), says(/ready/)]);
      const made = JSON.parse(/\{.*\}/.exec(output)![0]) as { netns: string; pid: number };
      expect(listNamespaces()).toContain(made.netns);
      const ended = new Promise((resolve) => program.once('exit', (_code, by) => resolve(by)));
      process.kill(program.pid ?? 0, begun === '' ? 'SIGTERM' : 'SIGUSR2');
      await says(/told/);
      process.kill(program.pid ?? 0, 'SIGTERM');
      expect(await ended).toBe('SIGTERM');
      expect(listNamespaces()).not.toContain(made.netns);
      expect(isAlive(made.pid)).toBe(false);
    },
  );

  it('an uncaught error undoes what was made, last first', async () => {
    const code = `
      import { LabScope } from '${new URL('../../lib/netns/index.ts', import.meta.url).pathname}';
      const scope = new LabScope();
      console.log(scope.namespace('thrown'));
      scope.defer('first', () => console.error('first undone'));
      scope.defer('second', () => console.error('second undone'));
      setImmediate(() => { throw new Error('on purpose'); });
    `;
    const failure = await execIn(['node', '--import', 'tsx', '--input-type=module', '-e', code]).then(
      () => undefined,
      (error: unknown) => error as CommandError,
    );
    expect(failure?.exitCode).toBe(1);
    expect(failure?.stderr).toMatch(/second undone\nfirst undone\n[^]*on purpose/);
    expect(listNamespaces().filter((name) => name.endsWith('thrown'))).toEqual([]);
  });

  it('undos run in reverse order, once, and one failure does not stop the others', async () => {
    const order: number[] = [];
    const scope = new LabScope();
    scope.defer('one', () => void order.push(1));
    scope.defer('two', () => {
      order.push(2);
      throw new Error('broken');
    });
    scope.defer('three', async () => void order.push(3));
    await expect(scope.close()).rejects.toThrow('could not undo two: broken');
    await scope.close();
    scope.closeNow();
    expect(order).toEqual([3, 2, 1]);
  });
});
