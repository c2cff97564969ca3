/**
 * Random early detection: drops arriving packets with a probability that grows with the average queue.
 *
 *      probability
 *        1  |                              +-------    gentle: from max to 2 max it rises from maxProbability to 1
 *           |                          /   |
 *           |                      /       |           not gentle: it jumps to 1 at max
 *      maxP |              ___ /           |
 *           |________/                     |
 *           +-------min-------max--------2 max----> average queue in packets
 *
 * @see Floyd and Jacobson 1993, Random early detection gateways for congestion avoidance
 * @see Floyd 2000, Recommendation on using the "gentle" variant of RED
 */
import { invalidOption, rejectUnknownKeys, requireNumber } from '../errors.ts';

/** Options of RED. Queue lengths count packets, the one in transmission included. */
export interface RedOptions {
  /** Average queue below which nothing is dropped, in packets, above 0. */
  readonly minPackets: number;
  /** Average queue at which {@link maxProbability} is reached, in packets; Floyd advises 3 times the minimum. */
  readonly maxPackets: number;
  /** Drop probability at the maximum, 0..1; default 0.1. */
  readonly maxProbability?: number;
  /** Weight of the newest sample in the average, 0..1; default 0.002. */
  readonly weight?: number;
  /** Above the maximum the probability rises to 1 at twice the maximum instead of jumping; default true. */
  readonly gentle?: boolean;
  /** Bytes of a typical packet, by which the average decays while the queue is empty; default 1500. */
  readonly meanPacketBytes?: number;
}

const KNOWN: readonly (keyof RedOptions)[] = [
  'minPackets',
  'maxPackets',
  'maxProbability',
  'weight',
  'gentle',
  'meanPacketBytes',
];

/** The state of one RED queue. The names of the paper: avg, count, p_b, p_a. */
export class RedQueue {
  /** The average queue in packets. */
  averagePackets = 0;

  readonly #minPackets: number;
  readonly #maxPackets: number;
  readonly #maxProbability: number;
  readonly #weight: number;
  readonly #isGentle: boolean;
  readonly #nsPerPacket: number;
  readonly #random: () => number;
  /** Packets since the last drop, -1 below the minimum. */
  #count = -1;

  /** @throws PreflexError naming the option, its value and the allowed range */
  constructor(options: RedOptions, nsPerByte: number, random: () => number) {
    rejectUnknownKeys('link.red', options, KNOWN);
    this.#minPackets = requireNumber('link.red.minPackets', options.minPackets, 0, 1e9);
    this.#maxPackets = requireNumber('link.red.maxPackets', options.maxPackets, 0, 1e9);
    if (!(this.#maxPackets > this.#minPackets)) {
      throw invalidOption('link.red.maxPackets', options.maxPackets, 'a number above minPackets');
    }
    this.#maxProbability = requireNumber('link.red.maxProbability', options.maxProbability ?? 0.1, 0, 1);
    this.#weight = requireNumber('link.red.weight', options.weight ?? 0.002, 0, 1);
    this.#isGentle = options.gentle ?? true;
    if (typeof this.#isGentle !== 'boolean') {
      throw invalidOption('link.red.gentle', options.gentle, 'true or false');
    }
    if (nsPerByte === 0) throw invalidOption('link.red', options, 'a link with a finite rateBitsPerSec');
    this.#nsPerPacket =
      nsPerByte * requireNumber('link.red.meanPacketBytes', options.meanPacketBytes ?? 1500, 1, 65_535);
    this.#random = random;
  }

  /**
   * Takes an arrival into the average and decides.
   *
   * @param queuedPackets - before this packet
   * @param emptySinceNs - since when the queue is empty; asked only when it is
   */
  isDropped(queuedPackets: number, emptySinceNs: number, nowNs: number): boolean {
    if (queuedPackets > 0) {
      this.averagePackets += this.#weight * (queuedPackets - this.averagePackets);
    } else {
      // As if so many packets had met an empty queue.
      this.averagePackets *= (1 - this.#weight) ** ((nowNs - emptySinceNs) / this.#nsPerPacket);
    }
    const probability = this.#probability();
    if (probability === 0) {
      this.#count = -1;
      return false;
    }
    this.#count++;
    if (probability < 1) {
      // Spreads the drops: the gap between two is uniform on 1 .. 1 / p_b instead of geometric.
      const spread = probability / Math.max(1 - this.#count * probability, probability);
      if (this.#random() >= spread) return false;
    }
    this.#count = 0;
    return true;
  }

  #probability(): number {
    const average = this.averagePackets;
    if (average < this.#minPackets) return 0;
    if (average < this.#maxPackets) {
      return (this.#maxProbability * (average - this.#minPackets)) / (this.#maxPackets - this.#minPackets);
    }
    if (!this.#isGentle || average >= 2 * this.#maxPackets) return 1;
    return (
      this.#maxProbability + ((1 - this.#maxProbability) * (average - this.#maxPackets)) / this.#maxPackets
    );
  }
}
