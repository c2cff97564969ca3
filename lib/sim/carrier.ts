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
import { EVENT_WIDTH } from './event-queue.ts';
import type { EventQueue } from './event-queue.ts';
import { Link, LINK_DROP_REASONS } from './link.ts';
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
  // The packets under way: a ring of their slots, and of what the event queue is to know of them.
  #slots = new Int32Array(FIRST_RING);
  #events = new Float64Array(FIRST_RING * EVENT_WIDTH);
  #head = 0;
  /**
   * Bytes of the first packet. Looked up when it becomes the first, and not when it arrives: meanwhile its header comes
   * into the processor's cache, which it left on its long way.
   */
  #firstBytes = 0;

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
    link.nowNs = queue.nowNs;
    if (!link.accept(bytes)) {
      if (this.dropWatch !== undefined) this.dropWatch(this.#pool.view, slot * SLOT_BYTES, bytes);
      this.#pool.release(slot);
      return;
    }
    if (mayPass && link.dueNs === queue.nowNs) {
      this.to.receive(slot, this);
      return;
    }
    if (this.inFlight === this.#slots.length) this.#grow();
    const tail = (this.#head + this.inFlight) & (this.#slots.length - 1);
    this.#slots[tail] = slot;
    const event = tail * EVENT_WIDTH;
    this.#events[event] = link.dueNs;
    this.#events[event + 1] = queue.takeOrder();
    this.inFlightBytes += bytes;
    if (this.inFlight++ === 0) {
      this.#firstBytes = bytes;
      queue.scheduleFrom(this.#events, event, EVENT_ARRIVAL, this.index);
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
    this.inFlightBytes -= this.#firstBytes;
    const queue = this.#queue;
    if (--this.inFlight > 0) {
      this.#firstBytes = this.#pool.lengthOf(this.#slots[this.#head]);
      queue.scheduleFrom(this.#events, this.#head * EVENT_WIDTH, EVENT_ARRIVAL, this.index);
    }
    queue.isForwarding = !this.to.isHost;
    this.to.receive(slot, this);
    queue.isForwarding = false;
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
    const events = new Float64Array(size * 2 * EVENT_WIDTH);
    for (let i = 0; i < size; i++) {
      const at = (this.#head + i) & (size - 1);
      slots[i] = this.#slots[at];
      events[i * EVENT_WIDTH] = this.#events[at * EVENT_WIDTH];
      events[i * EVENT_WIDTH + 1] = this.#events[at * EVENT_WIDTH + 1];
    }
    this.#slots = slots;
    this.#events = events;
    this.#head = 0;
  }
}
