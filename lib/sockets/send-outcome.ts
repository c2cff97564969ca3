/**
 * What becomes of the datagrams that a program sends: who is told, when, and with which error. The errors are those of
 * node:dgram, field by field.
 *
 *      send()      stage ......... tick: flush if it has not left yet, then the callback
 *                                        no room in the kernel: the callback when there was
 */
import { AsyncResource } from 'node:async_hooks';
import { getSystemErrorName } from 'node:util';

/** Callback of send, as in node:dgram. */
export type SendCallback = (error: Error | null, bytes: number) => void;
/** Callback of sendBatch: the first error if there was one, and how many datagrams went. */
export type BatchCallback = (error: Error | null, sent: number) => void;

/** Told once what became of a datagram. */
export interface SendOutcome {
  /**
   * @param errno - 0 when it went
   * @param bytes - of payload
   */
  finish(errno: number, bytes: number): void;
}

/** An error of a call on a socket, the way node:dgram reports one. */
export interface SocketError extends Error {
  errno: number;
  code: string;
  syscall: string;
  address?: string | undefined;
  port?: number | undefined;
}

/** The error of a datagram that could not be sent; address and port are those that the program gave. */
export function sendError(errno: number, address: string | undefined, port: number | undefined): SocketError {
  const code = getSystemErrorName(-errno);
  const where = port !== undefined && port > 0 ? ` ${address}:${port}` : address ? ` ${address}` : '';
  const error = new Error(`send ${code}${where}`) as SocketError;
  error.errno = -errno;
  error.code = code;
  error.syscall = 'send';
  error.address = address;
  if (port) error.port = port;
  return error;
}

/** The outcome of one datagram with a callback. */
export class CallbackOutcome implements SendOutcome {
  #callback: SendCallback;
  readonly #address: string | undefined;
  readonly #port: number | undefined;
  #errno = 0;
  #bytes = 0;
  #isFinished = false;
  #isAwaited = false;

  constructor(callback: SendCallback, address: string | undefined, port: number | undefined) {
    this.#callback = callback;
    this.#address = address;
    this.#port = port;
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  finish(errno: number, bytes: number): void {
    this.#errno = errno;
    this.#bytes = bytes;
    this.#isFinished = true;
    if (this.#isAwaited) setImmediate(() => this.settle());
  }

  /** Calls back, now or when it is finished. Called once, in the context of the program's send. */
  settle(): void {
    if (!this.#isFinished) {
      this.#isAwaited = true;
      this.#callback = AsyncResource.bind(this.#callback);
    } else if (this.#errno === 0) {
      this.#callback(null, this.#bytes);
    } else {
      // One argument, as node:dgram calls it.
      (this.#callback as (error: Error) => void)(sendError(this.#errno, this.#address, this.#port));
    }
  }
}

/** The outcome of a batch. */
export class BatchOutcome implements SendOutcome {
  /** Datagrams that went so far. */
  sent = 0;
  #left: number;
  #errno = 0;
  readonly #callback: BatchCallback | undefined;

  constructor(count: number, callback: BatchCallback | undefined) {
    this.#left = count;
    this.#callback = callback === undefined ? undefined : AsyncResource.bind(callback);
    if (count === 0) this.#end();
  }

  finish(errno: number): void {
    if (errno === 0) this.sent++;
    else if (this.#errno === 0) this.#errno = errno;
    this.#left--;
    if (this.#left === 0) this.#end();
  }

  #end(): void {
    if (this.#callback === undefined) return;
    setImmediate(
      this.#callback,
      this.#errno === 0 ? null : sendError(this.#errno, undefined, undefined),
      this.sent,
    );
  }
}

/** The outcome of a datagram that node:dgram itself sends through its handle. */
export class HandleOutcome implements SendOutcome {
  readonly #complete: ((status: number, bytes: number) => void) | undefined;
  #result = 0;
  #isAwaited = false;

  constructor(complete: ((status: number, bytes: number) => void) | undefined) {
    this.#complete = complete;
  }

  finish(errno: number, bytes: number): void {
    if (!this.#isAwaited) this.#result = errno === 0 ? bytes + 1 : -errno;
    else if (this.#complete !== undefined) setImmediate(this.#complete, -errno, bytes);
  }

  /** What the handle's send returns: bytes + 1, minus the errno, or 0 when the outcome is not known yet. */
  result(): number {
    this.#isAwaited = this.#result === 0;
    return this.#result;
  }
}
