/**
 * What the other gateways of the domain carried in their last complete intervals, and how it adds to the own figures.
 *
 * For a destination and the routes S that are usable here, a gateway that can use all of S is added as it is. Of one that
 * can use only a part C of S, the routes in C are added, and for each other route j what the gateways before would have
 * carried there beside its traffic, with the losses that they had:
 *
 *     B_j * sum of its T over C / sum of B over C            B: own figures and those of gateways that can use all of S
 *
 * So its traffic moves the split within C only. Added as it is, it would look as if the domain preferred C.
 */

import type { RouteTable } from './route-table.ts';

/** Figures of one route toward one destination in a complete interval. */
export interface RouteFigures {
  readonly pathId: number;
  /** Whether new flowlets may take it: up, and not suspended. */
  readonly isUsable: boolean;
  /** T_i: bytes with a LEX mark. */
  readonly bytes: number;
  /** L_i: bytes marked LEx. */
  readonly lexBytes: number;
  /** Bytes of FNE packets that were repeated on another route. */
  readonly fneRepeatBytes: number;
}

/** Figures of one destination in a complete interval. */
export interface DestinationFigures {
  /** Its index in this gateway. */
  readonly destination: number;
  readonly routes: readonly RouteFigures[];
}

/** The last complete interval of a gateway. */
export interface IntervalFigures {
  /** Its length, ns, above 0. */
  readonly lengthNs: number;
  /** Destinations that had traffic, each once. */
  readonly destinations: readonly DestinationFigures[];
}

/** The last interval of another gateway. */
interface Peer {
  readonly lengthNs: number;
  /** Row of each destination in what follows. */
  readonly rows: Map<number, number>;
  /** By row: mask of slots. */
  readonly usable: Uint16Array;
  /** By row and slot: {@link WIDTH} figures. */
  readonly figures: Float64Array;
}

const BYTES = 0;
const LEX_BYTES = 1;
const FNE_REPEAT_BYTES = 2;
const WIDTH = 3;

/** How far lengths of intervals may be apart and still be the same: what is lost by writing them in seconds. */
const LENGTH_TOLERANCE = 1e-9;
/** New figures wait this part of an interval for those of others, so that all make one computation. */
const WAIT_PART = 1 / 20;

/** Figures of other gateways, by gateway and destination. */
export class RemoteFigures {
  /** When the destinations that wait are due, ns; Infinity when none does. */
  dueNs = Infinity;
  /** Length of the interval that the own figures are of, ns; as planned, before the first has ended. */
  ownLengthNs: number;

  private readonly table: RouteTable;
  private readonly countFneRepeats: boolean;
  private readonly peers = new Map<string, Peer>();
  /** Destinations whose figures changed since their ratios were computed. */
  private readonly waiting = new Set<number>();
  private readonly baseBytes: Float64Array;
  private readonly baseLostBytes: Float64Array;

  constructor(table: RouteTable, countFneRepeats: boolean, ownLengthNs: number) {
    this.table = table;
    this.ownLengthNs = ownLengthNs;
    this.countFneRepeats = countFneRepeats;
    this.baseBytes = new Float64Array(table.routeCount);
    this.baseLostBytes = new Float64Array(table.routeCount);
  }

  /**
   * Puts a gateway's interval in the place of the one before. Destinations and routes that are unknown here are passed
   * over.
   */
  set(peer: string, figures: IntervalFigures, nowNs: number): void {
    const { lengthNs, destinations } = figures;
    const { routeCount, slotOf } = this.table;
    const rows = new Map<number, number>();
    const usable = new Uint16Array(destinations.length);
    const values = new Float64Array(destinations.length * routeCount * WIDTH);
    for (const [row, { destination, routes }] of destinations.entries()) {
      if (!this.table.has(destination)) continue;
      rows.set(destination, row);
      for (const route of routes) {
        const slot = slotOf[route.pathId];
        // NO_SLOT for a path ID that is no route here, undefined for one that cannot be.
        if (!(slot < routeCount)) continue;
        if (route.isUsable) usable[row] |= 1 << slot;
        const at = (row * routeCount + slot) * WIDTH;
        values[at + BYTES] = route.bytes;
        values[at + LEX_BYTES] = route.lexBytes;
        values[at + FNE_REPEAT_BYTES] = route.fneRepeatBytes;
      }
    }
    this.replace(peer, { lengthNs, rows, usable, figures: values }, nowNs);
  }

  /** Forgets a gateway. */
  delete(peer: string, nowNs: number): void {
    this.replace(peer, undefined, nowNs);
  }

  /** Forgets a destination that is removed. */
  forget(destination: number): void {
    this.waiting.delete(destination);
    for (const { rows } of this.peers.values()) rows.delete(destination);
  }

  /** Whether any gateway told of the destination. */
  has(destination: number): boolean {
    for (const { rows } of this.peers.values()) if (rows.has(destination)) return true;
    return false;
  }

  /** The destinations that wait for new ratios; from now on none does. */
  takeWaiting(): number[] {
    const destinations = [...this.waiting];
    this.waiting.clear();
    this.dueNs = Infinity;
    return destinations;
  }

  /**
   * Adds what others carried toward a destination to the own figures.
   *
   * @param usable - slots that can be used here
   * @param bytes - T_i by slot, written at the slots of `usable`
   * @param lostBytes - bytes lost by slot, likewise
   */
  addTo(destination: number, usable: number, bytes: Float64Array, lostBytes: Float64Array): void {
    let hasPartial = false;
    for (const peer of this.peers.values()) {
      const row = peer.rows.get(destination);
      if (row === undefined) continue;
      if ((peer.usable[row] & usable) === usable) this.addRow(peer, row, usable, bytes, lostBytes);
      else hasPartial = true;
    }
    if (!hasPartial) return;
    this.baseBytes.set(bytes);
    this.baseLostBytes.set(lostBytes);
    for (const peer of this.peers.values()) {
      const row = peer.rows.get(destination);
      if (row === undefined || (peer.usable[row] & usable) === usable) continue;
      this.addPartial(peer, row, usable, bytes, lostBytes);
    }
  }

  private addRow(peer: Peer, row: number, slots: number, bytes: Float64Array, lostBytes: Float64Array): void {
    const scale = this.scaleOf(peer);
    for (let slot = 0; slots >>> slot !== 0; slot++) {
      if (((slots >>> slot) & 1) === 0) continue;
      const at = (row * this.table.routeCount + slot) * WIDTH;
      bytes[slot] += peer.figures[at + BYTES] * scale;
      const repeats = this.countFneRepeats ? peer.figures[at + FNE_REPEAT_BYTES] : 0;
      lostBytes[slot] += (peer.figures[at + LEX_BYTES] + repeats) * scale;
    }
  }

  private addPartial(
    peer: Peer,
    row: number,
    usable: number,
    bytes: Float64Array,
    lostBytes: Float64Array,
  ): void {
    const common = peer.usable[row] & usable;
    const scale = this.scaleOf(peer);
    let ofPeer = 0;
    let ofBase = 0;
    for (let slot = 0; common >>> slot !== 0; slot++) {
      if (((common >>> slot) & 1) === 0) continue;
      ofPeer += peer.figures[(row * this.table.routeCount + slot) * WIDTH + BYTES] * scale;
      ofBase += this.baseBytes[slot];
    }
    if (ofBase === 0) return;
    this.addRow(peer, row, common, bytes, lostBytes);
    const others = usable & ~common;
    for (let slot = 0; others >>> slot !== 0; slot++) {
      if (((others >>> slot) & 1) === 0) continue;
      bytes[slot] += (this.baseBytes[slot] * ofPeer) / ofBase;
      lostBytes[slot] += (this.baseLostBytes[slot] * ofPeer) / ofBase;
    }
  }

  private replace(name: string, peer: Peer | undefined, nowNs: number): void {
    for (const destination of this.peers.get(name)?.rows.keys() ?? []) this.waiting.add(destination);
    for (const destination of peer?.rows.keys() ?? []) this.waiting.add(destination);
    if (peer === undefined) this.peers.delete(name);
    else this.peers.set(name, peer);
    if (this.waiting.size > 0) this.dueNs = Math.min(this.dueNs, nowNs + this.ownLengthNs * WAIT_PART);
  }

  /** Exactly 1 where intervals are alike, so that sums of bytes stay whole and do not depend on their order. */
  private scaleOf(peer: Peer): number {
    const scale = this.ownLengthNs / peer.lengthNs;
    return Math.abs(scale - 1) <= LENGTH_TOLERANCE ? 1 : scale;
  }
}
