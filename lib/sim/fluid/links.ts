/**
 * The links of the fluid simulation, in typed arrays: a queue each, what it drops, and the loss ratio that TCP answers.
 *
 *      arrivals --> [random loss] --> [room in the queue?] --> queue --> rate
 *                                            | no: the excess is dropped
 *
 * Two figures of loss: `dropRatio` is what the link drops in this step, which follows from arrivals, queue and rate, so
 * that a link never carries more than its rate; `price` is that of the last second or so, which the windows follow. It is
 * moved toward the loss ratio at which the windows fill the link exactly: where the arrivals grow like p^(-1/2), that is
 * p (arrivals (1 - p) / rate)^2.
 *
 * @see Bu, Towsley 2001, Fixed point approximations for TCP behavior in an AQM network
 * @see Low 2003, A duality model of TCP and queue management algorithms (loss as a price)
 */
import { invalidOption, requireInteger, requireNumber } from '../../errors.ts';
import { directionOptions } from '../topology.ts';
import type { Topology } from '../topology.ts';
import { LEAST_LOSS, LOSSES_A_REDUCTION, PACKET_BYTES } from './tcp-model.ts';

/** Mean queue of a saturated link, as part of its length: the rest is TCP's sawtooth. Calibrated. */
const MEAN_QUEUE = 0.8;
/** Largest loss ratio that windows are computed for. */
const MOST_LOSS = 0.9;
/** Time constant of the price in s: about one sawtooth of the windows that matter here. */
const PRICE_S = 1;
/** Overload from which windows answer within a round trip or so, since every flow sees losses at once. */
const OVERLOAD = 1.5;
/** Exponent of the price's step then. */
const OVERLOAD_GAIN = 1;
/** Largest factor of the price in one step. */
const MAX_STEP = 4;
/** Round trip in s for the smallest price of a link: that at which a single flow would fill it. */
const FLOOR_RTT_S = 0.1;

/** Totals of a link since the measurement began. */
export interface FluidLinkReport {
  readonly name: string;
  readonly utilisation: number;
  /** Dropped bytes of arrived ones, 0..1. */
  readonly lossRatio: number;
  readonly arrivedBytes: number;
  readonly droppedBytes: number;
  readonly carriedBytes: number;
  /** Now in the queue. */
  readonly queueBytes: number;
}

/** The directions of links that have a rate or a loss. */
export class FluidLinks {
  readonly count: number;
  readonly names: string[] = [];
  /** Bytes that arrive in this step, by the drop ratios of the one before. */
  readonly arriving: Float64Array;
  /** Bytes that did arrive in this step. */
  readonly arrived: Float64Array;
  /** Part of the arrivals that is dropped in this step, 0..1. */
  readonly dropRatio: Float64Array;
  /** The loss ratio that windows follow, 0..1. */
  readonly price: Float64Array;
  /** Mean queueing delay in s. */
  readonly delayS: Float64Array;
  /** Rate in bytes/s, Infinity for none. */
  readonly bytesPerS: Float64Array;
  /** Longest queue in bytes. */
  readonly limitBytes: Float64Array;
  /** Index by direction (paths.ts), -1 where there is neither rate nor loss. */
  readonly indexOf: Int32Array;

  readonly #randomLoss: Float64Array;
  readonly #leastPrice: Float64Array;
  readonly #queueBytes: Float64Array;
  readonly #arrivedTotal: Float64Array;
  readonly #droppedTotal: Float64Array;
  readonly #carriedTotal: Float64Array;
  readonly #queueAtReset: Float64Array;

  /** @throws PreflexError for a link that the fluid mode cannot express */
  constructor(topology: Topology) {
    this.indexOf = new Int32Array(topology.links.length * 2).fill(-1);
    const rates: number[] = [];
    const limits: number[] = [];
    const losses: number[] = [];
    topology.links.forEach((link, i) => {
      for (const isBack of [false, true]) {
        const options = directionOptions(link, isBack);
        const rate = requireNumber(
          `${link.name}.rateBitsPerSec`,
          options.rateBitsPerSec ?? Infinity,
          1,
          Infinity,
        );
        const loss = options.loss ?? 0;
        if (typeof loss !== 'number')
          throw invalidOption(`${link.name}.loss`, loss, 'a number, in the fluid mode');
        if (options.red !== undefined)
          throw invalidOption(`${link.name}.red`, options.red, 'nothing, in the fluid mode');
        if (rate === Infinity && loss === 0) continue;
        this.indexOf[2 * i + (isBack ? 1 : 0)] =
          this.names.push(isBack ? `${link.name}/back` : link.name) - 1;
        rates.push(rate / 8);
        losses.push(requireNumber(`${link.name}.loss`, loss, 0, 1));
        limits.push(rate === Infinity ? 0 : queueLimit(link.name, options.queuePackets, options.queueBytes));
      }
    });
    this.count = this.names.length;
    const zeros = (): Float64Array => new Float64Array(this.count);
    this.bytesPerS = Float64Array.from(rates);
    this.limitBytes = Float64Array.from(limits);
    this.#randomLoss = Float64Array.from(losses);
    this.arriving = zeros();
    this.arrived = zeros();
    this.dropRatio = Float64Array.from(losses);
    this.#leastPrice = Float64Array.from(rates, (rate, l) => {
      const pipe = (rate * FLOOR_RTT_S + limits[l]) / PACKET_BYTES;
      return rate === Infinity ? 0 : Math.max((1.5 * LOSSES_A_REDUCTION) / (pipe * pipe), LEAST_LOSS);
    });
    this.price = this.#leastPrice.slice();
    this.delayS = zeros();
    this.#queueBytes = zeros();
    this.#arrivedTotal = zeros();
    this.#droppedTotal = zeros();
    this.#carriedTotal = zeros();
    this.#queueAtReset = zeros();
  }

  /**
   * Decides what is dropped of what arrives, and moves the prices.
   *
   * @hotpath
   */
  decide(stepS: number): void {
    const gain = 2 * (1 - Math.exp(-stepS / PRICE_S));
    for (let l = 0; l < this.count; l++) {
      const rate = this.bytesPerS[l];
      const random = this.#randomLoss[l];
      const bytes = this.arriving[l] * (1 - random);
      let full = 0;
      if (rate !== Infinity) {
        const room = this.limitBytes[l] - this.#queueBytes[l] + rate * stepS;
        if (bytes > room) full = room > 0 ? 1 - room / bytes : 1;
        const before = this.price[l];
        const load = (bytes * (1 - before)) / (rate * stepS);
        let factor = load ** (load > OVERLOAD ? OVERLOAD_GAIN : gain);
        if (factor > MAX_STEP) factor = MAX_STEP;
        else if (factor < 1 / MAX_STEP) factor = 1 / MAX_STEP;
        const price = before * factor;
        this.price[l] = Math.min(Math.max(price, this.#leastPrice[l]), MOST_LOSS);
      }
      this.dropRatio[l] = 1 - (1 - random) * (1 - full);
      this.arrived[l] = 0;
    }
  }

  /**
   * Takes what arrived into the queues and lets them drain.
   *
   * @hotpath
   */
  settle(stepS: number): void {
    for (let l = 0; l < this.count; l++) {
      const arrived = this.arrived[l];
      const dropped = arrived * this.dropRatio[l];
      const rate = this.bytesPerS[l];
      let queue = this.#queueBytes[l] + arrived - dropped;
      const carried = rate === Infinity || queue < rate * stepS ? queue : rate * stepS;
      queue -= carried;
      this.#queueBytes[l] = queue;
      this.delayS[l] = rate === Infinity ? 0 : (MEAN_QUEUE * queue) / rate;
      this.#arrivedTotal[l] += arrived;
      this.#droppedTotal[l] += dropped;
      this.#carriedTotal[l] += carried;
      this.arriving[l] = 0;
    }
  }

  /** Loss ratio that windows follow on link l, random loss included. @hotpath */
  lossOf(l: number): number {
    return this.price[l] + this.#randomLoss[l];
  }

  /** Begins new totals. */
  resetTotals(): void {
    this.#arrivedTotal.fill(0);
    this.#droppedTotal.fill(0);
    this.#carriedTotal.fill(0);
    this.#queueAtReset.set(this.#queueBytes);
  }

  /** Bytes dropped on all links since the last reset. */
  get droppedBytes(): number {
    return this.#droppedTotal.reduce((sum, bytes) => sum + bytes, 0);
  }

  /** What a link did in so many seconds since the last reset. */
  report(l: number, seconds: number): FluidLinkReport {
    const rate = this.bytesPerS[l];
    return {
      name: this.names[l],
      utilisation: rate === Infinity ? 0 : this.#carriedTotal[l] / (rate * seconds),
      lossRatio: this.#arrivedTotal[l] > 0 ? this.#droppedTotal[l] / this.#arrivedTotal[l] : 0,
      arrivedBytes: this.#arrivedTotal[l],
      droppedBytes: this.#droppedTotal[l],
      carriedBytes: this.#carriedTotal[l],
      queueBytes: this.#queueBytes[l],
    };
  }

  /** Arrived - dropped - carried - growth of the queue since the last reset, in bytes: 0 but for rounding. */
  imbalanceBytes(l: number): number {
    const growth = this.#queueBytes[l] - this.#queueAtReset[l];
    return this.#arrivedTotal[l] - this.#droppedTotal[l] - this.#carriedTotal[l] - growth;
  }
}

function queueLimit(name: string, packets = Infinity, bytes = Infinity): number {
  const limit = Math.min(packets * PACKET_BYTES, bytes);
  if (limit === Infinity) {
    throw invalidOption(
      `${name}.queuePackets`,
      packets,
      'a finite queue where there is a rate, in the fluid mode',
    );
  }
  return requireInteger(`${name}.queueBytes`, limit, 1, Number.MAX_SAFE_INTEGER);
}
