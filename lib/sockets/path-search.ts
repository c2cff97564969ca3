/**
 * Which path a connection takes after its own has delivered nothing: a decision about what the gateway's answers name.
 *
 * ```
 *   leave(p) --> [ segments go as FNE ] -- an answer names a path that was not left --> that path
 *                        |  ^
 *                        +--+ none, or one that was left: so many looks at most
 *                        v
 *                  what the last look found: the path may work again, or nobody assigns
 * ```
 * A socket has one DSCP, so all that the kernel sends meanwhile is FNE, and the gateway draws a route for each segment:
 * also the one that is dead. It answers the FNE that came last, with whatever comes back. So an answer says for certain
 * that something works, not that the path that it names does. One round trip after the first answer the next may hide it;
 * where that is shorter than the time between two looks, the first answer is the one that is not seen.
 */

/** Looks before a path that was left is taken again: a twentieth of a second at those of a stalled connection. */
const MAX_LOOKS = 10;

/** The search of one connection. */
export class PathSearch {
  /** Mask of the path IDs that were left since the connection moved on. */
  #left = 0;
  #looks = 0;

  /** The connection leaves this path. @param pathId - 0 for none: nothing is known of the path that it was on */
  leave(pathId: number): void {
    if (pathId !== 0) this.#left |= 1 << pathId;
    this.#looks = 0;
  }

  /**
   * A look at what came back, after something was acknowledged.
   *
   * @param assigned - the path that it names, 0 for none
   * @param isLast - nothing is outstanding, so that nothing more will come
   * @returns the path to take, 0 for none; undefined to look again
   */
  consider(assigned: number, isLast: boolean): number | undefined {
    const wasLeft = ((this.#left >>> assigned) & 1) === 1;
    if (assigned !== 0 && !wasLeft) return assigned;
    return isLast || ++this.#looks >= MAX_LOOKS ? assigned : undefined;
  }

  /** The connection has moved on: what was left before says nothing about the next failure. */
  end(): void {
    this.#left = 0;
    this.#looks = 0;
  }
}
