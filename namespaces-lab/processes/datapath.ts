/**
 * Agents and gateways of the laboratory with either datapath. What stays in the kernel when a daemon ends, by intention
 * of the eBPF datapath, is taken away when the scope closes: after the daemons have ended, before their namespace goes.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { removeNamespacePins } from '../../lib/ebpf/pins.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { namespaceInode } from '../../lib/netns/namespaces.ts';
import { DEFAULT_JOURNAL_DIRECTORY } from '../../lib/runtime/undo-journal.ts';
import { PreflexProcess } from './preflex-process.ts';

/** Where packets are handled: by the daemons, or by programs in the kernel. */
export const DATAPATHS = ['tun', 'ebpf'] as const;
/** One of them. */
export type Datapath = (typeof DATAPATHS)[number];

/**
 * Starts `preflex ...args` with a datapath, as {@link PreflexProcess.start} does.
 *
 * @param args - of `host` or `gateway`, without `--datapath`
 */
export function startDaemon(
  scope: LabScope,
  netns: string,
  args: readonly string[],
  datapath: Datapath = 'tun',
): Promise<PreflexProcess> {
  removeProgramsAtEnd(scope, netns);
  return PreflexProcess.start(scope, netns, datapath === 'tun' ? args : [...args, '--datapath', datapath]);
}

/**
 * When the scope closes, also on a signal: takes the programs of a namespace off, with their maps, and forgets what their
 * daemons wrote down to undo, which goes with the namespace.
 */
export function removeProgramsAtEnd(scope: LabScope, netns: string): void {
  // By number: the name may be gone by then.
  const inode = namespaceInode({ netns });
  scope.defer(`programs in ${netns}`, () => {
    removeNamespacePins(inode);
    for (const path of listJournals(inode)) rmSync(path, { force: true });
  });
}

/** Paths of the undo journals of a network namespace, by its inode. */
export function listJournals(inode: number): string[] {
  let names: string[];
  try {
    names = readdirSync(DEFAULT_JOURNAL_DIRECTORY);
  } catch {
    return []; // the folder appears with the first daemon
  }
  return names
    .filter((name) => name.includes(`-${inode}-`) && name.endsWith('.journal'))
    .map((name) => join(DEFAULT_JOURNAL_DIRECTORY, name));
}
