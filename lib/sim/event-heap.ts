/**
 * A 4-ary heap in typed arrays, ordered by time and then by a number, so that of equal times the one with the lower
 * number comes first (a heap alone would not keep an order among equals).
 *
 *      position:   0        1 2 3 4        5 6 7 8 ...      times[], orders[], heads[], seconds[]
 *                 root    its children
 *
 * Taking the root leaves a hole, which the next element fills: nearly every event schedules one, and this saves one of
 * the two sifts.
 */

const FIRST_CAPACITY = 64;

/** Elements by time and number. */
export class EventHeap {
  times = new Float64Array(FIRST_CAPACITY);
  orders = new Float64Array(FIRST_CAPACITY);
  heads = new Int32Array(FIRST_CAPACITY);
  seconds = new Int32Array(FIRST_CAPACITY);
  /** Positions in use, the hole included: {@link settle} first. */
  size = 0;
  /** The root was taken, and nothing stands in its place. */
  hasHole = false;

  /** Elements. */
  get count(): number {
    return this.hasHole ? this.size - 1 : this.size;
  }

  /**
   * A position for a new element: the hole at the root, or the end of the heap. The caller writes the four arrays there
   * and calls {@link sift}.
   *
   * @hotpath
   */
  place(): number {
    if (this.hasHole) {
      this.hasHole = false;
      return 0;
    }
    if (this.size === this.times.length) this.#grow();
    return this.size++;
  }

  /** Moves a new element to where it belongs. @hotpath */
  sift(position: number): void {
    if (position === 0) this.#siftDown();
    else this.#siftUp(position);
  }

  /** Fills the hole with the last element of the heap. @hotpath */
  settle(): void {
    if (!this.hasHole) return;
    this.hasHole = false;
    const last = --this.size;
    if (last === 0) return;
    this.times[0] = this.times[last];
    this.orders[0] = this.orders[last];
    this.heads[0] = this.heads[last];
    this.seconds[0] = this.seconds[last];
    this.#siftDown();
  }

  /** Moves the element at `position` up to where it belongs. */
  #siftUp(position: number): void {
    const { times, orders, heads, seconds } = this;
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
    const { times, orders, heads, seconds } = this;
    const { size } = this;
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
    const capacity = this.times.length * 2;
    this.times = copyOf(new Float64Array(capacity), this.times);
    this.orders = copyOf(new Float64Array(capacity), this.orders);
    this.heads = copyOf(new Int32Array(capacity), this.heads);
    this.seconds = copyOf(new Int32Array(capacity), this.seconds);
  }
}

function copyOf<T extends Float64Array | Int32Array>(to: T, from: T): T {
  to.set(from);
  return to;
}
