/**
 * Watches a kernel TCP connection for timeouts in a row: the sign that its path no longer delivers.
 *
 * ```
 *   a write --> [ watching, every 100 ms ] -- all acknowledged --> [ asleep ]
 *                        | successive timeouts >= limit             ^
 *                        v  stalled(), again at each further timeout |
 *               [ stalled, every 5 ms ] --- acknowledged: moved() ---+  until it returns true
 * ```
 * Looks closely while stalled, so that little is sent with the mark of a stall once the connection moves again. Until what
 * was sent before that is acknowledged, the path it moved to is not proven, and one timeout is enough to leave it.
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
  /**
   * Data was acknowledged again.
   *
   * @param isIdle - nothing is outstanding
   * @returns whether the connection has a path; else it is asked again in a moment
   */
  moved(isIdle: boolean): boolean;
  /** All that was on its way when the connection moved has been acknowledged. */
  proven(): void;
}

/** See the top of the file. */
export class StallWatch {
  readonly #listener: StallListener;
  readonly #limit: number;
  #timer: NodeJS.Timeout | undefined;
  /** Successive timeouts that were told of, 0 when not stalled. */
  #told = 0;
  /** Payload bytes that prove the path once they are acknowledged, 0 when it is proven. */
  #provenAtBytes = 0;

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
    this.#provenAtBytes = 0;
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
    const isIdle = info.unacked === 0 && info.notsentBytes === 0;
    this.#prove(info, isIdle);
    if (timeouts >= (this.#provenAtBytes > 0 ? 1 : this.#limit)) {
      if (timeouts === this.#told) return;
      if (this.#told === 0) this.#every(STALLED_MS);
      this.#told = timeouts;
      this.#listener.stalled();
      return;
    }
    if (this.#told !== 0) {
      // Stalled again in the middle of asking: nothing new has come.
      if (timeouts > 0) return;
      if (!this.#listener.moved(isIdle)) return;
      this.#told = 0;
      this.#provenAtBytes = info.bytesSent - info.bytesRetrans;
      this.#every(WATCH_MS);
    }
    this.#prove(info, isIdle);
    if (isIdle) this.stop();
  }
  #prove(info: TcpInfo, isIdle: boolean): void {
    if (this.#provenAtBytes === 0 || (!isIdle && info.bytesAcked < this.#provenAtBytes)) return;
    this.#provenAtBytes = 0;
    this.#listener.proven();
  }
}
