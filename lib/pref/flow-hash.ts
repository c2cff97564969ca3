/**
 * A seeded 64-bit hash of a packet's 5-tuple, as two int32, for the FNE memory and for stable choices among
 * routes.
 *
 * The gateway keeps no table of flows, so it needs no key that could be compared, only two words that rarely
 * agree by chance. The seed keeps outsiders from aiming at one slot of the memory; it is no cryptographic
 * hash.
 */

import type { PacketView } from '../wire/packet-view.ts';

const IPV4_SRC = 12;
const IPV6_SRC = 8;

/** Hashes the flow of a packet; the result stays in `h1` and `h2` until the next call. */
export class FlowHash {
  /** First 32 bits, int32. */
  h1 = 0;
  /** Second 32 bits, int32. */
  h2 = 0;
  /** Where the first word starts, int32. */
  readonly seed1: number;
  /** Where the second word starts, int32. */
  readonly seed2: number;

  /** @param seed - 0..2^32-1; the same seed gives the same hashes */
  constructor(seed: number) {
    this.seed1 = mixBits(seed | 0);
    this.seed2 = mixBits((seed + 0x9e3779b9) | 0);
  }

  /**
   * Hashes the packet as its flow looks on the way out: (inside address, outside address, ports, protocol).
   *
   * @param isInbound - swaps source and destination, so that both directions of a flow agree
   * @param hasPorts - false leaves the ports out, so that all fragments of a packet agree
   * @hotpath
   */
  compute(view: DataView, packet: PacketView, isInbound: boolean, hasPorts: boolean): void {
    this.h1 = this.seed1;
    this.h2 = this.seed2;
    if (packet.version === 4) {
      const src = packet.at + IPV4_SRC;
      this.add(view.getInt32(isInbound ? src + 4 : src));
      this.add(view.getInt32(isInbound ? src : src + 4));
    } else {
      const src = packet.at + IPV6_SRC;
      const first = isInbound ? src + 16 : src;
      const second = isInbound ? src : src + 16;
      for (let i = 0; i < 16; i += 4) this.add(view.getInt32(first + i));
      for (let i = 0; i < 16; i += 4) this.add(view.getInt32(second + i));
    }
    if (hasPorts) {
      const inside = isInbound ? packet.dstPort : packet.srcPort;
      const outside = isInbound ? packet.srcPort : packet.dstPort;
      this.add((inside << 16) | outside);
    }
    this.add(packet.protocol);
    this.h1 = mixBits(this.h1);
    this.h2 = mixBits(this.h2 ^ this.h1);
  }

  /** One round of MurmurHash3 in each lane, with different constants. @hotpath */
  private add(word: number): void {
    let k = Math.imul(word, 0xcc9e2d51);
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    let h = this.h1 ^ k;
    h = (h << 13) | (h >>> 19);
    this.h1 = (Math.imul(h, 5) + 0xe6546b64) | 0;
    k = Math.imul(word ^ this.seed1, 0xab0e9789);
    k = Math.imul((k << 16) | (k >>> 16), 0x38b34ae5);
    h = this.h2 ^ k;
    h = (h << 17) | (h >>> 15);
    this.h2 = (Math.imul(h, 5) + 0x561ccd1b) | 0;
  }
}

/**
 * The finaliser of MurmurHash3: every bit of the result depends on every bit of the word. int32 to int32.
 * @hotpath
 */
export function mixBits(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * The seed whose `seed1` is this: a datapath elsewhere knows only that. Inverse of {@link mixBits}.
 *
 * @returns 0..2^32-1
 */
export function seedOf(seed1: number): number {
  let h = seed1;
  h ^= h >>> 16;
  h = Math.imul(h, 0x7ed1b41d);
  h ^= (h >>> 13) ^ (h >>> 26);
  h = Math.imul(h, 0xa5cb9243);
  return (h ^ (h >>> 16)) >>> 0;
}
