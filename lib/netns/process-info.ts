/**
 * Who is alive: process ids with their start times, so that a recycled id is not taken for the process of old.
 */
import { readFileSync } from 'node:fs';

/** A process as /proc shows it. */
export interface ProcessInfo {
  readonly pid: number;
  /** One letter, `Z` for a process that has ended and is not yet reaped. */
  readonly state: string;
  /** Ticks after boot at which it started; together with the pid it is unique until the next boot. */
  readonly startTicks: number;
}

/**
 * What /proc says about a process; undefined when there is none.
 *
 * @see proc_pid_stat(5): the second field is the name in brackets and may hold any character, so fields are counted
 *   from the last closing bracket
 */
export function processInfo(pid: number): ProcessInfo | undefined {
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid, state: fields[0] ?? '?', startTicks: Number(fields[19]) };
}

/** Whether a process runs: it exists, is not a zombie, and - if given - started when `startTicks` says. */
export function isAlive(pid: number, startTicks?: number): boolean {
  const info = processInfo(pid);
  if (info === undefined || info.state === 'Z' || info.state === 'X') return false;
  return startTicks === undefined || info.startTicks === startTicks;
}

/** Identity of this boot, so that what an earlier boot recorded is known to be gone. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

/** Stops this thread for some milliseconds: only for clean-up that runs where nothing can be awaited. */
export function blockFor(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
