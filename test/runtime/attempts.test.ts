/** Things that the machine may refuse, and what is a defect. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PreflexError, isForeseen } from '../../lib/errors.ts';
import { Attempts } from '../../lib/runtime/attempts.ts';

const refuse = (text: string) => (): never => {
  throw new PreflexError('ERR_SYSTEM', text);
};

it('tries all, and throws what was refused first', () => {
  const attempts = new Attempts();
  expect(attempts.try(refuse('first'))).toBeUndefined();
  expect(attempts.try(() => 7)).toBe(7);
  attempts.try(refuse('second'));
  expect(() => {
    attempts.finish();
  }).toThrow('first');
});

it('throws nothing when nothing was refused', () => {
  const attempts = new Attempts();
  attempts.try(() => 7);
  attempts.finish();
  expect(attempts.failure).toBeUndefined();
});

it('throws a defect at once', () => {
  const attempts = new Attempts();
  expect(() =>
    attempts.try(() => {
      throw new TypeError('a defect');
    }),
  ).toThrow(TypeError);
});

it('what the system refuses to Node.js comes from the machine as well', () => {
  const errors: unknown[] = [];
  for (const body of [() => readFileSync('/nowhere/at/all'), refuse('no'), () => JSON.parse('{')]) {
    try {
      body();
    } catch (error) {
      errors.push(error);
    }
  }
  expect(errors.map(isForeseen)).toEqual([true, true, false]);
});
