/**
 * Measures what a function allocates, for the tests that hold the hot path to under one byte a call. Needs
 * `--expose-gc`, which the `unit` project of vitest.config.ts passes.
 */

import { bytesPerCall } from '../../lib/bench/measure.ts';

const ROUNDS = 3;
const WARM_UP_CALLS = 50_000;

/**
 * Bytes of heap that one call of `fn` allocates, on average: the least of three rounds, because what the compiler and
 * the test runner allocate beside is not the function's.
 *
 * @returns the average, or Infinity when so much was allocated that the collector ran in every batch
 * @param fn - called with the number of the call, from 0; keep what it captures out of the measured calls
 * @param calls - calls in each round, 200,000 or more for a steady figure
 */
export function bytesAllocatedPerCall(fn: (call: number) => unknown, calls: number): number {
  const collect = globalThis.gc;
  if (collect === undefined)
    throw new Error('run node with --expose-gc: the heap cannot be settled without it');
  let next = 0;
  const body = (count: number): void => {
    const end = next + count;
    for (; next < end; next++) fn(next);
  };
  body(WARM_UP_CALLS);
  let least = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    next = 0;
    least = Math.min(least, bytesPerCall(body, calls, collect));
  }
  return least;
}
