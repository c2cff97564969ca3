/** Where the built BPF objects are: `programs` beside this file, in the sources and in the published package. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PreflexError } from '../errors.ts';
import type { ObjectSpec } from './object-spec.ts';
import { readObjectSpec } from './object-spec.ts';

/**
 * Reads the object of that name.
 *
 * @param name - for example `host`, of host.bpf.o
 * @throws PreflexError ERR_MISSING_REQUIREMENT when it has not been built
 */
export function loadObjectSpec(name: string): ObjectSpec {
  const path = fileURLToPath(new URL(`programs/${name}.bpf.o`, import.meta.url));
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch {
    throw new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      `The BPF programs are not built (${path}): npm run build:bpf, which needs clang and libbpf-dev.`,
    );
  }
  return readObjectSpec(bytes);
}
