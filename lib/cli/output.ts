/** Where the commands write: results on standard output, everything else on standard error, files into a folder. */
import { accessSync, constants, mkdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { PreflexError } from '../errors.ts';
import { CAP_NET_ADMIN, isCapable } from '../sys/capabilities.ts';

/** Writes a line for people or programs. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Writes one JSON object on one line. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Writes a line that is not a result: progress, warnings. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Runs a command's body; an error of this library becomes one message and exit code 1, any other is a defect. */
export async function runCommand(body: () => Promise<void> | void): Promise<void> {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof PreflexError)) throw error;
    note(`preflex: ${error.message}`);
    process.exitCode = 1;
  }
}

/**
 * Tries whether the folder of `--out` can be made and written to, so that a run of many minutes does not find at its end
 * that it cannot. What is made for it goes again: a run that is interrupted leaves nothing behind.
 *
 * @param directory - undefined without `--out`
 * @throws PreflexError ERR_SYSTEM when it cannot be made or written to
 */
export function tryFolder(directory: string | undefined): void {
  if (directory === undefined) return;
  try {
    let [folder, missing] = [resolve(directory), ''];
    for (; statSync(folder, { throwIfNoEntry: false }) === undefined; folder = dirname(folder))
      missing = folder;
    if (!statSync(folder).isDirectory()) throw new Error(`${folder} is a file`);
    accessSync(folder, constants.W_OK | constants.X_OK);
    if (missing === '') return;
    mkdirSync(missing);
    rmdirSync(missing);
  } catch (cause) {
    throw new PreflexError(
      'ERR_SYSTEM',
      `--out ${directory}: nothing can be written into this folder: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** Throws one sentence unless this process is root. */
export function requireRoot(what: string): void {
  if (process.geteuid?.() !== 0) {
    throw new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      `${what} needs root, because it makes network namespaces, TUN devices and routes: run it with sudo.`,
    );
  }
}

/**
 * Throws one sentence unless this process may change the network: as root, or as any user whom a service manager has given
 * CAP_NET_ADMIN.
 */
export function requireNetAdmin(what: string): void {
  if (isCapable(CAP_NET_ADMIN)) return;
  throw new PreflexError(
    'ERR_MISSING_REQUIREMENT',
    `${what} needs root, because it makes TUN devices and changes routes (CAP_NET_ADMIN): run it with sudo.`,
  );
}
