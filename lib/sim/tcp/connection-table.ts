/**
 * Finds a connection by the addresses and ports of a segment: open addressing in typed arrays, deletion without
 * tombstones. The local address is the stack's own and no part of the key.
 */

const FIRST_CAPACITY = 64;

/** Connections by (remote address, ports). */
export class ConnectionTable {
  /** Connections in the table. */
  size = 0;
  #addrs = new Int32Array(FIRST_CAPACITY);
  #ports = new Int32Array(FIRST_CAPACITY);
  /** Connection's index + 1, 0 = empty. */
  #values = new Int32Array(FIRST_CAPACITY);

  /**
   * The connection's index, -1 for none.
   *
   * @hotpath
   * @param ports - local port in the high half, remote port in the low
   */
  find(remoteAddr: number, ports: number): number {
    const mask = this.#values.length - 1;
    for (let at = hash(remoteAddr, ports) & mask; this.#values[at] !== 0; at = (at + 1) & mask) {
      if (this.#ports[at] === ports && this.#addrs[at] === remoteAddr) return this.#values[at] - 1;
    }
    return -1;
  }

  /** Adds a connection that is not there. */
  add(remoteAddr: number, ports: number, index: number): void {
    if (2 * ++this.size > this.#values.length) this.#grow();
    this.#put(remoteAddr, ports, index + 1);
  }

  /** Removes a connection, if it is there. */
  remove(remoteAddr: number, ports: number): void {
    const mask = this.#values.length - 1;
    let at = hash(remoteAddr, ports) & mask;
    while (this.#values[at] !== 0 && !(this.#ports[at] === ports && this.#addrs[at] === remoteAddr)) {
      at = (at + 1) & mask;
    }
    if (this.#values[at] === 0) return;
    this.size--;
    // Entries behind the gap move up unless that would put them before their place.
    for (let next = (at + 1) & mask; this.#values[next] !== 0; next = (next + 1) & mask) {
      const home = hash(this.#addrs[next], this.#ports[next]) & mask;
      if (((next - home) & mask) < ((next - at) & mask)) continue;
      this.#addrs[at] = this.#addrs[next];
      this.#ports[at] = this.#ports[next];
      this.#values[at] = this.#values[next];
      at = next;
    }
    this.#values[at] = 0;
  }

  #put(addr: number, ports: number, value: number): void {
    const mask = this.#values.length - 1;
    let at = hash(addr, ports) & mask;
    while (this.#values[at] !== 0) at = (at + 1) & mask;
    this.#addrs[at] = addr;
    this.#ports[at] = ports;
    this.#values[at] = value;
  }

  #grow(): void {
    const addrs = this.#addrs;
    const ports = this.#ports;
    const values = this.#values;
    this.#addrs = new Int32Array(values.length * 2);
    this.#ports = new Int32Array(values.length * 2);
    this.#values = new Int32Array(values.length * 2);
    for (let i = 0; i < values.length; i++) if (values[i] !== 0) this.#put(addrs[i], ports[i], values[i]);
  }
}

/** Mixes both words (the finaliser of MurmurHash3). */
function hash(addr: number, ports: number): number {
  let h = Math.imul(addr, 0x85ebca6b) ^ ports;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
