/** Writes whole packets, right and wrong ones, into one buffer: Ethernet, IPv4 or IPv6, TCP or UDP or anything else. */
import { internetChecksum } from '../../wire/checksum.ts';
import { PROTOCOL_AUTHENTICATION, PROTOCOL_FRAGMENT } from '../../wire/protocol-numbers.ts';

/** Bytes of the Ethernet header in front of each packet. */
export const ETHERNET_BYTES = 14;

/** The network layer of a packet. */
export interface NetworkFields {
  readonly version: 4 | 6;
  /** int32 words: one for IPv4, four for IPv6. */
  readonly src: readonly number[];
  readonly dst: readonly number[];
  readonly dscp: number;
  readonly protocol: number;
  /** Words of IPv4 options, 0..10. */
  readonly optionWords?: number;
  /** IPv6 extension headers, by their numbers. */
  readonly extensions?: readonly number[];
  readonly fragment?: { readonly offset: number; readonly more: boolean; readonly identification: number };
}

/** A TCP segment. */
export interface SegmentFields {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  /** Bytes of options, padded with zeros to words. */
  readonly options?: readonly number[];
  readonly payload: number;
}

/** A buffer for one packet at a time. */
export class PacketWriter {
  /** The frame; the IP packet begins at {@link ETHERNET_BYTES}. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** @param bytes - at least 2,048, beginning where their buffer does */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, 0, bytes.length);
  }

  /** Writes a TCP segment; bytes of the IP packet. */
  segment(network: NetworkFields, fields: SegmentFields): number {
    const view = this.#view;
    const at = this.#network(network);
    const options = Math.ceil((fields.options?.length ?? 0) / 4) * 4;
    view.setUint16(at, fields.srcPort);
    view.setUint16(at + 2, fields.dstPort);
    view.setInt32(at + 4, fields.seq);
    view.setInt32(at + 8, fields.ack);
    view.setUint16(at + 12, ((5 + options / 4) << 12) | fields.flags);
    view.setUint16(at + 14, fields.window);
    view.setUint32(at + 16, 0);
    this.bytes.fill(0, at + 20, at + 20 + options);
    this.bytes.set(fields.options ?? [], at + 20);
    return this.#finish(network, at + 20 + options + fields.payload);
  }

  /** Writes a UDP datagram; bytes of the IP packet. */
  datagram(network: NetworkFields, srcPort: number, dstPort: number, payload: number): number {
    const at = this.#network(network);
    this.#view.setUint16(at, srcPort);
    this.#view.setUint16(at + 2, dstPort);
    this.#view.setUint16(at + 4, 8 + payload);
    this.#view.setUint16(at + 6, 0);
    return this.#finish(network, at + 8 + payload);
  }

  /** Writes a packet of any other protocol; bytes of the IP packet. */
  other(network: NetworkFields, payload: number): number {
    const at = this.#network(network);
    this.bytes.fill(0x55, at, at + payload);
    return this.#finish(network, at + payload);
  }

  /** The network layer, without what depends on the length; where the transport begins. */
  #network(network: NetworkFields): number {
    const view = this.#view;
    this.bytes.fill(0, 0, ETHERNET_BYTES);
    const at = ETHERNET_BYTES;
    if (network.version === 4) {
      view.setUint16(12, 0x0800);
      const words = 5 + (network.optionWords ?? 0);
      const { fragment } = network;
      view.setUint16(at, ((0x40 | words) << 8) | (network.dscp << 2));
      view.setUint16(at + 4, fragment?.identification ?? 0);
      view.setUint16(at + 6, fragment === undefined ? 0 : (fragment.more ? 0x2000 : 0) | fragment.offset);
      view.setUint16(at + 8, (64 << 8) | network.protocol);
      view.setInt32(at + 12, network.src[0]);
      view.setInt32(at + 16, network.dst[0]);
      this.bytes.fill(1, at + 20, at + 4 * words);
      return at + 4 * words;
    }
    view.setUint16(12, 0x86dd);
    view.setUint32(at, 0x60000000 | (network.dscp << 22));
    view.setUint8(at + 7, 64);
    for (let i = 0; i < 4; i++) {
      view.setInt32(at + 8 + 4 * i, network.src[i]);
      view.setInt32(at + 24 + 4 * i, network.dst[i]);
    }
    return this.#extensions(network, at);
  }

  #extensions({ extensions = [], fragment, protocol }: NetworkFields, at: number): number {
    const view = this.#view;
    const chain = fragment === undefined ? extensions : [...extensions, PROTOCOL_FRAGMENT];
    view.setUint8(at + 6, chain[0] ?? protocol);
    let next = at + 40;
    for (const [i, type] of chain.entries()) {
      this.bytes.fill(0, next, next + 12);
      view.setUint8(next, chain[i + 1] ?? protocol);
      if (type === PROTOCOL_AUTHENTICATION) {
        // In words beyond two: 12 bytes.
        view.setUint8(next + 1, 1);
        next += 12;
        continue;
      }
      if (type === PROTOCOL_FRAGMENT && fragment !== undefined) {
        view.setUint16(next + 2, (fragment.offset << 3) | (fragment.more ? 1 : 0));
        view.setUint32(next + 4, fragment.identification);
      }
      next += 8;
    }
    return next;
  }

  /** Fills in the lengths and the IPv4 checksum. */
  #finish(network: NetworkFields, end: number): number {
    const at = ETHERNET_BYTES;
    const length = end - at;
    if (network.version === 6) {
      this.#view.setUint16(at + 4, length - 40);
      return length;
    }
    this.#view.setUint16(at + 2, length);
    this.#view.setUint16(at + 10, 0);
    this.#view.setUint16(at + 10, internetChecksum(this.#view, at, 4 * (5 + (network.optionWords ?? 0))));
    return length;
  }
}
