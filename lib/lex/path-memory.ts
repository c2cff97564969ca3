/**
 * The path IDs that a host has learnt, by remote address, for a host that may choose among them itself
 * (`hostDriven`, docs/balancers.md).
 *
 *     assignment of p for a flow to d      learn(d, p)        p may be used toward d, for a while
 *     a flow to d gives p up               giveUp(d, p)       p is not moved to, for a while, unless assigned anew
 *     a flow to d looks for another        choose(d, p)       the one learnt last, not p, not given up
 *
 * The gateway balances by prefix, which a host does not know; so an address stands for its own. Bounded: one record
 * for an address, of which the longest unused gives way. Each takes 128 bytes, 36 for finding it and 256 of times.
 */
import { FLOW_KEY_WORDS, KEY_LOCAL, KEY_PORTS, KEY_PROTOCOL, KEY_REMOTE } from '../flow/flow-key.ts';
import { DOUBLE_LAST_SEEN, FlowTable } from '../flow/flow-table.ts';
import { recordBase } from './flow-state.ts';

const PATH_IDS = 16;
/** Doubles of a record: when each path ID was learnt, then when it was given up; 0 = never. */
const GIVEN_UP = PATH_IDS;
const TIMES = 2 * PATH_IDS;
const SWEEP_STEPS = 64;
/** Protocol 0 and no ports: the key of an address, not of a flow. */
const VERSION_MASK = ~0xff;

/** How long a path that was given up is not chosen again, in ns: the outages of the paper last 30 s. */
export const GIVEN_UP_NS = 30e9;

/** Options of a {@link PathMemory}. */
export interface PathMemoryOptions {
  /** Remote addresses remembered at the same time. */
  readonly capacity: number;
  /** A path that was not assigned for this long is forgotten, in ns. */
  readonly lifetimeNs: number;
  /** Seed of the hash, an int32. */
  readonly seed: number;
}

/** Learnt paths by remote address. */
export class PathMemory {
  readonly #table: FlowTable;
  readonly #lifetimeNs: number;

  constructor({ capacity, lifetimeNs, seed }: PathMemoryOptions) {
    this.#lifetimeNs = lifetimeNs;
    this.#table = new FlowTable({ capacity, idleLimitsNs: [lifetimeNs], seed, extraDoubles: TIMES });
  }

  /** Addresses remembered. */
  get size(): number {
    return this.#table.size;
  }

  /**
   * The gateway assigned a path to a flow.
   *
   * @hotpath
   * @param words - of the flow table
   * @param base - first word of the flow's record, which begins with its key
   */
  learn(words: Int32Array, base: number, pathId: number, nowNs: number): void {
    const table = this.#table;
    let record = this.#find(words, base);
    if (record < 0) record = table.insert(nowNs);
    table.doubles[(recordBase(record) >> 1) + DOUBLE_LAST_SEEN] = nowNs;
    const at = record * TIMES + pathId;
    table.extras[at] = nowNs;
    // The gateway says that the path is worth a try, and knows more flows than this host.
    table.extras[at + GIVEN_UP] = 0;
  }

  /** A flow gave the path up, since it does not deliver. */
  giveUp(words: Int32Array, base: number, pathId: number, nowNs: number): void {
    const record = this.#find(words, base);
    if (record >= 0) this.#table.extras[record * TIMES + pathId + GIVEN_UP] = nowNs;
  }

  /**
   * Another path for a flow.
   *
   * @hotpath
   * @param pathId - the one that it has
   * @returns the path ID learnt last of those that may be tried, 0 for none
   */
  choose(words: Int32Array, base: number, pathId: number, nowNs: number): number {
    const record = this.#find(words, base);
    if (record < 0) return 0;
    const times = this.#table.extras;
    const first = record * TIMES;
    let best = 0;
    for (let candidate = 1; candidate < PATH_IDS; candidate++) {
      const learntNs = times[first + candidate];
      if (candidate === pathId || learntNs === 0 || nowNs - learntNs > this.#lifetimeNs) continue;
      const givenUpNs = times[first + candidate + GIVEN_UP];
      if (givenUpNs !== 0 && nowNs - givenUpNs <= GIVEN_UP_NS) continue;
      if (best === 0 || learntNs > times[first + best]) best = candidate;
    }
    return best;
  }

  /** Forgets addresses that were not assigned a path for long, in a bounded step. */
  sweep(nowNs: number): void {
    this.#table.sweep(nowNs, SWEEP_STEPS);
  }

  #find(words: Int32Array, base: number): number {
    const key = this.#table.key;
    key[KEY_PROTOCOL] = words[base + KEY_PROTOCOL] & VERSION_MASK;
    key[KEY_PORTS] = 0;
    for (let i = KEY_LOCAL; i < KEY_REMOTE; i++) key[i] = 0;
    for (let i = KEY_REMOTE; i < FLOW_KEY_WORDS; i++) key[i] = words[base + i];
    return this.#table.find();
  }
}
