/** Asking and changing running daemons by command (topology two-path), while a connection goes on. */
import { once } from 'node:events';
import { join } from 'node:path';
import { statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PreflexProcess, preflexArgv } from '../../namespaces-lab/processes/preflex-process.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { connectTcp, exchange, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import { prepareTwoPath } from '../support/two-path-lab.ts';

const PORT = 7000;

describeNetns('control', () => {
  const lab = useLab();
  /** Runs the command to its end. */
  const run = async (netns: string, ...args: string[]): Promise<[number | null, string, string]> => {
    const child = lab.scope.spawn(preflexArgv(args), { netns });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [code] = (await once(child, 'close')) as [number | null];
    return [code, stdout, stderr];
  };

  it('status, routes and set say and change what the gateway does, and no connection breaks', async () => {
    const topology = prepareTwoPath(lab, { strategy: 'equal' });
    const name = `test-${process.pid}`;
    const config = ['gateway', '--config', join(lab.folder, 'gateway.yaml')];
    const gateway = await PreflexProcess.start(lab.scope, topology.gateway, [...config, '--name', name]);
    expect(gateway.lines[0]).toMatchObject({ event: 'ready', name });
    expect(statSync(`/run/preflex/${name}.sock`).mode & 0o777).toBe(0o600);
    const agent = await topology.startAgent();
    serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
    const socket = await connectTcp(topology.host, TWO_PATH.farAddress, PORT);
    const ask = (...args: string[]) => run(topology.gateway, ...args, '--name', name);

    const [, status] = await ask('status');
    expect(status).toMatch(
      new RegExp(
        `^${name} \\(gateway, pid ${gateway.child.pid}, .*\n  strategy equal, betas 1, 0, 0, interval 1 s\n  a `,
      ),
    );
    expect(await ask('set', '--drain', 'a')).toEqual([0, 'changed: route a\n', '']);
    const [code, , stderr] = await ask('set', '--drain', 'b');
    expect([code, stderr]).toEqual([
      1,
      'preflex: drain: "b" is not allowed; it takes a route beside which another is up and not drained\n',
    ]);
    const [, table] = await ask('routes');
    expect(table).toMatch(/^a +1 +drained .*\nb +2 +up /m);
    expect(table).toMatch(/^0\.0\.0\.0\/0 +a +0\.000 +down/m);
    expect(await ask('set', '--undrain', 'a')).toEqual([0, 'changed: route a\n', '']);
    expect(await ask('set', '--strategy', 'loss')).toEqual([
      0,
      'changed: strategy, betas.equal, betas.loss\n',
      '',
    ]);
    const [, json] = await ask('routes', '--json');
    expect(JSON.parse(json)).toMatchObject({
      strategy: 'loss',
      drained: [],
      routes: [
        { name: 'a', up: true },
        { name: 'b', up: true },
      ],
    });
    const [, , refused] = await ask('set', '--strategy', 'best');
    expect(refused).toMatch(/^preflex: .*strategy: "best" is not allowed; it takes one of equal, /);
    const data = patternBytes(100_000, 'control');
    expect((await exchange(socket, data)).equals(data)).toBe(true);
    await Promise.all([agent.stop(), gateway.stop()]);
    const [gone, , sentence] = await ask('status', '--directory', lab.folder);
    expect([gone, sentence]).toEqual([
      1,
      `preflex: No daemon runs here: no control socket in ${lab.folder} answers.\n`,
    ]);
    expect([agent.stderr, gateway.stderr]).toEqual(['', '']);
  });
});
