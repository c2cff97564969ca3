/** Addresses to listen at, as options and files have them. */
import { describe, expect, it } from 'vitest';
import { formatListenAddress, parseListenAddress } from '../../lib/runtime/listen-address.ts';

describe('a listen address', () => {
  it.each([
    ['9464', '127.0.0.1:9464'],
    [':9464', '127.0.0.1:9464'],
    ['localhost:80', '127.0.0.1:80'],
    ['127.0.0.1:0', '127.0.0.1:0'],
    ['0.0.0.0:9464', '0.0.0.0:9464'],
    ['[::1]:9464', '[::1]:9464'],
    ['[2001:db8::1]:65535', '[2001:db8::1]:65535'],
  ])('%s is %s', (text, address) => {
    const parsed = parseListenAddress(text);
    expect(parsed && formatListenAddress(parsed)).toBe(address);
  });

  it.each([
    '',
    ':',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '127.1:80',
    '::1:80',
    '[::1]',
    '[::1%lo]:80',
    '[127.0.0.1]:80',
    'example.org:80',
    ' 127.0.0.1:80',
    '80 ',
    '1e3',
  ])('%j is none', (text) => {
    expect(parseListenAddress(text)).toBeUndefined();
  });
});
