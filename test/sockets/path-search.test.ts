/** Which path a connection takes after a stall, by what the answers name. */
import { beforeEach, describe, expect, it } from 'vitest';
import { PathSearch } from '../../lib/sockets/path-search.ts';

let search: PathSearch;
beforeEach(() => {
  search = new PathSearch();
});

/** Looks until there is a decision, at answers that all name the same. */
function lookAt(assigned: number, known: readonly number[]): { looks: number; pathId: number | undefined } {
  for (let looks = 1; looks <= 100; looks++) {
    const pathId = search.consider(assigned, known, false);
    if (pathId !== undefined) return { looks, pathId };
  }
  return { looks: 100, pathId: undefined };
}

describe('the search for a path', () => {
  it('takes the path that the answer names, rather than another that is known', () => {
    search.leave(2);
    expect(lookAt(3, [1, 2, 3])).toEqual({ looks: 1, pathId: 3 });
  });

  it('takes another that is known when the answer names the path that was left, or none', () => {
    search.leave(2);
    expect(lookAt(2, [2, 1])).toEqual({ looks: 1, pathId: 1 });
    expect(lookAt(0, [2, 1])).toEqual({ looks: 1, pathId: 1 });
  });

  it('looks again when no other is known, and takes the first that is named', () => {
    search.leave(2);
    expect(search.consider(2, [2], false)).toBeUndefined();
    expect(search.consider(0, [2], false)).toBeUndefined();
    expect(search.consider(1, [2], false)).toBe(1);
  });

  it('goes back to the path that was left when no other is named in four looks', () => {
    search.leave(2);
    expect(lookAt(2, [2])).toEqual({ looks: 4, pathId: 2 });
  });

  it('goes back to the one that was left first when all were left and none is named', () => {
    for (const pathId of [1, 2, 1]) search.leave(pathId);
    expect(lookAt(0, [1, 2])).toEqual({ looks: 4, pathId: 2 });
  });

  it('goes back to the one that was named first when all were left', () => {
    for (const pathId of [1, 2]) search.leave(pathId);
    expect([0, 2, 1].map((assigned) => search.consider(assigned, [1, 2], false))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(search.consider(1, [1, 2], false)).toBe(2);
  });

  it('ends without a path when there never was one', () => {
    search.leave(0);
    expect(lookAt(0, [])).toEqual({ looks: 4, pathId: 0 });
  });

  it('decides at once when nothing more will come', () => {
    search.leave(2);
    expect(search.consider(2, [], true)).toBe(2);
    expect(search.consider(0, [], true)).toBe(2);
  });

  it('counts the looks anew for each path that is left', () => {
    search.leave(2);
    for (let look = 0; look < 3; look++) search.consider(2, [], false);
    search.leave(1);
    expect(lookAt(2, [])).toEqual({ looks: 4, pathId: 2 });
  });

  it('forgets what was left at its end', () => {
    search.leave(2);
    search.end();
    expect(lookAt(2, [2])).toEqual({ looks: 1, pathId: 2 });
  });
});
