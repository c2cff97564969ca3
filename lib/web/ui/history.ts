/** The last so many points in time of named values: a ring in typed arrays, so that a page opened late shows the past. */
import type { UiHistory, UiRow } from './model.ts';

/** Points kept. */
export const HISTORY_LENGTH = 900;
/** Values are told with so many digits; nobody sees more on a chart. */
const DIGITS = 5;

/** The ring. */
export class UiRing {
  readonly #capacity: number;
  readonly #times: Float64Array;
  readonly #columns = new Map<string, Float64Array>();
  /** Where the next point goes. */
  #at = 0;
  #length = 0;

  /** @param capacity - points kept, 1 or more */
  constructor(capacity = HISTORY_LENGTH) {
    this.#capacity = capacity;
    this.#times = new Float64Array(capacity);
  }

  /** Adds a point; the oldest goes when there is no room. Columns that it does not name have no value there. */
  add(row: UiRow): void {
    this.#times[this.#at] = row.t;
    for (const column of this.#columns.values()) column[this.#at] = NaN;
    for (const [key, value] of Object.entries(row.values)) {
      let column = this.#columns.get(key);
      if (column === undefined) {
        column = new Float64Array(this.#capacity).fill(NaN);
        this.#columns.set(key, column);
      }
      column[this.#at] = value ?? NaN;
    }
    this.#at = (this.#at + 1) % this.#capacity;
    this.#length = Math.min(this.#length + 1, this.#capacity);
  }

  /** Forgets columns that are in no chart any more. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#columns.keys()) if (!keys.has(key)) this.#columns.delete(key);
  }

  /** All points, oldest first. */
  report(): UiHistory {
    const inOrder = <T>(values: Float64Array, map: (value: number) => T): T[] =>
      Array.from({ length: this.#length }, (_, i) =>
        map(values[(this.#at - this.#length + i + this.#capacity) % this.#capacity]),
      );
    return {
      t: inOrder(this.#times, (time) => time),
      columns: Object.fromEntries(
        [...this.#columns].map(([key, values]) => [key, inOrder(values, roundedValue)]),
      ),
    };
  }
}

/** A value as it is told; null for one that is none. */
export function roundedValue(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(DIGITS));
}
