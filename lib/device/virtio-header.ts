/**
 * The virtio_net_hdr in front of a packet: what a TUN opened with IFF_VNET_HDR reads and takes. It says which
 * work on the packet the kernel has put off: the transport checksum, the cutting into segments.
 *
 * ```
 *  offset  0        1          2          4          6           8            10
 *          +--------+----------+----------+----------+-----------+------------+----------
 *          | flags  | gso_type | hdr_len  | gso_size | csum_start| csum_offset| IP packet
 *          +--------+----------+----------+----------+-----------+------------+----------
 * ```
 * Sixteen-bit fields are little-endian (the device is opened with TUNSETVNETLE). Every function takes `at`, the
 * offset of the IP packet; the header ends there.
 *
 * @see Virtual I/O Device (VIRTIO) 1.2, section 5.1.6 "Device Operation"
 */

/** Bytes of the header, directly before the packet. */
export const VIRTIO_HEADER_BYTES = 10;

/** Flag: the checksum field holds only the pseudo-header's sum; the rest is to be added. */
export const VIRTIO_FLAG_NEEDS_CSUM = 1;

/** `gso_type`: an ordinary packet. */
export const VIRTIO_GSO_NONE = 0;
/** `gso_type`: TCP over IPv4, to be cut into segments of `gso_size` payload bytes. */
export const VIRTIO_GSO_TCPV4 = 1;
/** `gso_type`: TCP over IPv6. */
export const VIRTIO_GSO_TCPV6 = 4;
/** `gso_type`: UDP datagrams of `gso_size` payload bytes. */
export const VIRTIO_GSO_UDP_L4 = 5;
/** Bit set beside TCPV4 or TCPV6: the packet carries CWR, which only its first segment may keep. */
export const VIRTIO_GSO_ECN = 0x80;

/** The flags byte. @hotpath */
export function virtioFlags(view: DataView, at: number): number {
  return view.getUint8(at - 10);
}

/** The kind of super-packet, {@link VIRTIO_GSO_ECN} removed. @hotpath */
export function virtioGsoType(view: DataView, at: number): number {
  return view.getUint8(at - 9) & 0x7f;
}

/** Payload bytes of each segment of a super-packet; 0 for an ordinary packet, whatever the field says. @hotpath */
export function virtioGsoSize(view: DataView, at: number): number {
  return (view.getUint8(at - 9) & 0x7f) === VIRTIO_GSO_NONE ? 0 : view.getUint16(at - 6, true);
}

/** Where the sum to be completed starts, from the start of the packet. @hotpath */
export function virtioChecksumStart(view: DataView, at: number): number {
  return view.getUint16(at - 4, true);
}

/** Where the checksum field is, from {@link virtioChecksumStart}. @hotpath */
export function virtioChecksumOffset(view: DataView, at: number): number {
  return view.getUint16(at - 2, true);
}

/** Says that nothing was put off: ten zero bytes. @hotpath */
export function clearVirtioHeader(view: DataView, at: number): void {
  view.setUint32(at - 10, 0);
  view.setUint32(at - 6, 0);
  view.setUint16(at - 2, 0);
}

/** What {@link writeVirtioHeader} writes; fields left out are zero. */
export interface VirtioHeaderFields {
  flags?: number;
  gsoType?: number;
  headerLength?: number;
  gsoSize?: number;
  checksumStart?: number;
  checksumOffset?: number;
}

/** Writes a header before the packet at `at`. For tests and tools: it takes an object. */
export function writeVirtioHeader(view: DataView, at: number, fields: VirtioHeaderFields): void {
  view.setUint8(at - 10, fields.flags ?? 0);
  view.setUint8(at - 9, fields.gsoType ?? 0);
  view.setUint16(at - 8, fields.headerLength ?? 0, true);
  view.setUint16(at - 6, fields.gsoSize ?? 0, true);
  view.setUint16(at - 4, fields.checksumStart ?? 0, true);
  view.setUint16(at - 2, fields.checksumOffset ?? 0, true);
}
