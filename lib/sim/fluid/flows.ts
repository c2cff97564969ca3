/**
 * The flows of the fluid simulation: 21 bytes each in typed arrays, no objects. A flow is what it has yet to send, and
 * its own window only while it is in slow start; later it has that of its class.
 *
 *      FREE --> HANDSHAKE (one round trip) --> SLOW (window doubles each round trip) --> STEADY (window of its class)
 *        ^                                                                                  |
 *        +---------------------------- everything sent; in closed loop the next one begins -+
 */
import type { RandomStream } from '../random.ts';
import type { Classes } from './loads.ts';
import { INITIAL_WINDOW } from './tcp-model.ts';

const FREE = 0;
const HANDSHAKE = 1;
const SLOW = 2;
const STEADY = 3;
/** Bins of completion times: 100 a power of ten, from 1 ms to 10^5 s. */
const BINS_A_DECADE = 100;
const FIRST_DECADE = -3;
const BINS = BINS_A_DECADE * 8;

/** How sizes are drawn. */
export interface SizeOptions {
  readonly shape: number;
  readonly scaleBytes: number;
}

/** All flows. */
export class Flows {
  started = 0;
  completed = 0;
  /** Payload bytes of all flows so far: delivered are these without {@link remainingBytes}. */
  drawnBytes = 0;
  /** Flows that exist. */
  running = 0;

  readonly #classes: Classes;
  readonly #sizes: RandomStream;
  readonly #shape: number;
  readonly #scaleBytes: number;
  #classOf: Int32Array;
  #phase: Uint8Array;
  #remaining: Float64Array;
  /** In SLOW the window in segments; in HANDSHAKE the time yet to wait in s. */
  #window: Float32Array;
  #startedS: Float32Array;
  #end = 0;
  #free: number[] = [];
  readonly #times = new Float64Array(BINS);

  constructor(classes: Classes, sizes: RandomStream, { shape, scaleBytes }: SizeOptions, capacity: number) {
    this.#classes = classes;
    this.#sizes = sizes;
    this.#shape = shape;
    this.#scaleBytes = scaleBytes;
    this.#classOf = new Int32Array(capacity);
    this.#phase = new Uint8Array(capacity);
    this.#remaining = new Float64Array(capacity);
    this.#window = new Float32Array(capacity);
    this.#startedS = new Float32Array(capacity);
  }

  /** Begins a flow of a load after so many seconds. */
  start(load: number, nowS: number, afterS: number): void {
    const free = this.#free.pop();
    if (free === undefined && this.#end === this.#classOf.length) this.#grow();
    this.running++;
    this.#begin(free ?? this.#end++, load, nowS + afterS, afterS, 0);
  }

  /**
   * One step for all flows: takes what was delivered from what remains, lets windows in slow start grow, and replaces
   * flows that are done. Afterwards `slowWindows` and `steady` of the classes hold the windows of the next step.
   *
   * @hotpath
   * @param isClosed - by load: whether a flow that ends is followed by another
   */
  advance(nowS: number, stepS: number, isClosed: Uint8Array): void {
    const { steadyServed, served, growth, slowLimit, slowWindows, steady } = this.#classes;
    const classOf = this.#classOf;
    const phases = this.#phase;
    const remaining = this.#remaining;
    const windows = this.#window;
    const end = this.#end;
    slowWindows.fill(0);
    for (let i = 0; i < end; i++) {
      const k = classOf[i];
      const phase = phases[i];
      if (phase === STEADY) {
        remaining[i] -= steadyServed[k];
      } else if (phase === SLOW) {
        remaining[i] -= windows[i] * served[k];
        windows[i] *= growth[k];
        if (windows[i] >= slowLimit[k]) {
          phases[i] = STEADY;
          steady[k]++;
        } else slowWindows[k] += windows[i];
      } else if (phase === HANDSHAKE) {
        windows[i] -= stepS;
        if (windows[i] <= 0) {
          phases[i] = SLOW;
          windows[i] = INITIAL_WINDOW;
          slowWindows[k] += INITIAL_WINDOW;
        }
        continue;
      } else continue;
      if (remaining[i] <= 0) this.#finish(i, nowS, isClosed);
    }
  }

  /** Payload bytes that running flows have been drawn but not yet delivered. */
  remainingBytes(): number {
    let sum = 0;
    for (let i = 0; i < this.#end; i++) if (this.#phase[i] !== FREE) sum += this.#remaining[i];
    return sum;
  }

  /** Forgets the completion times so far. */
  resetTimes(): void {
    this.#times.fill(0);
  }

  /** A quantile of the completion times in s, within 2.4 %; 0 when nothing completed. */
  completionTimeS(quantile: number): number {
    const total = this.#times.reduce((sum, count) => sum + count, 0);
    let rest = Math.max(1, Math.ceil(quantile * total));
    for (let bin = 0; bin < BINS; bin++) {
      rest -= this.#times[bin];
      if (rest <= 0) return 10 ** (FIRST_DECADE + (bin + 0.5) / BINS_A_DECADE);
    }
    return 0;
  }

  #finish(i: number, nowS: number, isClosed: Uint8Array): void {
    const classes = this.#classes;
    const k = this.#classOf[i];
    if (this.#phase[i] === STEADY) classes.steady[k]--;
    else classes.slowWindows[k] -= this.#window[i];
    classes.flows[k]--;
    this.completed++;
    const decade = Math.log10(Math.max(nowS - this.#startedS[i], 10 ** FIRST_DECADE)) - FIRST_DECADE;
    this.#times[Math.min(BINS - 1, Math.floor(decade * BINS_A_DECADE))]++;
    const load = classes.loadOf[k];
    // What was delivered beyond its end within the step counts for the next one, so that no byte is lost.
    if (isClosed[load] === 1) this.#begin(i, load, nowS, 0, this.#remaining[i]);
    else {
      this.#phase[i] = FREE;
      this.drawnBytes -= this.#remaining[i];
      this.running--;
      this.#free.push(i);
    }
  }

  #begin(i: number, load: number, startS: number, waitS: number, credit: number): void {
    const classes = this.#classes;
    const k = classes.pick(load);
    const size = Math.max(1, Math.round(this.#sizes.weibull(this.#shape, this.#scaleBytes)));
    this.#classOf[i] = k;
    this.#phase[i] = HANDSHAKE;
    this.#remaining[i] = size + credit;
    this.#window[i] = waitS + classes.rttS[k];
    this.#startedS[i] = startS;
    classes.flows[k]++;
    this.started++;
    this.drawnBytes += size;
  }

  #grow(): void {
    const capacity = Math.max(1024, this.#classOf.length * 2);
    const longer = <T extends Int32Array | Uint8Array | Float32Array | Float64Array>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    this.#classOf = longer(new Int32Array(capacity), this.#classOf);
    this.#phase = longer(new Uint8Array(capacity), this.#phase);
    this.#remaining = longer(new Float64Array(capacity), this.#remaining);
    this.#window = longer(new Float32Array(capacity), this.#window);
    this.#startedS = longer(new Float32Array(capacity), this.#startedS);
  }
}
