/**
 * How the kernel schedules the calling thread. For emulators and measurements, which must run when their time has come,
 * not when it is their turn.
 */
import { requireInteger } from '../errors.ts';
import { EPERM, SystemError } from './errno.ts';
import { declareFunction, lastErrno } from './libc.ts';

const SCHED_FIFO = 1;
/** Children of the thread are scheduled as usual. */
const SCHED_RESET_ON_FORK = 0x40000000;
const CALLING_THREAD = 0;

const cSetScheduler = declareFunction(
  'int sched_setscheduler(int pid, int policy, const void *parameter)',
) as unknown as (pid: number, policy: number, parameter: Int32Array) => number;

/**
 * Lets the calling thread run before every thread without real-time priority, for as long as it wants to. A nice value
 * would not do: it counts only among the threads of one session where the kernel groups by sessions.
 *
 * @param priority - 1 (lowest) to 99
 * @throws SystemError EPERM without CAP_SYS_NICE, or where a control group has no real-time budget
 * @see sched(7)
 */
export function setRealTimePriority(priority: number): void {
  requireInteger('priority', priority, 1, 99);
  const parameter = new Int32Array(new ArrayBuffer(4));
  parameter[0] = priority;
  if (cSetScheduler(CALLING_THREAD, SCHED_FIFO | SCHED_RESET_ON_FORK, parameter) < 0) {
    const errno = lastErrno();
    throw new SystemError(
      'sched_setscheduler',
      errno,
      'this thread',
      errno === EPERM ? 'real-time priority needs root or CAP_SYS_NICE' : undefined,
    );
  }
}
