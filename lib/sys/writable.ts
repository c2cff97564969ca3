/** Whether a write would wait: asked before lines go to a pipe or socket whose reader may be stuck. */
import { declareFunction } from './libc.ts';

const POLLOUT = 0x4;

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
  // struct pollfd: 0 fd (i32), 4 events (u16), 6 revents (u16)
  const descriptor = new Uint8Array(8);
  new Int32Array(descriptor.buffer, 0, 1)[0] = fd;
  new Uint16Array(descriptor.buffer, 4, 1)[0] = POLLOUT;
  return cPoll(descriptor, 1, 0) > 0;
}
