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
   * A place in the order of scheduling. For an event that is decided now and scheduled later by {@link scheduleAs},
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
    this.scheduleAs(this.#nextOrder++, timeNs, kind, first, second);
  }

  /**
   * Schedules an event with an order from {@link takeOrder}.
   *
   * @hotpath
   */
  scheduleAs(order: number, timeNs: number, kind: number, first: number, second: number): void {
    const head = (kind << FIRST_BITS) | first;
    if (this.#hasHole) {
      this.#hasHole = false;
      this.#siftDown(timeNs, order, head, second);
    } else {
      if (this.#size === this.#times.length) this.#grow();
      this.#siftUp(this.#size++, timeNs, order, head, second);
    }
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

  /** Fills the hole with the last element of the heap. */
  #settle(): void {
    if (!this.#hasHole) return;
    this.#hasHole = false;
    const last = --this.#size;
    if (last > 0)
      this.#siftDown(this.#times[last], this.#orders[last], this.#heads[last], this.#seconds[last]);
  }

  #siftUp(position: number, timeNs: number, order: number, head: number, second: number): void {
    const times = this.#times;
    const orders = this.#orders;
    const heads = this.#heads;
    const seconds = this.#seconds;
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

  #siftDown(timeNs: number, order: number, head: number, second: number): void {
    const times = this.#times;
    const orders = this.#orders;
    const heads = this.#heads;
    const seconds = this.#seconds;
    const size = this.#size;
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
