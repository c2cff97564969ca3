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

/** The gateway's and the programs' index of a destination, each from the other; -1 for none. */
export interface IndexTable {
  coreOf(index: number): number;
  indexOf(destination: number): number;
}

/** Reads the meters. */
export class MeterReader {
  readonly #port: DatapathPort;
  readonly #programs: GatewayPrograms;
  /** Words of a destination. */
  readonly #stride: number;
  /** The figures that were read before, in words as {@link GatewayPrograms.meters} has them. */
  #before = new Uint32Array(0);
  #next = 0;

  constructor(port: DatapathPort, programs: GatewayPrograms) {
    this.#port = port;
    this.#programs = programs;
    this.#stride = programs.routeCount * programs.meterStride;
  }

  /** A destination begins under an index, with meters of zero. */
  begin(index: number): void {
    this.#reserve(index + 1);
    this.#before.fill(0, index * this.#stride, (index + 1) * this.#stride);
  }

  /** A destination goes on under an index, with these figures from before. */
  goOn(index: number, destination: number, figures: Float64Array): void {
    this.#reserve(index + 1);
    const { routeCount } = this.#programs;
    for (let slot = 0; slot < routeCount; slot++) {
      const at = slot * METER_FIELDS;
      for (let field = 0; field < METER_FIELDS; field++) {
        this.#note(index * routeCount + slot, field, figures[at + field]);
      }
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

  /**
   * Reads destinations from an index to before another. Most meters stand still, and are compared word by word.
   *
   * @returns whether anything was counted since
   * @hotpath
   */
  read(from: number, end: number, indices: IndexTable): boolean {
    this.#reserve(end);
    const { meterStride, routeCount, meters } = this.#programs;
    const { words } = meters;
    const before = this.#before;
    const last = end * this.#stride;
    let isBusy = false;
    let at = from * this.#stride;
    while (at < last) {
      if (words[at] === before[at]) {
        at++;
        continue;
      }
      const place = Math.floor(at / meterStride);
      at = (place + 1) * meterStride;
      const destination = indices.coreOf(Math.floor(place / routeCount));
      // Between the end of one destination and the beginning of the next.
      if (destination < 0) continue;
      isBusy = true;
      this.#port.meter.count(
        destination,
        place % routeCount,
        this.#grown(place, METER_BYTES),
        this.#grown(place, METER_LEX_BYTES),
        this.#grown(place, METER_FNE_REPEAT_BYTES),
        this.#grown(place, METER_FLOWLETS),
      );
    }
    return isBusy;
  }

  /** By how much a figure has grown; it is noted as read. */
  #grown(place: number, field: number): number {
    const { meterFields, meters, meterStride } = this.#programs;
    const half = (place * meterStride) / 2 + meterFields[field];
    const figure = Number(meters.figures[half]);
    const before = this.#before[2 * half] + this.#before[2 * half + 1] * 2 ** 32;
    this.#note(place, field, figure);
    return figure - before;
  }

  #note(place: number, field: number, figure: number): void {
    const { meterFields, meterStride } = this.#programs;
    const at = place * meterStride + 2 * meterFields[field];
    this.#before[at] = figure % 2 ** 32;
    this.#before[at + 1] = Math.floor(figure / 2 ** 32);
  }

  #reserve(indices: number): void {
    const length = indices * this.#stride;
    if (length <= this.#before.length) return;
    const grown = new Uint32Array(Math.max(length, 2 * this.#before.length));
    grown.set(this.#before);
    this.#before = grown;
  }
}
