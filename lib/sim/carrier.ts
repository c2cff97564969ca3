/**
 * One direction of a link in a running network: the link's arithmetic (link.ts) and the packets under way on it.
 *
 * What a link accepts arrives in the order of acceptance, so the packets wait in a ring and only the first has an event
 * in the queue; its place in the order of simultaneous events is the one it got when it was accepted. The queue thus
 * holds one event a direction and not one a packet.
 *
 * A packet that arrives at once, for the link has neither rate nor delay, is handed over without an event; to a host only
 * if no host's code is running, for a TCP must not be entered while it runs.
 */
import type { EventQueue } from './event-queue.ts';
import { Link, LINK_DROP_REASONS, LINK_DROPPED } from './link.ts';
import type { LinkOptions } from './link.ts';
import type { NetworkNode } from './node.ts';
import { SLOT_BYTES } from './packet-pool.ts';
import type { PacketPool } from './packet-pool.ts';

/** Event of a {@link Carrier}: the first packet arrives. Argument: the carrier's index. */
export const EVENT_ARRIVAL = 0;

const FIRST_RING = 64;

/** Looks at a packet that is offered to a link; true drops it. For scripted losses and for traces. */
export type PacketFilter = (view: DataView, at: number, nowNs: number) => boolean;

/** Looks at a packet that the link has just dropped. */
export type DropWatch = (view: DataView, at: number, bytes: number) => void;

/** What a direction of a link reports. */
export interface CarrierReport {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly packets: number;
  readonly bytes: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly droppedBytes: Readonly<Record<string, number>>;
  readonly inFlight: number;
}

/** A direction of a link. */
export class Carrier {
  readonly index: number;
  readonly name: string;
  readonly from: NetworkNode;
  readonly to: NetworkNode;
  readonly link: Link;
  /** Asked before the link; undefined in ordinary runs. */
  filter: PacketFilter | undefined = undefined;
  /** Told of each packet that the link drops; undefined in ordinary runs. */
  dropWatch: DropWatch | undefined = undefined;
  /** Packets and bytes that the filter dropped. */
  filteredPackets = 0;
  filteredBytes = 0;
  /** Packets and bytes under way, those in the queue included. */
  inFlight = 0;
  inFlightBytes = 0;

  readonly #queue: EventQueue;
  readonly #pool: PacketPool;
  #slots = new Int32Array(FIRST_RING);
  #dues = new Float64Array(FIRST_RING);
  #orders = new Float64Array(FIRST_RING);
  #head = 0;

  constructor(
    index: number,
    name: string,
    from: NetworkNode,
    to: NetworkNode,
    options: LinkOptions,
    queue: EventQueue,
    pool: PacketPool,
  ) {
    this.index = index;
    this.name = name;
    this.from = from;
    this.to = to;
    this.link = new Link(options);
    this.#queue = queue;
    this.#pool = pool;
  }

  /**
   * Sends a packet; the carrier owns it from now on, dropped or not.
   *
   * @hotpath
   */
  offer(slot: number): void {
    const queue = this.#queue;
    const bytes = this.#pool.lengthOf(slot);
    if (this.filter !== undefined && this.#isFiltered(slot, bytes)) return;
    const { link } = this;
    const mayPass = this.inFlight === 0 && (!this.to.isHost || queue.isForwarding);
    if (mayPass && link.passAtOnce(bytes)) {
      this.to.receive(slot, this);
      return;
    }
    const dueNs = link.offer(bytes, queue.nowNs);
    if (dueNs === LINK_DROPPED) {
      if (this.dropWatch !== undefined) this.dropWatch(this.#pool.view, slot * SLOT_BYTES, bytes);
      this.#pool.release(slot);
      return;
    }
    if (mayPass && dueNs === queue.nowNs) {
      this.to.receive(slot, this);
      return;
    }
    if (this.inFlight === this.#slots.length) this.#grow();
    const tail = (this.#head + this.inFlight) & (this.#slots.length - 1);
    this.#slots[tail] = slot;
    this.#dues[tail] = dueNs;
    this.#orders[tail] = queue.takeOrder();
    this.inFlightBytes += bytes;
    if (this.inFlight++ === 0) {
      queue.scheduleFrom(this.#orders, this.#dues, tail, EVENT_ARRIVAL, this.index);
    }
  }

  /**
   * The first packet arrives at the far end.
   *
   * @hotpath
   */
  arrive(): void {
    const slot = this.#slots[this.#head];
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.inFlightBytes -= this.#pool.lengthOf(slot);
    if (--this.inFlight > 0) {
      this.#queue.scheduleFrom(this.#orders, this.#dues, this.#head, EVENT_ARRIVAL, this.index);
    }
    this.#queue.isForwarding = !this.to.isHost;
    this.to.receive(slot, this);
    this.#queue.isForwarding = false;
  }

  /** Packets dropped here, for whatever reason. */
  get droppedPackets(): number {
    return this.link.droppedPackets.reduce((sum, n) => sum + n, this.filteredPackets);
  }

  /** Bytes dropped here, for whatever reason. */
  get droppedBytes(): number {
    return this.link.droppedBytes.reduce((sum, n) => sum + n, this.filteredBytes);
  }

  /** The counters as plain data. */
  report(): CarrierReport {
    const byReason = (values: Float64Array, filtered: number): Record<string, number> => ({
      ...Object.fromEntries(LINK_DROP_REASONS.map((reason, i) => [reason, values[i]])),
      filtered,
    });
    return {
      name: this.name,
      from: this.from.name,
      to: this.to.name,
      packets: this.link.forwardedPackets,
      bytes: this.link.forwardedBytes,
      dropped: byReason(this.link.droppedPackets, this.filteredPackets),
      droppedBytes: byReason(this.link.droppedBytes, this.filteredBytes),
      inFlight: this.inFlight,
    };
  }

  #isFiltered(slot: number, bytes: number): boolean {
    const { view } = this.#pool;
    if (!this.filter!(view, slot * SLOT_BYTES, this.#queue.nowNs)) return false;
    this.filteredPackets++;
    this.filteredBytes += bytes;
    this.#pool.release(slot);
    return true;
  }

  #grow(): void {
    const size = this.#slots.length;
    const slots = new Int32Array(size * 2);
    const dues = new Float64Array(size * 2);
    const orders = new Float64Array(size * 2);
    for (let i = 0; i < size; i++) {
      const at = (this.#head + i) & (size - 1);
      slots[i] = this.#slots[at];
      dues[i] = this.#dues[at];
      orders[i] = this.#orders[at];
    }
    this.#slots = slots;
    this.#dues = dues;
    this.#orders = orders;
    this.#head = 0;
  }
}
