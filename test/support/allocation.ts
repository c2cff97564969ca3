/**
 * Measures what a function allocates, for the tests that hold the hot path to under one byte a call. Needs
 * `--expose-gc`, which the `unit` project of vitest.config.ts passes.
 */

const BATCHES = 20;
const ROUNDS = 3;
const WARM_UP_CALLS = 50_000;

/**
 * Bytes of heap that one call of `fn` allocates, on average.
 *
 * The calls run in batches, and a batch during which the collector ran (the heap shrank) is left out; the least of
 * three rounds counts, because what the compiler and the test runner allocate beside is not the function's.
 *
 * @returns the average, or Infinity when so much was allocated that the collector ran in every batch
 * @param fn - called with the number of the call, from 0; keep what it captures out of the measured calls
 * @param calls - calls in each round, 200,000 or more for a steady figure
 */
export function bytesAllocatedPerCall(fn: (call: number) => unknown, calls: number): number {
  const collect = globalThis.gc;
  if (collect === undefined)
    throw new Error('run node with --expose-gc: the heap cannot be settled without it');
  const perBatch = Math.ceil(calls / BATCHES);
  runCalls(fn, 0, Math.max(WARM_UP_CALLS, perBatch));
  let least = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    collect();
    let bytes = 0;
    let counted = 0;
    for (let batch = 0; batch < BATCHES; batch++) {
      const before = process.memoryUsage().heapUsed;
      runCalls(fn, batch * perBatch, perBatch);
      const grown = process.memoryUsage().heapUsed - before;
      if (grown < 0) continue;
      bytes += grown;
      counted += perBatch;
    }
    if (counted > 0) least = Math.min(least, bytes / counted);
  }
  return least;
}

function runCalls(fn: (call: number) => unknown, first: number, count: number): void {
  for (let i = 0; i < count; i++) fn(first + i);
}
