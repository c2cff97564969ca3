/**
 * Finishes in software what a TUN with offload leaves to the network card, for devices that only take complete
 * packets (a stream, a capture file): completes the transport checksum, and cuts a TCP super-packet into segments.
 *
 * ```
 *   prepare(batch, i)  -> how many packets it becomes; 0: it contradicts its virtio header
 *   segment(k)         -> a copy of the k-th, complete
 * ```
 * UDP segmentation is not done: TunDevice never asks the kernel for it, so such a packet cannot be read.
 */
import { addBytes } from '../wire/ones-complement.ts';
import { fillTransportChecksum } from '../wire/checksum.ts';
import { fillHeaderChecksum } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH } from '../wire/ipv6.ts';
import {
  FRAGMENT_NONE,
  PacketView,
  PARSE_OK,
  parsePacket,
  TCP_CWR,
  TCP_FIN,
  TCP_PSH,
} from '../wire/packet-view.ts';
import { PROTOCOL_TCP } from '../wire/protocol-numbers.ts';
import type { PacketBatch } from './packet-batch.ts';
import {
  VIRTIO_FLAG_NEEDS_CSUM,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  virtioChecksumOffset,
  virtioChecksumStart,
  virtioFlags,
  virtioGsoSize,
  virtioGsoType,
} from './virtio-header.ts';

const IPV4_TOTAL_LENGTH = 2;
const IPV4_IDENTIFICATION = 4;
const IPV6_PAYLOAD_LENGTH = 4;
const TCP_SEQ_NUMBER = 4;
const TCP_FLAGS = 13;

/** Finishes one packet at a time; reusable. */
export class SoftwareOffload {
  readonly #packet = new PacketView();
  #bytes: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(new ArrayBuffer(0));
  #at = 0;
  #length = 0;
  #segments = 0;
  #gsoSize = 0;

  /**
   * Looks at packet i of the batch, which must not change until its segments have been taken.
   *
   * @returns how many packets it becomes, 1 for an ordinary one; 0 when it does not fit its virtio header
   */
  prepare(batch: PacketBatch, i: number): number {
    this.#bytes = batch.bytes;
    this.#view = batch.view;
    this.#at = batch.at[i]!;
    this.#length = batch.length[i]!;
    this.#gsoSize = virtioGsoSize(this.#view, this.#at);
    this.#segments = this.#countSegments();
    return this.#segments;
  }

  /**
   * The k-th packet, in bytes of its own.
   *
   * @param k - 0..count-1 of the last {@link prepare}
   */
  segment(k: number): Uint8Array {
    return this.#gsoSize === 0 ? this.#completed() : this.#cut(k);
  }

  #countSegments(): number {
    const type = virtioGsoType(this.#view, this.#at);
    if (type === VIRTIO_GSO_NONE) return this.#canComplete() ? 1 : 0;
    const packet = this.#packet;
    const code = parsePacket(this.#view, this.#at, this.#length, packet);
    const isTcp = code === PARSE_OK && packet.protocol === PROTOCOL_TCP && packet.fragment === FRAGMENT_NONE;
    if (
      !isTcp ||
      type !== (packet.version === 4 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_TCPV6) ||
      this.#gsoSize === 0
    )
      return 0;
    return Math.max(1, Math.ceil(packet.payloadLength / this.#gsoSize));
  }

  #canComplete(): boolean {
    if (!this.#needsChecksum()) return true;
    const start = virtioChecksumStart(this.#view, this.#at);
    return start + virtioChecksumOffset(this.#view, this.#at) + 2 <= this.#length;
  }

  #needsChecksum(): boolean {
    return (virtioFlags(this.#view, this.#at) & VIRTIO_FLAG_NEEDS_CSUM) !== 0;
  }

  /** The packet as it is, its checksum completed. The field holds the pseudo-header's sum already. */
  #completed(): Uint8Array {
    const bytes = this.#bytes.slice(this.#at, this.#at + this.#length);
    if (!this.#needsChecksum()) return bytes;
    const start = virtioChecksumStart(this.#view, this.#at);
    const view = new DataView(bytes.buffer);
    const checksum = ~addBytes(0, view, start, bytes.length - start) & 0xffff;
    // Zero would say "no checksum" in UDP; its other form in one's complement means the same sum everywhere.
    view.setUint16(start + virtioChecksumOffset(this.#view, this.#at), checksum === 0 ? 0xffff : checksum);
    return bytes;
  }

  /** One segment of a super-packet. @see RFC 9293 section 3.8.3 */
  #cut(k: number): Uint8Array {
    const packet = this.#packet;
    const headers = packet.payloadAt - packet.at;
    const from = packet.payloadAt + k * this.#gsoSize;
    const payloadLength = Math.min(this.#gsoSize, packet.payloadAt + packet.payloadLength - from);
    const bytes = new Uint8Array(headers + payloadLength);
    bytes.set(this.#bytes.subarray(packet.at, packet.payloadAt));
    bytes.set(this.#bytes.subarray(from, from + payloadLength), headers);
    const view = new DataView(bytes.buffer);
    writeSegmentTcp(view, packet.headerLength, k, k === this.#segments - 1, this.#gsoSize);
    if (packet.version === 4) {
      view.setUint16(IPV4_TOTAL_LENGTH, bytes.length);
      view.setUint16(IPV4_IDENTIFICATION, view.getUint16(IPV4_IDENTIFICATION) + k);
      fillHeaderChecksum(view, 0);
    } else {
      view.setUint16(IPV6_PAYLOAD_LENGTH, bytes.length - IPV6_HEADER_LENGTH);
    }
    fillTransportChecksum(view, 0);
    return bytes;
  }
}

function writeSegmentTcp(view: DataView, tcpAt: number, k: number, isLast: boolean, gsoSize: number): void {
  view.setUint32(tcpAt + TCP_SEQ_NUMBER, view.getUint32(tcpAt + TCP_SEQ_NUMBER) + k * gsoSize);
  let flags = view.getUint8(tcpAt + TCP_FLAGS);
  if (!isLast) flags &= ~(TCP_FIN | TCP_PSH);
  // CWR answers one ECE: it may be sent once (RFC 3168 section 6.1.2).
  if (k > 0) flags &= ~TCP_CWR;
  view.setUint8(tcpAt + TCP_FLAGS, flags);
}
