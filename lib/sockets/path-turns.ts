/**
 * Which path a connection takes that cannot ask for one, after its own has delivered nothing: those that others of the
 * process were assigned, in turn.
 *
 * ```
 *   timeout, segment sent again by 1: dead     -> take 2
 *   timeout, segment sent again by 2           -> stay: it is on its way
 *   timeout, segment sent again by 2: dead too -> take 3
 * ```
 * A timeout counts when the segment is sent again. So the first one after a change is no failure of the new path: whoever
 * changed again would send the segments that follow the answer over the path before, which is dead.
 */

/** The turns of one connection. */
export class PathTurns {
  /** The path was changed, and by the new one nothing had been sent. */
  #isFresh = false;

  /**
   * A timeout of a connection that is stalled.
   *
   * @param pathId - its path, 0 for none
   * @param known - paths that connections of this process were assigned
   * @returns the path to go on by, 0 for none: the one after the present one, the first when that is not known
   */
  next(pathId: number, known: Iterable<number>): number {
    if (this.#isFresh) {
      this.#isFresh = false;
      return pathId;
    }
    this.#isFresh = true;
    const paths = [...known];
    const next = paths[(paths.indexOf(pathId) + 1) % Math.max(1, paths.length)] ?? 0;
    return next === pathId ? 0 : next;
  }

  /** Something was acknowledged: the path delivers. */
  settle(): void {
    this.#isFresh = false;
  }
}
