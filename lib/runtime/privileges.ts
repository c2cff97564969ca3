/**
 * How a daemon that root started becomes a plain user: with CAP_NET_ADMIN and nothing else.
 *
 * When: after the TUNs are open (in containers only root may open /dev/net/tun), and before anything else of the machine
 * is changed. So everything that has to be taken back is made with the very rights with which it is taken back, and the
 * journal belongs to the user from its first line on.
 */
import { PreflexError } from '../errors.ts';
import { run } from '../netns/index.ts';
import type { UserIdentity } from '../sys/become-user.ts';
import { becomeUser } from '../sys/become-user.ts';
import { CAP_NET_ADMIN } from '../sys/capabilities.ts';
import { DEFAULT_STATE_DIRECTORY, giveStateDirectory } from './state-directory.ts';

/**
 * Prepares to become a user.
 *
 * @param name - as in the user database; undefined to stay who this is
 * @returns becomes the user; undefined when there is nothing to do
 * @throws PreflexError for a user that does not exist or is root, or when this process is not root
 */
export function privilegeDrop(name: string | undefined): (() => void) | undefined {
  if (name === undefined) return undefined;
  const user = lookUpUser(name);
  const self = process.geteuid?.();
  // As a service manager does it: started as that user already.
  if (self === user.uid) return undefined;
  if (self !== 0) {
    throw new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      `user: becoming ${name} needs root: run it with sudo, or start it as that user with CAP_NET_ADMIN.`,
    );
  }
  giveStateDirectory(DEFAULT_STATE_DIRECTORY, user);
  return () => {
    becomeUser(user, [CAP_NET_ADMIN]);
  };
}

/** By `id`, which asks every source of users that the machine has. */
function lookUpUser(name: string): UserIdentity {
  const ask = (flag: string): number => {
    try {
      return Number(run(['id', flag, '--', name]).trim());
    } catch (cause) {
      throw new PreflexError(
        'ERR_INVALID_OPTION',
        `user: there is no user ${name}. Make it: useradd --system --no-create-home --shell /usr/sbin/nologin ${name}`,
        { cause },
      );
    }
  };
  const user = { name, uid: ask('-u'), gid: ask('-g') };
  if (user.uid === 0)
    throw new PreflexError('ERR_INVALID_OPTION', `user: ${name} is root; it takes another user`);
  return user;
}
