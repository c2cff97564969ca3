/**
 * Becoming another user for good, with no capability but those that are needed.
 *
 * Capabilities belong to threads. These calls act on the calling one, the main thread of a daemon, and on what it starts
 * (`ip`); Node's other threads lose theirs when the user changes, because only this thread asked to keep any.
 *
 * @see capabilities(7), prctl(2)
 */
import { PreflexError } from '../errors.ts';
import { EINVAL, SystemError } from './errno.ts';
import { declareFunction, lastErrno } from './libc.ts';

const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const PR_SET_KEEPCAPS = 8;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const MAX_CAPABILITY = 63;

const cPrctl = declareFunction(
  'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
) as unknown as (option: number, a: number, b: number, c: number, d: number) => number;
const cCapset = declareFunction('int capset(void *header, const void *data)') as unknown as (
  header: Uint32Array,
  data: Uint32Array,
) => number;

/** Who to become. */
export interface UserIdentity {
  readonly name: string;
  /** Above 0: not root. */
  readonly uid: number;
  readonly gid: number;
}

/**
 * Becomes a user for good, with no groups but its own, and with no capability but those named; programs that are started
 * later get these as well. Needs root.
 *
 * The order is the kernel's: the bounding set can be cut only while CAP_SETPCAP is there; groups only before the user;
 * the user change would clear every capability unless PR_SET_KEEPCAPS is set, and even then it empties the effective
 * set, which capset fills again; an ambient capability must be permitted and inheritable before.
 *
 * @param keep - numbers of the capabilities to keep
 * @throws SystemError naming the step; PreflexError when the way back is still open
 */
export function becomeUser(user: UserIdentity, keep: readonly number[]): void {
  for (let capability = 0; capability <= MAX_CAPABILITY; capability++) {
    if (keep.includes(capability)) continue;
    if (cPrctl(PR_CAPBSET_DROP, capability, 0, 0, 0) === 0) continue;
    if (lastErrno() === EINVAL) break; // the first that this kernel does not know
    throw refused('prctl PR_CAPBSET_DROP', user);
  }
  prctl('PR_SET_KEEPCAPS', PR_SET_KEEPCAPS, 1, 0, user);
  process.setgroups!([user.gid]);
  process.setgid!(user.gid);
  process.setuid!(user.uid);
  const low = keep.reduce((mask, capability) => (capability < 32 ? mask | (1 << capability) : mask), 0) >>> 0;
  const high =
    keep.reduce((mask, capability) => (capability < 32 ? mask : mask | (1 << (capability - 32))), 0) >>> 0;
  // struct __user_cap_data_struct, twice: effective, permitted, inheritable of the capabilities 0..31 and 32..63.
  const data = new Uint32Array([low, low, low, high, high, high]);
  if (cCapset(new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]), data) < 0) throw refused('capset', user);
  for (const capability of keep)
    prctl('PR_CAP_AMBIENT_RAISE', PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, user);
  prctl('PR_SET_NO_NEW_PRIVS', PR_SET_NO_NEW_PRIVS, 1, 0, user);
  requireNoWayBack(user);
}

function prctl(name: string, option: number, a: number, b: number, user: UserIdentity): void {
  if (cPrctl(option, a, b, 0, 0) < 0) throw refused(`prctl ${name}`, user);
}

function refused(operation: string, user: UserIdentity): SystemError {
  return new SystemError(operation, lastErrno(), `user ${user.name}`, 'becoming another user needs root');
}

/** Holds what was reached against what was asked for: a daemon that believes wrongly to be harmless is worse than none. */
function requireNoWayBack(user: UserIdentity): void {
  let isRootAgain = true;
  try {
    process.setuid!(0);
  } catch {
    isRootAgain = false;
  }
  if (isRootAgain || process.getuid!() !== user.uid || process.geteuid!() !== user.uid) {
    throw new PreflexError('ERR_SYSTEM', `this process could not become user ${user.name} for good`);
  }
}
