/**
 * Handing received datagrams to listeners, as Node's own handles do: each one in the socket's async context, with
 * everything done between two of them that promises and process.nextTick have become due, so that
 * `await once(socket, 'message')` misses none; and an error thrown by a listener is an uncaught exception, after which
 * the rest follows.
 *
 * Node does that for callbacks from its own native code, not for those of koffi. `process._tickCallback` is what its
 * timers use for it, exposed since the first versions; where it is missing setImmediate does the same, more slowly.
 */
import type { AsyncResource } from 'node:async_hooks';

type Callback<T> = (item: T) => boolean;

const runTicks = (process as { _tickCallback?: () => void })._tickCallback;

/**
 * Calls back with each item in turn, now where that can be done, else soon.
 *
 * @param resource - the async context
 * @param callback - returns false to be called with no further item
 * @returns whether it was called with every item; else it is not to be called any more, or will be, soon
 */
export function handOver<T>(resource: AsyncResource, items: readonly T[], callback: Callback<T>): boolean {
  if (runTicks !== undefined) return callWithEach(0, resource, items, callback, runTicks);
  scheduleFrom(0, resource, items, callback);
  return false;
}

function callWithEach<T>(
  from: number,
  resource: AsyncResource,
  items: readonly T[],
  callback: Callback<T>,
  ticks: () => void,
): boolean {
  for (let i = from; i < items.length; i++) {
    try {
      if (!resource.runInAsyncScope(callback, undefined, items[i])) return false;
      ticks();
    } catch (error) {
      setImmediate(() => {
        throw error;
      });
      setImmediate(() => {
        callWithEach(i + 1, resource, items, callback, ticks);
      });
      return false;
    }
  }
  return true;
}

function scheduleFrom<T>(
  from: number,
  resource: AsyncResource,
  items: readonly T[],
  callback: Callback<T>,
): void {
  resource.runInAsyncScope(() => {
    setImmediate(() => {
      // Scheduled first, because the callback may throw.
      if (from + 1 < items.length) scheduleFrom(from + 1, resource, items, callback);
      callback(items[from]);
    });
  });
}
