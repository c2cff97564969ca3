/** The same thing again for a while: floods, repeated timeouts, questions without an answer. */
import type { Dice } from './dice.ts';

/** Makes things, and now and then the last one anew for a while. */
export class Repeater<T> {
  readonly #dice: Dice;
  readonly #begins: number;
  readonly #ends: number;
  #make: (() => T) | undefined;

  /**
   * @param begins - once in so many times what is made begins to be repeated
   * @param ends - once in so many times that ends
   */
  constructor(dice: Dice, begins: number, ends: number) {
    this.#dice = dice;
    this.#begins = begins;
    this.#ends = ends;
  }

  /** Repeats this from now on; it is returned. */
  repeat(make: () => T): () => T {
    this.#make = make;
    return make;
  }

  /** The next thing. @param choose - what to make unless something is repeated */
  next(choose: () => () => T): T {
    const dice = this.#dice;
    if (this.#make !== undefined && dice.once(this.#ends)) this.#make = undefined;
    const make = this.#make ?? choose();
    if (dice.once(this.#begins)) this.#make = make;
    return make();
  }
}
