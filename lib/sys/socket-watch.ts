/**
 * Readiness of a socket in Node's event loop, for a socket that is nearly always waited for: unlike {@link Poll} of
 * poll.ts it can wait for room to write beside, can be referenced again, and survives an error of the socket.
 */
import type { node } from 'koffi';
import { koffi } from './koffi.ts';

/** What koffi passes: a libuv status and the events. */
type WatchCallback = (status: number, events: { readable: boolean; writable: boolean }) => void;

/**
 * Watches one socket until closed; level-triggered. The callback runs outside of Node's own callback scope: what it
 * wants done in promises and process.nextTick is done at some later time, so it should leave the work to setImmediate.
 */
export class SocketWatch {
  #handle: node.PollHandle | undefined;
  readonly #callback: WatchCallback;

  /**
   * @param fd - a descriptor that stays open until after {@link close} and that libuv watches in no other way
   * @param onEvent - something can be read or, while waited for, written. `isBroken`: the socket has an error to
   *   report, which stopped the watch; read the error and {@link restart}
   */
  constructor(fd: number, onEvent: (isBroken: boolean) => void) {
    this.#callback = (status) => {
      // koffi leaves an exception pending until some later call; raise it here and now instead.
      try {
        if (this.#handle !== undefined) onEvent(status < 0);
      } catch (error) {
        setImmediate(() => {
          throw error;
        });
      }
    };
    this.#handle = koffi.node.poll(fd, { readable: true }, this.#callback as never);
    if (watching.size === 0) process.once('exit', closeAll);
    watching.add(this);
  }

  /** Waits for room to write, beside messages to read, or no longer. Also starts a broken watch again. */
  restart(isWriteAwaited: boolean): void {
    this.#handle?.start({ readable: true, writable: isWriteAwaited }, this.#callback as never);
  }

  /** Keeps the process alive, as a new watch does. */
  ref(): void {
    this.#handle?.ref();
  }

  /** Lets the process end although the watch is active. */
  unref(): void {
    this.#handle?.unref();
  }

  /** Stops; no callback follows. Must come before the descriptor is closed. A second call does nothing. */
  close(): void {
    this.#handle?.close();
    this.#handle = undefined;
    watching.delete(this);
    if (watching.size === 0) process.off('exit', closeAll);
  }
}

/** Active watches; also keeps koffi's objects, without which libuv's handles would be freed. */
const watching = new Set<SocketWatch>();

/**
 * Node aborts when its loop still has handles of others at the end: those of sockets that were not closed because they
 * are not referenced, or because the program calls process.exit in a worker.
 */
function closeAll(): void {
  for (const watch of [...watching]) watch.close();
}
