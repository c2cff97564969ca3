import fc from 'fast-check';
import { SocketAddress } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  AF_INET,
  AF_INET6,
  encodeSocketAddress,
  formatSocketAddress,
  isMappedAddress,
  SOCKET_ADDRESS_WORDS,
  socketAddressBytes,
  socketPort,
} from '../../lib/sys/socket-address.ts';

const noInterface = (): number => 0;
const noName = (): string => '';

/** The text that Node, by libuv, writes for the bytes of an IPv6 address. */
function nodeText(groups: readonly number[]): string {
  return new SocketAddress({ family: 'ipv6', address: groups.map((group) => group.toString(16)).join(':') })
    .address;
}

describe('socket addresses', () => {
  it('IPv4: the structure is family, port and address', () => {
    const words = encodeSocketAddress(AF_INET, '192.0.2.1', 0x1234, noInterface)!;
    const bytes = new Uint8Array(words.buffer);
    expect([...bytes.subarray(0, 16)]).toEqual([2, 0, 0x12, 0x34, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(socketPort(words, 0)).toBe(0x1234);
    expect(formatSocketAddress(words, noName)).toBe('192.0.2.1');
    expect([socketAddressBytes(AF_INET), socketAddressBytes(AF_INET6)]).toEqual([16, 28]);
  });

  it('IPv6: the structure is family, port, flow, address and scope', () => {
    const words = encodeSocketAddress(AF_INET6, 'fe80::1:2%eth7', 65_535, (name) =>
      name === 'eth7' ? 7 : 0,
    )!;
    const view = new DataView(words.buffer);
    expect(view.getUint16(0, true)).toBe(10);
    expect(view.getUint16(2)).toBe(65_535);
    expect(view.getUint32(4)).toBe(0);
    expect(view.getUint16(8)).toBe(0xfe80);
    expect(view.getUint32(20)).toBe(0x10002);
    expect(view.getUint32(24, true)).toBe(7);
    expect(formatSocketAddress(words, (index) => `eth${index}`)).toBe('fe80::1:2%eth7');
  });

  it('names the interface of link-local addresses only', () => {
    const words = encodeSocketAddress(AF_INET6, '2001:db8::1%eth7', 1, () => 7)!;
    expect(formatSocketAddress(words, () => 'eth7')).toBe('2001:db8::1');
    const gone = encodeSocketAddress(AF_INET6, 'fe80::1%eth7', 1, () => 7)!;
    expect(formatSocketAddress(gone, () => '')).toBe('fe80::1');
  });

  it.each([
    [AF_INET, '::1'],
    [AF_INET, 'localhost'],
    [AF_INET, '1.2.3'],
    [AF_INET, ''],
    [AF_INET6, '127.0.0.1'],
    [AF_INET6, ':::'],
  ])('refuses what is no address of family %d: "%s"', (family, text) => {
    expect(encodeSocketAddress(family, text, 1, noInterface)).toBeUndefined();
  });

  it('writes every IPv6 address as Node does', () => {
    const group = fc.oneof(
      { weight: 3, arbitrary: fc.constant(0) },
      fc.constantFrom(1, 0xffff),
      fc.nat(0xffff),
    );
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const words = new Int32Array(SOCKET_ADDRESS_WORDS);
        const view = new DataView(words.buffer);
        view.setUint16(0, AF_INET6, true);
        for (const [i, value] of groups.entries()) view.setUint16(8 + 2 * i, value);
        expect(formatSocketAddress(words, noName)).toBe(nodeText(groups));
      }),
      { numRuns: 2000 },
    );
  });

  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.nat(65_535), (address, port) => {
        const words = encodeSocketAddress(AF_INET6, address, port, noInterface)!;
        const again = encodeSocketAddress(AF_INET6, formatSocketAddress(words, noName), port, noInterface);
        expect(again).toEqual(words);
        expect(socketPort(words, 0)).toBe(port);
      }),
    );
  });

  it('knows IPv4-mapped addresses', () => {
    const isMapped = (address: string): boolean =>
      isMappedAddress(encodeSocketAddress(AF_INET6, address, 1, noInterface)!);
    expect(isMapped('::ffff:192.0.2.1')).toBe(true);
    expect([isMapped('::fffe:192.0.2.1'), isMapped('::1'), isMapped('1::ffff:c000:201')]).toEqual([
      false,
      false,
      false,
    ]);
    expect(isMappedAddress(encodeSocketAddress(AF_INET, '192.0.2.1', 1, noInterface)!)).toBe(false);
  });
});
