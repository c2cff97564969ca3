/** Paths by destination. */
import { describe, expect, it } from 'vitest';
import { parseAddress, parsePrefix } from '../../../lib/wire/addr.ts';
import { NO_PATH, PathTable } from '../../../namespaces-lab/links/path-table.ts';

function packetTo(address: string): DataView {
  const bytes = new Uint8Array(48);
  bytes[0] = address.includes(':') ? 0x60 : 0x45;
  bytes.set(parseAddress(address), address.includes(':') ? 24 : 16);
  return new DataView(bytes.buffer);
}

const table = new PathTable(
  ['0.0.0.0/0', '10.1.0.0/16', '10.1.2.128/25', 'fd01:2::/31', 'fd01:2:3:4:5::/80'].map((prefix, to) => ({
    from: 0,
    prefix: parsePrefix(prefix),
    lane: to + 10,
    to,
  })),
);

describe('PathTable', () => {
  it.each([
    ['192.0.2.1', 0],
    ['10.1.2.127', 1],
    ['10.1.2.129', 2],
    ['fd01:3::1', 3],
    ['fd01:2:3:4:5:9::', 4],
  ])('takes the longest prefix for %s', (address, to) => {
    const path = table.find(packetTo(address), 0, 48);
    expect([table.outs[path], table.lanes[path]]).toEqual([to, to + 10]);
  });

  it.each(['fd01:4::1', '::'])('has no path for %s', (address) => {
    expect(table.find(packetTo(address), 0, 48)).toBe(NO_PATH);
  });

  it('has no path for what is too short for a header', () => {
    expect(table.find(packetTo('192.0.2.1'), 0, 19)).toBe(NO_PATH);
    expect(table.find(packetTo('fd01:2::1'), 0, 39)).toBe(NO_PATH);
  });
});
