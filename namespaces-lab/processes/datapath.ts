/**
 * Agents and gateways of the laboratory with either datapath. What stays in the kernel when a daemon ends, by intention
 * of the eBPF datapath, is taken away when the scope closes: after the daemons have ended, before their namespace goes.
 */
import { removeNamespacePins } from '../../lib/ebpf/pins.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { namespaceInode } from '../../lib/netns/namespaces.ts';
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
  if (datapath === 'tun') return PreflexProcess.start(scope, netns, args);
  removeProgramsAtEnd(scope, netns);
  return PreflexProcess.start(scope, netns, [...args, '--datapath', datapath]);
}

/** Takes the programs of a namespace, with their maps, off when the scope closes, also on a signal. */
export function removeProgramsAtEnd(scope: LabScope, netns: string): void {
  // By number: the name may be gone by then.
  const inode = namespaceInode({ netns });
  scope.defer(`programs in ${netns}`, () => {
    removeNamespacePins(inode);
  });
}
