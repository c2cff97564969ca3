/**
 * Readiness of a descriptor, in Node's own event loop (uv_poll): packets, timers and sockets share one loop.
 */
import { node } from 'koffi';
import { SystemError } from './errno.ts';

/** What koffi really passes: a libuv status and the events. Its type declaration leaves the status out. */
type PollCallback = (status: number, events: { readable: boolean; writable: boolean }) => void;

/**
 * Watches one descriptor until closed. Level-triggered: calls back in every turn of the loop in which the descriptor
 * is ready, so a callback does a bounded amount of work and returns.
 */
export class Poll {
  // libuv's handle is freed when this object is collected: whoever polls has to keep the Poll referenced.
  #handle: node.PollHandle | undefined;

  /**
   * @param fd - a descriptor that stays open until after {@link close}
   * @param direction - what to wait for
   * @param onReady - an error thrown by it is raised as an uncaught exception
   * @param onBroken - the descriptor can no longer be polled (a TUN whose interface was deleted); called once, after
   *   which the poll is closed
   */
  constructor(fd: number, direction: 'readable' | 'writable', onReady: () => void, onBroken?: () => void) {
    const callback: PollCallback = (status) => {
      // koffi leaves an exception pending until some later call; raise it here and now instead.
      try {
        if (this.#handle === undefined) return;
        if (status >= 0) {
          onReady();
          return;
        }
        this.close();
        onBroken?.();
      } catch (error) {
        setImmediate(() => {
          throw error;
        });
      }
    };
    const handle = node.poll(fd, { [direction]: true }, callback as never) as node.PollHandle | null;
    if (handle === null) throw new SystemError('uv_poll', 22, `descriptor ${fd}`);
    this.#handle = handle;
    watching.add(this);
  }

  /** Lets the process end although the poll is active. */
  unref(): void {
    this.#handle?.unref();
  }

  /** Stops; no callback follows. Must come before the descriptor is closed. A second call does nothing. */
  close(): void {
    this.#handle?.close();
    this.#handle = undefined;
    watching.delete(this);
  }
}

/** Active polls, so that one whose owner forgot it goes on instead of stopping whenever memory is collected. */
const watching = new Set<Poll>();
