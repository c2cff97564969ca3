/** Super-packets as the kernel hands them out through a TUN with offload: one TCP header, much payload, no checksum. */
import type { PacketBatch } from '../../lib/device/device.ts';
import {
  VIRTIO_FLAG_NEEDS_CSUM,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  writeVirtioHeader,
} from '../../lib/device/virtio-header.ts';
import { buildTcp, type TcpFields } from '../support/packets.ts';

/** Appends one to the batch and returns its index. */
export function superPacket(batch: PacketBatch, fields: TcpFields, gsoSize: number): number {
  const packet = buildTcp(fields);
  const isIpv4 = packet[0]! >> 4 === 4;
  const headerLength = isIpv4 ? (packet[0]! & 15) * 4 : 40;
  const view = new DataView(packet.buffer);
  view.setUint16(headerLength + 16, pseudoHeaderSum(view, headerLength, isIpv4));
  const header = new Uint8Array(10);
  writeVirtioHeader(new DataView(header.buffer), 10, {
    flags: VIRTIO_FLAG_NEEDS_CSUM,
    gsoType: isIpv4 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_TCPV6,
    headerLength: headerLength + (packet[headerLength + 12]! >> 4) * 4,
    gsoSize,
    checksumStart: headerLength,
    checksumOffset: 16,
  });
  return batch.push(packet, header);
}

/** What the kernel leaves in the checksum field: the sum over addresses, protocol and length, not complemented. */
export function pseudoHeaderSum(view: DataView, headerLength: number, isIpv4: boolean): number {
  let sum = 6 + view.byteLength - headerLength;
  for (let at = isIpv4 ? 12 : 8; at < (isIpv4 ? 20 : 40); at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
