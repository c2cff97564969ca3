/**
 * When a dump is asked for again that was interrupted each time it was tried: after waits that grow, so that a table that
 * changes all the time is not read all the time.
 *
 * ```
 *   interrupted --> wait 1 s --> interrupted --> 2 s --> ... --> at most a minute        whole: from the beginning again
 * ```
 *
 * No clock and no timer: the time is an argument.
 */

/** The first wait, ms. */
const FIRST_WAIT_MS = 1000;
/** The longest wait, ms: a table of 100,000 prefixes takes a third of a second to read. */
const LONGEST_WAIT_MS = 60_000;

/** The dumps to ask for again. @typeParam Dump - known by identity */
export class DumpRetries<Dump> {
  /** By dump: how often it was given up in a row. */
  readonly #failures = new Map<Dump, number>();
  readonly #dueAtMs = new Map<Dump, number>();

  /** When {@link takeDue} has something, ms; Infinity for never. */
  get dueAtMs(): number {
    return Math.min(Infinity, ...this.#dueAtMs.values());
  }

  /** A dump was interrupted, and is given up for now. */
  noteInterrupted(dump: Dump, nowMs: number): void {
    const failures = this.#failures.get(dump) ?? 0;
    this.#failures.set(dump, failures + 1);
    this.#dueAtMs.set(dump, nowMs + Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures));
  }

  /** A dump was whole. */
  noteWhole(dump: Dump): void {
    this.#failures.delete(dump);
    this.#dueAtMs.delete(dump);
  }

  /** Everything is asked for now: nothing has to be asked for again, but waits go on where they were. */
  cancel(): void {
    this.#dueAtMs.clear();
  }

  /** Dumps whose wait is over, which are waited for no longer. */
  takeDue(nowMs: number): Dump[] {
    const due = [...this.#dueAtMs].flatMap(([dump, atMs]) => (atMs <= nowMs ? [dump] : []));
    for (const dump of due) this.#dueAtMs.delete(dump);
    return due;
  }
}
