/** The adapter for stream-shaped TUNs. */
import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { PacketBatch } from '../../lib/device/device.ts';
import { DuplexDevice } from '../../lib/device/duplex-device.ts';
import { isTransportChecksumValid } from '../../lib/wire/checksum.ts';
import { buildTcp } from '../support/packets.ts';
import { describeDeviceContract, eventually } from './contract.ts';
import { superPacket } from './super-packet.ts';

/** A stream as node-tuntap2 makes one: a chunk is a packet. Its sink can be made slow. */
class StreamTun extends Duplex {
  readonly written: Uint8Array[] = [];
  isStuck = false;
  #finish: (() => void) | undefined;

  constructor(highWaterMark = 100_000) {
    super({ highWaterMark });
  }

  override _read(): void {
    // Packets are pushed by the test.
  }

  override _write(chunk: Uint8Array, _encoding: string, callback: () => void): void {
    this.written.push(Uint8Array.from(chunk));
    if (this.isStuck) this.#finish = callback;
    else callback();
  }

  unstick(): void {
    this.isStuck = false;
    this.#finish?.();
  }
}

describeDeviceContract('DuplexDevice', () => {
  const stream = new StreamTun();
  const device = new DuplexDevice(stream);
  return {
    device,
    send: (packet) => void stream.emit('data', packet),
    receive: () => stream.written.splice(0),
    close: () => device.close(),
  };
});

describe('DuplexDevice', () => {
  it('reads the packets of a flowing node stream', async () => {
    const stream = new StreamTun();
    const device = new DuplexDevice(stream);
    stream.push(buildTcp({ payloadLength: 1 }));
    stream.push(buildTcp({ payloadLength: 2 }));
    const batch = new PacketBatch();
    const lengths: number[] = [];
    device.onReadable(() => {
      device.read(batch);
      lengths.push(...batch.length.subarray(0, batch.count));
    });
    await eventually(() => lengths.length === 2, 'two packets');
    expect(lengths).toEqual([41, 42]);
    device.close();
    expect(stream.destroyed).toBe(true);
  });

  it('writes a super-packet as complete segments', async () => {
    const stream = new StreamTun();
    const device = new DuplexDevice(stream);
    const batch = new PacketBatch();
    superPacket(batch, { payloadLength: 2500 }, 1000);
    expect(device.write(batch, 0)).toBe(true);
    await eventually(() => stream.written.length === 3, 'three segments');
    for (const segment of stream.written) {
      expect(isTransportChecksumValid(new DataView(segment.buffer), 0)).toBe(true);
    }
    expect(device.stats).toMatchObject({ packetsWritten: 1, bytesWritten: 2540 });
  });

  it('refuses a packet that contradicts its virtio header', () => {
    const device = new DuplexDevice(new StreamTun());
    const batch = new PacketBatch();
    superPacket(batch, { payloadLength: 2500 }, 0);
    expect(device.write(batch, 0)).toBe(false);
    expect(device.stats.writeErrors).toEqual({ malformed: 1 });
  });

  it('keeps packets while the stream is full, refuses what its queue cannot hold, and keeps their order', async () => {
    const stream = new StreamTun(50);
    stream.isStuck = true;
    const device = new DuplexDevice(stream, { queueLength: 2 });
    const batch = new PacketBatch();
    const results = [1, 2, 3, 4, 5].map((payloadLength) =>
      device.write(batch, batch.push(buildTcp({ payloadLength }))),
    );
    // Two go into the stream before it says "full", two wait here.
    expect(results).toEqual([true, true, true, true, false]);
    expect(device.stats.writeErrors).toEqual({ queueFull: 1 });
    stream.unstick();
    await eventually(() => stream.written.length === 4, 'four packets written');
    expect(stream.written.map(({ length }) => length)).toEqual([41, 42, 43, 44]);
  });

  it('pauses the stream while its queue is full, and resumes it when half is read', () => {
    const stream = new StreamTun();
    const device = new DuplexDevice(stream, { queueLength: 4 });
    for (let i = 0; i < 4; i++) stream.emit('data', buildTcp());
    expect(stream.isPaused()).toBe(true);
    stream.emit('data', buildTcp());
    expect(device.packetsDropped).toBe(1);
    device.read(new PacketBatch(2));
    expect(stream.isPaused()).toBe(false);
  });

  it('tells the loop once when the stream ends, and is not open then', async () => {
    const stream = new StreamTun();
    const device = new DuplexDevice(stream);
    let calls = 0;
    device.onReadable(() => {
      calls++;
      device.read(new PacketBatch(1));
    });
    stream.destroy(new Error('unplugged'));
    await eventually(() => calls > 0, 'the end told');
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(calls).toBe(1);
    expect(device.isOpen).toBe(false);
    expect(device.streamError?.message).toBe('unplugged');
  });
});
