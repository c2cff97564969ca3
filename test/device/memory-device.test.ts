/** The in-memory device. */
import { describe, expect, it } from 'vitest';
import { PacketBatch } from '../../lib/device/device.ts';
import { MemoryDevice, memoryPair } from '../../lib/device/memory-device.ts';
import { VIRTIO_GSO_TCPV4, writeVirtioHeader } from '../../lib/device/virtio-header.ts';
import { buildTcp } from '../support/packets.ts';
import { describeDeviceContract } from './contract.ts';

describeDeviceContract('MemoryDevice', () => {
  const device = new MemoryDevice();
  return {
    device,
    send: (packet) => void device.inject(packet),
    receive: () => device.collect().map(({ packet }) => packet),
    close: () => device.close(),
  };
});

describeDeviceContract('one of a memoryPair', () => {
  const [device, other] = memoryPair();
  const batch = new PacketBatch();
  return {
    device,
    send: (packet) => {
      batch.count = 0;
      other.write(batch, batch.push(packet));
    },
    receive: () => {
      other.read(batch);
      return Array.from({ length: batch.count }, (_, i) => batch.packet(i).slice());
    },
    close: () => {
      device.close();
      other.close();
    },
  };
});

describe('MemoryDevice', () => {
  it('passes the virtio header on from one device of a pair to the other', () => {
    const [a, b] = memoryPair();
    const header = new Uint8Array(10);
    writeVirtioHeader(new DataView(header.buffer), 10, {
      flags: 1,
      gsoType: VIRTIO_GSO_TCPV4,
      gsoSize: 1000,
    });
    const batch = new PacketBatch();
    a.write(batch, batch.push(buildTcp({ payloadLength: 3000 }), header));
    const read = new PacketBatch();
    expect(b.read(read)).toBe(1);
    expect(read.gsoSize[0]).toBe(1000);
    expect([...read.virtioHeader(0)]).toEqual([...header]);
  });

  it('refuses and counts a packet when the queue is full', () => {
    const device = new MemoryDevice({ queueLength: 2 });
    const batch = new PacketBatch();
    batch.push(buildTcp());
    expect([0, 1, 2].map(() => device.write(batch, 0))).toEqual([true, true, false]);
    expect(device.stats.writeErrors).toEqual({ queueFull: 1 });
    expect([0, 1, 2].map(() => device.inject(buildTcp()))).toEqual([true, true, false]);
  });

  it('refuses a write toward a closed peer', () => {
    const [a, b] = memoryPair();
    b.close();
    const batch = new PacketBatch();
    expect(a.write(batch, batch.push(buildTcp()))).toBe(false);
    expect(a.stats.writeErrors).toEqual({ closed: 1 });
  });

  it('names an unknown option and the known ones', () => {
    expect(() => new MemoryDevice({ queuelength: 2 } as never)).toThrow(/memory\.queuelength.*queueLength/);
  });
});
