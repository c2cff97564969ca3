/** Addresses and prefixes as text. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coversPrefix, normalizeAddress, parsePrefix, parseRoutePrefix } from '../../lib/runtime/prefixes.ts';

describe('addresses', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1'],
    ['FD00:0:0::1', 'fd00::1'],
    ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
  ])('%s is spelt %s', (text, expected) => expect(normalizeAddress(text)).toBe(expected));

  it.each(['1.2.3', '10.0.0.256', 'fe80::1%eth0', '', 'localhost', '0x7f.1'])('%j is no address', (text) =>
    expect(normalizeAddress(text)).toBeUndefined(),
  );
});

describe('prefixes', () => {
  it.each([
    '10.0.0.1/24',
    '10.0.0.0/33',
    '10.0.0.0',
    'fd00::1/64',
    '::/129',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '1.2/8',
  ])('%j is no prefix', (text) => expect(parsePrefix(text)).toBeUndefined());

  it('host bits are cleared where they are allowed', () => {
    expect(parsePrefix('10.1.2.3/12', true)?.text).toBe('10.0.0.0/12');
    expect(parsePrefix('fd00::1:2:3:4/64', true)?.text).toBe('fd00::/64');
  });

  it('the destination of a route is a prefix in every spelling of iproute2', () => {
    expect(parseRoutePrefix('default', 6)?.text).toBe('::/0');
    expect(parseRoutePrefix('10.0.0.1', 4)?.text).toBe('10.0.0.1/32');
    expect(parseRoutePrefix('10.0.0.0/8', 4)?.length).toBe(8);
  });

  it('one covers another exactly when cutting the other to its length gives it', () => {
    fc.assert(
      fc.property(
        fc.ipV4(),
        fc.integer({ min: 0, max: 32 }),
        fc.ipV4(),
        fc.integer({ min: 0, max: 32 }),
        (a, n, b, m) => {
          const outer = parsePrefix(`${a}/${n}`, true)!;
          const inner = parsePrefix(`${b}/${m}`, true)!;
          const cut = parsePrefix(`${b}/${n}`, true)!;
          expect(coversPrefix(outer, inner)).toBe(n <= m && cut.text === outer.text);
          expect(coversPrefix(outer, outer)).toBe(true);
          if (m >= n) expect(coversPrefix(cut, inner)).toBe(true);
        },
      ),
    );
  });
});
