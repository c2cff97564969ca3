/**
 * Where log lines go: a file or standard error. Never waits, never throws, and keeps no line that cannot be written: it
 * counts it, and says how many were lost as soon as there is room again. So neither a full disk nor a reader that is stuck
 * stops the packets or fills the memory.
 *
 * pino's own destination (sonic-boom 4.2) does not promise that: at its `maxLength` it drops lines without ever trying to
 * write again, and its `flushSync`, which runs at the end of the process, tries a full disk for ever.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { PreflexError } from '../errors.ts';
import { isWritable } from '../sys/writable.ts';

const STANDARD_ERROR = 2;
const LOG_MODE = 0o640;

/** Takes lines, each with its newline. */
export class LogSink {
  readonly #path: string | undefined;
  readonly #describeLoss: (lost: number) => string;
  #fd = STANDARD_ERROR;
  /** Lines lost since the last that was written. */
  #missed = 0;
  /** The disk ended in the middle of a line. */
  #isCut = false;
  /** Lines that could not be written, since the start. */
  lost = 0;

  /**
   * @param path - file to append to; default standard error
   * @param describeLoss - makes the line that is written after some were lost
   */
  constructor(path: string | undefined, describeLoss: (lost: number) => string) {
    this.#path = path;
    this.#describeLoss = describeLoss;
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
    if (this.#fd !== STANDARD_ERROR) closeSync(this.#fd);
    this.#fd = fd;
    this.#isCut = false;
  }

  /** Writes a line, or counts it as lost. */
  write(line: string): void {
    if (this.#missed > 0 && this.#put(this.#describeLoss(this.#missed))) this.#missed = 0;
    if (this.#missed === 0 && this.#put(line)) return;
    this.#missed++;
    this.lost++;
  }

  #put(line: string): boolean {
    const bytes = Buffer.from(this.#isCut ? `\n${line}` : line);
    try {
      if (!isWritable(this.#fd)) return false;
      const written = writeSync(this.#fd, bytes);
      if (written > 0) this.#isCut = written < bytes.length;
      return written === bytes.length;
    } catch {
      return false; // no room, or nobody who reads
    }
  }
}
