/** How the benchmarks measure: alternating pairs of subject and baseline in one run, and the median of their ratios. */
import { cpus, release } from 'node:os';
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

/**
 * Bytes that one of `calls` calls allocates on the JavaScript heap, on average. Needs `--expose-gc`, which it turns
 * on by itself.
 */
export async function bytesPerCall(body: (calls: number) => void, calls: number): Promise<number> {
  const { setFlagsFromString } = await import('node:v8');
  const { runInNewContext } = await import('node:vm');
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  gc();
  const before = process.memoryUsage().heapUsed;
  body(calls);
  return Math.max(0, process.memoryUsage().heapUsed - before) / calls;
}
