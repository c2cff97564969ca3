/** Strategies and weights from a command line. */
import { InvalidArgumentError } from 'commander';
import type { Betas, Strategy } from '../pref/balancers/strategies.ts';
import { STRATEGIES } from '../pref/balancers/strategies.ts';

const TOLERANCE = 1e-9;

/** A strategy of the gateway by its name. */
export function parseStrategy(text: string): Strategy {
  const strategy = STRATEGIES.find((name) => name === text);
  if (strategy === undefined) throw new InvalidArgumentError(`It takes one of ${STRATEGIES.join(', ')}.`);
  return strategy;
}

/** Three weights, such as `0.1,0.3,0.6`. */
export function parseBetas(text: string): Betas {
  const values = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  const [equal, conservative, loss] = values;
  const sum = values.reduce((total, value) => total + value, 0);
  if (values.length !== 3 || !values.every((value) => value >= 0) || !(Math.abs(sum - 1) <= TOLERANCE)) {
    throw new InvalidArgumentError('It takes three numbers from 0 whose sum is 1, for example 0.1,0.3,0.6.');
  }
  return { equal, conservative, loss };
}
