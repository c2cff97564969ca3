/**
 * The interface of a balancing strategy: from what was measured in an interval to the flowlet ratios of the
 * next.
 */

/** A strategy. It holds no state of its own for any destination. */
export interface Balancer {
  /** Name in the configuration and in reports. */
  readonly name: string;
  /**
   * The share of a route that nothing is known about, such as one that comes up: beta_E / N. 0..1/routeCount.
   */
  probeShare(routeCount: number): number;
  /**
   * Computes the ratios of one destination's up routes for the next interval.
   *
   * @param count - N, the number of up routes, 1 or more; of the arrays below the first `count` entries are
   *   used
   * @param bytes - T_i of the last interval, not negative
   * @param lostBytes - L_i, not negative; may exceed T_i
   * @param ratios - the ratios in force
   * @param next - written: not negative, summing to 1; the last ratios when all T_i are 0
   */
  balance(
    count: number,
    bytes: Float64Array,
    lostBytes: Float64Array,
    ratios: Float64Array,
    next: Float64Array,
  ): void;
}
