/**
 * Network namespaces: names that carry the pid of their maker, so that what a crash left can be found and removed.
 */
import { readdirSync, statSync } from 'node:fs';
import { PreflexError } from '../errors.ts';
import type { Where } from './command.ts';
import { CommandError, run } from './command.ts';
import { ip } from './ip.ts';
import { blockFor, isAlive } from './process-info.ts';

/** First part of every namespace this project makes: `pfx-<pid>-<role>`. */
export const NAMESPACE_PREFIX = 'pfx';

const NAME = new RegExp(`^${NAMESPACE_PREFIX}-([0-9]+)-(.+)$`);
const RUN_NETNS = '/run/netns';

/**
 * The name of this process's namespace for a role.
 *
 * @param role - what it stands for in the topology, for example `host1`: 1 to 32 letters, digits, dots or dashes
 */
export function namespaceName(role: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,31}$/.test(role)) {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      `role: ${JSON.stringify(role)} is not allowed; it takes 1 to 32 letters, digits, dots or dashes`,
    );
  }
  return `${NAMESPACE_PREFIX}-${process.pid}-${role}`;
}

/** Makes a namespace for `role`, with its loopback up; returns the name. Fails when this process has made it before. */
export function createNamespace(role: string): string {
  const name = namespaceName(role);
  ip(['netns', 'add', name]);
  ip(['link', 'set', 'lo', 'up'], { netns: name });
  return name;
}

/** Removes a namespace and every device in it; one that is gone already is no error. */
export function deleteNamespace(name: string): void {
  try {
    ip(['netns', 'del', name]);
  } catch (error) {
    if (!(error instanceof CommandError && error.isMissingObject)) throw error;
  }
}

/** Names of all named namespaces on this machine, whoever made them, sorted. */
export function listNamespaces(): string[] {
  try {
    return readdirSync(RUN_NETNS).sort();
  } catch {
    return []; // the folder appears with the first namespace
  }
}

/** Process ids that are inside a namespace. */
export function namespacePids(name: string): number[] {
  return run(['ip', 'netns', 'pids', name])
    .split('\n')
    .filter((line) => line !== '')
    .map(Number);
}

/**
 * Removes the namespaces of this project whose maker is dead, and ends what still runs inside them.
 *
 * @returns the names removed
 */
export function sweepStaleNamespaces(): string[] {
  const removed: string[] = [];
  for (const name of listNamespaces()) {
    const maker = NAME.exec(name)?.[1];
    if (maker === undefined || isAlive(Number(maker))) continue;
    try {
      endAll(namespacePids(name));
      deleteNamespace(name);
      removed.push(name);
    } catch (error) {
      // Another process that sweeps at the same time may have been faster.
      if (listNamespaces().includes(name)) throw error;
    }
  }
  return removed;
}

/** Inode of a network namespace: its identity for as long as it exists (numbers are used again afterwards). */
export function namespaceInode(where: Where = {}): number {
  const path = where.netns === undefined ? '/proc/self/ns/net' : `${RUN_NETNS}/${where.netns}`;
  try {
    return statSync(path).ino;
  } catch (cause) {
    throw new PreflexError('ERR_SYSTEM', `${path}: no such network namespace; see "ip netns list"`, {
      cause,
    });
  }
}

function endAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // ended meanwhile
    }
  }
  const deadline = performance.now() + 2000;
  while (pids.some((pid) => isAlive(pid)) && performance.now() < deadline) blockFor(5);
}
