/**
 * The short memory of FNE packets: which route a flow's FNE packet was given a moment ago. It is all that the
 * gateway remembers of flows, it is bounded, and it forgets: after a lifetime, or earlier when a set is full.
 * Forgetting costs a second draw for a flowlet or an assignment that the host asks for again; never a packet.
 *
 * ```
 * entry (4 int32, a set of four is one cache line)
 *   hash word 1 | hash word 2 | state, slot << 2, tried slots << 8 | time, ms modulo 2^32
 *
 *             inbound FNE, SYN                 outbound FNE                      inbound packet
 *   (none) ------------------> ASSIGNED ------------------> SENT <---+ repeated ----------------> (none)
 *      |                                                     ^  +----+ FNE
 *      +-----------------------------------------------------+
 * ```
 */

/** The gateway assigned the route to the inside host; its own FNE packet has not come yet. */
export const FNE_ASSIGNED = 1;
/** The host's FNE packet left on the route; nothing has come back yet. */
export const FNE_SENT = 2;
/**
 * No FNE packet: the flow's path is suspended, its packets take this route, and the next inbound packet is to
 * assign it.
 */
export const FNE_REROUTED = 3;

const WAYS = 4;
const WORDS = 4;
const HASH_1 = 0;
const HASH_2 = 1;
const META = 2;
const TIME = 3;
const NS_PER_MS = 1e6;

/** A set-associative memory in one typed array. */
export class FneMemory {
  private readonly words: Int32Array;
  private readonly setMask: number;
  private readonly lifetimeMs: number;

  /**
   * @param entries - a power of 2, 4 or more; 16 bytes each
   * @param lifetimeNs - 1 ms to 20 days
   */
  constructor(entries: number, lifetimeNs: number) {
    this.words = new Int32Array(entries * WORDS);
    this.setMask = entries / WAYS - 1;
    this.lifetimeMs = Math.ceil(lifetimeNs / NS_PER_MS);
  }

  /** The entry of a flow, -1 when there is none or its lifetime is over. @hotpath */
  find(h1: number, h2: number, nowNs: number): number {
    const words = this.words;
    const first = (h1 & this.setMask) << 4;
    for (let entry = first; entry < first + WAYS * WORDS; entry += WORDS) {
      if (words[entry + HASH_1] !== h1 || words[entry + HASH_2] !== h2 || words[entry + META] === 0) continue;
      return this.isOver(entry, (nowNs / NS_PER_MS) | 0) ? -1 : entry;
    }
    return -1;
  }

  /** State of an entry: FNE_ASSIGNED, FNE_SENT or FNE_REROUTED. @hotpath */
  stateOf(entry: number): number {
    return this.words[entry + META] & 3;
  }

  /** Slot of the route that was given last. @hotpath */
  slotOf(entry: number): number {
    return (this.words[entry + META] >>> 2) & 0xf;
  }

  /** Mask of the slots on which an FNE packet of the flow left without an answer. @hotpath */
  triedOf(entry: number): number {
    return this.words[entry + META] >>> 8;
  }

  /**
   * Writes the entry of a flow. In a full set the oldest entry goes.
   *
   * @returns whether another entry had to go before its lifetime was over
   * @hotpath
   */
  put(h1: number, h2: number, state: number, slot: number, tried: number, nowNs: number): boolean {
    const words = this.words;
    const nowMs = (nowNs / NS_PER_MS) | 0;
    const first = (h1 & this.setMask) << 4;
    let chosen = first;
    let oldest = -1;
    for (let entry = first; entry < first + WAYS * WORDS; entry += WORDS) {
      if (words[entry + HASH_1] === h1 && words[entry + HASH_2] === h2 && words[entry + META] !== 0) {
        chosen = entry;
        oldest = -1;
        break;
      }
      const age = words[entry + META] === 0 ? 0x7fffffff : (nowMs - words[entry + TIME]) & 0x7fffffff;
      if (age > oldest) {
        oldest = age;
        chosen = entry;
      }
    }
    const isEviction = oldest >= 0 && words[chosen + META] !== 0 && !this.isOver(chosen, nowMs);
    words[chosen + HASH_1] = h1;
    words[chosen + HASH_2] = h2;
    words[chosen + META] = state | (slot << 2) | (tried << 8);
    words[chosen + TIME] = nowMs;
    return isEviction;
  }

  /** Forgets an entry. @hotpath */
  remove(entry: number): void {
    this.words[entry + META] = 0;
  }

  /** Entries there is room for. */
  get capacity(): number {
    return this.words.length / WORDS;
  }

  /**
   * Entries whose lifetime is not over. Of a large memory only a part is looked at, and the rest taken to be like it:
   * entries lie by a hash.
   *
   * @param looks - entries to look at, at most
   */
  size(nowNs: number, looks = 65_536): number {
    const nowMs = (nowNs / NS_PER_MS) | 0;
    const { capacity } = this;
    const looked = Math.min(capacity, looks);
    let used = 0;
    for (let entry = 0; entry < looked * WORDS; entry += WORDS) {
      if (this.words[entry + META] !== 0 && !this.isOver(entry, nowMs)) used++;
    }
    return Math.round((used * capacity) / looked);
  }

  /** @hotpath */
  private isOver(entry: number, nowMs: number): boolean {
    const ageMs = (nowMs - this.words[entry + TIME]) | 0;
    return ageMs < 0 || ageMs > this.lifetimeMs;
  }
}
