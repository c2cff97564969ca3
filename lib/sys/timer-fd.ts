/**
 * A one-shot timer with the kernel's own precision, as a descriptor in Node's event loop: Node's timers count whole
 * milliseconds, which is too coarse to release packets by.
 *
 * ```
 *  struct itimerspec (32 bytes, 64-bit machines):  0 interval.sec   8 interval.nsec   16 value.sec   24 value.nsec
 * ```
 * The interval stays 0: the timer fires once. A value of 0 disarms it.
 *
 * @see timerfd_create(2)
 */
import { requireNumber } from '../errors.ts';
import { clockOriginNs } from './clock.ts';
import { EAGAIN, SystemError } from './errno.ts';
import { Fd } from './fd.ts';
import { declareFunction, lastErrno, readBytes } from './libc.ts';
import { Poll } from './poll.ts';

const CLOCK_MONOTONIC = 1;
const TFD_FLAGS = 0o4000 | 0o2000000; // TFD_NONBLOCK | TFD_CLOEXEC
const TFD_TIMER_ABSTIME = 1;
const NS_PER_S = 1e9;

const cCreate = declareFunction('int timerfd_create(int clock, int flags)') as unknown as (
  clock: number,
  flags: number,
) => number;
const cSetTime = declareFunction(
  'int timerfd_settime(int fd, int flags, const void *value, void *old)',
) as unknown as (fd: number, flags: number, value: Uint32Array, old: null) => number;

const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
/** Index of the lower half of value.sec and value.nsec, counted in 32-bit words. */
const SECONDS = isLittleEndian ? 4 : 5;
const NANOSECONDS = isLittleEndian ? 6 : 7;

/** A timer; at most one time is set at once. */
export class TimerFd {
  readonly #fd: Fd;
  // Its buffer must be its own: V8 keeps the bytes of small typed arrays on its heap, where they move.
  readonly #spec = new Uint32Array(new ArrayBuffer(32));
  readonly #expirations = new Uint8Array(new ArrayBuffer(8));
  readonly #poll: Poll;

  /**
   * Makes a timer that is not set.
   *
   * @param onExpire - called in the event loop once for each {@link set} whose time has come
   * @throws SystemError
   */
  constructor(onExpire: () => void) {
    const fd = cCreate(CLOCK_MONOTONIC, TFD_FLAGS);
    if (fd < 0) throw new SystemError('timerfd_create', lastErrno(), 'CLOCK_MONOTONIC');
    this.#fd = new Fd(fd, 'the timer');
    this.#poll = new Poll(fd, 'readable', () => {
      // Set anew since it expired: the count is gone, and so is the reason to call.
      if (readBytes(this.#fd.number, this.#expirations) === -EAGAIN) return;
      onExpire();
    });
  }

  /**
   * Sets the timer, in place of what it was set to.
   *
   * @param atNs - time of `nowNs()`; one that has passed already expires at once
   * @throws PreflexError unless it is a finite number of ns from 0; SystemError
   */
  set(atNs: number): void {
    if (!(atNs >= 0 && atNs < Infinity)) requireNumber('atNs', atNs, 0, Number.MAX_VALUE);
    const at = Math.ceil(atNs + clockOriginNs);
    const seconds = Math.floor(at / NS_PER_S);
    this.#setTime(seconds, at - seconds * NS_PER_S);
  }

  /** Takes the time back; nothing is called until the next {@link set}. */
  clear(): void {
    this.#setTime(0, 0);
  }

  /** Ends the timer. A second call does nothing. */
  close(): void {
    this.#poll.close();
    this.#fd.close();
  }

  #setTime(seconds: number, nanoseconds: number): void {
    const spec = this.#spec;
    spec[SECONDS] = seconds;
    spec[NANOSECONDS] = nanoseconds;
    if (cSetTime(this.#fd.number, TFD_TIMER_ABSTIME, spec, null) < 0) {
      throw new SystemError('timerfd_settime', lastErrno(), 'the timer');
    }
  }
}
