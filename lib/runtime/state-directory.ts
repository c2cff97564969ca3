/**
 * The folder of journals and control sockets, and whose it is. Journals hold commands that the next start carries out, so
 * a daemon takes the folder only when nobody else can write to it; in particular root never uses one of another user.
 */
import { chownSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { PreflexError } from '../errors.ts';
import type { UserIdentity } from '../sys/become-user.ts';

/** Where journals and control sockets are by default; /run is emptied at boot. */
export const DEFAULT_STATE_DIRECTORY = '/run/preflex';

/**
 * Makes the folder with mode 0700 if it is missing, and checks whose it is. Root takes an empty one back.
 *
 * @param content - what is kept in it, for messages
 * @throws PreflexError ERR_SYSTEM
 */
export function prepareStateDirectory(directory: string, content: string): void {
  makeDirectory(directory, content);
  const self = process.geteuid?.() ?? 0;
  if (self === 0) takeIfEmpty(directory, 0, 0);
  const stat = statSync(directory);
  if (stat.isDirectory() && stat.uid === self && (stat.mode & 0o022) === 0) return;
  const isOthers = stat.isDirectory() && stat.uid !== self;
  throw new PreflexError(
    'ERR_SYSTEM',
    `${directory}: ${content} need a folder of this user that nobody else can write to` +
      (isOthers
        ? `; this one is of user id ${stat.uid}: run preflex as that user (--user), or remove the folder when no daemon runs.`
        : ': chown and chmod 0700 it.'),
  );
}

/**
 * Gives the folder to the user that this process, root, is about to become. One that is not empty stays with whom it is:
 * another daemon has it.
 *
 * @throws PreflexError ERR_SYSTEM
 */
export function giveStateDirectory(directory: string, user: UserIdentity): void {
  makeDirectory(directory, 'journals and control sockets');
  takeIfEmpty(directory, user.uid, user.gid);
  const { uid } = lstatSync(directory);
  if (uid === user.uid) return;
  throw new PreflexError(
    'ERR_SYSTEM',
    `${directory} is of user id ${uid} and not empty, so daemons of that user run, or were killed: end them, or start ` +
      `preflex once as that user to take back what they left. All daemons of a machine run as one user.`,
  );
}

function makeDirectory(directory: string, content: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new PreflexError(
      'ERR_SYSTEM',
      `${directory}: cannot make the folder for ${content}. Run it as root, or name another folder.`,
      { cause },
    );
  }
}

/** Only what holds nothing changes hands: files of one user must not steer a daemon of another. */
function takeIfEmpty(directory: string, uid: number, gid: number): void {
  const stat = lstatSync(directory);
  if (!stat.isDirectory() || stat.uid === uid || readdirSync(directory).length > 0) return;
  chownSync(directory, uid, gid);
  if (readdirSync(directory).length > 0) chownSync(directory, stat.uid, stat.gid); // somebody was faster
}
