import { describe, expect, it } from 'vitest';
import { formatBytes, formatCount, formatPercent, formatRate, formatTable } from '../../lib/cli/table.ts';

describe('formatTable', () => {
  it('sets words to the left and numbers to the right', () => {
    const table = formatTable([
      ['route', 'bytes', 'loss'],
      ['a', '1,234', '0.10 %'],
      ['long name', '5', '12.00 %'],
    ]);
    expect(table.split('\n')).toEqual([
      'route      bytes     loss',
      'a          1,234   0.10 %',
      'long name      5  12.00 %',
    ]);
  });

  it('keeps a column of words to the left though one of its cells is a number', () => {
    expect(
      formatTable([
        ['x', 'y'],
        ['a', 'yes'],
        ['b', '7'],
      ]).split('\n')[2],
    ).toBe('b  7');
  });
});

describe('units', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [12_345, '12.3 kB'],
    [1.5e9, '1.50 GB'],
    [2e15, '2000 TB'],
  ])('writes %d bytes as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('writes rates, counts and ratios for people', () => {
    expect(formatRate(9.87e9)).toBe('9.87 Gbit/s');
    expect(formatCount(1234567)).toBe('1,234,567');
    expect(formatPercent(0.0123)).toBe('1.23 %');
    expect(formatPercent(NaN)).toBe('–');
  });
});
