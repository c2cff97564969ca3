/** What became of the transfers of a run: counts, completion times, stalls. */
import { END_FINISHED } from '../tcp/app.ts';
import type { TcpConnection } from '../tcp/connection.ts';

const FIRST_CAPACITY = 256;

/** Times in seconds. */
export interface FlowReport {
  readonly started: number;
  readonly completed: number;
  readonly failed: number;
  /** Payload bytes of completed transfers. */
  readonly bytes: number;
  readonly completionTime: { readonly p50: number; readonly p90: number; readonly p99: number };
  /** Longest time without progress of each transfer; `count` has those above 1 s. */
  readonly stall: {
    readonly p50: number;
    readonly p90: number;
    readonly max: number;
    readonly count: number;
  };
}

/** From this on a time without progress counts as a stall, in ns. */
export const STALL_NS = 1e9;

/** Collects transfers as they end. */
export class FlowLog {
  started = 0;
  completed = 0;
  failed = 0;
  bytes = 0;
  readonly #completionNs = new GrowingList();
  readonly #stallNs = new GrowingList();

  /** A transfer ended; its connection still has its figures. @param how - END_* */
  add(c: TcpConnection, how: number, nowNs: number): void {
    this.#stallNs.push(Math.max(c.longestStallNs, c.outstandingBytes > 0 ? nowNs - c.progressNs : 0));
    if (how !== END_FINISHED) {
      this.failed++;
      return;
    }
    this.completed++;
    this.bytes += c.sentBytes - c.retransmittedBytes;
    this.#completionNs.push(nowNs - c.openedAtNs);
  }

  /** Sums up; NaN never appears, an empty distribution is all zeros. */
  report(): FlowReport {
    const times = this.#completionNs.sorted();
    const stalls = this.#stallNs.sorted();
    return {
      started: this.started,
      completed: this.completed,
      failed: this.failed,
      bytes: this.bytes,
      completionTime: { p50: seconds(times, 0.5), p90: seconds(times, 0.9), p99: seconds(times, 0.99) },
      stall: {
        p50: seconds(stalls, 0.5),
        p90: seconds(stalls, 0.9),
        max: seconds(stalls, 1),
        count: stalls.filter((stallNs) => stallNs >= STALL_NS).length,
      },
    };
  }
}

/** The nearest-rank quantile in seconds. */
function seconds(sortedNs: Float64Array, quantile: number): number {
  if (sortedNs.length === 0) return 0;
  const rank = Math.ceil(quantile * sortedNs.length);
  return sortedNs[Math.max(rank, 1) - 1] / 1e9;
}

class GrowingList {
  #values = new Float64Array(FIRST_CAPACITY);
  #count = 0;

  push(value: number): void {
    if (this.#count === this.#values.length) {
      const longer = new Float64Array(this.#count * 2);
      longer.set(this.#values);
      this.#values = longer;
    }
    this.#values[this.#count++] = value;
  }

  sorted(): Float64Array {
    return this.#values.slice(0, this.#count).sort();
  }
}
