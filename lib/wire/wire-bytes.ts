/**
 * What a packet weighs on the wire. Behind a TUN device with segmentation offload one read gives a super-packet of
 * up to 64 KiB; the kernel or the network card cuts it later, and each piece gets headers of its own.
 */
import type { PacketView } from './packet-view.ts';

/**
 * Into how many IP packets a super-packet will be cut; 1 for any other.
 *
 * @param packet - as parsePacket filled it
 * @param gsoSize - bytes of transport payload in each piece, as in virtio_net_hdr; 0 for none. @hotpath
 */
export function wireSegments(packet: PacketView, gsoSize: number): number {
  if (gsoSize <= 0 || packet.payloadLength <= gsoSize) return 1;
  return Math.floor((packet.payloadLength + gsoSize - 1) / gsoSize);
}

/**
 * Bytes of IP packets, headers included, that the packet becomes on the wire.
 *
 * @param packet - as parsePacket filled it
 * @param gsoSize - bytes of transport payload in each piece, as in virtio_net_hdr; 0 for none. @hotpath
 */
export function wireBytes(packet: PacketView, gsoSize: number): number {
  const segments = wireSegments(packet, gsoSize);
  if (segments === 1) return packet.length;
  return segments * (packet.payloadAt - packet.at) + packet.payloadLength;
}
