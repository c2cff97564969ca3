/** Helpers for tests of the BPF programs. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';

const object = fileURLToPath(new URL('../../lib/ebpf/programs/host.bpf.o', import.meta.url));
const isCompilerThere = existsSync('/usr/bin/clang') && existsSync('/usr/include/bpf/bpf_helpers.h');

/** `describe` for tests that read the built object; only a machine that cannot build it may skip them. */
export function describeObject(title: string, body: () => void): void {
  if (existsSync(object) || isCompilerThere) {
    describe(title, body);
    return;
  }
  console.warn(`SKIPPED "${title}": the BPF programs are not built, and clang or libbpf-dev is missing.`);
  describe.skip(`${title} (skipped: no BPF object)`, body);
}
