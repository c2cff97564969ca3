/** What `preflex explain` can be asked about. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PreflexError } from '../../lib/errors.ts';
import { parseTarget } from '../../lib/runtime/control/explain-target.ts';
import { parseAddress } from '../../lib/wire/addr.ts';

const end = (text: string, port = 0) => ({ address: parseAddress(text), port });

describe('a target', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1', 32],
    ['192.0.2.0/24', '192.0.2.0', 24],
    ['2001:db8::/32', '2001:db8::', 32],
    ['2001:db8::1', '2001:db8::1', 128],
  ])('%s is a prefix or an address', (text, address, length) => {
    expect(parseTarget(text)).toEqual({ kind: 'prefix', address: parseAddress(address), length });
  });

  it.each([
    ['tcp 192.0.2.1:40000 198.51.100.7:443', 6, end('192.0.2.1', 40_000), end('198.51.100.7', 443)],
    ['UDP  192.0.2.1 198.51.100.7:53 ', 17, end('192.0.2.1'), end('198.51.100.7', 53)],
    ['192.0.2.1 198.51.100.7', 0, end('192.0.2.1'), end('198.51.100.7')],
    ['tcp [2001:db8::1]:1 2001:db8::2', 6, end('2001:db8::1', 1), end('2001:db8::2')],
    ['2001:db8::1 [2001:db8::2]', 0, end('2001:db8::1'), end('2001:db8::2')],
  ])('%s is a flow', (text, protocol, src, dst) => {
    expect(parseTarget(text)).toEqual({ kind: 'flow', protocol, ends: [src, dst] });
  });

  it.each([
    '',
    'tcp',
    'tcp 192.0.2.1',
    '192.0.2.1 2001:db8::1',
    '192.0.2.1 198.51.100.7 9.9.9.9',
    'icmp 192.0.2.1 198.51.100.7',
    '192.0.2.1:65536 198.51.100.7',
    '192.0.2.1: 198.51.100.7',
    '[192.0.2.1 198.51.100.7',
    '192.0.2.1/24',
    'x'.repeat(300),
    7,
    undefined,
  ])('%s is refused', (text) => {
    expect(() => parseTarget(text)).toThrow(/^target: /);
  });

  it('whatever the text, it is a target or refused by a PreflexError', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[tcpud\d.:[\]/ ]{0,60}$/)), (text) => {
        try {
          expect(['flow', 'prefix']).toContain(parseTarget(text).kind);
        } catch (error) {
          expect(error).toBeInstanceOf(PreflexError);
        }
      }),
    );
  });
});
