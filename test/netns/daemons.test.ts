/**
 * The two daemons and the doctor as a person runs them: what they say when something is wrong, and while they work.
 *
 *      host: h0 10.71.1.2 fd71:1::2 --- p0 gateway a, b --- ...        (topology two-path)
 */
import { once } from 'node:events';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import {
  addAddress,
  addRoute,
  createVethPair,
  deleteAddress,
  deleteLink,
  deleteRoute,
  flushTable,
  listLinks,
  waitFor,
} from '../../lib/netns/index.ts';
import { preflexArgv, PreflexProcess } from '../../namespaces-lab/processes/preflex-process.ts';
import { twoPathConfig } from '../../namespaces-lab/runs/two-path.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { describeNetns, deviceOfRoute, snapshot, useSharedLab } from '../support/netns.ts';
import type { TestTwoPath } from '../support/two-path-lab.ts';
import { prepareTwoPath, waitForAddresses } from '../support/two-path-lab.ts';

const HOST = ['host', '--address', TWO_PATH.hostAddress, '--device', 'h0'];

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describeNetns('daemons', () => {
  let topology: TestTwoPath;
  const lab = useSharedLab(async (shared) => {
    topology = prepareTwoPath(shared);
    await waitForAddresses(topology.host);
    await waitForAddresses(topology.gateway);
  });

  /** Runs the command to its end. */
  const run = async (
    netns: string,
    args: readonly string[],
    before: readonly string[] = [],
  ): Promise<Ended> => {
    const child = lab.scope.spawn([...before, ...preflexArgv(args)], { netns });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stdout, stderr };
  };
  const stateOf = (netns: string): string[] => [
    ...listLinks({ netns }).map((link) => link.name),
    ...snapshot(netns, []),
  ];
  /** Expects that the command fails with one message, and changes nothing. */
  const expectRefusal = async (
    netns: string,
    args: readonly string[],
    message: RegExp,
    maxLines = 2,
  ): Promise<void> => {
    const before = stateOf(netns);
    const { code, stdout, stderr } = await run(netns, args);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^preflex: /);
    // A sentence and what to do, not a stack trace.
    expect(stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(maxLines);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stateOf(netns)).toEqual(before);
  };
  const gatewayConfig = (name: string, text: string): string[] => {
    const file = join(lab.folder, name);
    writeFileSync(file, text);
    return ['gateway', '--config', file];
  };
  const good = JSON.parse(twoPathConfig({})) as Record<string, unknown> & { routes: object[] };

  it('a bad configuration is refused with file, line, field, value and range of everything wrong in it', async () => {
    const text = [
      'inside:',
      '  device: p0',
      '  prefixes: [10.71.1.0/24]',
      'routes:',
      '  - { name: a, device: a, nextHop: 10.71.10.2 }',
      '  - { name: b, device: b, nextHop: 10.71.20.2, pathId: 9 }',
      'strategy: fastest',
      'intervalSeconds: -1',
      'betas: { equal: 0.5, loss: 0.6 }',
      'colour: red',
      '',
    ].join('\n');
    const args = gatewayConfig('bad.yaml', text);
    const { gateway } = topology;
    await expectRefusal(gateway, args, /bad\.yaml:6:\d+: routes\[1\]\.pathId: 9 .* 1 to 6/, 10);
    const { stderr } = await run(gateway, args);
    expect(stderr).toMatch(/bad\.yaml:7:11: strategy: "fastest" .* one of equal, conservative, loss, mixed/);
    expect(stderr).toMatch(/bad\.yaml:8:18: intervalSeconds: -1 .* from 0\.001 to 86400/);
    expect(stderr).toMatch(/bad\.yaml:9:\d+: betas: a sum of 1\.1 .* sum is 1/);
    expect(stderr).toMatch(/bad\.yaml:10:1: colour: is not a known key/);
  });

  it.each([
    ['text that is not YAML', 'inside: [', /:\d+:\d+: not valid YAML/],
    ['an empty file', '', /is missing; it takes/],
    [
      'host bits in a prefix',
      { inside: { device: 'p0', prefixes: ['10.71.1.2/24'] } },
      /inside\.prefixes\[0\]: "10\.71\.1\.2\/24" .* host bits zero/,
    ],
    [
      'a next hop of the wrong version',
      { routes: [{ name: 'a', device: 'a', nextHop: 'fd71:10::2' }] },
      /routes\[0\]\.nextHop: "fd71:10::2" .* an IPv4 address/,
    ],
    [
      'a route over the inside device',
      { routes: [{ name: 'a', device: 'p0', nextHop: '10.71.10.2' }] },
      /routes\[0\]\.device: "p0" .* other than inside\.device/,
    ],
    [
      'two routes of one way',
      { routes: [1, 2].map((n) => ({ name: `r${n}`, device: 'a', nextHop: '10.71.10.2' })) },
      /routes\[1\]\.device: .* that routes\[0\] does not have/,
    ],
  ] as [string, string | object, RegExp][])(
    'the configuration is refused: %s',
    async (_, change, message) => {
      const text = typeof change === 'string' ? change : JSON.stringify({ ...good, ...change });
      await expectRefusal(topology.gateway, gatewayConfig('refused.yaml', text), message, 8);
    },
  );

  it('a configuration file that is not there is named', async () => {
    const args = ['gateway', '--config', join(lab.folder, 'none.yaml')];
    await expectRefusal(topology.gateway, args, /none\.yaml: cannot be read \(ENOENT\)/);
  });

  it('devices that are not there are named, for inside, route and agent', async () => {
    const { gateway, host } = topology;
    const inside = { ...good, inside: { device: 'eth7', prefixes: ['10.71.1.0/24'] } };
    await expectRefusal(gateway, gatewayConfig('i.yaml', JSON.stringify(inside)), /no device "?eth7/);
    const route = { ...good, routes: [{ name: 'a', device: 'eth8', nextHop: '10.71.10.2' }] };
    await expectRefusal(gateway, gatewayConfig('r.yaml', JSON.stringify(route)), /no device "?eth8/);
    await expectRefusal(
      host,
      ['host', '--address', TWO_PATH.hostAddress, '--device', 'eth9'],
      /no device "?eth9/,
    );
  });

  it('an address that the device does not have is named, with those that it has', async () => {
    const args = ['host', '--address', '10.71.1.77', '--device', 'h0'];
    await expectRefusal(
      topology.host,
      args,
      /h0 does not have the address 10\.71\.1\.77; its IPv4 addresses: 10\.71\.1\.2/,
    );
  });

  it('text that is no address is refused', async () => {
    await expectRefusal(
      topology.host,
      ['host', '--address', '10.71.1', '--device', 'h0'],
      /addresses: "10\.71\.1"/,
    );
  });

  it('a TUN name that is taken is named', async () => {
    const where = { netns: topology.host };
    createVethPair({ name: 'lex0', ...where }, { name: 'other', ...where });
    await expectRefusal(topology.host, HOST, /lex0.*(exists|in use|taken|busy|not a TUN)/i);
    deleteLink('lex0', where);
  });

  it('a routing table that is in use is named, with the remedy', async () => {
    const where = { netns: topology.host };
    addRoute({ family: 4, prefix: '192.0.2.0/24', device: 'h0', table: 7101 }, where);
    await expectRefusal(
      topology.host,
      HOST,
      /routing table 7101 is in use: it has 1 route.*ip -4 route flush table 7101/,
    );
    flushTable(4, 7101, where);
    const gatewayWhere = { netns: topology.gateway };
    addRoute({ family: 6, prefix: '2001:db8::/32', device: 'p0', table: 7210 }, gatewayWhere);
    const args = gatewayConfig('table.yaml', JSON.stringify(good));
    await expectRefusal(topology.gateway, args, /IPv6 routing table 7210 is in use/);
    flushTable(6, 7210, gatewayWhere);
  });

  it('a second agent for the same address is told who runs already', async () => {
    const first = await PreflexProcess.start(lab.scope, topology.host, HOST);
    const message = new RegExp(`for 10\\.71\\.1\\.2 is already running: pid ${first.child.pid} `);
    await expectRefusal(topology.host, [...HOST, '--app-side', 'lex2', '--net-side', 'lex3'], message);
    await first.stop();
  });

  it('without root both daemons and the lab say so in one sentence', async () => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const config = gatewayConfig('root.yaml', JSON.stringify(good));
    // Where nobody may read the checkout the command cannot even start; then only its effective user is changed.
    const main = preflexArgv([]).at(-1) ?? '';
    const canRead = spawnSync(nobody[0], [...nobody.slice(1), 'test', '-r', main]).status === 0;
    expect(canRead, `${main} is readable by everybody`).toBe(true);
    for (const args of [HOST, ['lab', 'two-path']]) {
      const { code, stdout, stderr } = await run(topology.host, args, nobody);
      expect(stderr).toMatch(/^preflex: preflex (host|lab) needs root, because .*: run it with sudo\.\n$/);
      expect([code, stdout]).toEqual([1, '']);
    }
    const { code, stderr } = await run(topology.gateway, config, nobody);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^preflex: .*(needs root|cannot be read)/);
  });

  it('wrong flags are refused by name', async () => {
    for (const [args, message] of [
      [['host', '--device', 'h0'], /--address/],
      [[...HOST, '--interval', 'soon'], /--interval.*soon.*number of seconds/],
      [[...HOST, '--scheme', 'pool3'], /scheme.*pool3/],
      [[...HOST, '--flows', '0'], /flowCapacity|flows/],
    ] as [string[], RegExp][]) {
      const before = stateOf(topology.host);
      const { code, stderr } = await run(topology.host, args);
      expect(stderr).toMatch(message);
      expect(code).toBe(1);
      expect(stateOf(topology.host)).toEqual(before);
    }
  });

  it('the agent prints what it set up, a status each interval, and its counters on SIGUSR1 and at exit', async () => {
    const child = lab.scope.spawn(preflexArgv([...HOST, '--interval', '0.2']), { netns: topology.host });
    const lines: string[] = [];
    createInterface({ input: child.stdout! }).on('line', (line) => lines.push(line));
    const count = (pattern: RegExp): number => lines.filter((line) => pattern.test(line)).length;
    const status = /^[\d,]+ flows, LECT .* LEx .* FNE .* Not-LECT .* assigned .* unpinned/;
    await waitFor('three status lines', () => (count(status) >= 3 ? true : undefined), { timeoutMs: 15_000 });
    expect(lines[0]).toBe('preflex: serving 10.71.1.2 on h0 through lex0 and lex1, scheme pool2');
    child.kill('SIGUSR1');
    await waitFor('the counters', () => (count(/^counters: \{$/) === 1 ? true : undefined));
    const ended = once(child, 'close');
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(count(/^exit: \{$/)).toBe(1);
    const exit = lines.slice(lines.findIndex((line) => line.startsWith('exit: ')));
    expect(JSON.parse(exit.join('\n').slice('exit: '.length))).toHaveProperty('lexPayloadBytes', 0);
  });

  it('the gateway prints what it set up, a status each update interval, and its counters on SIGUSR1 and at exit', async () => {
    const text = JSON.stringify({ ...good, intervalSeconds: 0.2 });
    const child = lab.scope.spawn(preflexArgv(gatewayConfig('status.yaml', text)), {
      netns: topology.gateway,
    });
    const lines: string[] = [];
    createInterface({ input: child.stdout! }).on('line', (line) => lines.push(line));
    const count = (pattern: RegExp): number => lines.filter((line) => pattern.test(line)).length;
    const status = /^a: .*, loss .*, \d+ flowlets, ratio 0\.\d{3} \| b: .* ratio 0\.\d{3}$/;
    await waitFor('three status lines', () => (count(status) >= 3 ? true : undefined), { timeoutMs: 15_000 });
    expect(lines[0]).toMatch(
      /^preflex: inside p0 \(10\.71\.1\.0\/24, fd71:1::\/64\), routes a \(path 1, a\), b \(path 2, b\)/,
    );
    child.kill('SIGUSR1');
    await waitFor('the counters', () => (count(/^counters: \{$/) === 1 ? true : undefined));
    const ended = once(child, 'close');
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(count(/^exit: \{$/)).toBe(1);
  });

  it('with --json every line of a daemon is one object: ready, status, counters, exit', async () => {
    const config = gatewayConfig('json.yaml', JSON.stringify({ ...good, intervalSeconds: 0.2 }));
    const daemons = await Promise.all([
      PreflexProcess.start(lab.scope, topology.host, [...HOST, '--interval', '0.2']),
      PreflexProcess.start(lab.scope, topology.gateway, config),
    ]);
    for (const daemon of daemons) {
      await daemon.waitFor('status', 0);
      await daemon.counters();
      await daemon.stop();
      // What is not JSON ends up here.
      expect(daemon.stderr).toBe('');
      const events = daemon.lines.map((line) => line.event);
      expect([events[0], events.at(-1)]).toEqual(['ready', 'exit']);
      expect(new Set(events)).toEqual(new Set(['ready', 'status', 'counters', 'exit']));
      expect(daemon.lines[0]).toMatchObject({ pid: daemon.child.pid, setUp: [expect.any(String)] });
      for (const line of daemon.lines.slice(1)) expect(Date.parse(String(line['time']))).not.toBeNaN();
    }
  });

  it('an agent whose TUN is taken away ends with an error and leaves nothing behind', async () => {
    const before = stateOf(topology.host);
    const agent = await PreflexProcess.start(lab.scope, topology.host, HOST);
    const exit = once(agent.child, 'close');
    deleteLink('lex1', { netns: topology.host });
    expect(await exit).toEqual([1, null]);
    expect(agent.stderr).toMatch(/a TUN of this daemon was removed/);
    expect(agent.lines.at(-1)?.event).toBe('exit');
    expect(stateOf(topology.host)).toEqual(before);
  });

  it('an agent whose address goes for a while says that it cannot follow the machine, goes on, and says when it can', async () => {
    const where = { netns: topology.host };
    const file = join(lab.folder, 'follow.log');
    const args = ['host', '--address', TWO_PATH.hostAddress6, '--device', 'h0', '--log-file', file];
    const agent = await PreflexProcess.start(lab.scope, topology.host, args);
    const logged = (text: string): Promise<string> =>
      waitFor(`"${text}" in the log`, () =>
        readFileSync(file, 'utf8')
          .split('\n')
          .find((line) => line.includes(text)),
      );
    deleteAddress('h0', `${TWO_PATH.hostAddress6}/64`, where);
    addRoute({ family: 6, prefix: '2001:db8:5::/48', device: 'h0' }, where);
    expect(await logged('cannot follow the machine')).toMatch(/Invalid/);
    addAddress('h0', `${TWO_PATH.hostAddress6}/64`, where);
    await logged('follows the machine again');
    expect(deviceOfRoute(topology.host, 6, ['2001:db8:5::1', 'ipproto', 'tcp'])).toBe('lex0');
    await agent.stop();
    expect(agent.child.exitCode).toBe(0);
    expect(agent.stderr).toBe('');
    deleteRoute({ family: 6, prefix: '2001:db8:5::/48', device: 'h0' }, where);
  });

  it('doctor finds this machine fit, and says it in JSON', async () => {
    const { code, stdout, stderr } = await run(topology.host, ['doctor', '--json']);
    expect([code, stderr]).toEqual([0, '']);
    const report = JSON.parse(stdout) as {
      fit: boolean;
      fitForLab: boolean;
      checks: { name: string; ok: boolean }[];
    };
    expect(report).toMatchObject({ fit: true, fitForLab: true });
    expect(report.checks.map((check) => check.name)).toEqual(
      expect.arrayContaining(['Node.js', 'CAP_NET_ADMIN', '/dev/net/tun', 'ip', 'iperf3']),
    );
    expect((await run(topology.host, ['doctor'])).stdout).toMatch(/^ok +Node\.js +required/m);
  });
});
