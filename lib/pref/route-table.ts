/**
 * Destinations and the egress routes that lead to them: which routes are up, and what part of the flowlets
 * each takes.
 *
 * A destination is an index from 0: one prefix, or several that share their ratios. A route is named by its
 * path ID, which means the same egress for all destinations; inside, routes are numbered by slot, 0.. in the
 * order configured.
 *
 * ```
 * masks[d]   int32    allowed mask | down mask << 16
 * record     int32    up mask | version << 16 | 1 << 31 once it has its first ratios
 *            int32    interval in which it last had traffic
 *            float64  per slot: T, L
 * shares     float64  per slot: ratio, credit, fneRepeatBytes, flowlets
 * ```
 * Most packets read and count in the record only, which is one cache line with three routes; what begins a
 * flowlet or an interval stands apart. With a million destinations each line touched is a miss of some 200 ns.
 * Both stand in chunks of 4,096 destinations, allocated when the first of them is added; memory that no packet
 * ever touched costs nothing. With three routes they take 64 and 96 bytes.
 *
 * A route that goes down or comes up changes one mask and one version number. Each destination takes the
 * change over when it is next used, so nothing walks a million records; a change that is taken back before
 * that has no effect on it.
 */

import { invalidOption, requireInteger } from '../errors.ts';
import { mixBits } from './flow-hash.ts';

/** Destinations a chunk, as a power of 2. */
export const CHUNK_BITS = 12;
/** The index within the chunk. */
export const CHUNK_MASK = (1 << CHUNK_BITS) - 1;

/** int32 of the header: which routes are up. */
const HEADER_STATE = 0;
/** int32 of the header: the meter's interval in which the destination last had traffic. */
export const HEADER_INTERVAL = 1;
/** float64 that the header takes. */
export const HEADER_WIDTH = 1;

/** Field of a route in the record: T_i of the running interval, bytes. */
export const FIELD_BYTES = 0;
/** Field of a route in the record: L_i of the running interval, bytes. */
export const FIELD_LEX_BYTES = 1;
/** float64 that a route takes in the record. */
export const METER_WIDTH = 2;

/** Field of a route in the shares: flowlet ratio f_di, 0..1; the up routes of a destination sum to 1. */
export const FIELD_RATIO = 0;
/**
 * Field of a route in the shares: its claim to the next flowlet, a whole number in units of {@link WEIGHT_SCALE}; the
 * routes of a destination sum to 0 from one choice to the next.
 */
export const FIELD_CREDIT = 1;
/** Field of a route in the shares: bytes of repeated FNE packets that tell of loss on it, running interval. */
export const FIELD_FNE_REPEAT_BYTES = 2;
/** Field of a route in the shares: flowlets that began on it, running interval. */
export const FIELD_FLOWLETS = 3;
/** float64 that a route takes in the shares. */
export const SHARE_WIDTH = 4;

/** Bits of a weight. */
export const WEIGHT_BITS = 24;
/** The weight of ratio 1. */
export const WEIGHT_SCALE = 2 ** WEIGHT_BITS;

/** float64 of a cache line: records begin at multiples of it. */
const LINE_WIDTH = 8;

/** What `slotOf` holds for a path ID without route. */
export const NO_SLOT = 255;

/** The first credits of a destination's routes are apart by this number of bits at most: 1/128 of a flowlet. */
const FIRST_CREDIT_BITS = WEIGHT_BITS - 7;
const MASK_BITS = 16;
const SLOT_MASK = (1 << MASK_BITS) - 1;
const MAX_VERSION = 0x7fff;
const STARTED = 0x8000;

/**
 * The share of flowlets a route starts with when it comes up, given how many routes are up with it:
 * 0..1/upCount.
 */
export type NewcomerShare = (upCount: number) => number;

/** Destinations x egress routes. */
export class RouteTable {
  readonly routeCount: number;
  /** Path ID by slot. */
  readonly pathIdOf: Uint8Array;
  /** Slot by path ID 0..63; {@link NO_SLOT} when there is none. */
  readonly slotOf = new Uint8Array(64).fill(NO_SLOT);
  /** float64 a record. */
  readonly stride: number;
  /** The records, a chunk each. */
  readonly floats: Float64Array[] = [];
  /** The same memory as int32. */
  readonly ints: Int32Array[] = [];
  /** The shares, a chunk each. */
  readonly shares: Float64Array[] = [];
  /** Destinations in the table. */
  size = 0;

  private masks = new Int32Array(0);
  private readonly newcomerShare: NewcomerShare;
  private readonly seed: number;
  private version = 1;
  private globalUp: number;
  private readonly free: number[] = [];
  /** Destinations that changed, each once; undefined when nobody asks. */
  private changed: Set<number> | undefined;
  private nextFresh = 0;

  /**
   * @param pathIds - the routes, 1..16 of them, each 1..63 and different
   * @param seed - int32; decides which route a destination's first flowlets take
   */
  constructor(pathIds: readonly number[], newcomerShare: NewcomerShare, seed: number) {
    requireInteger('routes.length', pathIds.length, 1, 16);
    this.routeCount = pathIds.length;
    this.pathIdOf = Uint8Array.from(pathIds);
    for (const [slot, pathId] of pathIds.entries()) {
      requireInteger('pathId', pathId, 1, 63);
      if (this.slotOf[pathId] !== NO_SLOT)
        throw invalidOption('pathId', pathId, 'a path ID that no other route has');
      this.slotOf[pathId] = slot;
    }
    this.stride = Math.ceil((HEADER_WIDTH + this.routeCount * METER_WIDTH) / LINE_WIDTH) * LINE_WIDTH;
    this.newcomerShare = newcomerShare;
    this.seed = seed;
    this.globalUp = (1 << this.routeCount) - 1;
  }

  /** Destinations there is a record for: indices are below this. */
  get capacity(): number {
    return this.floats.length << CHUNK_BITS;
  }

  /**
   * Adds a destination that these slots lead to (a mask, not 0). Returns its index, possibly one that was
   * removed.
   */
  add(allowedMask: number): number {
    const destination = this.free.pop() ?? this.nextFresh++;
    if (destination >= this.capacity) {
      const memory = new ArrayBuffer((this.stride * 8) << CHUNK_BITS);
      this.floats.push(new Float64Array(memory));
      this.ints.push(new Int32Array(memory));
      this.shares.push(new Float64Array((this.routeCount * SHARE_WIDTH) << CHUNK_BITS));
      if (this.masks.length < this.capacity) this.grow();
    }
    this.masks[destination] = allowedMask;
    this.size++;
    return destination;
  }

  /** Removes a destination and what its record held. */
  remove(destination: number): void {
    const ints = this.ints[destination >>> CHUNK_BITS];
    const header = this.headerAt(destination);
    // Kept, or a destination that reuses the index would enter the meter's list of this interval twice.
    const interval = ints[header + HEADER_INTERVAL];
    this.masks[destination] = 0;
    ints.fill(0, header, header + this.stride * 2);
    ints[header + HEADER_INTERVAL] = interval;
    const shares = this.shareAt(destination, 0);
    this.shares[destination >>> CHUNK_BITS].fill(0, shares, shares + this.routeCount * SHARE_WIDTH);
    this.free.push(destination);
    this.size--;
  }

  /** Keeps a list of the destinations that change, from now on. */
  trackChanges(): void {
    this.changed = new Set();
  }

  /** Destinations whose routes or ratios changed since the last call, each once; some may be gone. */
  takeChanged(): readonly number[] {
    if (this.changed === undefined || this.changed.size === 0) return [];
    const list = [...this.changed];
    this.changed.clear();
    return list;
  }

  /** Notes that something changed about a destination that a datapath has to know. */
  noteChange(destination: number): void {
    this.changed?.add(destination);
  }

  /** Whether this index is a destination now. */
  has(destination: number): boolean {
    return Number.isInteger(destination) && destination >= 0 && destination < this.nextFresh
      ? this.allowedMask(destination) !== 0
      : false;
  }

  /** The slots that lead to the destination, up or not. */
  allowedMask(destination: number): number {
    return this.masks[destination] & SLOT_MASK;
  }

  /**
   * The slots that are up for the destination, 0 for none. Takes over changes since its last use. @hotpath
   */
  upMask(destination: number): number {
    const state = this.ints[destination >>> CHUNK_BITS][this.headerAt(destination) + HEADER_STATE];
    return state >>> MASK_BITS === (this.version | STARTED) ? state & SLOT_MASK : this.refresh(destination);
  }

  /** Whether the route is up for destinations that did not take it down for themselves. */
  isRouteUp(slot: number): boolean {
    return ((this.globalUp >>> slot) & 1) === 1;
  }

  /** Takes a route down or up for every destination. Costs the same for one and for a million. */
  setRouteUp(slot: number, isUp: boolean): void {
    const mask = isUp ? this.globalUp | (1 << slot) : this.globalUp & ~(1 << slot);
    if (mask === this.globalUp) return;
    this.globalUp = mask;
    this.version++;
    if (this.version <= MAX_VERSION) return;
    // Once in 32,767 changes all are marked as outdated, or an old state could pass for a new one.
    for (const ints of this.ints) {
      for (let at = HEADER_STATE; at < ints.length; at += this.stride * 2) ints[at] &= SLOT_MASK | (1 << 31);
    }
    this.version = 1;
  }

  /** Takes a route down or up for one destination; it is up when it is up here and globally. */
  setDestinationRouteUp(destination: number, slot: number, isUp: boolean): void {
    this.upMask(destination);
    const bit = 1 << (slot + MASK_BITS);
    if (isUp) this.masks[destination] &= ~bit;
    else this.masks[destination] |= bit;
    this.refresh(destination);
  }

  /** Sets at once which slots are up for one destination, as far as they are globally. */
  setDestinationUpMask(destination: number, upMask: number): void {
    const isStarted = this.ints[destination >>> CHUNK_BITS][this.headerAt(destination) + HEADER_STATE] !== 0;
    // What changed globally before comes first, or its shares would go to routes that go now.
    if (isStarted) this.upMask(destination);
    const allowed = this.allowedMask(destination);
    this.masks[destination] = allowed | ((allowed & ~upMask) << MASK_BITS);
    if (isStarted) this.refresh(destination);
  }

  /** The flowlet ratio of a slot, 0 when it is not up. */
  ratio(destination: number, slot: number): number {
    const isUp = (this.upMask(destination) >>> slot) & 1;
    return isUp === 1
      ? this.shares[destination >>> CHUNK_BITS][this.shareAt(destination, slot) + FIELD_RATIO]
      : 0;
  }

  /**
   * Sets the ratios of the routes that are up; what others have in `next` is ignored.
   *
   * @param next - by slot, not negative; scaled so that the ratios sum to 1. Nothing changes when they sum to
   *   0.
   */
  setRatios(destination: number, next: Float64Array): void {
    const up = this.upMask(destination);
    const shares = this.shares[destination >>> CHUNK_BITS];
    let sum = 0;
    for (let slot = 0; slot < this.routeCount; slot++) if ((up >>> slot) & 1) sum += next[slot];
    if (!(sum > 0 && sum < Infinity)) return;
    this.noteChange(destination);
    for (let slot = 0; slot < this.routeCount; slot++) {
      if ((up >>> slot) & 1) shares[this.shareAt(destination, slot) + FIELD_RATIO] = next[slot] / sum;
    }
  }

  /**
   * Takes over ratios and credits of a destination from a table with the same routes.
   *
   * @param to - a destination of this table, with the same routes up
   */
  copyShares(other: RouteTable, destination: number, to: number): void {
    this.upMask(to);
    other.upMask(destination);
    const from = other.shares[destination >>> CHUNK_BITS];
    for (let slot = 0; slot < this.routeCount; slot++) {
      const source = other.shareAt(destination, slot);
      const target = this.shareAt(to, slot);
      for (const field of [FIELD_RATIO, FIELD_CREDIT]) {
        this.shares[to >>> CHUNK_BITS][target + field] = from[source + field];
      }
    }
  }

  /** Offset of a slot's fields in the chunk of records. */
  meterAt(destination: number, slot: number): number {
    return (destination & CHUNK_MASK) * this.stride + HEADER_WIDTH + slot * METER_WIDTH;
  }

  /** Offset of a slot's fields in the chunk of shares. */
  shareAt(destination: number, slot: number): number {
    return ((destination & CHUNK_MASK) * this.routeCount + slot) * SHARE_WIDTH;
  }

  private headerAt(destination: number): number {
    return (destination & CHUNK_MASK) * (this.stride << 1);
  }

  private grow(): void {
    const length = Math.max(this.capacity, this.masks.length * 2);
    const masks = this.masks;
    this.masks = new Int32Array(length);
    this.masks.set(masks);
  }

  private refresh(destination: number): number {
    const masks = this.masks[destination];
    const ints = this.ints[destination >>> CHUNK_BITS];
    const header = this.headerAt(destination) + HEADER_STATE;
    const before = ints[header];
    const up = masks & SLOT_MASK & this.globalUp & ~(masks >>> MASK_BITS);
    ints[header] = up | ((this.version | STARTED) << MASK_BITS);
    if (before === 0 || up !== (before & SLOT_MASK)) this.noteChange(destination);
    if (before === 0) this.start(destination, up);
    else if (up !== (before & SLOT_MASK)) this.changeRoutes(destination, before & SLOT_MASK, up);
    return up;
  }

  /**
   * Equal shares, and credits that differ from destination to destination: if all began at 0, the first
   * flowlet of each of a million prefixes would take the same route. They differ by little, so that the order in which
   * routes with equal ratios are drawn is left to the flows (selector.ts).
   */
  private start(destination: number, up: number): void {
    const shares = this.shares[destination >>> CHUNK_BITS];
    this.shareEqually(destination, up);
    for (let slot = 0; slot < this.routeCount; slot++) {
      if (((up >>> slot) & 1) === 0) continue;
      const random = mixBits(mixBits(destination ^ this.seed) + Math.imul(slot + 1, 0x9e3779b1));
      shares[this.shareAt(destination, slot) + FIELD_CREDIT] = random >> (32 - FIRST_CREDIT_BITS);
    }
  }

  private shareEqually(destination: number, up: number): void {
    const shares = this.shares[destination >>> CHUNK_BITS];
    const share = 1 / countBits(up);
    for (let slot = 0; slot < this.routeCount; slot++) {
      if ((up >>> slot) & 1) shares[this.shareAt(destination, slot) + FIELD_RATIO] = share;
    }
  }

  /** Gives the shares of routes that went to those that stayed, and those that came their first share. */
  private changeRoutes(destination: number, old: number, up: number): void {
    const shares = this.shares[destination >>> CHUNK_BITS];
    let stayed = 0;
    for (let slot = 0; slot < this.routeCount; slot++) {
      const route = this.shareAt(destination, slot);
      if ((old & up & (1 << slot)) !== 0) stayed += shares[route + FIELD_RATIO];
      else shares[route + FIELD_RATIO] = 0;
    }
    if (up === 0) return;
    if (stayed > 0) {
      const upCount = countBits(up);
      const cameCount = countBits(up & ~old);
      const share = cameCount === 0 ? 0 : this.newcomerShare(upCount);
      const scale = (1 - share * cameCount) / stayed;
      for (let slot = 0; slot < this.routeCount; slot++) {
        const ratio = this.shareAt(destination, slot) + FIELD_RATIO;
        if ((old & up & (1 << slot)) !== 0) shares[ratio] *= scale;
        else if ((up & (1 << slot)) !== 0) shares[ratio] = share;
      }
    } else this.shareEqually(destination, up);
  }
}

/**
 * A flowlet ratio as a whole number, 1 at least if the ratio is above 0: what flowlets are spread by, here and in the
 * kernel. Off by 3e-8 at most, which matters to nobody; the ratios themselves are kept and reported. @hotpath
 */
export function weightOf(ratio: number): number {
  const weight = Math.floor(ratio * WEIGHT_SCALE + 0.5);
  return weight === 0 && ratio > 0 ? 1 : weight;
}

/** How many bits of a mask are set. @hotpath */
export function countBits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}
