/**
 * A worker thread of `preflex sim`: takes simulations from the main thread one at a time, and answers with how far it is
 * and with what came of them.
 */
import { parentPort } from 'node:worker_threads';
import { PreflexError } from '../errors.ts';
import type { PreflexErrorCode } from '../errors.ts';
import { runTask } from './sim-tasks.ts';
import type { SimTask } from './sim-tasks.ts';

/** What a worker says. */
export type WorkerMessage =
  | { readonly kind: 'share'; readonly share: number }
  | { readonly kind: 'record'; readonly record: unknown }
  | { readonly kind: 'refused'; readonly code: PreflexErrorCode; readonly message: string };

function say(message: WorkerMessage): void {
  parentPort?.postMessage(message);
}

parentPort?.on('message', (task: SimTask) => {
  try {
    const record = runTask(task, (share) => {
      say({ kind: 'share', share });
    });
    say({ kind: 'record', record });
  } catch (error) {
    // A class does not survive the way to the main thread; any other error ends this thread, and is seen there.
    if (!(error instanceof PreflexError)) throw error;
    say({ kind: 'refused', code: error.code, message: error.message });
  }
});
