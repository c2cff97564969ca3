/** The packet pool and the virtio header. */
import { describe, expect, it } from 'vitest';
import { MAX_PACKET_BYTES, PacketBatch, slotAt } from '../../lib/device/device.ts';
import {
  clearVirtioHeader,
  virtioChecksumOffset,
  virtioChecksumStart,
  virtioFlags,
  virtioGsoSize,
  virtioGsoType,
  writeVirtioHeader,
} from '../../lib/device/virtio-header.ts';

describe('PacketBatch', () => {
  it('holds as many packets of the greatest length as its capacity, each apart from the others', () => {
    const batch = new PacketBatch(3);
    for (let i = 0; i < 3; i++) batch.push(new Uint8Array(MAX_PACKET_BYTES).fill(i + 1));
    for (let i = 0; i < 3; i++) {
      expect(batch.packet(i).every((byte) => byte === i + 1)).toBe(true);
      expect([...batch.virtioHeader(i)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    expect(slotAt(2) + MAX_PACKET_BYTES).toBeLessThanOrEqual(batch.bytes.length);
  });

  it('does not take one packet more than it holds', () => {
    const batch = new PacketBatch(1);
    batch.push(new Uint8Array(20));
    expect(() => batch.push(new Uint8Array(20))).toThrow(/holds 1 of 1/);
  });

  it('does not take a packet longer than a slot', () => {
    expect(() => new PacketBatch(2).push(new Uint8Array(MAX_PACKET_BYTES + 1))).toThrow(
      /65536 bytes does not fit/,
    );
  });

  it.each([0, 1025, 1.5])('refuses a capacity of %s', (capacity) => {
    expect(() => new PacketBatch(capacity)).toThrow(/capacity: .* from 1 to 1024/);
  });
});

describe('the virtio header', () => {
  const view = new DataView(new ArrayBuffer(32));
  it('reads back the fields that were written, little-endian', () => {
    writeVirtioHeader(view, 16, {
      flags: 1,
      gsoType: 0x84,
      headerLength: 72,
      gsoSize: 1428,
      checksumStart: 40,
      checksumOffset: 16,
    });
    expect([
      virtioFlags(view, 16),
      virtioGsoType(view, 16),
      virtioGsoSize(view, 16),
      virtioChecksumStart(view, 16),
      virtioChecksumOffset(view, 16),
    ]).toEqual([1, 4, 1428, 40, 16]);
    expect([...new Uint8Array(view.buffer, 6, 10)]).toEqual([1, 0x84, 72, 0, 0x94, 0x05, 40, 0, 16, 0]);
  });

  it('says no segmentation when the type is none, whatever the size field holds', () => {
    writeVirtioHeader(view, 16, { gsoSize: 1428 });
    expect(virtioGsoSize(view, 16)).toBe(0);
  });

  it('is ten zero bytes once cleared, and touches no other byte', () => {
    new Uint8Array(view.buffer).fill(0xff);
    clearVirtioHeader(view, 16);
    const bytes = [...new Uint8Array(view.buffer)];
    expect(bytes.slice(6, 16).every((byte) => byte === 0)).toBe(true);
    expect([...bytes.slice(0, 6), ...bytes.slice(16)].every((byte) => byte === 0xff)).toBe(true);
  });
});
