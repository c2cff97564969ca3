/** Capture files: the format, and the device that writes them. Checked against tcpdump and tshark where installed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { PacketBatch } from '../../lib/device/device.ts';
import { MemoryDevice } from '../../lib/device/memory-device.ts';
import { LINKTYPE_RAW, readPcap } from '../../lib/device/pcap.ts';
import { withPcap } from '../../lib/device/with-pcap.ts';
import { buildTcp, buildUdp } from '../support/packets.ts';
import { describeDeviceContract } from './contract.ts';
import { superPacket } from './super-packet.ts';

const folder = mkdtempSync(join(tmpdir(), 'preflex-pcap-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = (): string => join(folder, `${files++}.pcap`);
const hasTool = (tool: string): boolean => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;

describeDeviceContract('withPcap', () => {
  const memory = new MemoryDevice();
  const device = withPcap(memory, { path: newPath() });
  return {
    device,
    send: (packet) => void memory.inject(packet),
    receive: () => memory.collect().map(({ packet }) => packet),
    close: () => device.close(),
  };
});

describe('withPcap', () => {
  // A port without a protocol of its own: the payload is not one.
  const udp = buildUdp({ src: '10.0.0.1', dst: '10.0.0.2', dstPort: 40001, payloadLength: 30 });
  const tcp = buildTcp({ src: 'fd00::1', dst: 'fd00::2', payloadLength: 5 });

  /** Captures udp read at 1.000000001 s and tcp written at 2.5 s past the epoch 1,000,000,000 s. */
  function capture(direction?: 'read' | 'written'): string {
    const path = newPath();
    const memory = new MemoryDevice();
    const times = [1_000_000_001, 2_500_000_000];
    const device = withPcap(memory, {
      path,
      epochMs: 1_000_000_000_000,
      clock: () => times.shift()!,
      ...(direction === undefined ? {} : { direction }),
    });
    memory.inject(udp);
    const batch = new PacketBatch();
    device.read(batch);
    if (direction === 'written') times.shift();
    batch.count = 0;
    device.write(batch, batch.push(tcp));
    device.close();
    return path;
  }

  it('stores the packets read and written with their times to the nanosecond', () => {
    const file = readPcap(readFileSync(capture()));
    expect(file.linkType).toBe(LINKTYPE_RAW);
    expect(file.isTruncated).toBe(false);
    expect(file.records.map(({ seconds, nanoseconds }) => [seconds, nanoseconds])).toEqual([
      [1_000_000_001, 1],
      [1_000_000_002, 500_000_000],
    ]);
    expect(
      file.records.map(({ bytes }) => Buffer.compare(bytes, udp) === 0 || Buffer.compare(bytes, tcp) === 0),
    ).toEqual([true, true]);
  });

  it('stores one direction when asked to', () => {
    expect(readPcap(readFileSync(capture('read'))).records.map(({ bytes }) => bytes.length)).toEqual([
      udp.length,
    ]);
    expect(readPcap(readFileSync(capture('written'))).records.map(({ bytes }) => bytes.length)).toEqual([
      tcp.length,
    ]);
  });

  it('stores a super-packet as the segments that will be on the wire', () => {
    const path = newPath();
    const device = withPcap(new MemoryDevice(), { path });
    const batch = new PacketBatch();
    superPacket(batch, { payloadLength: 3500 }, 1000);
    device.write(batch, 0);
    device.close();
    expect(readPcap(readFileSync(path)).records.map(({ bytes }) => bytes.length)).toEqual([
      1040, 1040, 1040, 540,
    ]);
  });

  it('does not store what the device refused', () => {
    const path = newPath();
    const device = withPcap(new MemoryDevice({ queueLength: 1 }), { path });
    const batch = new PacketBatch();
    batch.push(udp);
    expect([device.write(batch, 0), device.write(batch, 0)]).toEqual([true, false]);
    expect(device.packetsCaptured).toBe(1);
    device.close();
  });

  it('goes on forwarding when the file cannot be written', () => {
    const memory = new MemoryDevice();
    const device = withPcap(memory, { path: '/dev/full' });
    const batch = new PacketBatch();
    batch.push(udp);
    device.flush();
    expect(device.captureError).toMatchObject({ code: 'ENOSPC' });
    expect(device.write(batch, 0)).toBe(true);
    expect(memory.collect()).toHaveLength(1);
    device.close();
  });

  it('names the file that cannot be created', () => {
    expect(() => withPcap(new MemoryDevice(), { path: join(folder, 'no', 'such') })).toThrow(
      /capture file.*no\/such/,
    );
  });

  it.skipIf(!hasTool('tcpdump'))('is read by tcpdump, which finds every checksum right', () => {
    const text = execFileSync('tcpdump', ['-nvvr', capture()], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(text).toContain('10.0.0.1.40000 > 10.0.0.2.40001');
    expect(text).toContain('fd00::1.40000 > fd00::2.80');
    expect(text).toContain('[udp sum ok]');
    expect(text).toMatch(/cksum 0x[0-9a-f]+ \(correct\)/);
    expect(text).not.toMatch(/incorrect|bad/);
  });

  it.skipIf(!hasTool('tshark'))(
    'is read by tshark with the same times',
    () => {
      const fields = ['-T', 'fields', '-e', 'frame.time_epoch', '-e', 'frame.len', '-e', '_ws.malformed'];
      const text = execFileSync('tshark', ['-nr', capture(), ...fields], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      expect(
        text
          .trim()
          .split('\n')
          .map((line) => line.trim().split('\t')),
      ).toEqual([
        ['1000000001.000000001', String(udp.length)],
        ['1000000002.500000000', String(tcp.length)],
      ]);
    },
    60_000,
  );
});

describe('readPcap', () => {
  const header = (magic: number, isLittleEndian: boolean): Uint8Array => {
    const bytes = new Uint8Array(24 + 16 + 3);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, magic, isLittleEndian);
    view.setUint32(20, 1, isLittleEndian);
    for (const [i, value] of [10, 20, 3, 90].entries()) view.setUint32(24 + 4 * i, value, isLittleEndian);
    bytes.set([7, 8, 9], 40);
    return bytes;
  };

  it.each([
    ['big-endian, microseconds', 0xa1b2c3d4, false, 20_000],
    ['little-endian, microseconds', 0xa1b2c3d4, true, 20_000],
    ['big-endian, nanoseconds', 0xa1b23c4d, false, 20],
  ])('reads files that are %s', (_, magic, isLittleEndian, nanoseconds) => {
    expect(readPcap(header(magic, isLittleEndian))).toEqual({
      linkType: 1,
      isTruncated: false,
      records: [{ seconds: 10, nanoseconds, originalLength: 90, bytes: Uint8Array.of(7, 8, 9) }],
    });
  });

  it('gives the complete records of a file that ends inside one', () => {
    const file = header(0xa1b2c3d4, true);
    expect(readPcap(file.subarray(0, 42))).toMatchObject({ isTruncated: true, records: [] });
  });

  it('refuses another format', () => {
    expect(() => readPcap(new Uint8Array(100))).toThrow(/not a pcap file/);
    expect(() => readPcap(new Uint8Array(3))).toThrow(/not a pcap file/);
  });
});
