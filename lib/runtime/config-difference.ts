/**
 * What differs between two configurations, and whether a running daemon can take it over. Pure.
 */
import { PreflexError } from '../errors.ts';

/** A field that differs. */
export interface ConfigDifference {
  /** Dotted, for example `routes[1].device`. */
  readonly field: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** All fields that differ, in the order of the fields before; lists of different length differ as a whole. */
export function configDifferences(before: unknown, after: unknown, field = ''): ConfigDifference[] {
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    return before.flatMap((item, i) => configDifferences(item, after[i], `${field}[${i}]`));
  }
  if (isRecord(before) && isRecord(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) =>
      configDifferences(before[key], after[key], field === '' ? key : `${field}.${key}`),
    );
  }
  return Object.is(before, after) ? [] : [{ field, before, after }];
}

/**
 * Checks that a running daemon can take all differences over.
 *
 * @param live - fields that can change at run time, dotted; all that is below one can
 * @throws PreflexError ERR_INVALID_CONFIG with a sentence for each field that cannot; then nothing may be taken over
 */
export function requireLiveDifferences(
  differences: readonly ConfigDifference[],
  live: readonly string[],
): void {
  const isBelow = (field: string, name: string): boolean =>
    field.startsWith(name) && ['', '.', '['].includes(field.charAt(name.length));
  const fixed = differences.filter(({ field }) => !live.some((name) => isBelow(field, name)));
  if (fixed.length === 0) return;
  const sentences = fixed.map(({ field, before, after }) => {
    const change = `from ${describe(before)} to ${describe(after)}`;
    return `${field} cannot change ${change} while the daemon runs; it needs a restart.`;
  });
  throw new PreflexError('ERR_INVALID_CONFIG', sentences.join('\n'));
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describe(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}
