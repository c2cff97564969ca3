/**
 * Marks of first fragments, so that the later fragments of a datagram, which carry no ports, can follow it on its path.
 *
 * A small direct-mapped memory: a datagram that is pushed out by another only loses its mark on later fragments.
 */
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/protocol-numbers.ts';
import type { PacketView } from '../wire/packet-view.ts';
import { fragmentIdentification } from '../wire/ip.ts';

/** Entries of a {@link FragmentMemory}. */
export const FRAGMENT_ENTRIES = 256;
/** How long a datagram's fragments may be apart: they leave the host together, ns. */
export const FRAGMENT_LIFETIME_NS = 1e9;
const UNKNOWN = -1;

/** Remembers the path of datagrams by (source, destination, protocol, identification). */
export class FragmentMemory {
  readonly #hashes = new Int32Array(FRAGMENT_ENTRIES);
  readonly #paths = new Int8Array(FRAGMENT_ENTRIES).fill(UNKNOWN);
  readonly #timesNs = new Float64Array(FRAGMENT_ENTRIES);

  /** Remembers the path ID (0 = none) of a first fragment. */
  remember(view: DataView, packet: PacketView, pathId: number, nowNs: number): void {
    const hash = hashDatagram(view, packet);
    const slot = hash & (FRAGMENT_ENTRIES - 1);
    this.#hashes[slot] = hash;
    this.#paths[slot] = pathId;
    this.#timesNs[slot] = nowNs;
  }

  /** Path ID of the datagram that a later fragment belongs to, 0 = none, -1 = unknown. */
  recall(view: DataView, packet: PacketView, nowNs: number): number {
    if (packet.protocol !== PROTOCOL_UDP && packet.protocol !== PROTOCOL_TCP) return UNKNOWN;
    const hash = hashDatagram(view, packet);
    const slot = hash & (FRAGMENT_ENTRIES - 1);
    if (this.#hashes[slot] !== hash || nowNs - this.#timesNs[slot] > FRAGMENT_LIFETIME_NS) return UNKNOWN;
    return this.#paths[slot];
  }
}

function hashDatagram(view: DataView, packet: PacketView): number {
  const isIpv4 = packet.version === 4;
  const first = packet.at + (isIpv4 ? 12 : 8);
  const end = first + (isIpv4 ? 8 : 32);
  let hash = fragmentIdentification(view, packet.at, packet.headerLength) ^ (packet.protocol << 24);
  for (let at = first; at < end; at += 4) {
    hash = Math.imul(hash ^ view.getInt32(at), 0x85ebca6b);
    hash ^= hash >>> 15;
  }
  return hash;
}
