/**
 * Counts values by size in buckets that are fixed at the start: typed arrays, nothing allocated, a few comparisons a
 * value. Made for the packet loop, read by whoever reports.
 */

/** What a histogram has counted, for reports. */
export interface HistogramReport {
  /** Upper bounds of the buckets, ascending; a value counts in the first bucket whose bound is not below it. */
  readonly bounds: readonly number[];
  /** Values in each bucket, not cumulated; one more than bounds, for what is above the last. */
  readonly counts: readonly number[];
  /** Sum of all values. */
  readonly sum: number;
}

/** A histogram. */
export class LoopHistogram {
  readonly #bounds: Float64Array;
  readonly #counts: Float64Array;
  /** An array, so that adding to it allocates nothing. */
  readonly #sum = new Float64Array(1);

  /** @param bounds - upper bounds of the buckets, ascending; one for all larger values is added */
  constructor(bounds: readonly number[]) {
    this.#bounds = Float64Array.from(bounds);
    this.#counts = new Float64Array(bounds.length + 1);
  }

  /** Counts a value. @hotpath */
  add(value: number): void {
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]) bucket++;
    this.#counts[bucket]++;
    this.#sum[0] += value;
  }

  /** The counts now; allocates. */
  report(): HistogramReport {
    return { bounds: [...this.#bounds], counts: [...this.#counts], sum: this.#sum[0] };
  }
}
