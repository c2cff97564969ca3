/** Watches a host agent for its event log: flows that gave up their path. */
import type { LexCounters } from '../lex/counters.ts';
import type { EventLog } from './events.ts';
import type { TimedCore } from './packet-loop.ts';

/** Time between two looks, ns: an outage of many flows is told once a second. */
const LOOK_NS = 1e9;

/** Tells an event log what a host agent does. */
export class HostWatch implements TimedCore {
  readonly #counters: Pick<LexCounters, 'moved' | 'unpinned'>;
  readonly #log: EventLog;
  #seen = 0;
  #lookAtNs = 0;

  constructor(counters: Pick<LexCounters, 'moved' | 'unpinned'>, log: EventLog) {
    this.#counters = counters;
    this.#log = log;
  }

  /** When the next look is due, ns. */
  pollTimeout(): number {
    return this.#lookAtNs;
  }

  /** Looks at the counters. */
  handleTimeout(nowNs: number): void {
    this.#lookAtNs = nowNs + LOOK_NS;
    const { moved, unpinned } = this.#counters;
    if (moved + unpinned > this.#seen)
      this.#log.add({ kind: 'pathsGivenUp', flows: moved + unpinned - this.#seen });
    this.#seen = moved + unpinned;
  }
}
