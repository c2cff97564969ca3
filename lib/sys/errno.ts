/**
 * Error numbers of the system and the error thrown for them.
 */
import { constants } from 'node:os';
import { PreflexError } from '../errors.ts';

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
/** Too large: of a hash, no room for another element. */
export const E2BIG = 7;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
/** No space left: of a map, no room for another element. */
export const ENOSPC = 28;
/** "File descriptor in bad state": a TUN whose interface was deleted. */
export const EBADFD = 77;
/** The message does not fit. */
export const EMSGSIZE = 90;
/** The kernel does not have such a protocol, operation or family. */
export const EPROTONOSUPPORT = 93;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
/** No room in a buffer: of a netlink socket, notifications were dropped. */
export const ENOBUFS = 105;
export const EINPROGRESS = 115;

const NAMES = new Map<number, string>([[EBADFD, 'EBADFD']]);
for (const [name, number] of Object.entries(constants.errno)) {
  if (!NAMES.has(number)) NAMES.set(number, name);
}
// Two names for one number: keep the one strace and the manual pages use.
NAMES.set(EAGAIN, 'EAGAIN').set(95, 'EOPNOTSUPP');

/** The symbolic name of an errno, `EPERM` for 1; `errno 250` when it has none. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** The system refused an operation. `code` is ERR_SYSTEM; `errno` and `errnoName` say why. */
export class SystemError extends PreflexError {
  /** The call that failed, for example `ioctl TUNSETIFF`. */
  readonly operation: string;
  readonly errno: number;
  readonly errnoName: string;

  /**
   * @param operation - the call that failed
   * @param errno - the system's error number
   * @param subject - the path or device it was about
   * @param remedy - one line: what to do about it
   */
  constructor(operation: string, errno: number, subject: string, remedy?: string) {
    super(
      'ERR_SYSTEM',
      `${operation} failed for ${subject}: ${errnoName(errno)}${remedy === undefined ? '' : `; ${remedy}`}`,
    );
    this.operation = operation;
    this.errno = errno;
    this.errnoName = errnoName(errno);
  }
}
