/**
 * An experiment that is interrupted leaves no namespace, device, process or folder behind, whenever that happens. What
 * belongs to it is known by an environment variable, which every process that it starts inherits.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { listNamespacePins } from '../../lib/ebpf/pins.ts';
import { listLinks, listNamespaces, namespaceInode, waitFor } from '../../lib/netns/index.ts';
import { listJournals } from '../../namespaces-lab/processes/datapath.ts';
import { preflexArgv } from '../../namespaces-lab/processes/preflex-process.ts';
import { describeNetns, useLab } from '../support/netns.ts';

const MARK = 'PREFLEX_TEST_RUN';

/** Processes that have the mark in their environment; zombies have none. */
function markedProcesses(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`${MARK}=${mark}`);
      } catch {
        return false;
      }
    });
}

/** Names of the namespaces of a process. */
function namespacesOf({ pid }: ChildProcess): string[] {
  return listNamespaces().filter((name) => name.startsWith(`pfx-${pid}-`));
}

function inodesOf(netns: string): number[] {
  try {
    return [namespaceInode({ netns })];
  } catch {
    return []; // it has gone by itself meanwhile
  }
}

describeNetns('an interrupted experiment', () => {
  const lab = useLab();

  async function interrupt(
    waitFor_: RegExp | undefined,
    afterMs: number,
    signal: NodeJS.Signals,
    command: readonly string[] = ['run', 'quick', '--seconds', '4'],
  ): Promise<{ child: ChildProcess; mark: string; folder: string; inodes: number[] }> {
    const folder = join(lab.folder, `tmp-${signal}-${Math.round(afterMs)}`);
    mkdirSync(folder);
    const mark = `${process.pid}-${Math.random().toString(36).slice(2)}`;
    const [program, ...args] = preflexArgv(['lab', ...command, '--json']);
    const child = spawn(program, args, {
      env: { ...process.env, [MARK]: mark, TMPDIR: folder },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const lines = createInterface({ input: child.stderr! });
    const ended = once(child, 'exit');
    if (waitFor_ !== undefined) {
      await new Promise<void>((resolve) => {
        lines.on('line', (line) => {
          if (waitFor_.test(line)) resolve();
        });
        child.once('exit', () => resolve());
      });
    }
    await delay(afterMs);
    const inodes = namespacesOf(child).flatMap(inodesOf);
    child.kill(signal);
    await ended;
    return { child, mark, folder, inodes };
  }

  // The moment within each phase is drawn anew in every run of the test; a failure names it.
  const moments: [string, RegExp | undefined, number, NodeJS.Signals, string[]?][] = [
    ['before anything stands', undefined, Math.random() * 300, 'SIGTERM'],
    ['while the namespaces are built', /^building/, Math.random() * 300, 'SIGINT'],
    ['while the emulated network starts', /^building/, 150 + Math.random() * 350, 'SIGHUP'],
    ['while the daemons start', /^starting/, Math.random() * 1000, 'SIGINT'],
    ['in the middle of the traffic', /^traffic/, Math.random() * 3500, 'SIGTERM'],
    [
      'with programs in the kernel, at any time',
      /^starting/,
      Math.random() * 5000,
      'SIGINT',
      ['run', 'quick', '--seconds', '4', '--datapath', 'ebpf'],
    ],
    ['while it ends', /^ending/, Math.random() * 400, 'SIGINT'],
    [
      'with a NATS server, at any time',
      /^building/,
      Math.random() * 8000,
      'SIGINT',
      ['gateways', '--seconds', '6'],
    ],
    [
      'while routing daemons announce and withdraw',
      /^n1 withdraws/,
      Math.random() * 2000,
      'SIGTERM',
      ['bird', '--seconds', '2'],
    ],
  ];

  for (const [title, line, afterMs, signal, command] of moments) {
    it(`leaves nothing behind: ${signal} ${title}`, async () => {
      const at = `${signal} ${Math.round(afterMs)} ms after ${String(line ?? 'the start')}`;
      const { child, mark, folder, inodes } = await interrupt(line, afterMs, signal, command);
      // Programs that the kernel was still starting when the signal came die with their namespace.
      await waitFor(`the processes to end, ${at}`, () =>
        markedProcesses(mark).length === 0 ? true : undefined,
      );
      expect(namespacesOf(child), at).toEqual([]);
      expect(inodes.flatMap(listNamespacePins), at).toEqual([]);
      expect(inodes.flatMap(listJournals), at).toEqual([]);
      expect(
        listLinks().filter(({ name }) => name.startsWith('pfx')),
        at,
      ).toEqual([]);
      expect(
        readdirSync(folder).filter((name) => name.startsWith('preflex-lab-')),
        at,
      ).toEqual([]);
    });
  }
});
