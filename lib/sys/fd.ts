/**
 * The owner of a file descriptor.
 */
import { PreflexError } from '../errors.ts';
import { closeFile } from './libc.ts';

/**
 * Owns one descriptor: closes it once, and refuses to name it afterwards. A number kept past close() would soon mean
 * another file.
 */
export class Fd {
  #number: number;
  readonly #what: string;

  /**
   * @param number - an open descriptor that nobody else closes
   * @param what - what it is, for the error when it is used after close
   */
  constructor(number: number, what: string) {
    this.#number = number;
    this.#what = what;
  }

  get isOpen(): boolean {
    return this.#number >= 0;
  }

  /**
   * The descriptor. Do not keep it.
   *
   * @throws PreflexError ERR_INVALID_OPTION after close
   */
  get number(): number {
    if (this.#number < 0) throw new PreflexError('ERR_INVALID_OPTION', `${this.#what} is closed`);
    return this.#number;
  }

  /**
   * Hands the descriptor to another owner; this object counts as closed.
   *
   * @throws PreflexError ERR_INVALID_OPTION after close
   */
  release(): number {
    const number = this.number;
    this.#number = -1;
    return number;
  }

  /** Closes the descriptor; a second call does nothing. */
  close(): void {
    if (this.#number < 0) return;
    const number = this.#number;
    this.#number = -1;
    closeFile(number);
  }
}
