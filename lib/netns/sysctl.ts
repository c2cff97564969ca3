/**
 * Kernel settings of a network namespace: files under /proc/sys, named by their path below it
 * (`net/ipv4/conf/eth0/rp_filter`, not with dots: device names may hold dots).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { PreflexError } from '../errors.ts';
import type { Where } from './command.ts';
import { CommandError, inNamespace, run } from './command.ts';

const ROOT = '/proc/sys/';

/** Whether `name` is a path below /proc/sys/net without tricks. */
export function isSysctlName(name: string): boolean {
  return (
    /^net\/[^\s\0]+$/.test(name) &&
    !name.split('/').some((part) => part === '' || part === '.' || part === '..')
  );
}

/** A setting's value, trimmed; undefined when this kernel or namespace does not have it. */
export function readSysctl(name: string, where: Where = {}): string | undefined {
  return readSysctls([name], where).get(name);
}

/**
 * Many settings at once; those that do not exist are left out of the answer.
 * In another namespace this is one process for all of them.
 */
export function readSysctls(names: readonly string[], where: Where = {}): Map<string, string> {
  names.forEach(requireSysctlName);
  const values = new Map<string, string>();
  if (names.length === 0) return values;
  if (where.netns === undefined) {
    for (const name of names) {
      try {
        values.set(name, readFileSync(ROOT + name, 'utf8').trim());
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw refused('read', name, error);
      }
    }
    return values;
  }
  // grep -sH '' prints "path:value" for every file that exists; 1 and 2 mean that some do not.
  const paths = names.map((name) => ROOT + name);
  const text = run(inNamespace(['grep', '-sH', '', ...paths], where), { okCodes: [0, 1, 2] });
  for (const name of names) {
    const start = `${ROOT}${name}:`;
    const line = text.split('\n').find((candidate) => candidate.startsWith(start));
    if (line !== undefined) values.set(name, line.slice(start.length).trim());
  }
  return values;
}

/** Sets a setting. @throws PreflexError ERR_SYSTEM when it does not exist or the kernel refuses the value */
export function writeSysctl(name: string, value: string | number, where: Where = {}): void {
  writeSysctls([name], value, where);
}

/**
 * Sets several settings to the same value; in another namespace this is one process for all of them.
 *
 * @throws PreflexError ERR_SYSTEM when one does not exist or the kernel refuses the value; the others may be set then
 */
export function writeSysctls(names: readonly string[], value: string | number, where: Where = {}): void {
  names.forEach(requireSysctlName);
  if (where.netns === undefined) {
    for (const name of names) {
      try {
        writeFileSync(ROOT + name, `${value}\n`);
      } catch (error) {
        throw refused('write', name, error, value);
      }
    }
    return;
  }
  if (names.length === 0) return;
  try {
    run(inNamespace(['tee', ...names.map((name) => ROOT + name)], where), { input: `${value}\n` });
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new PreflexError(
      'ERR_SYSTEM',
      `sysctl ${names.join(', ')}=${value} in namespace ${where.netns}: ${error.stderr}`,
      { cause: error },
    );
  }
}

function requireSysctlName(name: string): void {
  if (!isSysctlName(name)) {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      `sysctl: ${JSON.stringify(name)} is not allowed; it takes a path such as net/ipv4/ip_forward`,
    );
  }
}

function refused(operation: string, name: string, cause: unknown, value?: string | number): PreflexError {
  const errno = (cause as NodeJS.ErrnoException).code;
  const what = value === undefined ? name : `${name}=${value}`;
  const remedy =
    errno === 'EACCES' || errno === 'EPERM' || errno === 'EROFS'
      ? 'Run it as root, with a writable /proc/sys (a container may need --privileged).'
      : errno === 'ENOENT'
        ? 'This kernel or namespace does not have the setting.'
        : 'The kernel refused it.';
  return new PreflexError('ERR_SYSTEM', `sysctl: ${operation} ${what}: ${errno}. ${remedy}`, { cause });
}
