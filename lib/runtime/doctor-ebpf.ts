/** The doctor's look at what `--datapath ebpf` needs beside what the TUN datapath does. */
import { release } from 'node:os';
import { loadObjectSpec } from '../ebpf/object-file.ts';
import { PreflexError } from '../errors.ts';
import { requireLibbpf } from '../sys/libbpf.ts';
import type { DoctorCheck } from './doctor-check.ts';
import { bad, good } from './doctor-check.ts';

/** The oldest kernel whose verifier takes the programs, by clsact; from 6.6 on they are TCX links. @see docs/ebpf.md */
const MIN_KERNEL = [5, 15] as const;

/**
 * Runs the check; nothing is loaded into the kernel.
 *
 * @param kernel - its release
 * @param requirements - what has to be there; each throws a PreflexError whose message says how to get it
 */
export function examineEbpf(
  kernel = release(),
  requirements: readonly (() => unknown)[] = [
    requireLibbpf,
    () => loadObjectSpec('host'),
    () => loadObjectSpec('gateway'),
  ],
): DoctorCheck {
  const name = 'eBPF datapath';
  const [major = 0, minor = 0] = kernel.split(/[.-]/).map(Number);
  if (major < MIN_KERNEL[0] || (major === MIN_KERNEL[0] && minor < MIN_KERNEL[1])) {
    return bad(
      name,
      'optional',
      `Linux ${kernel}`,
      `Boot a kernel of version ${MIN_KERNEL.join('.')} or later.`,
    );
  }
  try {
    for (const require of requirements) require();
  } catch (error) {
    if (!(error instanceof PreflexError)) throw error;
    return bad(name, 'optional', 'not ready', error.message);
  }
  return good(name, 'optional', 'libbpf and the built programs are there');
}
