/** Modes and weights from the command line of the simulator. */
import { InvalidArgumentError } from 'commander';
import { MODES } from '../sim/scenarios/scenario.ts';
import type { Betas, Mode } from '../sim/scenarios/scenario.ts';

const TOLERANCE = 1e-9;

/** A mode of the gateway by its name. */
export function parseMode(text: string): Mode {
  const mode = MODES.find((name) => name === text);
  if (mode === undefined) throw new InvalidArgumentError(`It takes one of ${MODES.join(', ')}.`);
  return mode;
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
