/** Writing without waiting, for lines that go to a pipe, socket or terminal whose reader may be stuck. */
import { constants, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { nowNs } from './clock.ts';
import { declareFunction } from './libc.ts';

const POLLOUT = 0x4;
/** What a pipe or socket that takes bytes takes of them at least. */
const PIECE_BYTES = 4096;

const cPoll = declareFunction('int poll(void *descriptors, unsigned long count, int timeout)') as unknown as (
  descriptors: Uint8Array,
  count: number,
  timeout: number,
) => number;

/**
 * Whether a descriptor takes bytes now. A pipe that does takes at least a page (4096 bytes) without waiting; regular files
 * always do. One whose reader is gone does too: the write then says so.
 */
export function isWritable(fd: number): boolean {
  return waitWritable(fd, 0);
}

/**
 * Writes as much as can be written, in pieces that do not wait.
 *
 * @param limitMs - for how long a reader may keep it waiting in all
 * @returns bytes written: fewer than there are when there was no room in time, no room on the disk, or nobody who reads
 */
export function writePromptly(fd: number, bytes: Uint8Array, limitMs = 0): number {
  const deadlineNs = nowNs() + limitMs * 1e6;
  let written = 0;
  try {
    while (written < bytes.length) {
      if (!waitWritable(fd, Math.max(0, (deadlineNs - nowNs()) / 1e6))) break;
      written += writeSync(fd, bytes, written, Math.min(PIECE_BYTES, bytes.length - written));
    }
  } catch {
    // What was written before counts.
  }
  return written;
}

/**
 * A descriptor for writing to the same terminal that never waits, since a terminal may take less than a piece; the same
 * descriptor for anything else. It is the process's own: others that share the terminal write as before.
 */
export function ownWriter(fd: number): number {
  if (!isatty(fd)) return fd;
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return fd;
  }
}

function waitWritable(fd: number, limitMs: number): boolean {
  // struct pollfd: 0 fd (i32), 4 events (u16), 6 revents (u16)
  const descriptor = new Uint8Array(8);
  new Int32Array(descriptor.buffer, 0, 1)[0] = fd;
  new Uint16Array(descriptor.buffer, 4, 1)[0] = POLLOUT;
  return cPoll(descriptor, 1, Math.ceil(limitMs)) > 0;
}
