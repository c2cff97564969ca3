/**
 * How late the emulator was: a histogram of the time from a packet's due time to its write, in steps of 5 us up to
 * 50 ms. What is later is counted in the last step; the maximum is exact.
 */

/** Width of a step, ns. */
const STEP_NS = 5_000;
const STEPS = 10_000;

/** What a histogram says, milliseconds. Quantiles are the upper ends of their steps; null without any packet. */
export interface LatenessReport {
  readonly packets: number;
  readonly p50Ms: number | null;
  readonly p90Ms: number | null;
  readonly p99Ms: number | null;
  readonly p999Ms: number | null;
  readonly maxMs: number | null;
  /** Share of packets later than 1 ms. */
  readonly over1MsRatio: number;
}

/** Counts times. */
export class LatenessHistogram {
  readonly #counts = new Float64Array(STEPS);
  #packets = 0;
  #maxNs = 0;

  /** Counts a packet. @param latenessNs - 0 or more. @hotpath */
  add(latenessNs: number): void {
    const step = Math.floor(latenessNs / STEP_NS);
    this.#counts[step < STEPS ? step : STEPS - 1]++;
    this.#packets++;
    if (latenessNs > this.#maxNs) this.#maxNs = latenessNs;
  }

  /** Forgets everything. */
  reset(): void {
    this.#counts.fill(0);
    this.#packets = 0;
    this.#maxNs = 0;
  }

  report(): LatenessReport {
    let over = 0;
    for (let step = 1e6 / STEP_NS; step < STEPS; step++) over += this.#counts[step];
    return {
      packets: this.#packets,
      p50Ms: this.#quantileMs(0.5),
      p90Ms: this.#quantileMs(0.9),
      p99Ms: this.#quantileMs(0.99),
      p999Ms: this.#quantileMs(0.999),
      maxMs: this.#packets === 0 ? null : roundMs(this.#maxNs),
      over1MsRatio: this.#packets === 0 ? 0 : over / this.#packets,
    };
  }

  #quantileMs(share: number): number | null {
    if (this.#packets === 0) return null;
    let left = share * this.#packets;
    for (let step = 0; step < STEPS - 1; step++) {
      left -= this.#counts[step];
      if (left <= 0) return roundMs((step + 1) * STEP_NS);
    }
    return roundMs(this.#maxNs);
  }
}

function roundMs(ns: number): number {
  return Math.round(ns / 1000) / 1000;
}
