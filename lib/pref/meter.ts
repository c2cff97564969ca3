/**
 * What went over each route of each destination: in the running interval, in the last complete one, and since
 * the start.
 *
 * The running figures stand in the route table, next to what a packet reads anyway. The others are
 * colder: per destination the number of the interval that `last` is of, then per route `last` and `total`,
 * four figures each. Only destinations that had traffic are touched when an interval ends.
 */

import {
  CHUNK_BITS,
  CHUNK_MASK,
  FIELD_BYTES,
  FIELD_FLOWLETS,
  FIELD_FNE_REPEAT_BYTES,
  FIELD_LEX_BYTES,
  HEADER_INTERVAL,
} from './route-table.ts';
import type { RouteTable } from './route-table.ts';

/** T_i: bytes of IP packets with a LEX mark (LECT, LEx, FNE). */
export const METER_BYTES = 0;
/** L_i: those of them marked LEx. */
export const METER_LEX_BYTES = 1;
/** Bytes of repeated FNE packets, on the route that the earlier one took. */
export const METER_FNE_REPEAT_BYTES = 2;
/** Flowlets that began on the route; one that had to be sent again elsewhere counts where it was first. */
export const METER_FLOWLETS = 3;
/** Figures a route. */
export const METER_FIELDS = 4;

const LAST = 0;
const TOTAL = METER_FIELDS;
const COLD_ROUTE_WIDTH = 2 * METER_FIELDS;

/** Counts bytes and flowlets per destination and route. */
export class Meter {
  /** Complete intervals so far. */
  intervals = 0;

  private readonly table: RouteTable;
  private readonly routeTotals: Float64Array;
  private readonly coldStride: number;
  private readonly cold: (Float64Array | undefined)[] = [];
  /** Destinations with traffic in the running interval, in order of their first packet. */
  private active = new Int32Array(64);
  private activeCount = 0;
  /** The same of the interval that ended. */
  private ended = new Int32Array(64);
  private endedCount = 0;
  private readonly totalsAtEnd: Float64Array;
  private readonly lastOfRoutes: Float64Array;

  constructor(table: RouteTable) {
    this.table = table;
    this.coldStride = 1 + table.routeCount * COLD_ROUTE_WIDTH;
    this.routeTotals = new Float64Array(table.routeCount * METER_FIELDS);
    this.totalsAtEnd = new Float64Array(this.routeTotals.length);
    this.lastOfRoutes = new Float64Array(this.routeTotals.length);
  }

  /** Counts a packet with a LEX mark. @hotpath */
  addPacket(destination: number, slot: number, bytes: number, isLex: boolean): void {
    this.use(destination);
    const floats = this.table.floats[destination >>> CHUNK_BITS];
    const route = this.table.meterAt(destination, slot);
    const total = slot * METER_FIELDS;
    floats[route + FIELD_BYTES] += bytes;
    this.routeTotals[total + METER_BYTES] += bytes;
    if (!isLex) return;
    floats[route + FIELD_LEX_BYTES] += bytes;
    this.routeTotals[total + METER_LEX_BYTES] += bytes;
  }

  /** Counts a repeated FNE packet against the route that the earlier one took. @hotpath */
  addFneRepeat(destination: number, slot: number, bytes: number): void {
    const { table } = this;
    this.use(destination);
    table.shares[destination >>> CHUNK_BITS][table.shareAt(destination, slot) + FIELD_FNE_REPEAT_BYTES] +=
      bytes;
    this.routeTotals[slot * METER_FIELDS + METER_FNE_REPEAT_BYTES] += bytes;
  }

  /** Counts a flowlet that begins on the route. @hotpath */
  addFlowlet(destination: number, slot: number): void {
    const { table } = this;
    this.use(destination);
    table.shares[destination >>> CHUNK_BITS][table.shareAt(destination, slot) + FIELD_FLOWLETS] += 1;
    this.routeTotals[slot * METER_FIELDS + METER_FLOWLETS] += 1;
  }

  /**
   * Counts what a datapath elsewhere has counted on the route: bytes with a LEX mark, those of them marked LEx, bytes
   * of repeated FNE packets, flowlets.
   */
  count(
    destination: number,
    slot: number,
    bytes: number,
    lexBytes: number,
    fneRepeatBytes: number,
    flowlets: number,
  ): void {
    if (bytes > lexBytes) this.addPacket(destination, slot, bytes - lexBytes, false);
    if (lexBytes > 0) this.addPacket(destination, slot, lexBytes, true);
    if (fneRepeatBytes > 0) this.addFneRepeat(destination, slot, fneRepeatBytes);
    if (flowlets === 0) return;
    const { table } = this;
    this.use(destination);
    table.shares[destination >>> CHUNK_BITS][table.shareAt(destination, slot) + FIELD_FLOWLETS] += flowlets;
    this.routeTotals[slot * METER_FIELDS + METER_FLOWLETS] += flowlets;
  }

  /** Takes over figures from before the start, as for {@link count}: part of totals, of no interval. */
  restore(
    destination: number,
    slot: number,
    bytes: number,
    lexBytes: number,
    fneRepeatBytes: number,
    flowlets: number,
  ): void {
    const cold = this.coldOf(destination);
    const books = (destination & CHUNK_MASK) * this.coldStride + 1 + slot * COLD_ROUTE_WIDTH;
    for (const [field, figure] of [bytes, lexBytes, fneRepeatBytes, flowlets].entries()) {
      cold[books + TOTAL + field] += figure;
      this.routeTotals[slot * METER_FIELDS + field] += figure;
      this.totalsAtEnd[slot * METER_FIELDS + field] += figure;
    }
  }

  /**
   * Ends the running interval. The destinations that had traffic wait for {@link snapshot}; what they carry
   * until then still counts for the interval that ended.
   *
   * @returns how many there are
   */
  endInterval(): number {
    const list = this.ended;
    this.ended = this.active;
    this.endedCount = this.activeCount;
    this.active = list;
    this.activeCount = 0;
    this.intervals++;
    for (let i = 0; i < this.routeTotals.length; i++) {
      this.lastOfRoutes[i] = this.routeTotals[i] - this.totalsAtEnd[i];
      this.totalsAtEnd[i] = this.routeTotals[i];
    }
    return this.endedCount;
  }

  /** How many destinations had traffic in the interval that ended. */
  get endedDestinations(): number {
    return this.endedCount;
  }

  /** The i-th destination with traffic in the interval that ended. */
  endedDestination(i: number): number {
    return this.ended[i];
  }

  /**
   * Closes the books of one destination for the interval that ended: running figures become `last` and add to
   * `total`.
   *
   * @returns false when that was already done, or the destination is gone
   */
  snapshot(destination: number): boolean {
    if (!this.table.has(destination)) return false;
    const cold = this.coldOf(destination);
    const at = (destination & CHUNK_MASK) * this.coldStride;
    if (cold[at] === this.intervals) return false;
    cold[at] = this.intervals;
    const floats = this.table.floats[destination >>> CHUNK_BITS];
    const shares = this.table.shares[destination >>> CHUNK_BITS];
    for (let slot = 0; slot < this.table.routeCount; slot++) {
      const books = at + 1 + slot * COLD_ROUTE_WIDTH;
      for (let field = 0; field < METER_FIELDS; field++) {
        const figure = this.running(destination, slot, field);
        cold[books + LAST + field] = figure;
        cold[books + TOTAL + field] += figure;
      }
      const record = this.table.meterAt(destination, slot);
      floats[record + FIELD_BYTES] = 0;
      floats[record + FIELD_LEX_BYTES] = 0;
      const share = this.table.shareAt(destination, slot);
      shares[share + FIELD_FNE_REPEAT_BYTES] = 0;
      shares[share + FIELD_FLOWLETS] = 0;
    }
    return true;
  }

  /** A METER_ figure of the last complete interval; 0 when the destination had no traffic in it. */
  last(destination: number, slot: number, field: number): number {
    const cold = this.cold[destination >>> CHUNK_BITS];
    const at = (destination & CHUNK_MASK) * this.coldStride;
    if (cold === undefined || cold[at] !== this.intervals) return 0;
    return cold[at + 1 + slot * COLD_ROUTE_WIDTH + LAST + field];
  }

  /** Whether the destination had traffic in the last complete interval, with its books closed. */
  hadTraffic(destination: number): boolean {
    const cold = this.cold[destination >>> CHUNK_BITS];
    return this.intervals > 0 && cold?.[(destination & CHUNK_MASK) * this.coldStride] === this.intervals;
  }

  /** A METER_ figure since the destination was added, the running interval included. */
  total(destination: number, slot: number, field: number): number {
    const running = this.running(destination, slot, field);
    const cold = this.cold[destination >>> CHUNK_BITS];
    const at = (destination & CHUNK_MASK) * this.coldStride;
    return running + (cold === undefined ? 0 : cold[at + 1 + slot * COLD_ROUTE_WIDTH + TOTAL + field]);
  }

  /** A METER_ figure since the start over all destinations, removed ones included. */
  routeTotal(slot: number, field: number): number {
    return this.routeTotals[slot * METER_FIELDS + field];
  }

  /** A METER_ figure of the last complete interval over all destinations. */
  lastOfRoute(slot: number, field: number): number {
    return this.lastOfRoutes[slot * METER_FIELDS + field];
  }

  /** Forgets a destination that is removed, so that another may take its index. */
  forget(destination: number): void {
    const at = (destination & CHUNK_MASK) * this.coldStride;
    this.cold[destination >>> CHUNK_BITS]?.fill(0, at, at + this.coldStride);
  }

  private running(destination: number, slot: number, field: number): number {
    const { table } = this;
    const chunk = destination >>> CHUNK_BITS;
    if (field === METER_BYTES) return table.floats[chunk][table.meterAt(destination, slot) + FIELD_BYTES];
    if (field === METER_LEX_BYTES)
      return table.floats[chunk][table.meterAt(destination, slot) + FIELD_LEX_BYTES];
    const share = field === METER_FLOWLETS ? FIELD_FLOWLETS : FIELD_FNE_REPEAT_BYTES;
    return table.shares[chunk][table.shareAt(destination, slot) + share];
  }

  /** Notes that the destination has traffic in this interval. @hotpath */
  private use(destination: number): void {
    const table = this.table;
    const ints = table.ints[destination >>> CHUNK_BITS];
    const interval = (destination & CHUNK_MASK) * table.stride * 2 + HEADER_INTERVAL;
    // 0 is what a fresh record holds, so the running interval is counted from 1.
    const running = (this.intervals + 1) | 0;
    if (ints[interval] === running) return;
    ints[interval] = running;
    if (this.activeCount === this.active.length) this.growActive();
    this.active[this.activeCount++] = destination;
  }

  private growActive(): void {
    const active = new Int32Array(this.active.length * 2);
    active.set(this.active);
    this.active = active;
  }

  private coldOf(destination: number): Float64Array {
    const chunk = destination >>> CHUNK_BITS;
    let cold = this.cold[chunk];
    if (cold === undefined) {
      cold = new Float64Array(this.coldStride << CHUNK_BITS);
      this.cold[chunk] = cold;
    }
    return cold;
  }
}
