/** What a run records: a row for each update interval, a record for each transfer. The laboratory writes the same. */

/** A route in one update interval; bytes of IP packets, ratios 0..1. */
export interface IntervalRoute {
  readonly name: string;
  readonly up: boolean;
  readonly bytes: number;
  readonly lexBytes: number;
  readonly fneRepeatBytes: number;
  readonly lossRatio: number;
  /** Share of the gateway's packets that the link itself dropped; null where no emulated link can tell. */
  readonly trueDropRatio: number | null;
  readonly flowletRatio: number;
  readonly flowlets: number;
  /** Share of the link's rate that was used; null where the link has no rate. */
  readonly utilisation: number | null;
}

/** A route toward one destination in one update interval. */
export interface DestinationRoute {
  readonly name: string;
  readonly bytes: number;
  readonly lexBytes: number;
  readonly fneRepeatBytes: number;
  readonly lossRatio: number;
  readonly flowletRatio: number;
  readonly flowlets: number;
}

/** One update interval. */
export interface Interval {
  /** End of the interval, seconds. */
  readonly t: number;
  /** Over all destinations; the flowlet ratio is that of the destination with most bytes. */
  readonly routes: readonly IntervalRoute[];
  /** Each destination by itself. */
  readonly destinations?: readonly { readonly name: string; readonly routes: readonly DestinationRoute[] }[];
}

/** Quantiles of a number of times, seconds; null without any. */
export interface Quantiles {
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  readonly max: number | null;
  /** How many times there were. */
  readonly count: number;
}

/** The value below which that share of the numbers lies (nearest rank); null without numbers. */
export function quantile(sorted: readonly number[], share: number): number | null {
  if (sorted.length === 0) return null;
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
}

/** Quantiles of numbers in any order. */
export function quantiles(values: readonly number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    p50: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
    max: sorted.at(-1) ?? null,
    count: sorted.length,
  };
}

/** How a transfer ended. */
export type FlowOutcome = 'completed' | 'failed' | 'unfinished';

/** One transfer. Times in seconds after the start of the traffic. */
export interface FlowRecord {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
  readonly receivedBytes: number;
  readonly outcome: FlowOutcome;
  /** What the socket said, for `failed`. */
  readonly error?: string;
  /** From the call of connect to its success; null when it had none. */
  readonly connectSeconds: number | null;
  /** Longest time without progress: between two readings, or before the first, or after the last. */
  readonly stallSeconds: number;
  /** When that began. */
  readonly stallAt: number;
  /** For each of the plan's gapProbes the length of the gap around it; null when the flow did not run then. */
  readonly probeGaps?: readonly (number | null)[];
}
