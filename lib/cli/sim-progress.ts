/** How far a number of simulations is: a bar, and an estimate of the time left. */
import { Progress } from './progress.ts';
import type { ProgressStream } from './progress.ts';

const WIDTH = 30;
/** Least seconds between two drawings. */
const REDRAW_SECONDS = 0.2;

/** Draws the bar. */
export class SimProgress {
  readonly #progress: Progress;
  readonly #total: number;
  readonly #secondsNow: () => number;
  readonly #start: number;
  #drawnAt = -Infinity;

  /**
   * @param total - simulations
   * @param secondsNow - a clock that never goes back
   */
  constructor(stream: ProgressStream, total: number, secondsNow = () => performance.now() / 1000) {
    this.#progress = new Progress(stream);
    this.#total = total;
    this.#secondsNow = secondsNow;
    this.#start = secondsNow();
  }

  /** @param share - of all simulations together, 0..1 */
  show(share: number, done: number): void {
    const now = this.#secondsNow();
    if (now - this.#drawnAt < REDRAW_SECONDS) return;
    this.#drawnAt = now;
    const elapsed = now - this.#start;
    this.#progress.show(elapsed, [describeProgress(share, done, this.#total, elapsed)]);
  }

  /** Removes the bar. */
  end(): void {
    this.#progress.end();
  }
}

/** `[#####-----] 50 %, 3 of 6 runs, 12 s, 12 s left`. */
export function describeProgress(share: number, done: number, total: number, elapsed: number): string {
  const full = Math.round(share * WIDTH);
  const left = share > 0 ? `${formatSeconds((elapsed * (1 - share)) / share)} left` : 'time left unknown';
  return `[${'#'.repeat(full)}${'-'.repeat(WIDTH - full)}] ${Math.floor(share * 100)} %, ${done} of ${total} runs, ${formatSeconds(elapsed)}, ${left}`;
}

function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 100 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
