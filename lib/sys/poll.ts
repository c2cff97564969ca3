/**
 * Readiness of a descriptor, in Node's own event loop (uv_poll): packets, timers and sockets share one loop.
 */
import type { node } from 'koffi';
import { fstatSync } from 'node:fs';
import { EEXIST, EPERM, SystemError } from './errno.ts';
import { koffi } from './koffi.ts';

/** What koffi really passes: a libuv status and the events. Its type declaration leaves the status out. */
type PollCallback = (status: number, events: { readable: boolean; writable: boolean }) => void;

/**
 * Watches one descriptor until closed. Level-triggered: calls back in every turn of the loop in which the descriptor
 * is ready, so a callback does a bounded amount of work and returns.
 */
export class Poll {
  // libuv's handle is freed when koffi's object is collected, and the callbacks stop: it has to stay referenced.
  #handle: node.PollHandle | undefined;
  readonly #fd: number;

  /**
   * @param fd - a descriptor that stays open until after {@link close}, watched by no other Poll and not by node
   * @param direction - what to wait for
   * @param onReady - an error thrown by it is raised as an uncaught exception
   * @param onBroken - the descriptor can no longer be polled (a TUN whose interface was deleted); called once, after
   *   which the poll is closed
   * @throws SystemError EEXIST when the descriptor is polled already, EPERM for a file
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
    requirePollable(fd);
    this.#fd = fd;
    this.#handle = koffi.node.poll(fd, { [direction]: true }, callback as never) as node.PollHandle;
    watching.set(fd, this);
  }

  /** Lets the process end although the poll is active. */
  unref(): void {
    this.#handle?.unref();
  }

  /** Stops; no callback follows. Must come before the descriptor is closed. A second call does nothing. */
  close(): void {
    if (this.#handle === undefined) return;
    this.#handle.close();
    this.#handle = undefined;
    watching.delete(this.#fd);
  }
}

/** Active polls by descriptor. Also what keeps them from being collected when their owner forgets them. */
const watching = new Map<number, Poll>();

/** Refuses what libuv would refuse: koffi ends the process when it does. */
function requirePollable(fd: number): void {
  if (watching.has(fd)) {
    throw new SystemError(
      'uv_poll',
      EEXIST,
      `descriptor ${fd}`,
      'it is being polled already; close that poll first',
    );
  }
  const stat = fstatSync(fd);
  if (stat.isFile() || stat.isDirectory()) {
    throw new SystemError(
      'uv_poll',
      EPERM,
      `descriptor ${fd}`,
      'files and folders are always ready and cannot be polled',
    );
  }
}
