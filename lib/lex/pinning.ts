/**
 * Pinning: which path ID the packets of a flowlet carry.
 *
 *                     assignment p
 *        +-----------+ ---------> +----------+
 *        | no path   |            | pinned p | <-+ assignment q: pinned q
 *        | (prev 0)  | <--------- |          | --+
 *        +-----------+  timeouts  +----------+
 *                                   |      ^
 *                       new flowlet |      | assignment, or an answer without one (back to prev)
 *                                   v      |
 *                                 +------------+
 *                                 | no path    |
 *                                 | (prev = p) |
 *                                 +------------+
 *
 * A host that chooses itself (host-driven) goes from pinned p to pinned q after timeouts, and to no path only when it
 * has learnt no q.
 */
import { RECORD_WORDS, WORD_TAG, WORD_USER } from '../flow/flow-table.ts';
import type { LexCounters } from './counters.ts';
import {
  clearFlag,
  FLAG_FLOWLET_DUE,
  pinnedPath,
  previousPath,
  setPaths,
  setSuccessiveTimeouts,
} from './flow-state.ts';
import type { PathMemory } from './path-memory.ts';

/**
 * Begins a flowlet without a path; the earlier path is remembered for an answer that assigns none.
 *
 * @param keepsPath - option keepPathWithoutAnswer
 */
export function beginFlowlet(words: Int32Array, base: number, keepsPath: boolean): void {
  const pathId = pinnedPath(words, base);
  const previous = pathId !== 0 ? pathId : previousPath(words, base);
  setPaths(words, base, 0, keepsPath ? previous : 0);
  clearFlag(words, base, FLAG_FLOWLET_DUE);
}

/** Gives the path up for good: it does not deliver. */
export function givePathUp(words: Int32Array, base: number, counters: LexCounters): void {
  if (pinnedPath(words, base) !== 0) counters.unpinned++;
  setPaths(words, base, 0, 0);
  clearFlag(words, base, FLAG_FLOWLET_DUE);
}

/**
 * The path does not deliver, and the host chooses another that it learnt for the same address. By then the
 * timeouts are seconds apart, so the next path gets one.
 *
 * @param fneAfterTimeouts - the option
 *
 * @returns false when it knows none: then the gateway is asked
 */
export function moveToLearntPath(
  words: Int32Array,
  base: number,
  memory: PathMemory,
  nowNs: number,
  fneAfterTimeouts: number,
  counters: LexCounters,
): boolean {
  const pathId = pinnedPath(words, base);
  // Without a path of its own the flow cannot know which of the learnt ones it is on.
  if (pathId === 0) return false;
  memory.giveUp(words, base, pathId, nowNs);
  const other = memory.choose(words, base, pathId, nowNs);
  if (other === 0) return false;
  setPaths(words, base, other, 0);
  setSuccessiveTimeouts(words, base, fneAfterTimeouts - 1);
  counters.moved++;
  return true;
}

/** Pins the flowlet to the path that the gateway assigned. */
export function takeAssignment(words: Int32Array, base: number, pathId: number, counters: LexCounters): void {
  setPaths(words, base, pathId, 0);
  counters.assignments[pathId]++;
}

/** The peer was heard and no assignment came with it: the flowlet goes on where the earlier one was. */
export function settleWithoutAssignment(words: Int32Array, base: number, counters: LexCounters): void {
  const previous = previousPath(words, base);
  if (previous === 0) return;
  setPaths(words, base, previous, 0);
  counters.keptPaths++;
}

/** Empties the record's user words for another connection with the same ports. */
export function resetUserWords(words: Int32Array, base: number, idleClass: number): void {
  words[base + WORD_TAG] = idleClass;
  words.fill(0, base + WORD_USER, base + RECORD_WORDS);
}
