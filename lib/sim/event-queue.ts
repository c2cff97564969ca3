/**
 * The event queue: what happens next. A 4-ary heap in typed arrays, ordered by time and then by the order of
 * scheduling, so that events of the same instant run first in, first out (a heap alone would not keep that).
 *
 *      heap position:   0        1 2 3 4        5 6 7 8 ...      times[], orders[], heads[], seconds[]
 *                     root    its children
 *
 * An event is three small integers and no closure. Taking the root leaves a hole, which the next scheduling fills:
 * nearly every event schedules one, and this saves one of the two sifts.
 */

const FIRST_CAPACITY = 1024;
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

  #times = new Float64Array(FIRST_CAPACITY);
  #orders = new Float64Array(FIRST_CAPACITY);
  /** Kind in the high bits, first argument in the low ones. */
  #heads = new Int32Array(FIRST_CAPACITY);
  #seconds = new Int32Array(FIRST_CAPACITY);
  /** Heap positions in use, the hole included. */
  #size = 0;
  #hasHole = false;
  #nextOrder = 0;

  /** Events that wait. */
  get size(): number {
    return this.#hasHole ? this.#size - 1 : this.#size;
  }

  /** Time of the next event in ns, Infinity when none waits. */
  get nextNs(): number {
    this.#settle();
    return this.#size === 0 ? Infinity : this.#times[0];
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
    const at = this.#place();
    this.#times[at] = timeNs;
    this.#orders[at] = this.#nextOrder++;
    this.#heads[at] = (kind << FIRST_BITS) | first;
    this.#seconds[at] = second;
    if (at === 0) this.#siftDown();
    else this.#siftUp(at);
  }

  /**
   * Schedules an event with an order from {@link takeOrder}. Order and time are read from arrays, since numbers that
   * are passed to a function would be boxed, and this is called for every packet and hop.
   *
   * @hotpath
   */
  scheduleFrom(
    orders: Float64Array,
    timesNs: Float64Array,
    index: number,
    kind: number,
    first: number,
  ): void {
    const at = this.#place();
    this.#times[at] = timesNs[index];
    this.#orders[at] = orders[index];
    this.#heads[at] = (kind << FIRST_BITS) | first;
    this.#seconds[at] = 0;
    if (at === 0) this.#siftDown();
    else this.#siftUp(at);
  }

  /**
   * Takes the next event: its arguments are in {@link first} and {@link second}, its time in {@link nowNs}.
   *
   * @hotpath
   * @param untilNs - leaves later events where they are
   * @returns its kind, -1 when none waits until then
   */
  take(untilNs: number): number {
    this.#settle();
    if (this.#size === 0 || this.#times[0] > untilNs) return -1;
    const head = this.#heads[0];
    if (this.#times[0] > this.nowNs) this.nowNs = this.#times[0];
    this.first = head & FIRST_MASK;
    this.second = this.#seconds[0];
    this.#hasHole = true;
    this.taken++;
    return head >>> FIRST_BITS;
  }

  /** Lets the clock go on to a time at which nothing happens; never back. */
  advanceTo(timeNs: number): void {
    if (timeNs > this.nowNs) this.nowNs = timeNs;
  }

  /** A position for a new element: the hole at the root, or the end of the heap. */
  #place(): number {
    if (this.#hasHole) {
      this.#hasHole = false;
      return 0;
    }
    if (this.#size === this.#times.length) this.#grow();
    return this.#size++;
  }

  /** Fills the hole with the last element of the heap. */
  #settle(): void {
    if (!this.#hasHole) return;
    this.#hasHole = false;
    const last = --this.#size;
    if (last === 0) return;
    this.#times[0] = this.#times[last];
    this.#orders[0] = this.#orders[last];
    this.#heads[0] = this.#heads[last];
    this.#seconds[0] = this.#seconds[last];
    this.#siftDown();
  }

  /** Moves the element at `position` up to where it belongs. */
  #siftUp(position: number): void {
    const times = this.#times;
    const orders = this.#orders;
    const heads = this.#heads;
    const seconds = this.#seconds;
    const timeNs = times[position];
    const order = orders[position];
    const head = heads[position];
    const second = seconds[position];
    let at = position;
    while (at > 0) {
      const parent = (at - 1) >> 2;
      const parentNs = times[parent];
      if (parentNs < timeNs || (parentNs === timeNs && orders[parent] < order)) break;
      times[at] = parentNs;
      orders[at] = orders[parent];
      heads[at] = heads[parent];
      seconds[at] = seconds[parent];
      at = parent;
    }
    times[at] = timeNs;
    orders[at] = order;
    heads[at] = head;
    seconds[at] = second;
  }

  /** Moves the root down to where it belongs. */
  #siftDown(): void {
    const times = this.#times;
    const orders = this.#orders;
    const heads = this.#heads;
    const seconds = this.#seconds;
    const size = this.#size;
    const timeNs = times[0];
    const order = orders[0];
    const head = heads[0];
    const second = seconds[0];
    let at = 0;
    for (;;) {
      const firstChild = (at << 2) + 1;
      if (firstChild >= size) break;
      const end = firstChild + 4 < size ? firstChild + 4 : size;
      let least = firstChild;
      let leastNs = times[firstChild];
      for (let child = firstChild + 1; child < end; child++) {
        const childNs = times[child];
        if (childNs < leastNs || (childNs === leastNs && orders[child] < orders[least])) {
          least = child;
          leastNs = childNs;
        }
      }
      if (timeNs < leastNs || (timeNs === leastNs && order < orders[least])) break;
      times[at] = leastNs;
      orders[at] = orders[least];
      heads[at] = heads[least];
      seconds[at] = seconds[least];
      at = least;
    }
    times[at] = timeNs;
    orders[at] = order;
    heads[at] = head;
    seconds[at] = second;
  }

  #grow(): void {
    const capacity = this.#times.length * 2;
    this.#times = copyOf(new Float64Array(capacity), this.#times);
    this.#orders = copyOf(new Float64Array(capacity), this.#orders);
    this.#heads = copyOf(new Int32Array(capacity), this.#heads);
    this.#seconds = copyOf(new Int32Array(capacity), this.#seconds);
  }
}

function copyOf<T extends Float64Array | Int32Array>(to: T, from: T): T {
  to.set(from);
  return to;
}
