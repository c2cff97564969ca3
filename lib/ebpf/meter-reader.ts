/**
 * Brings what the programs count for each route of each destination to the gateway's meter: the difference to what was
 * read before. The maps only grow, so nothing is lost between two readings, nor when a process ends without a last one.
 */
import type { DatapathPort } from '../pref/datapath-port.ts';
import {
  METER_BYTES,
  METER_FIELDS,
  METER_FLOWLETS,
  METER_FNE_REPEAT_BYTES,
  METER_LEX_BYTES,
} from '../pref/meter.ts';
import type { GatewayPrograms } from './gateway-programs.ts';

/** Destinations read in one call of the kernel. */
const BATCH = 4096;

/** The gateway's and the programs' index of a destination, each from the other; -1 for none. */
export interface IndexTable {
  coreOf(index: number): number;
  indexOf(destination: number): number;
}

/** Reads the meters. */
export class MeterReader {
  readonly #port: DatapathPort;
  readonly #programs: GatewayPrograms;
  readonly #stride: number;
  /** What was read before, as {@link GatewayPrograms.readMeters} has it. */
  #before = new Float64Array(0);
  #next = 0;

  constructor(port: DatapathPort, programs: GatewayPrograms) {
    this.#port = port;
    this.#programs = programs;
    this.#stride = programs.routeCount * METER_FIELDS;
  }

  /** A destination begins under an index, with meters of zero. */
  begin(index: number): void {
    this.#reserve(index + 1);
    this.#before.fill(0, index * this.#stride, (index + 1) * this.#stride);
  }

  /** A destination goes on under an index, with these figures from before. */
  goOn(index: number, destination: number, figures: Float64Array): void {
    this.#reserve(index + 1);
    this.#before.set(figures, index * this.#stride);
    for (let slot = 0; slot < this.#programs.routeCount; slot++) {
      const at = slot * METER_FIELDS;
      this.#port.meter.restore(
        destination,
        slot,
        figures[at + METER_BYTES],
        figures[at + METER_LEX_BYTES],
        figures[at + METER_FNE_REPEAT_BYTES],
        figures[at + METER_FLOWLETS],
      );
    }
  }

  /** Reads the next destinations in turn, so many at most, of those below `end`. */
  readSome(end: number, most: number, indices: IndexTable): void {
    if (this.#next >= end) this.#next = 0;
    const from = this.#next;
    this.#next = Math.min(end, from + most);
    this.read(from, this.#next, indices);
  }

  /** Reads destinations from an index to before another. Returns whether anything was counted since. */
  read(from: number, end: number, indices: IndexTable): boolean {
    let isBusy = false;
    this.#reserve(end);
    for (let first = from; first < end; first += BATCH) {
      const count = Math.min(BATCH, end - first);
      const figures = this.#programs.readMeters(count, first);
      if (this.#compare(figures, first, count, indices)) isBusy = true;
    }
    return isBusy;
  }

  #compare(figures: Float64Array, first: number, count: number, indices: IndexTable): boolean {
    const before = this.#before;
    const offset = first * this.#stride;
    let isBusy = false;
    for (let at = 0; at < count * this.#stride; at += METER_FIELDS) {
      const own = offset + at;
      if (
        figures[at] === before[own] &&
        figures[at + 1] === before[own + 1] &&
        figures[at + 2] === before[own + 2] &&
        figures[at + 3] === before[own + 3]
      ) {
        continue;
      }
      const destination = indices.coreOf(first + Math.floor(at / this.#stride));
      // Between the end of one destination and the beginning of the next.
      if (destination < 0) continue;
      isBusy = true;
      this.#port.meter.count(
        destination,
        (at % this.#stride) / METER_FIELDS,
        figures[at + METER_BYTES] - before[own + METER_BYTES],
        figures[at + METER_LEX_BYTES] - before[own + METER_LEX_BYTES],
        figures[at + METER_FNE_REPEAT_BYTES] - before[own + METER_FNE_REPEAT_BYTES],
        figures[at + METER_FLOWLETS] - before[own + METER_FLOWLETS],
      );
      before.set(figures.subarray(at, at + METER_FIELDS), own);
    }
    return isBusy;
  }

  #reserve(indices: number): void {
    const length = indices * this.#stride;
    if (length <= this.#before.length) return;
    const grown = new Float64Array(Math.max(length, 2 * this.#before.length));
    grown.set(this.#before);
    this.#before = grown;
  }
}
