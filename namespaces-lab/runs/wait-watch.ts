/**
 * How long the processes of a run waited for a processor while they could have run: what of the machine's other work
 * reaches the figures.
 *
 * The emulator's lateness does not show it all: a packet that waits in a device until its reader gets a processor is late by
 * nobody's clock.
 */
import { readFileSync } from 'node:fs';
import type { Experiment } from './experiment-setup.ts';

/** Of one process, its main thread, which moves the packets. */
export interface ProcessWait {
  /** Seconds on a processor. */
  readonly ranSeconds: number;
  /** Seconds in which it could have run and did not. */
  readonly waitedSeconds: number;
  /** Part of the time in which it could run that it waited, 0..1. */
  readonly waitedRatio: number;
  /** The mean wait each time that it was given a processor, milliseconds. */
  readonly meanWaitMs: number;
}

/** Looks at /proc/PID/schedstat when made, and again when asked. @see Documentation/scheduler/sched-stats.rst */
export class WaitWatch {
  readonly #pids = new Map<string, number>();
  readonly #start: ReadonlyMap<string, readonly number[]>;

  constructor({ fabric, agents, gateways, sources, clients }: Experiment) {
    const add = (name: string, pid: number | undefined): void => {
      if (pid !== undefined) this.#pids.set(name, pid);
    };
    add('emulator', fabric.child.pid);
    for (const [kind, processes] of Object.entries({
      agent: agents,
      gateway: gateways,
      source: sources,
      client: clients,
    })) {
      for (const { name, process } of processes) add(`${kind} ${name}`, process.child.pid);
    }
    this.#start = this.#read();
  }

  /** Since this object was made, by name; processes that ended meanwhile are left out. */
  waits(): Record<string, ProcessWait> {
    const end = this.#read();
    const waits: Record<string, ProcessWait> = {};
    for (const [name, start] of this.#start) {
      const now = end.get(name);
      if (now !== undefined) waits[name] = processWait(start, now);
    }
    return waits;
  }

  #read(): Map<string, readonly number[]> {
    const found = new Map<string, readonly number[]>();
    for (const [name, pid] of this.#pids) {
      try {
        found.set(name, parseSchedstat(readFileSync(`/proc/${pid}/schedstat`, 'utf8')));
      } catch {
        // It has ended.
      }
    }
    return found;
  }
}

/** Nanoseconds on a processor, nanoseconds waited, times given a processor. */
export function parseSchedstat(text: string): number[] {
  return text.trim().split(/\s+/).map(Number);
}

/** Between two readings. */
export function processWait(start: readonly number[], end: readonly number[]): ProcessWait {
  const [ranNs, waitedNs, slices] = end.map((value, i) => value - start[i]) as [number, number, number];
  return {
    ranSeconds: ranNs / 1e9,
    waitedSeconds: waitedNs / 1e9,
    waitedRatio: waitedNs / Math.max(1, ranNs + waitedNs),
    meanWaitMs: waitedNs / 1e6 / Math.max(1, slices),
  };
}
