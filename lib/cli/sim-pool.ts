/**
 * Runs simulations on several processors: worker threads that take one task after the other. The records come back in
 * the order of the tasks, whoever ran them, so that the number of workers shows nowhere in a result.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { PreflexError } from '../errors.ts';
import type { SimKinds, SimTask } from './sim-tasks.ts';
import type { WorkerMessage } from './sim-worker.ts';

/** How tasks are run. */
export interface PoolOptions {
  /** Threads; default one for each processor. Never more than tasks. */
  readonly workers?: number | undefined;
  /** Told how much of all tasks together is done, 0..1, and how many are done. */
  readonly onShare?: (share: number, done: number) => void;
  /** Called when the user interrupts, before the process ends. */
  readonly onInterrupt?: () => void;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs all tasks. A signal ends the threads, then the process, the way the signal would have.
 *
 * @throws PreflexError of the first task that was refused; then the others are given up
 */
export async function runTasks<K extends keyof SimKinds>(
  tasks: readonly SimTask<K>[],
  options: PoolOptions = {},
): Promise<SimKinds[K]['record'][]> {
  const count = Math.max(1, Math.min(tasks.length, options.workers ?? availableParallelism()));
  const threads: Worker[] = [];
  const shares = tasks.map(() => 0);
  let done = 0;
  let next = 0;
  const records: SimKinds[K]['record'][] = [];
  const interrupt = (signal: NodeJS.Signals): void => {
    release();
    options.onInterrupt?.();
    // Their end is no failure of a task.
    for (const thread of threads) thread.removeAllListeners('exit');
    void Promise.all(threads.map((thread) => thread.terminate())).then(() => {
      process.kill(process.pid, signal);
    });
  };
  const release = (): void => {
    for (const signal of SIGNALS) process.off(signal, interrupt);
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  const report = (): void => {
    options.onShare?.(shares.reduce((sum, share) => sum + share, 0) / Math.max(1, tasks.length), done);
  };
  try {
    await Promise.all(
      Array.from({ length: count }, async () => {
        const thread = startThread();
        threads.push(thread);
        while (next < tasks.length) {
          const index = next++;
          records[index] = (await runOn(thread, tasks[index], (share) => {
            shares[index] = share;
            report();
          })) as SimKinds[K]['record'];
          shares[index] = 1;
          done++;
          report();
        }
      }),
    );
  } finally {
    release();
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
  return records;
}

/** A thread that runs sim-worker, from the source as from the compiled package. */
function startThread(): Worker {
  const here = import.meta.url;
  if (!here.endsWith('.ts')) return new Worker(new URL('./sim-worker.js', here), { execArgv: [] });
  // Threads have loaders of their own, and tsx sets up that of the main thread only.
  const [tsx, worker] = [import.meta.resolve('tsx/esm/api'), new URL('./sim-worker.ts', here).href];
  const source = `import('${tsx}').then(({ register }) => { register(); return import('${worker}'); });`;
  return new Worker(source, { eval: true, execArgv: [] });
}

function runOn(thread: Worker, task: SimTask, onShare: (share: number) => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      thread.off('message', take);
      thread.off('error', fail);
      thread.off('exit', leave);
    };
    const fail = (error: unknown): void => {
      settle();
      reject(error as Error);
    };
    const leave = (): void => {
      fail(new PreflexError('ERR_SYSTEM', 'a thread of the simulator ended before its task was done'));
    };
    const take = (message: WorkerMessage): void => {
      if (message.kind === 'share') {
        onShare(message.share);
        return;
      }
      if (message.kind === 'refused') {
        fail(new PreflexError(message.code, message.message));
        return;
      }
      settle();
      resolve(message.record);
    };
    thread.on('message', take);
    thread.on('error', fail);
    thread.on('exit', leave);
    thread.postMessage(task);
  });
}
