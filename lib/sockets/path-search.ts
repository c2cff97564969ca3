/**
 * Which path a connection takes after its own has delivered nothing, once something is acknowledged again.
 *
 * ```
 *   leave(p) --> [ segments go as FNE ] --> the path that the answer names, unless it was left
 *                        |  ^           --> another one that the process knows, unless it was left
 *                        +--+ neither: so many looks at most
 *                        v
 *                  the path that was named first, or else the one that was left first
 * ```
 * A socket has one DSCP, so all that the kernel sends in this time is FNE, and the gateway draws a route for each segment:
 * also the one that is dead. It answers the FNE that came last, with whatever comes back. So an answer says for certain
 * that some path works, not that the one that it names does; and where a round trip is shorter than the time between two
 * looks, the first answer, which would, is hidden by those after it. Whoever takes the wrong path finds out by its next
 * timeout (stall-watch.ts).
 */

/** Looks until a path that was left is taken again: 20 ms at those of a stalled connection. */
const MAX_LOOKS = 4;

/** The search of one connection. */
export class PathSearch {
  /** Path IDs that were left since the connection moved on, in the order of leaving. */
  #left: number[] = [];
  #looks = 0;
  /** The path that was named first since the last one was left: the likeliest to work. */
  #named = 0;

  /** The connection leaves this path. @param pathId - 0 for none: nothing is known of the path that it was on */
  leave(pathId: number): void {
    if (pathId !== 0) this.#left = [...this.#left.filter((left) => left !== pathId), pathId];
    this.#looks = 0;
    this.#named = 0;
  }

  /**
   * A look at what came back, after something was acknowledged.
   *
   * @param assigned - the path that it names, 0 for none
   * @param known - paths that connections of this process were assigned
   * @param isLast - nothing is outstanding, so that nothing more will come
   * @returns the path to take, 0 for none; undefined to look again
   */
  consider(assigned: number, known: Iterable<number>, isLast: boolean): number | undefined {
    if (assigned !== 0 && !this.#left.includes(assigned)) return assigned;
    for (const pathId of known) if (!this.#left.includes(pathId)) return pathId;
    if (this.#named === 0) this.#named = assigned;
    if (!isLast && ++this.#looks < MAX_LOOKS) return undefined;
    return this.#named !== 0 ? this.#named : (this.#left[0] ?? 0);
  }

  /** The connection has moved on: what was left before says nothing about the next failure. */
  end(): void {
    this.#left = [];
    this.#looks = 0;
    this.#named = 0;
  }
}
