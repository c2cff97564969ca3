/**
 * The three splits that equation 1 mixes: equal f(E), conservative f(C) and loss-driven f(L). Each sums to 1
 * over the routes of a destination.
 *
 * The paper's p_i = L_i / T_i is not defined without loss (eq. 2 divides by L_i), and one lucky route would
 * take everything. So p_i is shrunk toward the pooled ratio p of all routes, as if each had carried k more
 * bytes with it, and nothing is taken for better than one lost byte in a million:
 *
 *     p_i = max((L_i + k p) / (T_i + k), 1e-6)      p = max(L / T, 1e-6)
 *
 * Without any loss all p_i are 1e-6 and f(L)_i = T_i / T, the conservative split. The outer maximum is what
 * makes it so: k p / (T_i + k) alone still falls with T_i, and the largest route would take all.
 *
 * A route with T_i = 0 gets nothing from f(C) and f(L); it grows back by its own traffic: beta_E / N of the
 * flowlets give it a T_i above 0, and T_i / p_i does the rest. That takes a beta_E above 0, and credits that
 * outlive an interval (route-table.ts).
 */

/** f(E)_i = 1 / N. @see paper eq. 1 */
export function equalShare(count: number): number {
  return 1 / count;
}

/** f(C)_i = T_i / T. @param total - T, above 0. @see paper eq. 1 */
export function conservativeShare(bytes: number, total: number): number {
  return bytes / total;
}

/** k by default: 100 packets of 1,500 bytes. */
export const DEFAULT_SHRINK_BYTES = 150_000;
/** The least loss ratio that is assumed, of a route and of all together. */
export const MIN_LOSS_RATIO = 1e-6;

/**
 * Writes f(L)_i = (T_i / p_i) / sum_j (T_j / p_j) into `shares`, not negative and summing to 1.
 *
 * @param bytes - T_i, with a sum above 0
 * @param lostBytes - L_i
 * @param shrinkBytes - k, bytes, above 0
 * @see paper eq. 2
 */
export function lossShares(
  count: number,
  bytes: Float64Array,
  lostBytes: Float64Array,
  shrinkBytes: number,
  shares: Float64Array,
): void {
  const pooled = Math.max(sumOf(lostBytes, count) / sumOf(bytes, count), MIN_LOSS_RATIO);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    const shrunk = (lostBytes[i] + shrinkBytes * pooled) / (bytes[i] + shrinkBytes);
    shares[i] = bytes[i] / Math.max(shrunk, MIN_LOSS_RATIO);
    sum += shares[i];
  }
  for (let i = 0; i < count; i++) shares[i] /= sum;
}

/** How the three splits are mixed. The betas sum to 1. @see paper eq. 3 */
export interface Mix {
  readonly betaE: number;
  readonly betaC: number;
  readonly betaL: number;
  /** k, bytes, above 0. */
  readonly shrinkBytes: number;
}

/**
 * Writes beta_E f(E)_i + beta_C f(C)_i + beta_L f(L)_i into `shares`; with a sum of the betas of 1 they sum to 1.
 *
 * @param bytes - T_i, with a sum above 0
 * @param lostBytes - L_i
 */
export function mixShares(
  { betaC, betaE, betaL, shrinkBytes }: Mix,
  count: number,
  bytes: Float64Array,
  lostBytes: Float64Array,
  shares: Float64Array,
): void {
  const total = sumOf(bytes, count);
  lossShares(count, bytes, lostBytes, shrinkBytes, shares);
  for (let i = 0; i < count; i++) {
    shares[i] = betaE * equalShare(count) + betaC * conservativeShare(bytes[i], total) + betaL * shares[i];
  }
}

/** Sum of the first `count` entries. */
export function sumOf(values: Float64Array, count: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += values[i];
  return sum;
}
