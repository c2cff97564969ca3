/**
 * Which path a packet takes: a short list of prefixes for each port, the longest first, looked through in order.
 */
import type { ResolvedPath } from './fabric-plan.ts';

/** {@link PathTable.find} returned this: no path of the port has the destination. */
export const NO_PATH = -1;

const WORDS = 4;
const IPV4_DST = 16;
const IPV6_DST = 24;

/** The paths of one port. */
export class PathTable {
  /** Lane and output port of each path, in the order of the list. */
  readonly lanes: Int32Array;
  readonly outs: Int32Array;
  readonly #versions: Int32Array;
  readonly #values: Int32Array;
  readonly #masks: Int32Array;

  constructor(paths: readonly ResolvedPath[]) {
    const sorted = [...paths].sort((a, b) => b.prefix.length - a.prefix.length);
    this.lanes = Int32Array.from(sorted, (path) => path.lane);
    this.outs = Int32Array.from(sorted, (path) => path.to);
    this.#versions = Int32Array.from(sorted, (path) => path.prefix.version);
    this.#values = new Int32Array(sorted.length * WORDS);
    this.#masks = new Int32Array(sorted.length * WORDS);
    for (const [i, { prefix }] of sorted.entries()) {
      for (let word = 0; word < WORDS; word++) {
        const bits = Math.min(32, Math.max(0, prefix.length - 32 * word));
        this.#masks[i * WORDS + word] = bits === 0 ? 0 : -1 << (32 - bits);
        this.#values[i * WORDS + word] = prefix.words[word] ?? 0;
      }
    }
  }

  /** The index of the path for the packet at `at`, or NO_PATH. @hotpath */
  find(view: DataView, at: number, length: number): number {
    if (length < 20) return NO_PATH;
    const version = view.getUint8(at) >> 4;
    const isIpv6 = version === 6;
    if (isIpv6 && length < 40) return NO_PATH;
    const dst = at + (isIpv6 ? IPV6_DST : IPV4_DST);
    const words = isIpv6 ? WORDS : 1;
    for (let i = 0; i < this.lanes.length; i++) {
      if (this.#versions[i] === version && this.#matches(i * WORDS, view, dst, words)) return i;
    }
    return NO_PATH;
  }

  #matches(at: number, view: DataView, dst: number, words: number): boolean {
    for (let word = 0; word < words; word++) {
      const mask = this.#masks[at + word];
      if (((view.getInt32(dst + 4 * word) ^ this.#values[at + word]) & mask) !== 0) return false;
    }
    return true;
  }
}
