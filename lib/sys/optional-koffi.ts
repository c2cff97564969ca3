/**
 * koffi for the parts of the library that have something to fall back to: loaded when first asked for, and absent
 * rather than an error where it has no binary for the platform. Other files of lib/sys import it and fail with it.
 */
import type { node } from 'koffi';
import { createRequire } from 'node:module';

/** The part of koffi that is used through here. */
export interface Koffi {
  load(path: null): { func(prototype: string): (...args: never[]) => number };
  address(bytes: Uint8Array): bigint;
  errno(): number;
  readonly node: { poll(fd: number, options: node.PollOptions, callback: unknown): node.PollHandle };
}

let loaded: Koffi | Error | undefined;

/** koffi, or the error with which it could not be loaded. Synchronous, so that `require` of this package works. */
export function loadKoffi(): Koffi | Error {
  if (loaded === undefined) {
    try {
      loaded = createRequire(import.meta.url)('koffi') as Koffi;
    } catch (error) {
      loaded = error instanceof Error ? error : new Error(String(error));
    }
  }
  return loaded;
}
