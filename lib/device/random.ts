/**
 * A small seeded generator for faults: the same seed gives the same numbers on every machine.
 */
import { requireInteger } from '../errors.ts';

/**
 * Numbers in [0, 1) with 32 random bits each. Mulberry32: one 32-bit counter and a mixing function; its period of
 * 2^32 is ample for faults, and too short for statistics over billions of draws.
 *
 * @param seed - 0..2^32-1
 * @see https://github.com/bryc/code/blob/master/jshash/PRNGs.md#mulberry32
 */
export function seededRandom(seed: number): () => number {
  let counter = requireInteger('seed', seed, 0, 0xffffffff) | 0;
  return () => {
    counter = (counter + 0x6d2b79f5) | 0;
    let mixed = Math.imul(counter ^ (counter >>> 15), counter | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
