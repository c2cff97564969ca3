/**
 * A flow that receives, and whose acknowledgments are lost: data comes, is acknowledged, and after a pause comes again;
 * then the host, its peer or both begin a flowlet. Each step may be missing, too early, or of a path of its own.
 */
import {
  CODEPOINT_FNE,
  CODEPOINT_LECT,
  CODEPOINT_LEX,
  CODEPOINT_NOT_LECT,
} from '../../wire/marking/scheme.ts';
import type { Dice } from './dice.ts';

/** A segment of the flow; all have ACK alone. */
export interface StorySegment {
  readonly isOutbound: boolean;
  readonly codepoint: number;
  readonly pathId: number;
  readonly seq: number;
  readonly ack: number;
  readonly payload: number;
  /** Time since the segment before, ns. */
  readonly pauseNs: number;
}

const SEGMENT = 100;
const NS_PER_MS = 1e6;

/**
 * The segments of a flow in order.
 *
 * @param pathIds - of the gateway's routes
 */
export function drawReceiverStory(dice: Dice, pathIds: readonly number[]): StorySegment[] {
  const story: StorySegment[] = [];
  // Also where sequence numbers wrap.
  let next = dice.once(4) ? 2 ** 32 - SEGMENT : dice.below(2 ** 32);
  const pathId = dice.pick(pathIds);
  const short = (): number => dice.below(5 * NS_PER_MS);
  // About as long as makes a repeat an exposure, often to the millisecond.
  const pause = (): number =>
    dice.once(3) ? (149 + dice.below(3)) * NS_PER_MS : (140 + dice.below(400)) * NS_PER_MS;
  const acknowledge = (path = pathId): void => {
    const ack = next % 2 ** 32;
    story.push({
      ...{ isOutbound: true, codepoint: CODEPOINT_LECT, pathId: path },
      ...{ seq: 1, ack, payload: 0, pauseNs: short() },
    });
  };
  const letIn = (from: number, payload: number, pauseNs: number): void => {
    const codepoint = dice.pick([CODEPOINT_NOT_LECT, CODEPOINT_LECT, CODEPOINT_LEX]);
    const seq = (from + 2 ** 32) % 2 ** 32;
    story.push({ isOutbound: false, codepoint, pathId: 0, seq, ack: 1, payload, pauseNs });
  };
  acknowledge();
  for (let count = dice.below(3); count > 0; count--) {
    letIn(next, SEGMENT, short());
    next += SEGMENT;
    if (!dice.once(6)) acknowledge();
  }
  for (let count = 1 + dice.below(2); count > 0; count--) {
    const payload = dice.once(8) ? 1 : SEGMENT;
    letIn(next - payload, payload, dice.once(30) ? 2100 * NS_PER_MS : pause());
    if (dice.once(6)) acknowledge(dice.once(2) ? dice.pick(pathIds) : pathId);
    if (dice.once(8)) {
      letIn(next, SEGMENT, short());
      next += SEGMENT;
    }
  }
  for (let count = 1 + dice.below(2); count > 0; count--) {
    const isOutbound = dice.once(2);
    const payload = dice.once(2) ? 0 : SEGMENT;
    story.push({
      ...{ isOutbound, codepoint: CODEPOINT_FNE, pathId: 0, payload, ack: isOutbound ? next % 2 ** 32 : 1 },
      ...{ seq: isOutbound ? 1 : (next - payload + 2 ** 32) % 2 ** 32 },
      pauseNs: dice.once(20) ? 2000 * NS_PER_MS : short(),
    });
  }
  return story;
}
