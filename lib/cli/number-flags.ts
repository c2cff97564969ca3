/** Numbers as the flags of all commands take them. */
import { InvalidArgumentError } from 'commander';

/** A whole number from the command line, 0 or more. @throws InvalidArgumentError */
export function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('It takes a whole number.');
  return value;
}

/** A time in seconds from the command line, above 0 and below 1e6, fractions allowed. @throws InvalidArgumentError */
export function parseSeconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1e6)) throw new InvalidArgumentError('It takes a number of seconds above 0.');
  return value;
}
