/**
 * Daemons that are killed or ended in the middle of traffic (topology two-path): connections go on, nothing stays
 * behind, and what a killed daemon could not take back the next start does.
 */
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { linkCounters, listLinks, namespaceInode, waitFor } from '../../lib/netns/index.ts';
import { DEFAULT_JOURNAL_DIRECTORY } from '../../lib/runtime/undo-journal.ts';
import type { PreflexProcess } from '../../namespaces-lab/processes/preflex-process.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { runIperf3 } from '../../namespaces-lab/traffic/iperf3.ts';
import { describeNetns, snapshot, useLab } from '../support/netns.ts';
import type { TestTwoPath } from '../support/two-path-lab.ts';
import { prepareTwoPath, waitForAddresses } from '../support/two-path-lab.ts';

/** A daemon of the lab, and what it does to its namespace. */
interface Subject {
  readonly name: 'agent' | 'gateway';
  readonly tuns: readonly string[];
  readonly netnsOf: (topology: TestTwoPath) => string;
  readonly start: (topology: TestTwoPath) => Promise<PreflexProcess>;
}

const AGENT: Subject = {
  name: 'agent',
  tuns: ['lex0', 'lex1'],
  netnsOf: (topology) => topology.host,
  start: (topology) => topology.startAgent(),
};
const GATEWAY: Subject = {
  name: 'gateway',
  tuns: ['pref-in', 'pref-a', 'pref-b'],
  netnsOf: (topology) => topology.gateway,
  start: (topology) => topology.startGateway(),
};

/** Bytes that show that a connection goes on. */
const PROGRESS = 20_000_000;

describeNetns('failing open', () => {
  const lab = useLab();

  for (const subject of [AGENT, GATEWAY]) {
    it(`kill -9 of the ${subject.name} during iperf3: the connections go on, and the next start cleans up and marks again`, async () => {
      const topology = prepareTwoPath(lab, { links: { offload: true } });
      const netns = subject.netnsOf(topology);
      const before = await stateOf(netns);
      const both = await Promise.all([topology.startAgent(), topology.startGateway()]);
      const killed = both[subject.name === 'agent' ? 0 : 1];
      const traffic = upload(topology, 3);
      await waitForProgress(topology);
      killed.child.kill('SIGKILL');
      await once(killed.child, 'exit');
      expect(devicesOf(netns).filter((device) => subject.tuns.includes(device))).toEqual([]);
      expect(journalsOf(netns)).toHaveLength(1);
      await waitForProgress(topology);
      const { receivedBytes } = await traffic;
      expect(receivedBytes).toBeGreaterThan(2 * PROGRESS);

      const next = await subject.start(topology);
      const [ready] = next.lines;
      expect(ready['setUp']).toContainEqual(
        expect.stringMatching(
          new RegExp(`^took back what pid ${killed.child.pid} had left \\(\\d+ changes\\)$`),
        ),
      );
      await upload(topology, 1);
      const counters = await next.counters();
      if (subject.name === 'agent') {
        expect((counters['out'] as Record<string, number>)['fneSyn']).toBeGreaterThan(0);
        expect((counters['codepoints'] as { lect: { packets: number } }).lect.packets).toBeGreaterThan(100);
        expect(Object.keys(counters['assignments'] as object)).not.toEqual([]);
      } else {
        expect((counters['reasons'] as Record<string, number>)['outPathId']).toBeGreaterThan(100);
      }
      await next.stop();
      expect(await stateOf(netns)).toEqual(before);
      expect(journalsOf(netns)).toEqual([]);
    });

    it(`SIGTERM to the ${subject.name} in the middle of traffic loses no connection and leaves nothing behind`, async () => {
      const topology = prepareTwoPath(lab, { links: { offload: true } });
      const netns = subject.netnsOf(topology);
      const before = await stateOf(netns);
      const [agent, gateway] = await Promise.all([topology.startAgent(), topology.startGateway()]);
      const ended = subject.name === 'agent' ? agent : gateway;
      const traffic = upload(topology, 3);
      await waitForProgress(topology);
      const last = await ended.stop();
      expect(ended.child.exitCode).toBe(0);
      expect(last['devices']).toHaveProperty(subject.tuns[0]);
      expect(await stateOf(netns)).toEqual(before);
      expect(journalsOf(netns)).toEqual([]);
      await waitForProgress(topology);
      const { receivedBytes } = await traffic;
      expect(receivedBytes).toBeGreaterThan(2 * PROGRESS);
    });
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal} leaves no device, rule, route, setting or journal of either daemon behind`, async () => {
      const topology = prepareTwoPath(lab);
      const subjects = [AGENT, GATEWAY];
      const netnses = subjects.map((subject) => subject.netnsOf(topology));
      const before = await Promise.all(netnses.map(stateOf));
      const daemons = await Promise.all(subjects.map((subject) => subject.start(topology)));
      for (const [i, netns] of netnses.entries()) {
        // Something to take back.
        expect(devicesOf(netns)).toEqual(expect.arrayContaining([...subjects[i].tuns]));
        expect(await stateOf(netns)).not.toEqual(before[i]);
        expect(journalsOf(netns)).toHaveLength(1);
      }
      for (const daemon of daemons) {
        const exit = once(daemon.child, 'exit');
        daemon.child.kill(signal);
        expect(await exit).toEqual([0, null]);
        expect(daemon.stderr).toBe('');
      }
      expect(await Promise.all(netnses.map(stateOf))).toEqual(before);
      expect(netnses.flatMap(journalsOf)).toEqual([]);
    });
  }

  function upload(topology: TestTwoPath, seconds: number): ReturnType<typeof runIperf3> {
    return runIperf3(lab.scope, {
      clientNetns: topology.host,
      serverNetns: topology.far,
      address: TWO_PATH.farAddress,
      seconds,
      flows: 4,
    });
  }
});

/** Waits until far has received some more. */
async function waitForProgress(topology: TestTwoPath): Promise<void> {
  const received = (): number => linkCounters('f0', { netns: topology.far }).rxBytes;
  const goal = received() + PROGRESS;
  await waitFor(`${PROGRESS} bytes more at far`, () => (received() >= goal ? true : undefined), {
    timeoutMs: 10_000,
  });
}

/** Devices, rules, routes and settings of a namespace. */
async function stateOf(netns: string): Promise<string[]> {
  await waitForAddresses(netns);
  return [...devicesOf(netns), ...snapshot(netns, [])];
}

function devicesOf(netns: string): string[] {
  return listLinks({ netns }).map((link) => link.name);
}

function journalsOf(netns: string): string[] {
  const inode = namespaceInode({ netns });
  if (!existsSync(DEFAULT_JOURNAL_DIRECTORY)) return [];
  return readdirSync(DEFAULT_JOURNAL_DIRECTORY).filter((name) => name.includes(`-${inode}-`));
}
