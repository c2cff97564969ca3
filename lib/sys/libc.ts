/**
 * Calls into the C library. Only lib/sys makes native calls; the packet loop's are in pool-memory.ts.
 *
 * koffi has no ssize_t: results are declared `long`.
 */
import { constants } from 'node:fs';
import { EINTR, SystemError } from './errno.ts';
import { koffi } from './koffi.ts';

const libc = koffi.load(null);

const cOpen = libc.func('open', 'int', ['str', 'int', '...']) as (path: string, flags: number) => number;
const cClose = libc.func('int close(int fd)') as (fd: number) => number;
const cIoctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)') as (
  fd: number,
  request: number,
  argument: Uint8Array,
) => number;
const cFcntl = libc.func('fcntl', 'int', ['int', 'int', 'int']) as (
  fd: number,
  command: number,
  argument: number,
) => number;
const cErrno = koffi.errno as () => number;

export const O_RDONLY = constants.O_RDONLY;
export const O_RDWR = constants.O_RDWR;
export const O_NONBLOCK = constants.O_NONBLOCK;
export const O_CLOEXEC = 0o2000000;

const F_GETFL = 3;
const F_SETFL = 4;

/** The error number of the last call of this file that returned -1. Read it before any other call. @hotpath */
export function lastErrno(): number {
  return cErrno();
}

/**
 * Opens a file, close-on-exec.
 *
 * @throws SystemError naming the path
 */
export function openFile(
  path: string,
  flags: number,
  remedy?: (errno: number) => string | undefined,
): number {
  const fd = cOpen(path, flags | O_CLOEXEC);
  if (fd < 0) {
    const errno = lastErrno();
    throw new SystemError('open', errno, path, remedy?.(errno));
  }
  return fd;
}

/** Closes a descriptor. Errors are ignored: the descriptor is gone whatever close(2) says. Use {@link Fd} instead. */
export function closeFile(fd: number): void {
  cClose(fd);
}

/**
 * Makes an ioctl call with a structure.
 *
 * @param argument - the structure's bytes, read and written by the kernel
 * @param operation - name of the request, for the error
 * @param subject - device or path, for the error
 * @throws SystemError
 */
export function ioctlBytes(
  fd: number,
  request: number,
  argument: Uint8Array,
  operation: string,
  subject: string,
  remedy?: (errno: number) => string | undefined,
): void {
  if (cIoctl(fd, request, argument) < 0) {
    const errno = lastErrno();
    throw new SystemError(`ioctl ${operation}`, errno, subject, remedy?.(errno));
  }
}

/** Whether an ioctl with a structure is taken; for asking the kernel what it knows. */
export function isIoctlTaken(fd: number, request: number, argument: Uint8Array): boolean {
  return cIoctl(fd, request, argument) >= 0;
}

const cIoctlNumber = libc.func('int ioctl(int fd, unsigned long request, unsigned long argument)') as (
  fd: number,
  request: number,
  argument: number,
) => number;

/** Makes an ioctl call whose argument is a number, not a pointer. Returns 0, or the error number. */
export function ioctlNumber(fd: number, request: number, argument: number): number {
  return cIoctlNumber(fd, request, argument) < 0 ? lastErrno() : 0;
}

/**
 * Sets or clears O_NONBLOCK.
 *
 * @throws SystemError
 */
export function setNonBlocking(fd: number, isNonBlocking = true): void {
  const flags = cFcntl(fd, F_GETFL, 0);
  const wanted = isNonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (flags < 0 || cFcntl(fd, F_SETFL, wanted) < 0) {
    throw new SystemError('fcntl F_SETFL', lastErrno(), `descriptor ${fd}`);
  }
}

/**
 * Reads into a typed array, retrying when interrupted.
 *
 * @returns bytes, or minus the error number
 */
export function readBytes(fd: number, bytes: Uint8Array): number {
  return transfer(cReadBytes, fd, bytes);
}

/** Writes a typed array, retrying when interrupted. Returns bytes (may be fewer), or minus the error number. */
export function writeBytes(fd: number, bytes: Uint8Array): number {
  return transfer(cWriteBytes, fd, bytes);
}

type BytesTransfer = (fd: number, bytes: Uint8Array, length: number) => number;
const cReadBytes = libc.func('long read(int fd, void *bytes, size_t length)') as BytesTransfer;
const cWriteBytes = libc.func('long write(int fd, const void *bytes, size_t length)') as BytesTransfer;

function transfer(call: BytesTransfer, fd: number, bytes: Uint8Array): number {
  for (;;) {
    const result = call(fd, bytes, bytes.length);
    if (result >= 0) return result;
    const errno = lastErrno();
    if (errno !== EINTR) return -errno;
  }
}

/** Declares another C library function, for the other files of lib/sys. @internal */
export function declareFunction(prototype: string): (...args: never[]) => number {
  return libc.func(prototype) as unknown as (...args: never[]) => number;
}
