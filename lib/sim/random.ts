/**
 * Seeded random numbers: the only source of chance in the simulator. One seed gives one root generator; each purpose
 * (a link's losses, a host's initial sequence numbers, a generator's sizes) takes a stream of its own, 2^64 numbers
 * away from the next, so that one more draw in one place changes nothing in the others.
 *
 * @see Blackman and Vigna 2018, xoroshiro128+ and its jump function
 */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { requireInteger } from '../errors.ts';

type Generator = ReturnType<typeof xoroshiro128plus>;

/** One stream of random numbers. */
export class RandomStream {
  readonly #generator: Generator;

  constructor(generator: Generator) {
    this.#generator = generator;
  }

  /** A number in [0, 1), a multiple of 2^-53. */
  uniform(): number {
    return uniformFloat64(this.#generator);
  }

  /** An int32, all values alike. */
  int32(): number {
    return this.#generator.next();
  }

  /** A whole number in [0, limit), for limits far below 2^53. */
  below(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }

  /** Exponential with that mean. */
  exponential(mean: number): number {
    return -mean * Math.log1p(-this.uniform());
  }

  /** Weibull by its inverse distribution function; the mean is scale * gamma(1 + 1 / shape). */
  weibull(shape: number, scale: number): number {
    return scale * (-Math.log1p(-this.uniform())) ** (1 / shape);
  }
}

/** Hands out independent streams of one seed, in a fixed order. */
export class RandomStreams {
  readonly #root: Generator;

  /**
   * @param seed - an int32
   * @throws PreflexError for anything else
   */
  constructor(seed: number) {
    this.#root = xoroshiro128plus(requireInteger('seed', seed, -(2 ** 31), 2 ** 31 - 1));
  }

  /** The next stream. Streams are told apart by the order of these calls, so ask for them in a fixed one. */
  next(): RandomStream {
    const generator = this.#root.clone() as Generator;
    this.#root.jump();
    return new RandomStream(generator);
  }
}
