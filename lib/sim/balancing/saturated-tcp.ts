/**
 * A closed model of saturated TCP behind a gateway: routes that are always full, and flows whose only effect is how
 * much is lost. A thousand intervals take milliseconds, so that a balancer can be tried over a grid.
 *
 *     ratios --> flows n_i --> loss p_i --> T_i, L_i, young part --> balancer --> ratios
 *
 * A fraction of the flows ends at any time, and as many begin by the ratios: n_i' = rate (f_i - n_i). A route of
 * capacity c_i carries c_i whatever n_i is, and by the square-root law a flow's rate is proportional to 1 / sqrt(p):
 * n_i / sqrt(p_i) ~ c_i, so p_i ~ (n_i / c_i)^2. What is assumed: one RTT for all routes, no slow start, no timeouts
 * but for the bound p < 1, flows that all live alike; losses are drawn independently, not in bursts.
 *
 * Two kinds of time: `gradual`, as above; `frozen`, where the interval's whole turnover takes place as it begins and
 * the measure is of what results. The stability bound of docs/balancers.md is that of `frozen`, the harder one.
 *
 * @see Mathis et al. 1997, The macroscopic behavior of the TCP congestion avoidance algorithm
 */
import { turnoverOf } from '../../pref/turnover.ts';
import type { RandomStream } from '../random.ts';

/** How flows are replaced within an interval. */
export type TurnoverKind = 'gradual' | 'frozen';

/** Options of the model. Times are in configured update intervals. */
export interface SaturatedOptions {
  /** Capacities of the routes, in any unit. */
  readonly capacities: readonly number[];
  /** Flows begun in a configured interval over flows active. */
  readonly turnover: number;
  /** LEx packets in a configured interval when losses are equal. */
  readonly lexPackets: number;
  readonly kind: TurnoverKind;
  /** Draws the LEx packets; without it they are what is expected. */
  readonly random?: RandomStream | undefined;
  /** Draws those of the {@link SaturatedTcp.spreads}, so that they are the same whatever the intervals; as above. */
  readonly windowRandom?: RandomStream | undefined;
}

/** Bytes of a packet. */
const PACKET_BYTES = 1500;
/** Packets of all routes in a configured interval: 120 Mbit/s for 10 s. */
const PACKETS = 100_000;
/** Steps of `gradual` in a configured interval. */
const STEPS = 20;
/** Times that differ by less are the same, in configured intervals. */
const ROUNDING = 1e-9;

/** The routes and their flows. */
export class SaturatedTcp {
  /** T_i of the last interval. */
  readonly bytes: Float64Array;
  /** L_i of the last interval, as drawn. */
  readonly lostBytes: Float64Array;
  /** p_i of the last interval, as they were: not drawn. */
  readonly lossRatios: Float64Array;
  /**
   * Largest loss ratio less the smallest, over their mean, of each configured interval of time that ended in the last
   * run: L_i / T_i as counted, whatever the update intervals are. Without any loss 0.
   */
  spreads: number[] = [];
  /** Turnover of the last interval as a gateway measures it from the LEx packets. */
  turnover = 0;

  readonly #options: SaturatedOptions;
  /** c_i / c. */
  readonly #shares: Float64Array;
  /** n_i / n. */
  readonly #flows: Float64Array;
  /** Those of them that began in the interval. */
  readonly #young: Float64Array;
  readonly #youngLost: Float64Array;
  /** Loss ratios so far in the running configured interval, each by the part of it that it lasted; and how much is over. */
  readonly #windowLosses: Float64Array;
  #windowTime = 0;

  /** Begins with as many flows on each route. */
  constructor(options: SaturatedOptions) {
    const count = options.capacities.length;
    const total = options.capacities.reduce((sum, capacity) => sum + capacity, 0);
    this.#options = options;
    this.#shares = Float64Array.from(options.capacities, (capacity) => capacity / total);
    this.#flows = new Float64Array(count).fill(1 / count);
    this.#young = new Float64Array(count);
    this.#youngLost = new Float64Array(count);
    this.#windowLosses = new Float64Array(count);
    this.bytes = new Float64Array(count);
    this.lostBytes = new Float64Array(count);
    this.lossRatios = new Float64Array(count);
  }

  /**
   * Lets an interval pass.
   *
   * @param ratios - in force during it
   * @param length - in configured intervals
   */
  run(ratios: Float64Array, length: number): void {
    const { kind, turnover } = this.#options;
    this.#young.fill(0);
    this.#youngLost.fill(0);
    this.lossRatios.fill(0);
    this.spreads = [];
    const steps = kind === 'frozen' ? 1 : Math.max(4, Math.ceil(length * STEPS));
    const step = length / steps;
    const replaced = kind === 'frozen' ? Math.min(1, turnover * length) : -Math.expm1(-turnover * step);
    for (let i = 0; i < steps; i++) this.#step(ratios, replaced, 1 / steps, step);
    this.#measure(length);
  }

  #step(ratios: Float64Array, replaced: number, weight: number, time: number): void {
    const kappa = this.#options.lexPackets / PACKETS;
    const losses = new Float64Array(ratios.length);
    for (let i = 0; i < ratios.length; i++) {
      this.#flows[i] += replaced * (ratios[i] - this.#flows[i]);
      this.#young[i] += replaced * (ratios[i] - this.#young[i]);
      const load = kappa * (this.#flows[i] / this.#shares[i]) ** 2;
      const loss = load / (1 + load);
      losses[i] = loss;
      this.lossRatios[i] += weight * loss;
      if (this.#flows[i] > 0) this.#youngLost[i] += (weight * loss * this.#young[i]) / this.#flows[i];
    }
    for (let left = time; left > ROUNDING;) {
      const part = Math.min(left, 1 - this.#windowTime);
      for (let i = 0; i < losses.length; i++) this.#windowLosses[i] += part * losses[i];
      this.#windowTime += part;
      left -= part;
      if (this.#windowTime > 1 - ROUNDING) this.#endWindow();
    }
  }

  #endWindow(): void {
    const { windowRandom } = this.#options;
    const seen = Array.from(this.#windowLosses, (loss, i) => {
      const packets = PACKETS * this.#shares[i];
      return windowRandom === undefined ? loss : poisson(windowRandom, packets * loss) / packets;
    });
    const sum = seen.reduce((total, loss) => total + loss, 0);
    this.spreads.push(sum === 0 ? 0 : ((Math.max(...seen) - Math.min(...seen)) * seen.length) / sum);
    this.#windowLosses.fill(0);
    this.#windowTime = 0;
  }

  #measure(length: number): void {
    const { random } = this.#options;
    let lost = 0;
    let young = 0;
    for (let i = 0; i < this.bytes.length; i++) {
      const packets = PACKETS * length * this.#shares[i];
      const expected = packets * this.lossRatios[i];
      const drawn = random === undefined ? expected : Math.min(packets, poisson(random, expected));
      this.bytes[i] = packets * PACKET_BYTES;
      this.lostBytes[i] = drawn * PACKET_BYTES;
      lost += drawn;
      const part = this.lossRatios[i] > 0 ? this.#youngLost[i] / this.lossRatios[i] : 0;
      young += random === undefined ? drawn * part : Math.min(drawn, poisson(random, drawn * part));
    }
    // As lib/pref/turnover.ts does for a gateway with one destination.
    this.turnover = turnoverOf((young + 0.5) / (lost + 1));
  }
}

/** A number of events whose mean is given. */
function poisson(random: RandomStream, mean: number): number {
  if (mean > 50) {
    // Nearly normal by then (Box and Muller).
    const normal = Math.sqrt(-2 * Math.log1p(-random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal));
  }
  let count = 0;
  for (let sum = random.exponential(1); sum < mean; sum += random.exponential(1)) count++;
  return count;
}
