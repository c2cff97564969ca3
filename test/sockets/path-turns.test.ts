/** Which path an IPv4 connection takes after a stall. */
import { describe, expect, it } from 'vitest';
import { PathTurns } from '../../lib/sockets/path-turns.ts';

/** Goes through so many timeouts from a path on, and says where each segment that is sent again after one goes. */
function pathsAfter(
  timeouts: number,
  pathId: number,
  known: readonly number[],
  turns = new PathTurns(),
): number[] {
  const paths: number[] = [];
  for (let i = 0; i < timeouts; i++) {
    pathId = turns.next(pathId, known);
    paths.push(pathId);
  }
  return paths;
}

describe('the turns of paths', () => {
  it('leave a path when a segment that was sent by it has timed out, not when it is only on its way', () => {
    expect(pathsAfter(6, 1, [1, 2, 3])).toEqual([2, 2, 3, 3, 1, 1]);
  });

  it('stay with a path that delivers, and leave it at its own first timeout', () => {
    const turns = new PathTurns();
    expect(pathsAfter(2, 1, [1, 2], turns)).toEqual([2, 2]);
    turns.settle();
    expect(pathsAfter(2, 2, [1, 2], turns)).toEqual([1, 1]);
    turns.settle();
    expect(pathsAfter(1, 1, [1, 2], turns)).toEqual([2]);
    turns.settle();
    expect(pathsAfter(1, 2, [1, 2], turns)).toEqual([1]);
  });

  it('take the first that is known from one that is not, and none when there is no other', () => {
    expect(pathsAfter(1, 5, [1, 2])).toEqual([1]);
    expect(pathsAfter(1, 0, [2])).toEqual([2]);
    expect(pathsAfter(3, 1, [1])).toEqual([0, 0, 1]);
    expect(pathsAfter(1, 0, [])).toEqual([0]);
  });
});
