/** How the benchmarks measure: alternating pairs of subject and baseline in one run, and the median of their ratios. */
import { cpus, release } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { nowNs } from '../sys/clock.ts';

/** One measurement as `--json` prints it. */
export interface BenchResult {
  readonly name: string;
  readonly unit: string;
  /** Median of the subject. */
  readonly value: number;
  /** Median of the baseline. */
  readonly baseline: number;
  /** Median of value / baseline over the pairs. */
  readonly ratio: number;
  /** [value, baseline] of each pair in the order measured. */
  readonly pairs: readonly (readonly [number, number])[];
  /** What the baseline is, in words. */
  readonly against: string;
  readonly machine: Machine;
}

/** The machine that was measured. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
}

/** The machine this runs on. */
export function describeMachine(): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    kernel: release(),
    node: process.version,
  };
}

/** Middle value; the mean of the two middle ones for an even number. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Makes a result of measured pairs. */
export function benchResult(
  name: string,
  unit: string,
  against: string,
  pairs: readonly (readonly [number, number])[],
): BenchResult {
  return {
    name,
    unit,
    value: median(pairs.map((pair) => pair[0])),
    baseline: median(pairs.map((pair) => pair[1])),
    ratio: median(pairs.map((pair) => pair[0] / pair[1])),
    pairs,
    against,
    machine: describeMachine(),
  };
}

/** Time of one call of `body(calls)` divided by `calls`, in ns. */
export function nsPerCall(body: (calls: number) => void, calls: number): number {
  const startNs = nowNs();
  body(calls);
  return (nowNs() - startNs) / calls;
}

const HEAP_BATCHES = 20;

/**
 * Bytes that one of `calls` calls allocates on the JavaScript heap: the mean of a batch of them, and the median of the
 * batches, since now and then the runtime allocates something of its own (code that it has just compiled). A batch during
 * which the collector ran (the heap shrank) is left out.
 *
 * @param body - makes the given number of calls; warmed up before
 * @param collect - collects garbage: {@link collector}, or `globalThis.gc` with `--expose-gc`
 * @returns Infinity when so much was allocated that the collector ran in every batch
 */
export function bytesPerCall(body: (calls: number) => void, calls: number, collect: () => void): number {
  const perBatch = Math.ceil(calls / HEAP_BATCHES);
  const perCall: number[] = [];
  collect();
  for (let batch = 0; batch < HEAP_BATCHES; batch++) {
    const before = process.memoryUsage().heapUsed;
    body(perBatch);
    const grown = process.memoryUsage().heapUsed - before;
    if (grown >= 0) perCall.push(grown / perBatch);
  }
  return perCall.length === 0 ? Infinity : median(perCall);
}

/** Collects garbage, in a process that was started without `--expose-gc` too. */
export function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
