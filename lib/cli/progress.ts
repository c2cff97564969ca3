/** Progress of something long: a block that is drawn anew in a terminal, plain lines elsewhere. */

/** Where the block is drawn. */
export interface ProgressStream {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/** Seconds between two plain lines. */
const PLAIN_EVERY_SECONDS = 10;
const UP = '\u001b[';

/** Shows how it goes. */
export class Progress {
  readonly #stream: ProgressStream;
  readonly #isLive: boolean;
  #drawn = 0;
  #lastPlain = -Infinity;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
    this.#isLive = stream.isTTY === true;
  }

  /** Writes a line that stays. */
  note(line: string): void {
    this.#stream.write(`${this.#erase()}${line}\n`);
  }

  /**
   * Shows the state of now: replaces the block before in a terminal; elsewhere the lines are joined to one, and come
   * every ten seconds.
   *
   * @param seconds - elapsed
   */
  show(seconds: number, lines: readonly string[]): void {
    if (this.#isLive) {
      this.#stream.write(`${this.#erase()}${lines.join('\n')}\n`);
      this.#drawn = lines.length;
      return;
    }
    if (seconds - this.#lastPlain < PLAIN_EVERY_SECONDS) return;
    this.#lastPlain = seconds;
    this.#stream.write(`${lines.map((line) => line.trim()).join('; ')}\n`);
  }

  /** Removes the block. */
  end(): void {
    const text = this.#erase();
    if (text !== '') this.#stream.write(text);
  }

  #erase(): string {
    if (this.#drawn === 0) return '';
    const text = `${UP}${this.#drawn}A${UP}0J`;
    this.#drawn = 0;
    return text;
  }
}
