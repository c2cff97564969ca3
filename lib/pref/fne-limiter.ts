/**
 * Limits how many routes are drawn for FNE packets from outside: a token bucket for each destination (the
 * prefix that the packet came from) and one for all together. Over the limit a packet goes on without
 * assignment; nothing is dropped.
 *
 * A bucket is kept as the one time at which it would be full again: a packet fits when that time is less than
 * burst - 1 tokens ahead, and puts it one token further. A token is a whole number of ns, as in the kernel.
 *
 * @see ITU-T I.371, the generic cell rate algorithm (virtual scheduling)
 */

/** Rates and bursts of the two kinds of bucket. */
export interface FneLimits {
  /** Draws a second for each destination; above 0, Infinity for no limit. */
  readonly ratePerDestination: number;
  /** Draws at once for each destination, 1 or more. */
  readonly burstPerDestination: number;
  /** Draws a second in total. */
  readonly rateTotal: number;
  /** Draws at once in total. */
  readonly burstTotal: number;
}

/** The draw is allowed. */
export const LIMIT_NONE = 0;
/** The destination is over its limit. */
export const LIMIT_DESTINATION = 1;
/** All destinations together are over the limit. */
export const LIMIT_TOTAL = 2;

const NS_PER_S = 1e9;

/** The token buckets. */
export class FneLimiter {
  /** When the bucket of each destination is full again, ns; 0 = full from the start. */
  private fullAt = new Float64Array(64);
  /** The bucket of all; an array, so that storing a time allocates nothing. */
  private readonly totalFullAt = new Float64Array(1);
  /** ns a token of a destination; 0 without limit. */
  tokenNs = 0;
  /** How far ahead of now the time of a destination's bucket may be, ns. */
  aheadNs = 0;
  /** ns a token of all together; 0 without limit. */
  totalTokenNs = 0;
  /** How far ahead of now the time of the bucket of all may be, ns. */
  totalAheadNs = 0;

  constructor(limits: FneLimits) {
    this.configure(limits);
  }

  /** Puts limits in force. With others than before all buckets are full: what was taken counts in tokens of before. */
  configure(limits: FneLimits): void {
    const before = [this.tokenNs, this.aheadNs, this.totalTokenNs, this.totalAheadNs];
    this.tokenNs = Math.round(NS_PER_S / limits.ratePerDestination);
    this.aheadNs = Math.floor(this.tokenNs * (limits.burstPerDestination - 1));
    this.totalTokenNs = Math.round(NS_PER_S / limits.rateTotal);
    this.totalAheadNs = Math.floor(this.totalTokenNs * (limits.burstTotal - 1));
    const now = [this.tokenNs, this.aheadNs, this.totalTokenNs, this.totalAheadNs];
    if (now.every((value, i) => value === before[i])) return;
    this.fullAt.fill(0);
    this.totalFullAt[0] = 0;
  }

  /** Makes room for destinations below `count`, full buckets for the new ones. */
  reserve(count: number): void {
    if (count <= this.fullAt.length) return;
    const grown = new Float64Array(Math.max(count, this.fullAt.length * 2));
    grown.set(this.fullAt);
    this.fullAt = grown;
  }

  /** Takes over what another limiter, with the same limits, has left in the buckets of a destination and of all. */
  copyBuckets(other: FneLimiter, destination: number, to: number): void {
    this.fullAt[to] = other.fullAt[destination];
    this.totalFullAt[0] = other.totalFullAt[0];
  }

  /** Fills the bucket of a destination whose index another one takes. */
  reset(destination: number): void {
    this.fullAt[destination] = 0;
  }

  /**
   * Takes one token from both buckets, or none from either: a destination over its limit costs the others
   * nothing.
   *
   * @returns LIMIT_NONE, LIMIT_DESTINATION or LIMIT_TOTAL
   * @hotpath
   */
  take(destination: number, nowNs: number): number {
    const fullAt = this.fullAt[destination];
    if (fullAt > nowNs + this.aheadNs) return LIMIT_DESTINATION;
    const totalFullAt = this.totalFullAt[0];
    if (totalFullAt > nowNs + this.totalAheadNs) return LIMIT_TOTAL;
    this.fullAt[destination] = (fullAt > nowNs ? fullAt : nowNs) + this.tokenNs;
    this.totalFullAt[0] = (totalFullAt > nowNs ? totalFullAt : nowNs) + this.totalTokenNs;
    return LIMIT_NONE;
  }
}
