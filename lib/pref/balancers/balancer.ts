/**
 * The interface of a balancing strategy: from what was measured in an interval to the flowlet ratios of the
 * next, and, for a strategy that sets it, to how long that should be.
 */

import type { Mix } from './splits.ts';

/** What is measured of a destination in an interval beside T_i and L_i. One object serves all calls. */
export interface IntervalMeasures {
  /** Length of the interval, ns, above 0. */
  readonly intervalNs: number;
  /**
   * Flowlet turnover: flowlets begun in the interval over flowlets active, 0 or more; about 1.6 where nothing was
   * measured. @see ../turnover.ts
   */
  readonly turnover: number;
}

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
   * @param measures - given by a gateway to a strategy with {@link wantedIntervalNs}
   */
  balance(
    count: number,
    bytes: Float64Array,
    lostBytes: Float64Array,
    ratios: Float64Array,
    next: Float64Array,
    measures?: IntervalMeasures,
  ): void;
  /**
   * With which weights it mixes the three splits for these figures, for reports. The parameters are those of
   * {@link balance}. A strategy without this is no such mix.
   */
  mix?(count: number, lostBytes: Float64Array, measures?: IntervalMeasures): Mix;
  /**
   * How long the next interval should be as far as one destination is concerned, ns, above 0. The gateway takes the
   * mean over its destinations and keeps it within its bounds. A strategy without this leaves the interval as it is
   * configured, and turnover is not measured for it.
   */
  wantedIntervalNs?(
    count: number,
    bytes: Float64Array,
    lostBytes: Float64Array,
    measures: IntervalMeasures,
  ): number;
}
