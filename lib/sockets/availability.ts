/** Whether this process can reach into its sockets, and the one warning where it cannot. */
import { nativeCallsMissing } from '../sys/koffi.ts';

/** Whether system calls on sockets can be made: on Linux with koffi's binary. */
export const canMarkSockets = nativeCallsMissing === undefined;

const warned = new Set<string>();

/** Warns once a process and module that sockets stay unmarked, as `PreflexWarning` on `process`. */
export function warnUnmarked(module: string, why = nativeCallsMissing ?? 'unknown'): void {
  if (warned.has(module)) return;
  warned.add(module);
  process.emitWarning(`${module}: sockets work, but are neither marked nor pinned: ${why}`, 'PreflexWarning');
}
