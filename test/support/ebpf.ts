/** Helpers for tests of the BPF programs. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';

const object = fileURLToPath(new URL('../../lib/ebpf/programs/host.bpf.o', import.meta.url));
const isCompilerThere = existsSync('/usr/bin/clang') && existsSync('/usr/include/bpf/bpf_helpers.h');
/** Root's test command installs what builds the object: that it is missing then is a failure. */
const isRoot = process.geteuid?.() === 0;

/** `describe` for tests that read the built object; only without root, where it cannot be built, are they left out. */
export function describeObject(title: string, body: () => void): void {
  if (isRoot || isCompilerThere || existsSync(object)) {
    describe(title, body);
    return;
  }
  console.warn(`SKIPPED "${title}": the BPF programs are not built, and clang or libbpf-dev is missing.`);
  describe.skip(`${title} (skipped: no BPF object)`, body);
}
