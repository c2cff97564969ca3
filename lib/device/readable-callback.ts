/**
 * The readable callback of a device without a descriptor: called from a microtask, so neither inside the call that
 * made a packet available nor after a timer. While packets are left it calls again, once a turn of the event loop: a
 * device that never runs dry must leave timers and other devices their turn.
 */
import { PreflexError } from '../errors.ts';

/** Holds one device's callback and decides when to call it. */
export class ReadableCallback {
  readonly #deviceName: string;
  readonly #isReadable: () => boolean;
  #callback: (() => void) | undefined;
  #isScheduled = false;
  #hasRead = false;
  #isOwed = false;
  #isClosed = false;

  /** @param isReadable - whether packets are waiting */
  constructor(deviceName: string, isReadable: () => boolean) {
    this.#deviceName = deviceName;
    this.#isReadable = isReadable;
  }

  /** See Device.onReadable. */
  set(callback: () => void): () => void {
    if (this.#isClosed) throw new PreflexError('ERR_INVALID_OPTION', `${this.#deviceName} is closed`);
    if (this.#callback !== undefined) {
      throw new PreflexError(
        'ERR_INVALID_OPTION',
        `${this.#deviceName}: a readable callback is set already; stop it first`,
      );
    }
    this.#callback = callback;
    this.notify();
    return () => {
      if (this.#callback === callback) this.#callback = undefined;
    };
  }

  /** Tells that packets may be waiting. */
  notify(): void {
    this.#schedule(queueMicrotask);
  }

  /** Calls back once even though no packet waits: the device has come to its end. */
  notifyOnce(): void {
    this.#isOwed = true;
    this.notify();
  }

  /** Tells that read() was called. */
  noteRead(): void {
    this.#hasRead = true;
  }

  /** Forgets the callback and takes no other. */
  close(): void {
    this.#isClosed = true;
    this.#callback = undefined;
  }

  #schedule(defer: (call: () => void) => void): void {
    if (this.#isScheduled || this.#callback === undefined || !this.#isDue()) return;
    this.#isScheduled = true;
    defer(() => {
      if (this.#callback !== undefined && this.#isDue()) {
        this.#hasRead = false;
        this.#isOwed = false;
        // Still scheduled: what arrives during the callback must not call again within this turn.
        this.#callback();
      }
      this.#isScheduled = false;
      // Again while packets are left, unless the callback reads nothing: that would never end.
      if (this.#hasRead) this.#schedule(setImmediate);
    });
  }

  #isDue(): boolean {
    return this.#isOwed || this.#isReadable();
  }
}
