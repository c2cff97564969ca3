/** Fault injection. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketBatch } from '../../lib/device/device.ts';
import { MemoryDevice } from '../../lib/device/memory-device.ts';
import { seededRandom } from '../../lib/device/random.ts';
import { withFaults, type FaultOptions, type FaultyDevice } from '../../lib/device/with-faults.ts';
import { isTransportChecksumValid } from '../../lib/wire/checksum.ts';
import { buildUdp } from '../support/packets.ts';
import { describeDeviceContract } from './contract.ts';
import { superPacket } from './super-packet.ts';

describeDeviceContract('withFaults without faults', () => {
  const memory = new MemoryDevice();
  const device = withFaults(memory, { random: seededRandom(1) });
  return {
    device,
    send: (packet) => void memory.inject(packet),
    receive: () => memory.collect().map(({ packet }) => packet),
    close: () => device.close(),
  };
});

const packetOf = (number: number): Uint8Array =>
  buildUdp({ payload: Uint8Array.of(number >> 8, number & 255) });
const numberOf = (packet: Uint8Array): number => (packet[28]! << 8) | packet[29]!;

/** Writes packets 0..count-1 through the faults and gives what came out. */
function written(
  write: FaultOptions,
  count: number,
  seed = 1,
): { packets: Uint8Array[]; device: FaultyDevice } {
  const memory = new MemoryDevice();
  const device = withFaults(memory, { random: seededRandom(seed), write });
  const batch = new PacketBatch(1);
  for (let number = 0; number < count; number++) {
    batch.count = 0;
    expect(device.write(batch, batch.push(packetOf(number)))).toBe(true);
  }
  return { packets: memory.collect().map(({ packet }) => packet), device };
}

describe('withFaults', () => {
  it('loses packets with the given probability and counts them', () => {
    const { packets, device } = written({ drop: 0.3 }, 2000);
    expect(device.writeFaults.dropped).toBe(2000 - packets.length);
    expect(device.writeFaults.dropped).toBeGreaterThan(500);
    expect(device.writeFaults.dropped).toBeLessThan(700);
  });

  it('does the same again with the same seed, and something else with another', () => {
    const faults = { drop: 0.2, duplicate: 0.1, hold: 0.1, corrupt: 0.1, truncate: 0.1 };
    const run = (seed: number): string[] =>
      written(faults, 200, seed).packets.map((p) => Buffer.from(p).toString('hex'));
    expect(run(7)).toEqual(run(7));
    expect(run(7)).not.toEqual(run(8));
  });

  it('lets a held packet be overtaken by the given number of packets', () => {
    const draws = [0, 1, 1, 1, 1];
    const memory = new MemoryDevice();
    const device = withFaults(memory, { random: () => draws.shift()!, write: { hold: 0.5, holdPackets: 2 } });
    const batch = new PacketBatch();
    for (let number = 0; number < 5; number++) device.write(batch, batch.push(packetOf(number)));
    expect(memory.collect().map(({ packet }) => numberOf(packet))).toEqual([1, 2, 0, 3, 4]);
  });

  it('keeps a held packet until flush() when nothing follows', () => {
    const memory = new MemoryDevice();
    const device = withFaults(memory, { random: () => 0, write: { hold: 1 } });
    const batch = new PacketBatch();
    device.write(batch, batch.push(packetOf(9)));
    expect(memory.collect()).toHaveLength(0);
    expect(device.heldNow).toBe(1);
    device.flush();
    expect(memory.collect().map(({ packet }) => numberOf(packet))).toEqual([9]);
  });

  it('changes exactly one byte of a corrupted packet', () => {
    const { packets, device } = written({ corrupt: 1 }, 100);
    expect(device.writeFaults.corrupted).toBe(100);
    packets.forEach((packet, number) => {
      const original = packetOf(number);
      expect(packet.filter((byte, at) => byte !== original[at])).toHaveLength(1);
    });
  });

  it('completes a deferred checksum before corrupting, so that a receiver can notice', () => {
    const memory = new MemoryDevice();
    const draws = [0, 0.99, 0.5];
    const device = withFaults(memory, { random: () => draws.shift()!, write: { corrupt: 1 } });
    const batch = new PacketBatch();
    superPacket(batch, { payloadLength: 100 }, 1000);
    // An ordinary packet with a deferred checksum.
    batch.bytes[batch.at[0]! - 9] = 0;
    batch.gsoSize[0] = 0;
    device.write(batch, 0);
    const [{ packet, virtioHeader }] = memory.collect() as [ReturnType<MemoryDevice['collect']>[0]];
    expect([...virtioHeader]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(isTransportChecksumValid(new DataView(packet.slice().buffer), 0)).toBe(false);
  });

  it('passes a super-packet uncorrupted and counts that', () => {
    const memory = new MemoryDevice();
    const device = withFaults(memory, { random: seededRandom(1), write: { corrupt: 1 } });
    const batch = new PacketBatch();
    superPacket(batch, { payloadLength: 3000 }, 1000);
    device.write(batch, 0);
    expect(Buffer.compare(memory.collect()[0]!.packet, batch.packet(0))).toBe(0);
    expect(device.writeFaults).toMatchObject({ uncorruptible: 1, corrupted: 0, passed: 1 });
  });

  it('cuts a packet short but leaves at least a byte', () => {
    const { packets, device } = written({ truncate: 1 }, 200);
    expect(device.writeFaults.truncated).toBe(200);
    packets.forEach((packet, number) => {
      expect(packet.length).toBeGreaterThanOrEqual(1);
      expect(packet.length).toBeLessThan(packetOf(number).length);
    });
  });

  it('mistreats packets read the same way, and gives copies that did not fit with the next read', () => {
    const memory = new MemoryDevice();
    const device = withFaults(memory, { random: seededRandom(1), read: { duplicate: 1 } });
    for (const number of [1, 2]) memory.inject(packetOf(number));
    const batch = new PacketBatch(3);
    const read = (): number[] => {
      device.read(batch);
      return Array.from({ length: batch.count }, (_, i) => numberOf(batch.packet(i)));
    };
    expect(read()).toEqual([1, 1, 2]);
    expect(read()).toEqual([2]);
    expect(read()).toEqual([]);
    expect(device.readFaults).toMatchObject({ packets: 2, duplicated: 2, passed: 4 });
  });

  it('accounts for every packet: passed + dropped + held = packets + duplicated', () => {
    const probability = fc.double({ min: 0, max: 1, noNaN: true });
    const faults = fc.record({
      drop: probability,
      duplicate: probability,
      hold: probability,
      truncate: probability,
    });
    fc.assert(
      fc.property(faults, fc.nat(1000), (write, seed) => {
        const { packets, device } = written(write, 50, seed);
        const { passed, dropped, packets: came, duplicated } = device.writeFaults;
        expect(passed + dropped + device.heldNow).toBe(came + duplicated);
        expect(packets).toHaveLength(passed);
      }),
      { numRuns: 30 },
    );
  });

  it('names a probability that is none, and an unknown fault', () => {
    const wrap = (write: object): unknown => withFaults(new MemoryDevice(), { random: Math.random, write });
    expect(() => wrap({ drop: 1.5 })).toThrow(/faults\.write\.drop.*from 0 to 1/);
    expect(() => wrap({ lose: 0.5 })).toThrow(/faults\.write\.lose/);
  });
});

describe('seededRandom', () => {
  it('gives evenly spread numbers in [0, 1)', () => {
    const random = seededRandom(42);
    const bins = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) bins[Math.floor(random() * 10)]!++;
    for (const bin of bins) expect(Math.abs(bin - 1000)).toBeLessThan(150);
  });

  it('refuses a seed that is not a 32-bit whole number', () => {
    expect(() => seededRandom(-1)).toThrow(/seed/);
  });
});
