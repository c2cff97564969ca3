/**
 * The delayed acknowledgements of a stack: one timer for all connections. Most are never sent, since the next segment
 * comes first and both are acknowledged together, so an event for each would come for nothing. All wait equally long:
 * they are due in the order in which they were set, and a ring holds them.
 *
 *      ring:  [ stale ][ stale ][ due at t1 ][ stale ][ due at t2 ] ...
 *                 first              |
 *                                    +-- the one event in the queue; the stale ones before it go when it is scheduled
 *
 * An entry is stale when its connection has sent an acknowledgement since. Times stand by connection, side by side, so
 * that to ask for one does not touch the connection.
 *
 * @see RFC 9293 section 3.8.6.3, RFC 5681 section 4.2
 */
import { EVENT_WIDTH } from '../event-queue.ts';
import type { EventQueue } from '../event-queue.ts';

/** Event of {@link DelayedAcks}: the first entry is due. Argument: the host's node index. */
export const EVENT_DELAYED_ACK = 5;

const FIRST_CAPACITY = 64;

/** Which connections owe an acknowledgement, and when. */
export class DelayedAcks {
  readonly #queue: EventQueue;
  readonly #nodeIndex: number;
  readonly #delayNs: number;
  /** By connection: when it is due, Infinity for not at all. */
  #dueNs = new Float64Array(FIRST_CAPACITY).fill(Infinity);
  #connections = new Int32Array(FIRST_CAPACITY);
  /** Of each entry: time and place in the order of events. */
  #events = new Float64Array(FIRST_CAPACITY * EVENT_WIDTH);
  #first = 0;
  #count = 0;

  /** @param delayNs - how long each waits */
  constructor(queue: EventQueue, nodeIndex: number, delayNs: number) {
    this.#queue = queue;
    this.#nodeIndex = nodeIndex;
    this.#delayNs = delayNs;
  }

  /** A connection with this index begins. */
  reset(connection: number): void {
    if (connection >= this.#dueNs.length) {
      const longer = new Float64Array(Math.max(connection + 1, 2 * this.#dueNs.length)).fill(Infinity);
      longer.set(this.#dueNs);
      this.#dueNs = longer;
    }
    this.#dueNs[connection] = Infinity;
  }

  /** An acknowledgement is due after the delay, unless one is due earlier. @hotpath */
  set(connection: number): void {
    if (this.#dueNs[connection] !== Infinity) return;
    if (this.#count === this.#connections.length) this.#grow();
    const at = (this.#first + this.#count) & (this.#connections.length - 1);
    const event = at * EVENT_WIDTH;
    const dueNs = this.#queue.nowNs + this.#delayNs;
    this.#dueNs[connection] = dueNs;
    this.#connections[at] = connection;
    this.#events[event] = dueNs;
    this.#events[event + 1] = this.#queue.takeOrder();
    if (this.#count++ === 0) this.#schedule();
  }

  /** It was sent, or never will be. @hotpath */
  unset(connection: number): void {
    this.#dueNs[connection] = Infinity;
  }

  /**
   * The event has come: takes the first entry, and schedules the next that is not stale.
   *
   * @hotpath
   * @returns the connection that has to acknowledge now, -1 when it has done so meanwhile
   */
  take(): number {
    const isDue = !this.#isFirstStale();
    const connection = this.#connections[this.#first];
    if (isDue) this.#dueNs[connection] = Infinity;
    do {
      this.#first = (this.#first + 1) & (this.#connections.length - 1);
      this.#count--;
    } while (this.#count > 0 && this.#isFirstStale());
    if (this.#count > 0) this.#schedule();
    return isDue ? connection : -1;
  }

  #isFirstStale(): boolean {
    return this.#dueNs[this.#connections[this.#first]] !== this.#events[this.#first * EVENT_WIDTH];
  }

  #schedule(): void {
    this.#queue.scheduleFrom(this.#events, this.#first * EVENT_WIDTH, EVENT_DELAYED_ACK, this.#nodeIndex);
  }

  #grow(): void {
    const size = this.#connections.length;
    const connections = new Int32Array(size * 2);
    const events = new Float64Array(size * 2 * EVENT_WIDTH);
    for (let i = 0; i < size; i++) {
      const at = (this.#first + i) & (size - 1);
      connections[i] = this.#connections[at];
      events[i * EVENT_WIDTH] = this.#events[at * EVENT_WIDTH];
      events[i * EVENT_WIDTH + 1] = this.#events[at * EVENT_WIDTH + 1];
    }
    this.#connections = connections;
    this.#events = events;
    this.#first = 0;
  }
}
