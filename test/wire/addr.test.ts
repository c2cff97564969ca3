import { isIP } from 'node:net';
import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from '../../lib/wire/addr.ts';
import { PreflexError } from '../../lib/errors.ts';
import { addressBytes, viewOf } from '../support/packets.ts';

const ODD_FORMS = [
  ['1.2.3', '1', '0x7f.0.0.1', '010.0.0.1', '1.2.3.4.5', '1.2.3.256', '1.2.3.4 ', '', '1..2.3', '0.0.0.0'],
  ['::', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::'],
  ['::2:3:4:5:6:7:8', '1:2:3:4::5:6:7:8', '12345::', '::g', ':1', '1:', '::1.2.3.4', '::1.2.3', '1.2.3.4::'],
  [
    '::ffff:1.2.3.4',
    '1:2:3:4:5:6:1.2.3.4',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::ffff:01.2.3.4',
    '1.2.3.4:5::',
    '::/0',
  ],
].flat();

const ipv4Text = fc.ipV4();
const ipv6Text = fc.ipV6();
/** Text near to an address: one with a character replaced or removed. */
const nearAddress = fc
  .tuple(
    fc.oneof(ipv4Text, ipv6Text),
    fc.nat(),
    fc.constantFrom('', '.', ':', '0', '1', 'g', '::', 'f', '-', ' '),
  )
  .map(([text, at, replacement]) => {
    const index = at % text.length;
    return text.slice(0, index) + replacement + text.slice(index + 1);
  });

function accepts(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(PreflexError);
    return false;
  }
}

/** RFC 5952 text by the URL parser of the platform, without its brackets. */
function canonical(text: string): string {
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

describe('parseAddress', () => {
  test.each(ODD_FORMS)('takes %j exactly when node does', (text) => {
    expect(accepts(text)).toBe(isIP(text) !== 0);
  });

  test('takes exactly what node takes, near and far from an address', () => {
    fc.assert(
      fc.property(fc.oneof(ipv4Text, ipv6Text, nearAddress, fc.string()), (text) => {
        expect(accepts(text)).toBe(isIP(text) !== 0 && !text.includes('%'));
      }),
      { numRuns: 3000 },
    );
  });

  test('gives the bytes in network order', () => {
    expect([...parseAddress('192.0.2.1')]).toEqual([192, 0, 2, 1]);
    expect([...parseAddress('2001:db8::1')]).toEqual([0x20, 1, 0x0d, 0xb8, ...Array<number>(11).fill(0), 1]);
  });

  test('reads a dotted tail as the last four bytes and adds nothing', () => {
    expect([...parseAddress('::192.0.2.1')]).toEqual([...Array<number>(12).fill(0), 192, 0, 2, 1]);
    expect([...parseAddress('64:ff9b::192.0.2.1')].slice(-4)).toEqual([192, 0, 2, 1]);
  });

  test('refuses a zone, which has no place in the bytes', () => {
    expect(() => parseAddress('fe80::1%eth0')).toThrow(PreflexError);
  });

  test('names the field, the value and the form in its error', () => {
    expect(() => parseAddress('1.2.3', 'routes.via')).toThrow(
      /^routes\.via: "1\.2\.3" is not allowed; it takes an IPv4 or/,
    );
    expect(() => parseAddress(7 as unknown as string)).toThrow(PreflexError);
  });
});

describe('formatAddress', () => {
  test('writes IPv4 as it was read', () => {
    fc.assert(
      fc.property(ipv4Text, (text) => {
        expect(formatAddress(viewOf(parseAddress(text)), 0, 4)).toBe(text);
      }),
    );
  });

  test('writes IPv6 in the form of RFC 5952', () => {
    fc.assert(
      fc.property(ipv6Text, (text) => {
        expect(formatAddress(viewOf(parseAddress(text)), 0, 6)).toBe(canonical(text));
      }),
    );
  });

  test('reads the address at its offset', () => {
    const view = viewOf(Uint8Array.of(9, 9, 10, 0, 0, 7, 9));
    expect(formatAddress(view, 2, 4)).toBe('10.0.0.7');
  });
});

describe('parsePrefix', () => {
  test('gives version, words and length', () => {
    expect(parsePrefix('10.0.0.0/8')).toEqual({
      version: 4,
      words: Int32Array.of(0x0a000000, 0, 0, 0),
      length: 8,
    });
    expect(parsePrefix('2001:db8::/33')).toEqual({
      version: 6,
      words: Int32Array.of(0x20010db8, 0, 0, 0),
      length: 33,
    });
    expect(parsePrefix('0.0.0.0/0').length).toBe(0);
    expect(parsePrefix('255.255.255.255/32').words[0]).toBe(-1);
    expect(parsePrefix('fd00::ffff:1/128').words[3]).toBe(-65535);
  });

  test('names the prefix that was meant when host bits are set', () => {
    fc.assert(
      fc.property(fc.oneof(ipv4Text, ipv6Text), fc.nat(128), (text, bits) => {
        const bytes = parseAddress(text);
        const length = bits % (bytes.length * 8 + 1);
        const network = bytes.map((byte, i) => {
          let kept = 0;
          for (let bit = 0; bit < 8; bit++) if (8 * i + bit < length) kept |= byte & (0x80 >> bit);
          return kept;
        });
        const right = `${formatAddress(viewOf(network), 0, bytes.length === 4 ? 4 : 6)}/${length}`;
        expect(formatPrefix(parsePrefix(right))).toBe(right);
        if (network.some((byte, i) => byte !== bytes[i])) {
          expect(() => parsePrefix(`${text}/${length}`)).toThrow(`'${right}'`);
        } else {
          expect(formatPrefix(parsePrefix(`${text}/${length}`))).toBe(right);
        }
      }),
    );
  });

  test.each([
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10/8',
    '/8',
    '',
  ])('refuses %j', (text) => {
    expect(() => parsePrefix(text, 'gateway.prefix')).toThrow(/^gateway\.prefix: /);
  });

  test('asks for the length of a bare address', () => {
    expect(() => parsePrefix('10.0.0.1')).toThrow("write '10.0.0.1/32'");
    expect(() => parsePrefix('fd00::1')).toThrow("write 'fd00::1/128'");
  });
});

test('the test builder and parseAddress read addresses alike', () => {
  for (const text of ['fd00::1', '::', '1::', '10.0.0.1', '1:2:3:4:5:6:7:8']) {
    expect([...parseAddress(text)]).toEqual(addressBytes(text));
  }
});
