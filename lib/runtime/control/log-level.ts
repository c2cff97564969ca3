/** Changing the level of a running daemon's log over its control socket. */
import type { DaemonLog } from '../daemon-log.ts';
import { requireLogLevel } from '../daemon-log.ts';

/** Sets the level until the next reload. @returns what changed */
export function changeLogLevel(log: Pick<DaemonLog, 'level'>, value: unknown): { changed: string[] } {
  const level = requireLogLevel(value);
  const changed = level === log.level ? [] : ['logLevel'];
  log.level = level;
  return { changed };
}
