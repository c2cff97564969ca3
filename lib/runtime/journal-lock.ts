/** The lock of a folder of undo journals, between processes. */
import { closeSync, openSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PreflexError } from '../errors.ts';
import { blockFor, isAlive } from '../netns/index.ts';
import { nowNs } from '../sys/clock.ts';

/** How long to wait for another process that holds the lock. */
const LOCK_NS = 10e9;
/** A lock that has been empty for so long was left by a process that died while it made it. */
const EMPTY_LOCK_NS = 2e9;

/** Serialises journals of one folder between processes; held for milliseconds. Not reentrant. */
export function withLock<T>(directory: string, body: () => T): T {
  const path = join(directory, 'lock');
  const startNs = nowNs();
  let emptySinceNs = startNs;
  for (;;) {
    try {
      const fd = openSync(path, 'wx', 0o600);
      try {
        writeFileSync(fd, String(process.pid));
      } finally {
        closeSync(fd);
      }
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = readHolder(path);
    if (holder !== '') emptySinceNs = nowNs();
    // Empty: made a moment ago and not written yet, unless its maker died just then.
    const isDead = holder === '' ? nowNs() - emptySinceNs > EMPTY_LOCK_NS : !isAlive(Number(holder));
    if (isDead) rmSync(path, { force: true });
    if (nowNs() - startNs > LOCK_NS) {
      throw new PreflexError(
        'ERR_SYSTEM',
        `${path}: another process has held the lock for 10 s. Remove the file if none is running.`,
      );
    }
    blockFor(5);
  }
  try {
    return body();
  } finally {
    unlinkSync(path);
  }
}

/** What a lock says; the own process id, which lives, when it has been released meanwhile. */
function readHolder(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return String(process.pid);
  }
}
