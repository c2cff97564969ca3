/**
 * The event queue: what happens next, by time and then by the order of scheduling, so that events of the same instant
 * run first in, first out. An event is three small integers and no closure.
 *
 *      scheduleFrom   the next packet of a link: few, and nearly all that happens   --> a small heap --+
 *                                                                                                      +--> take
 *      schedule       timers: many, put off by nearly every packet, seldom due      --> a large heap --+
 *
 * Two heaps, so that a packet does not sink through hundreds of timers; one order.
 */
import { EventHeap } from './event-heap.ts';

/** Numbers of an event in an array that {@link EventQueue.scheduleFrom} reads: its time in ns, and its order. */
export const EVENT_WIDTH = 2;
const FIRST_BITS = 28;
const FIRST_MASK = (1 << FIRST_BITS) - 1;

/** Events in the order of their time. */
export class EventQueue {
  /** Time in ns of the event taken last; 0 before the first. */
  nowNs = 0;
  /** First argument of the event taken last. */
  first = 0;
  /** Second argument of the event taken last. */
  second = 0;
  /**
   * The event taken last is a packet that no host has received since: it may be handed to one at once. Kept here for all
   * nodes of a network to see.
   */
  isForwarding = false;
  /** Events taken so far. */
  taken = 0;

  readonly #packets = new EventHeap();
  readonly #timers = new EventHeap();
  #nextOrder = 0;

  /** Events that wait. */
  get size(): number {
    return this.#packets.count + this.#timers.count;
  }

  /** Time of the next event in ns, Infinity when none waits. */
  get nextNs(): number {
    const heap = this.#settled();
    return heap.size === 0 ? Infinity : heap.times[0];
  }

  /**
   * A place in the order of scheduling. For an event that is decided now and scheduled later by {@link scheduleFrom},
   * which then runs as if it had been scheduled now.
   */
  takeOrder(): number {
    return this.#nextOrder++;
  }

  /**
   * Schedules an event.
   *
   * @hotpath
   * @param timeNs - not before the event taken last; an earlier time runs at once, time never goes back
   * @param kind - 0 to 15, for the caller's switch
   * @param first - 0 to 2^28 - 1
   * @param second - an int32
   */
  schedule(timeNs: number, kind: number, first: number, second: number): void {
    const heap = this.#timers;
    const at = heap.place();
    heap.times[at] = timeNs;
    heap.orders[at] = this.#nextOrder++;
    heap.heads[at] = (kind << FIRST_BITS) | first;
    heap.seconds[at] = second;
    heap.sift(at);
  }

  /**
   * Schedules an event with an order from {@link takeOrder}. Time and order are read from an array, since numbers that
   * are passed to a function would be boxed, and this is called for every packet and hop.
   *
   * @hotpath
   * @param events - time in ns at `at`, order behind it: `EVENT_WIDTH` numbers an event
   */
  scheduleFrom(events: Float64Array, at: number, kind: number, first: number): void {
    const heap = this.#packets;
    const place = heap.place();
    heap.times[place] = events[at];
    heap.orders[place] = events[at + 1];
    heap.heads[place] = (kind << FIRST_BITS) | first;
    heap.seconds[place] = 0;
    heap.sift(place);
  }

  /**
   * Takes the next event: its arguments are in {@link first} and {@link second}, its time in {@link nowNs}.
   *
   * @hotpath
   * @param untilNs - leaves later events where they are
   * @returns its kind, -1 when none waits until then
   */
  take(untilNs: number): number {
    const heap = this.#settled();
    if (heap.size === 0 || heap.times[0] > untilNs) return -1;
    const head = heap.heads[0];
    if (heap.times[0] > this.nowNs) this.nowNs = heap.times[0];
    this.first = head & FIRST_MASK;
    this.second = heap.seconds[0];
    heap.hasHole = true;
    this.taken++;
    return head >>> FIRST_BITS;
  }

  /** Lets the clock go on to a time at which nothing happens; never back. */
  advanceTo(timeNs: number): void {
    if (timeNs > this.nowNs) this.nowNs = timeNs;
  }

  /** The heap that has the next event, both without a hole; one that is empty when both are. */
  #settled(): EventHeap {
    const packets = this.#packets;
    const timers = this.#timers;
    packets.settle();
    timers.settle();
    if (packets.size === 0) return timers;
    if (timers.size === 0) return packets;
    const packetNs = packets.times[0];
    const timerNs = timers.times[0];
    if (packetNs !== timerNs) return packetNs < timerNs ? packets : timers;
    return packets.orders[0] < timers.orders[0] ? packets : timers;
  }
}
