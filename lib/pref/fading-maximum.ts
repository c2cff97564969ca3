/** The highest value that was met lately, of each of many things; and how old a moment is, of times modulo 2^32. */

/** The longest time that can be told, ms, and how far a moment that is taken for an earlier one may go back, ms. */
const MOST_MS = 2 ** 31 - 1;
const MOST_BACK_MS = 1000;

/**
 * From one moment to a later one, ms, of times modulo 2^32: what is longer than 25 days counts as 25 days, up to 49, and a
 * little back as nothing.
 *
 * @hotpath
 */
export function elapsedMs(fromMs: number, nowMs: number): number {
  const ms = (nowMs - fromMs) | 0;
  if (ms >= 0) return ms;
  return ms > -MOST_BACK_MS ? 0 : MOST_MS;
}

/** Maxima that are forgotten: each falls by e in a time constant, until a higher value comes. */
export class FadingMaximum {
  private readonly fadeMs: number;
  private readonly values: Float64Array;
  /** To when each value has faded. */
  private readonly atMs: Int32Array;

  /**
   * @param count - of things
   * @param fadeMs - time constant, ms
   */
  constructor(count: number, fadeMs: number) {
    this.fadeMs = fadeMs;
    this.values = new Float64Array(count);
    this.atMs = new Int32Array(count);
  }

  /** Nothing was met of a thing yet. @hotpath */
  reset(thing: number, nowMs: number): void {
    this.values[thing] = 0;
    this.atMs[thing] = nowMs;
  }

  /** What is left of the highest value. @hotpath */
  valueOf(thing: number, nowMs: number): number {
    return this.values[thing] * Math.exp(-elapsedMs(this.atMs[thing], nowMs) / this.fadeMs);
  }

  /** A value was met. @hotpath */
  raise(thing: number, value: number, nowMs: number): void {
    this.fade(thing, nowMs);
    if (value > this.values[thing]) this.values[thing] = value;
  }

  /** Lets a value fade until now: once in 25 days at least, which is as far back as can be told. @hotpath */
  fade(thing: number, nowMs: number): void {
    this.values[thing] = this.valueOf(thing, nowMs);
    this.atMs[thing] = nowMs;
  }
}
