/** Several things that have nothing to do with each other, each of which the machine may refuse at the moment. */
import { isForeseen } from '../errors.ts';

/** Tries all of them, whatever becomes of the others. A defect is thrown on. */
export class Attempts {
  #failure: Error | undefined;

  /** What was refused first; undefined when nothing was. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Does one; undefined when it was refused. */
  try<T>(body: () => T): T | undefined {
    try {
      return body();
    } catch (error) {
      if (!isForeseen(error)) throw error;
      this.#failure ??= error;
      return undefined;
    }
  }

  /** Throws what was refused first, once all were tried. @throws what {@link isForeseen} */
  finish(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
