/**
 * What every device does, whatever is behind it. Called by the tests of each device with a harness that stands on the
 * device's other side; packets are told apart by a number in their payload.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PacketBatch, slotAt, type Device } from '../../lib/device/device.ts';
import { buildUdp } from '../support/packets.ts';

/** The other side of a device under test. */
export interface DeviceHarness {
  readonly device: Device;
  /** Makes a packet from 10.98.0.2 to 10.99.0.2 readable at the device. */
  send(packet: Uint8Array): void;
  /** Packets that came out of the device, oldest first. */
  receive(): Uint8Array[];
  close(): void;
}

/** The number that {@link numberedPacket} put in. */
export function packetNumber(packet: Uint8Array): number {
  return new DataView(packet.buffer, packet.byteOffset).getUint32(28);
}

function numberedPacket(number: number, src: string, dst: string): Uint8Array {
  const payload = new Uint8Array(20 + (number % 7));
  new DataView(payload.buffer).setUint32(0, number);
  return buildUdp({ src, dst, payload });
}

/** Waits for a condition in turns of the event loop. */
export async function eventually(isTrue: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(`waited 5 s in vain: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Defines the tests. */
export function describeDeviceContract(name: string, makeHarness: () => DeviceHarness): void {
  describe(`${name} keeps the device contract`, () => {
    let harness: DeviceHarness;
    let device: Device;
    beforeEach(() => {
      harness = makeHarness();
      device = harness.device;
    });
    afterEach(() => harness.close());

    const sendNumbers = (...numbers: number[]): void => {
      for (const number of numbers) harness.send(numberedPacket(number, '10.98.0.2', '10.99.0.2'));
    };
    const numbersIn = (batch: PacketBatch): number[] =>
      Array.from({ length: batch.count }, (_, i) => packetNumber(batch.packet(i)));
    const outbound = (...numbers: number[]): PacketBatch => {
      const batch = new PacketBatch();
      for (const number of numbers) batch.push(numberedPacket(number, '10.99.0.2', '10.98.0.2'));
      return batch;
    };

    it('reads nothing when nothing waits', () => {
      const batch = new PacketBatch(4);
      batch.count = 3;
      expect(device.read(batch)).toBe(0);
      expect(batch.count).toBe(0);
    });

    it('reads waiting packets in order, each at the start of its slot', () => {
      const batch = new PacketBatch(8);
      sendNumbers(1, 2, 3);
      expect(device.read(batch)).toBe(3);
      expect(numbersIn(batch)).toEqual([1, 2, 3]);
      expect([...batch.at.subarray(0, 3)]).toEqual([slotAt(0), slotAt(1), slotAt(2)]);
      expect([...batch.length.subarray(0, 3)]).toEqual([49, 50, 51]);
      expect([...batch.gsoSize.subarray(0, 3)]).toEqual([0, 0, 0]);
    });

    it('leaves for the next read what a full batch cannot hold', () => {
      const batch = new PacketBatch(2);
      sendNumbers(1, 2, 3);
      expect(device.read(batch)).toBe(2);
      expect(numbersIn(batch)).toEqual([1, 2]);
      expect(device.read(batch)).toBe(1);
      expect(numbersIn(batch)).toEqual([3]);
      expect(device.read(batch)).toBe(0);
    });

    it('writes the packets of any batch in order and leaves their bytes as they are', async () => {
      const batch = outbound(7, 8, 9);
      const before = batch.bytes.slice(0, slotAt(3));
      for (let i = 0; i < 3; i++) expect(device.write(batch, i)).toBe(true);
      const received: Uint8Array[] = [];
      await eventually(() => received.push(...harness.receive()) >= 3, 'three packets written');
      expect(received.map(packetNumber)).toEqual([7, 8, 9]);
      expect(Buffer.compare(batch.bytes.subarray(0, slotAt(3)), before)).toBe(0);
    });

    it('writes a packet from wherever the batch says that it is', async () => {
      const batch = outbound(5);
      const at = batch.at[0]!;
      // Sixteen bytes further: the virtio header moves along with the packet.
      batch.bytes.copyWithin(at - 10 + 16, at - 10, at + batch.length[0]!);
      batch.at[0] = at + 16;
      expect(device.write(batch, 0)).toBe(true);
      const received: Uint8Array[] = [];
      await eventually(() => received.push(...harness.receive()) >= 1, 'one packet written');
      expect(packetNumber(received[0]!)).toBe(5);
    });

    it('counts packets and bytes of both directions', () => {
      sendNumbers(7, 7);
      device.read(new PacketBatch());
      device.write(outbound(7), 0);
      expect(device.stats).toMatchObject({
        packetsRead: 2,
        bytesRead: 96,
        packetsWritten: 1,
        bytesWritten: 48,
      });
      expect(device.stats.packetsRefused).toBe(0);
    });

    it('calls back while packets wait, and not after they have been read', async () => {
      const batch = new PacketBatch(1);
      const numbers: number[] = [];
      let calls = 0;
      const stop = device.onReadable(() => {
        calls++;
        device.read(batch);
        numbers.push(...numbersIn(batch));
      });
      sendNumbers(1, 2, 3);
      await eventually(() => numbers.length === 3, 'three packets read');
      const callsWhenDrained = calls;
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(numbers).toEqual([1, 2, 3]);
      expect(calls).toBe(callsWhenDrained);
      stop();
    });

    it('calls back for packets that waited before the callback was set', async () => {
      const batch = new PacketBatch();
      sendNumbers(4);
      let count = 0;
      const stop = device.onReadable(() => (count += device.read(batch)));
      await eventually(() => count === 1, 'the packet read');
      stop();
    });

    it('does not call back once stopped, and takes a new callback then', async () => {
      let calls = 0;
      const stop = device.onReadable(() => void calls++);
      stop();
      stop();
      sendNumbers(1);
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      expect(calls).toBe(0);
      device.onReadable(() => void calls++)();
    });

    it('refuses a second callback', () => {
      const stop = device.onReadable(() => undefined);
      expect(() => device.onReadable(() => undefined)).toThrow(/readable callback is set already/);
      stop();
    });

    it('is closed for good: reads nothing, refuses packets and counts them', () => {
      sendNumbers(1);
      device.onReadable(() => undefined);
      expect(device.isOpen).toBe(true);
      device.close();
      device.close();
      expect(device.isOpen).toBe(false);
      expect(device.read(new PacketBatch(1))).toBe(0);
      expect(device.write(outbound(1), 0)).toBe(false);
      expect(device.stats.writeErrors).toEqual({ closed: 1 });
      expect(device.stats.packetsRefused).toBe(1);
      expect(() => device.onReadable(() => undefined)).toThrow(/is closed/);
    });
  });
}
