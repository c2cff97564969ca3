/**
 * koffi, loaded when this module is, but only where it can serve: on Linux with koffi's binary. Elsewhere a stand-in
 * whose C functions throw when they are called, so that importing a module of lib/sys is safe on every system and the
 * sockets can fall back to Node's own.
 */
import type * as koffiModule from 'koffi';
import { createRequire } from 'node:module';
import { PreflexError } from '../errors.ts';

type Koffi = typeof koffiModule;

/** Why there are no native calls in this process; undefined where there are. */
export let nativeCallsMissing: string | undefined;

/** koffi, or its stand-in. */
export const koffi: Koffi = load();

function load(): Koffi {
  if (process.platform !== 'linux')
    return standIn(`this is ${process.platform}, and only Linux is supported`);
  try {
    // By require, which can fail and be caught: a failing import would take the importer with it.
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch (error) {
    return standIn(
      `koffi has no binary that loads here: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function standIn(why: string): Koffi {
  nativeCallsMissing = why;
  const refuse = (): never => {
    throw new PreflexError('ERR_MISSING_REQUIREMENT', `system calls are not available: ${why}`);
  };
  return {
    load: () => ({ func: () => refuse }),
    errno: refuse,
    sizeof: refuse,
    address: refuse,
    node: { poll: refuse },
  } as unknown as Koffi;
}
