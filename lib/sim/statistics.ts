/** Mean and confidence interval of a figure over seeds. */

/** A figure over several runs. */
export interface Estimate {
  readonly mean: number;
  /** Half the width of the 95 % confidence interval by Student's t; null for fewer than two runs. */
  readonly halfWidth: number | null;
  readonly min: number;
  readonly max: number;
  /** Runs that had a value. */
  readonly count: number;
}

/** The 0.975 quantiles of Student's t for 1 to 10 degrees of freedom; the series below is exact enough beyond. */
const FEW = [12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.306, 2.26216, 2.22814];
/** The same quantile of the normal distribution. */
const NORMAL = 1.959964;

/**
 * The 0.975 quantile of Student's t.
 *
 * @param freedom - degrees of freedom, a whole number from 1
 * @see Abramowitz and Stegun 26.7.5, the expansion around the normal quantile
 */
export function studentT(freedom: number): number {
  if (freedom <= FEW.length) return FEW[freedom - 1];
  const z = NORMAL;
  const g1 = (z ** 3 + z) / 4;
  const g2 = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96;
  const g3 = (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384;
  return z + g1 / freedom + g2 / freedom ** 2 + g3 / freedom ** 3;
}

/** Mean and confidence interval; values that are not there are left out, undefined when none is. */
export function estimate(values: readonly (number | null)[]): Estimate | undefined {
  const known = values.filter((value): value is number => value !== null);
  const count = known.length;
  if (count === 0) return undefined;
  const mean = known.reduce((sum, value) => sum + value, 0) / count;
  const squares = known.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    halfWidth: count < 2 ? null : studentT(count - 1) * Math.sqrt(squares / (count - 1) / count),
    min: Math.min(...known),
    max: Math.max(...known),
    count,
  };
}
