/**
 * Watches a kernel TCP connection for timeouts in a row: the sign that its path no longer delivers.
 *
 * ```
 *   a write --> [ watching, every 100 ms ] -- all acknowledged --> [ asleep ]
 *                        | successive timeouts >= limit   ^
 *                        v  onStall, again at each further | onProgress
 *               [ stalled, every 5 ms ] -------------------+
 * ```
 * Looks closely while stalled, so that little is sent with the mark of a stall once the connection moves again.
 *
 * @see protocol.md, rule 2d
 */
import type { TcpInfo } from '../sys/tcp-info.ts';

const WATCH_MS = 100;
const STALLED_MS = 5;

/** What a watch calls. */
export interface StallListener {
  /** The kernel's account; undefined ends the watch. */
  info(): TcpInfo | undefined;
  /** Another timeout, the limit or beyond. */
  stalled(): void;
  /** Data was acknowledged again. */
  moved(): void;
}

/** See the top of the file. */
export class StallWatch {
  readonly #listener: StallListener;
  readonly #limit: number;
  #timer: NodeJS.Timeout | undefined;
  /** Successive timeouts that were told of, 0 when not stalled. */
  #told = 0;

  /** @param limit - successive timeouts, 1 or more */
  constructor(listener: StallListener, limit: number) {
    this.#listener = listener;
    this.#limit = limit;
  }

  /** Data was written: watches until it is acknowledged. */
  begin(): void {
    if (this.#timer === undefined) this.#every(WATCH_MS);
  }

  /** Watches no more. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#told = 0;
  }

  #every(ms: number): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#look(), ms);
    this.#timer.unref();
  }

  #look(): void {
    const info = this.#listener.info();
    if (info === undefined) {
      this.stop();
      return;
    }
    const timeouts = info.retransmits;
    if (timeouts >= this.#limit) {
      if (timeouts === this.#told) return;
      if (this.#told === 0) this.#every(STALLED_MS);
      this.#told = timeouts;
      this.#listener.stalled();
      return;
    }
    if (this.#told !== 0) {
      this.#told = 0;
      this.#listener.moved();
      this.#every(WATCH_MS);
    }
    if (info.unacked === 0 && info.notsentBytes === 0) this.stop();
  }
}
