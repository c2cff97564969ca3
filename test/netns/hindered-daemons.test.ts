/**
 * Daemons that the machine hinders: nobody reads what they say, or they may open no file.
 *
 *      host: h0 10.71.1.2 fd71:1::2 --- p0 gateway a, b --- ...        (topology two-path)
 */
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { listLinks, run, waitFor } from '../../lib/netns/index.ts';
import { preflexArgv, PreflexProcess } from '../../namespaces-lab/processes/preflex-process.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { describeNetns, snapshot, useSharedLab } from '../support/netns.ts';
import type { TestTwoPath } from '../support/two-path-lab.ts';
import { prepareTwoPath, waitForAddresses } from '../support/two-path-lab.ts';

const HOST = ['host', '--address', TWO_PATH.hostAddress, '--device', 'h0'];

describeNetns('daemons that are hindered', () => {
  let topology: TestTwoPath;
  const lab = useSharedLab(async (shared) => {
    topology = prepareTwoPath(shared);
    await waitForAddresses(topology.host);
  });
  const stateOf = (netns: string): string[] => [
    ...listLinks({ netns }).map((link) => link.name),
    ...snapshot(netns, []),
  ];

  it('an agent whose standard output nobody reads goes on, and says how many lines were lost once somebody does', async () => {
    const file = join(lab.folder, 'unread.log');
    const args = [...HOST, '--interval', '0.001', '--json', '--log-file', file, '--log-level', 'debug'];
    const child = lab.scope.spawn(preflexArgv(args), { netns: topology.host });
    // Each comes with a line of the log, and no pipe or socket holds so many.
    await waitFor('1500 status lines', () => {
      const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
      return text.split('"level":"debug"').length > 1500 ? true : undefined;
    });
    const lines: { event: string; lines?: number }[] = [];
    createInterface({ input: child.stdout! }).on('line', (line) => {
      // One was cut when there was no more room.
      if (line.endsWith('}')) lines.push(JSON.parse(line) as { event: string });
    });
    await waitFor('the number of lost lines', () => lines.find(({ event }) => event === 'lost'));
    const ended = once(child, 'close');
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(lines.find(({ event }) => event === 'lost')?.lines).toBeGreaterThan(100);
    expect(lines.at(-1)?.event).toBe('exit');
  });

  describe('an agent that may open no file any more', () => {
    const file = (): string => join(lab.folder, 'files.log');
    const limitFiles = ({ child }: PreflexProcess, files: number): void => {
      run(['prlimit', '--pid', String(child.pid), `--nofile=${files}:`]);
    };
    const start = async (): Promise<PreflexProcess> => {
      rmSync(file(), { force: true });
      const args = [...HOST, '--interval', '0.2', '--log-file', file()];
      const agent = await PreflexProcess.start(lab.scope, topology.host, args);
      limitFiles(agent, 3);
      await logged('cannot read the counters');
      return agent;
    };
    const logged = (text: string): Promise<true> =>
      waitFor(`"${text}" in the log`, () => (readFileSync(file(), 'utf8').includes(text) ? true : undefined));

    it('goes on, says so once, and says when it may again', async () => {
      const agent = await start();
      await logged('cannot follow the machine');
      limitFiles(agent, 1024);
      for (const text of ['reads the counters again', 'follows the machine again']) await logged(text);
      await agent.stop();
      expect([agent.child.exitCode, agent.stderr]).toEqual([0, '']);
      expect(readFileSync(file(), 'utf8').split('cannot read the counters')).toHaveLength(2);
    });

    it('ends with one message when it cannot take back what it did, which the next start does', async () => {
      const before = stateOf(topology.host);
      const agent = await start();
      const exit = once(agent.child, 'close');
      agent.child.kill('SIGTERM');
      expect(await exit).toEqual([1, null]);
      expect(agent.stderr).toMatch(/^preflex: EMFILE: [^\n]*\n$/);
      const next = await PreflexProcess.start(lab.scope, topology.host, HOST);
      await next.stop();
      expect(stateOf(topology.host)).toEqual(before);
    });
  });
});
