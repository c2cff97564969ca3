/**
 * Finds a connection by the addresses and ports of a segment: open addressing in typed arrays, deletion without
 * tombstones. The local address is the stack's own and no part of the key.
 */

const FIRST_CAPACITY = 64;
/** Words of an entry: address, ports, the connection's index + 1 (0 = empty), and one that makes the words a power of 2. */
const WIDTH = 4;
/** log2 of {@link WIDTH}: a hash times 4 leaves the int32 range, and would be multiplied as a double. */
const WIDTH_SHIFT = 2;
const PORTS = 1;
const VALUE = 2;

/** Connections by (remote address, ports). */
export class ConnectionTable {
  /** Connections in the table. */
  size = 0;
  /** Entries side by side, so that looking one up touches one place in memory. */
  #words = new Int32Array(FIRST_CAPACITY * WIDTH);

  /**
   * The connection's index, -1 for none.
   *
   * @hotpath
   * @param ports - local port in the high half, remote port in the low
   */
  find(remoteAddr: number, ports: number): number {
    const words = this.#words;
    const mask = words.length - 1;
    for (
      let at = (hash(remoteAddr, ports) << WIDTH_SHIFT) & mask;
      words[at + VALUE] !== 0;
      at = (at + WIDTH) & mask
    ) {
      if (words[at + PORTS] === ports && words[at] === remoteAddr) return words[at + VALUE] - 1;
    }
    return -1;
  }

  /** Adds a connection that is not there. */
  add(remoteAddr: number, ports: number, index: number): void {
    if (2 * WIDTH * ++this.size > this.#words.length) this.#grow();
    this.#put(remoteAddr, ports, index + 1);
  }

  /** Removes a connection, if it is there. */
  remove(remoteAddr: number, ports: number): void {
    const words = this.#words;
    const mask = words.length - 1;
    let at = (hash(remoteAddr, ports) << WIDTH_SHIFT) & mask;
    while (words[at + VALUE] !== 0 && !(words[at + PORTS] === ports && words[at] === remoteAddr)) {
      at = (at + WIDTH) & mask;
    }
    if (words[at + VALUE] === 0) return;
    this.size--;
    // Entries behind the gap move up unless that would put them before their place.
    for (let next = (at + WIDTH) & mask; words[next + VALUE] !== 0; next = (next + WIDTH) & mask) {
      const home = (hash(words[next], words[next + PORTS]) << WIDTH_SHIFT) & mask;
      if (((next - home) & mask) < ((next - at) & mask)) continue;
      words.copyWithin(at, next, next + WIDTH);
      at = next;
    }
    words[at + VALUE] = 0;
  }

  #put(addr: number, ports: number, value: number): void {
    const words = this.#words;
    const mask = words.length - 1;
    let at = (hash(addr, ports) << WIDTH_SHIFT) & mask;
    while (words[at + VALUE] !== 0) at = (at + WIDTH) & mask;
    words[at] = addr;
    words[at + PORTS] = ports;
    words[at + VALUE] = value;
  }

  #grow(): void {
    const words = this.#words;
    this.#words = new Int32Array(words.length * 2);
    for (let at = 0; at < words.length; at += WIDTH) {
      if (words[at + VALUE] !== 0) this.#put(words[at], words[at + PORTS], words[at + VALUE]);
    }
  }
}

/** Mixes both words (the finaliser of MurmurHash3). */
function hash(addr: number, ports: number): number {
  let h = Math.imul(addr, 0x85ebca6b) ^ ports;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
