/** What the flags of the commands take for a number. */
import { InvalidArgumentError } from 'commander';
import { describe, expect, it } from 'vitest';
import { countFrom, parseCount } from '../../lib/cli/number-flags.ts';

describe('a number of things on the command line', () => {
  it.each(['0', '-1', '1.5', 'x', '', ' '])('is not %j where there must be one at least', (text) => {
    expect(() => countFrom(1)(text)).toThrow(InvalidArgumentError);
    expect(() => countFrom(1)(text)).toThrow('It takes a whole number, 1 or more.');
  });

  it('is within its bounds, both included', () => {
    const parse = countFrom(2, 200);
    expect([parse('2'), parse('200')]).toEqual([2, 200]);
    for (const text of ['1', '201'])
      expect(() => parse(text)).toThrow('It takes a whole number from 2 to 200.');
  });

  it('is not taken for 0 when it is empty', () => {
    expect(() => parseCount('')).toThrow('It takes a whole number.');
  });
});
