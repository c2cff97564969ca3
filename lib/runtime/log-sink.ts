/**
 * Where the lines of a daemon go: its log to a file or standard error, its status to standard output. Never waits for a
 * reader that is stuck, never throws, and keeps no line that cannot be written: it counts it, and says how many were lost
 * as soon as there is room again. So neither a full disk, a reader that is stuck nor a terminal that somebody stopped
 * stops the packets or fills the memory.
 *
 * pino's own destination (sonic-boom 4.2) does not promise that: at its `maxLength` it drops lines without ever trying to
 * write again, and its `flushSync`, which runs at the end of the process, tries a full disk for ever.
 */
import { closeSync, openSync } from 'node:fs';
import { PreflexError } from '../errors.ts';
import { ownWriter, writePromptly } from '../sys/writable.ts';

/** Standard output. */
export const STANDARD_OUTPUT = 1;
/** Standard error. */
export const STANDARD_ERROR = 2;
const LOG_MODE = 0o640;

/** Takes lines, each with its newline. */
export class LogSink {
  readonly #path: string | undefined;
  readonly #describeLoss: (lost: number) => string;
  readonly #patienceMs: number;
  readonly #standard: number;
  #fd: number;
  /** Lines lost since the last that was written. */
  #missed = 0;
  /** The disk ended in the middle of a line. */
  #isCut = false;
  /** Lines that could not be written, since the start. */
  lost = 0;

  /**
   * @param path - file to append to; undefined for a descriptor that is open
   * @param describeLoss - makes the line that is written after some were lost
   * @param options.descriptor - default {@link STANDARD_ERROR}
   * @param options.patienceMs - for how long a line may wait for a reader that took all lines before it; default 0
   */
  constructor(
    path: string | undefined,
    describeLoss: (lost: number) => string,
    options: { readonly descriptor?: number; readonly patienceMs?: number } = {},
  ) {
    this.#path = path;
    this.#describeLoss = describeLoss;
    this.#patienceMs = options.patienceMs ?? 0;
    this.#standard = ownWriter(options.descriptor ?? STANDARD_ERROR);
    this.#fd = this.#standard;
  }

  /**
   * Opens the file, or opens it again after it was moved away. When that fails, lines go where they went before.
   *
   * @throws PreflexError ERR_SYSTEM naming the file
   */
  open(): void {
    if (this.#path === undefined) return;
    let fd: number;
    try {
      fd = openSync(this.#path, 'a', LOG_MODE);
    } catch (cause) {
      throw new PreflexError(
        'ERR_SYSTEM',
        `logFile: ${this.#path} cannot be opened (${(cause as NodeJS.ErrnoException).code}): its folder must be there, and ` +
          'the user of the daemon must be allowed to write to it.',
        { cause },
      );
    }
    if (this.#fd !== this.#standard) closeSync(this.#fd);
    this.#fd = fd;
    this.#isCut = false;
  }

  /** Writes a line, or counts it as lost. */
  write(line: string): void {
    if (this.#missed > 0 && this.#put(this.#describeLoss(this.#missed), 0)) this.#missed = 0;
    if (this.#missed === 0 && this.#put(line, this.#patienceMs)) return;
    this.#missed++;
    this.lost++;
  }

  #put(line: string, limitMs: number): boolean {
    const bytes = Buffer.from(this.#isCut ? `\n${line}` : line);
    const written = writePromptly(this.#fd, bytes, limitMs);
    if (written > 0) this.#isCut = written < bytes.length;
    return written === bytes.length;
  }
}
