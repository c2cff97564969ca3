/** Numbers as the flags of all commands take them. */
import { InvalidArgumentError } from 'commander';

/** A whole number from the command line, 0 or more. @throws InvalidArgumentError */
export function parseCount(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < 0)
    throw new InvalidArgumentError('It takes a whole number.');
  return value;
}

/**
 * Reads whole numbers within bounds: of things without which a command has nothing to do, or to say.
 *
 * @param min - least allowed
 * @param max - most allowed; by default no bound
 */
export function countFrom(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isInteger(value) && value >= min && value <= max) return value;
    const range = max === Number.MAX_SAFE_INTEGER ? `, ${min} or more` : ` from ${min} to ${max}`;
    throw new InvalidArgumentError(`It takes a whole number${range}.`);
  };
}

/** A time in seconds from the command line, above 0 and below 1e6, fractions allowed. @throws InvalidArgumentError */
export function parseSeconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1e6)) throw new InvalidArgumentError('It takes a number of seconds above 0.');
  return value;
}
