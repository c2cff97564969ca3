/** How the machine's processors spent the time of a run. */
import { readFileSync } from 'node:fs';
import type { ProcessorUse } from './validity.ts';

/** Looks at /proc/stat when made, and again when asked. @see proc_stat(5) */
export class ProcessorWatch {
  readonly #start = readTicks();

  /** Shares since this object was made. */
  use(): ProcessorUse {
    return processorUse(this.#start, readTicks());
  }
}

/** Ticks of all processors: user, nice, system, idle, iowait, irq, softirq, steal. */
export function parseTicks(stat: string): number[] {
  return stat.split('\n', 1)[0].trim().split(/\s+/).slice(1, 9).map(Number);
}

/** Shares between two readings. */
export function processorUse(start: readonly number[], end: readonly number[]): ProcessorUse {
  const ticks = end.map((count, i) => count - start[i]);
  const total = Math.max(
    1,
    ticks.reduce((sum, count) => sum + count, 0),
  );
  const idle = (ticks[3] + ticks[4]) / total;
  const stolen = ticks[7] / total;
  const yielding = ticks[1] / total;
  return { busy: Math.max(0, 1 - idle - yielding - stolen), idle, yielding, stolen };
}

function readTicks(): number[] {
  return parseTicks(readFileSync('/proc/stat', 'utf8'));
}
