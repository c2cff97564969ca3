/**
 * Errors that a caller or the system causes. Packets never cause one: they end in a counted verdict.
 */

/** What went wrong, for programs; the message says it for people. */
export type PreflexErrorCode =
  /** An option or a configuration value is not acceptable: the caller's mistake. */
  | 'ERR_INVALID_OPTION'
  /** A configuration file does not parse or does not fit its schema. */
  | 'ERR_INVALID_CONFIG'
  /** The operating system refused an operation. */
  | 'ERR_SYSTEM'
  /** A tool, kernel feature or capability is missing on this machine. */
  | 'ERR_MISSING_REQUIREMENT';

/** The error class of this library. */
export class PreflexError extends Error {
  override readonly name = 'PreflexError';
  readonly code: PreflexErrorCode;

  constructor(code: PreflexErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Whether an error comes from the machine or from a caller, and not from a defect of this program: one of this library, or
 * one of Node.js that names the system call that failed.
 */
export function isForeseen(error: unknown): error is Error {
  if (error instanceof PreflexError) return true;
  return error instanceof Error && typeof (error as { readonly syscall?: unknown }).syscall === 'string';
}

/**
 * An error for a bad option: names the field, the value and what is allowed.
 *
 * @param field - the option's name, dotted for nested ones
 * @param value - what the caller gave
 * @param allowed - the allowed range in words, for example `a whole number from 1 to 6`
 */
export function invalidOption(field: string, value: unknown, allowed: string): PreflexError {
  return new PreflexError(
    'ERR_INVALID_OPTION',
    `${field}: ${describe(value)} is not allowed; it takes ${allowed}`,
  );
}

/** Throws {@link invalidOption} unless `value` is a finite number in [min, max]. */
export function requireNumber(field: string, value: number, min: number, max: number): number {
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw invalidOption(field, value, `a number from ${min} to ${max}`);
  }
  return value;
}

/** Throws {@link invalidOption} unless `value` is a whole number in [min, max]. */
export function requireInteger(field: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw invalidOption(field, value, `a whole number from ${min} to ${max}`);
  }
  return value;
}

/** Throws {@link invalidOption} when `options` has a key that is not in `known`. */
export function rejectUnknownKeys(field: string, options: object, known: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      throw invalidOption(
        `${field}.${key}`,
        (options as Record<string, unknown>)[key],
        `only ${known.join(', ')}`,
      );
    }
  }
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return JSON.stringify(value) ?? String(value);
  return String(value);
}
