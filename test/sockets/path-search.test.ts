/** Which path a connection takes after a stall, by what the answers name. */
import { describe, expect, it } from 'vitest';
import { PathSearch } from '../../lib/sockets/path-search.ts';

/** Looks until there is a decision, at answers that all name the same. Returns looks and decision. */
function lookAt(search: PathSearch, assigned: number): [looks: number, pathId: number | undefined] {
  for (let looks = 1; looks <= 100; looks++) {
    const pathId = search.consider(assigned, false);
    if (pathId !== undefined) return [looks, pathId];
  }
  return [100, undefined];
}

describe('the search for a path', () => {
  it('takes the first path that was not left', () => {
    const search = new PathSearch();
    search.leave(2);
    expect(search.consider(1, false)).toBe(1);
  });

  it('looks again when the answers in sight name the path that was left, or none', () => {
    const search = new PathSearch();
    search.leave(2);
    expect([2, 0, 2].map((assigned) => search.consider(assigned, false))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(search.consider(1, false)).toBe(1);
  });

  it('goes back to the path that was left when no other is named for ten looks', () => {
    const search = new PathSearch();
    search.leave(2);
    expect(lookAt(search, 2)).toEqual([10, 2]);
  });

  it('ends without a path when nobody assigns one', () => {
    const search = new PathSearch();
    search.leave(2);
    expect(lookAt(search, 0)).toEqual([10, 0]);
  });

  it('decides at once when nothing more will come', () => {
    const search = new PathSearch();
    search.leave(2);
    expect(search.consider(2, true)).toBe(2);
    expect(search.consider(0, true)).toBe(0);
  });

  it('remembers all paths that were left, and counts the looks anew for each', () => {
    const search = new PathSearch();
    search.leave(2);
    for (let look = 0; look < 9; look++) search.consider(2, false);
    search.leave(1);
    search.leave(0);
    expect(search.consider(2, false)).toBeUndefined();
    expect(lookAt(search, 1)).toEqual([9, 1]);
    expect(search.consider(3, false)).toBe(3);
  });

  it('forgets them at its end', () => {
    const search = new PathSearch();
    search.leave(2);
    search.end();
    expect(search.consider(2, false)).toBe(2);
  });

  it('knows the largest path ID of the scheme `full`', () => {
    const search = new PathSearch();
    search.leave(15);
    expect(search.consider(15, false)).toBeUndefined();
    expect(search.consider(14, false)).toBe(14);
  });
});
