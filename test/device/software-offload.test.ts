/** Segmentation and checksums in software. The kernel's own segments are the oracle in test/netns/tun-device.test.ts. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketBatch } from '../../lib/device/device.ts';
import { SoftwareOffload } from '../../lib/device/software-offload.ts';
import { writeVirtioHeader } from '../../lib/device/virtio-header.ts';
import { isTransportChecksumValid } from '../../lib/wire/checksum.ts';
import { isHeaderChecksumValid } from '../../lib/wire/ipv4.ts';
import {
  PacketView,
  PARSE_OK,
  parsePacket,
  TCP_ACK,
  TCP_CWR,
  TCP_FIN,
  TCP_PSH,
} from '../../lib/wire/packet-view.ts';
import { buildTcp, buildUdp, type TcpFields } from '../support/packets.ts';
import { pseudoHeaderSum, superPacket } from './super-packet.ts';

function segmentsOf(batch: PacketBatch, i = 0): Uint8Array[] {
  const offload = new SoftwareOffload();
  return Array.from({ length: offload.prepare(batch, i) }, (_, k) => offload.segment(k));
}

function parse(packet: Uint8Array): PacketView {
  const out = new PacketView();
  expect(parsePacket(new DataView(packet.buffer), 0, packet.length, out)).toBe(PARSE_OK);
  return out;
}

const tcpFields = fc.record({
  isIpv4: fc.boolean(),
  payload: fc.uint8Array({ minLength: 0, maxLength: 4000 }),
  seqNumber: fc.integer({ min: 0, max: 0xffffffff }),
  tcpFlags: fc.integer({ min: 0, max: 255 }),
  identification: fc.integer({ min: 0, max: 0xffff }),
  hasTimestamps: fc.boolean(),
});

describe('SoftwareOffload', () => {
  it('cuts any super-packet into valid segments that carry its payload', () => {
    fc.assert(
      fc.property(
        tcpFields,
        fc.integer({ min: 1, max: 1500 }),
        ({ isIpv4, hasTimestamps, ...fields }, gsoSize) => {
          const all: TcpFields = {
            ...fields,
            ...(isIpv4 ? {} : { src: 'fd00::1', dst: 'fd00::2' }),
            ...(hasTimestamps ? { timestamps: [5, 6] as const } : {}),
          };
          const batch = new PacketBatch(1);
          superPacket(batch, all, gsoSize);
          const segments = segmentsOf(batch);
          expect(segments).toHaveLength(Math.max(1, Math.ceil(fields.payload.length / gsoSize)));
          const payload: number[] = [];
          segments.forEach((segment, k) => {
            const packet = parse(segment);
            const view = new DataView(segment.buffer);
            const isLast = k === segments.length - 1;
            expect(isTransportChecksumValid(view, 0)).toBe(true);
            if (isIpv4) expect(isHeaderChecksumValid(view, 0)).toBe(true);
            if (isIpv4) expect(view.getUint16(4)).toBe((fields.identification + k) & 0xffff);
            expect(packet.length).toBe(segment.length);
            expect(packet.seqNumber).toBe((fields.seqNumber + k * gsoSize) | 0);
            expect(packet.hasTimestamp).toBe(hasTimestamps ? 1 : 0);
            const gone = (isLast ? 0 : TCP_FIN | TCP_PSH) | (k === 0 ? 0 : TCP_CWR);
            expect(packet.tcpFlags).toBe(fields.tcpFlags & ~gone);
            payload.push(...segment.subarray(packet.payloadAt, packet.payloadAt + packet.payloadLength));
          });
          expect(Buffer.compare(Uint8Array.from(payload), fields.payload)).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('keeps FIN and PSH for the last segment and CWR for the first', () => {
    const batch = new PacketBatch(1);
    superPacket(batch, { payloadLength: 25, tcpFlags: TCP_ACK | TCP_FIN | TCP_PSH | TCP_CWR }, 10);
    expect(segmentsOf(batch).map((segment) => parse(segment).tcpFlags)).toEqual([
      TCP_ACK | TCP_CWR,
      TCP_ACK,
      TCP_ACK | TCP_FIN | TCP_PSH,
    ]);
  });

  it('completes a deferred checksum', () => {
    const right = buildTcp({ payloadLength: 333 });
    const packet = right.slice();
    const view = new DataView(packet.buffer);
    view.setUint16(36, pseudoHeaderSum(view, 20, true));
    const header = new Uint8Array(10);
    writeVirtioHeader(new DataView(header.buffer), 10, { flags: 1, checksumStart: 20, checksumOffset: 16 });
    const batch = new PacketBatch(1);
    batch.push(packet, header);
    const [completed] = segmentsOf(batch);
    expect(Buffer.compare(completed!, right)).toBe(0);
    expect(Buffer.compare(batch.packet(0), packet)).toBe(0);
  });

  it('copies a complete packet as it is', () => {
    const batch = new PacketBatch(1);
    const packet = buildUdp({ payloadLength: 9 });
    batch.push(packet);
    expect(segmentsOf(batch)).toEqual([packet]);
  });

  it.each([
    ['a checksum field beyond the packet', buildTcp(), { flags: 1, checksumStart: 30, checksumOffset: 16 }],
    [
      'a TCP super-packet that is UDP',
      buildUdp({ payloadLength: 50 }),
      { flags: 1, gsoType: 1, gsoSize: 10 },
    ],
    ['IPv6 segmentation of IPv4', buildTcp({ payloadLength: 50 }), { flags: 1, gsoType: 4, gsoSize: 10 }],
    ['a segment size of nothing', buildTcp({ payloadLength: 50 }), { flags: 1, gsoType: 1, gsoSize: 0 }],
    ['bytes that are not IP', new Uint8Array(50), { flags: 1, gsoType: 1, gsoSize: 10 }],
  ])('says zero for %s', (_, packet, fields) => {
    const header = new Uint8Array(10);
    writeVirtioHeader(new DataView(header.buffer), 10, fields);
    const batch = new PacketBatch(1);
    batch.push(packet, header);
    expect(segmentsOf(batch)).toEqual([]);
  });

  it('never throws, whatever the bytes', () => {
    const batch = new PacketBatch(1);
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.uint8Array({ minLength: 10, maxLength: 10 }),
        (packet, header) => {
          batch.count = 0;
          batch.push(packet, header);
          for (const segment of segmentsOf(batch)) expect(segment.length).toBeLessThanOrEqual(packet.length);
        },
      ),
    );
  });
});
