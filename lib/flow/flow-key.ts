/**
 * The key of a flow: its 5-tuple seen from the host, so that both directions of a flow have one key.
 *
 * A key is ten 32-bit words:
 *
 *      0        protocol | IP version << 8
 *      1        local port << 16 | remote port
 *      2 ..  5  local address, one word for IPv4 (the rest zero), four for IPv6
 *      6 ..  9  remote address, likewise
 *
 * "Local" is the source of outbound packets and the destination of inbound ones.
 */
import type { PacketView } from '../wire/packet-view.ts';

/** Number of 32-bit words in a flow key. */
export const FLOW_KEY_WORDS = 10;
/** Word of a key that holds `protocol | version << 8`. */
export const KEY_PROTOCOL = 0;
/** Word of a key that holds `local port << 16 | remote port`. */
export const KEY_PORTS = 1;
/** First of the four words of the local address. */
export const KEY_LOCAL = 2;
/** First of the four words of the remote address. */
export const KEY_REMOTE = 6;

const IPV4_SRC = 12;
const IPV4_DST = 16;
const IPV6_SRC = 8;
const IPV6_DST = 24;

/**
 * Writes the key of an outbound packet (its source is local) into `key`.
 *
 * @hotpath
 * @param packet - parsed with PARSE_OK from `view`
 * @param key - at least {@link FLOW_KEY_WORDS} words, overwritten
 */
export function loadOutboundKey(view: DataView, packet: PacketView, key: Int32Array): void {
  key[KEY_PROTOCOL] = packet.protocol | (packet.version << 8);
  key[KEY_PORTS] = (packet.srcPort << 16) | packet.dstPort;
  const at = packet.at;
  if (packet.version === 4) {
    loadIpv4(view, at + IPV4_SRC, at + IPV4_DST, key);
  } else {
    loadIpv6(view, at + IPV6_SRC, at + IPV6_DST, key);
  }
}

/**
 * Writes the key of an inbound packet (its destination is local) into `key`.
 *
 * @hotpath
 * @param packet - parsed with PARSE_OK from `view`
 * @param key - at least {@link FLOW_KEY_WORDS} words, overwritten
 */
export function loadInboundKey(view: DataView, packet: PacketView, key: Int32Array): void {
  key[KEY_PROTOCOL] = packet.protocol | (packet.version << 8);
  key[KEY_PORTS] = (packet.dstPort << 16) | packet.srcPort;
  const at = packet.at;
  if (packet.version === 4) {
    loadIpv4(view, at + IPV4_DST, at + IPV4_SRC, key);
  } else {
    loadIpv6(view, at + IPV6_DST, at + IPV6_SRC, key);
  }
}

function loadIpv4(view: DataView, localAt: number, remoteAt: number, key: Int32Array): void {
  key[2] = view.getInt32(localAt);
  key[3] = 0;
  key[4] = 0;
  key[5] = 0;
  key[6] = view.getInt32(remoteAt);
  key[7] = 0;
  key[8] = 0;
  key[9] = 0;
}

function loadIpv6(view: DataView, localAt: number, remoteAt: number, key: Int32Array): void {
  key[2] = view.getInt32(localAt);
  key[3] = view.getInt32(localAt + 4);
  key[4] = view.getInt32(localAt + 8);
  key[5] = view.getInt32(localAt + 12);
  key[6] = view.getInt32(remoteAt);
  key[7] = view.getInt32(remoteAt + 4);
  key[8] = view.getInt32(remoteAt + 8);
  key[9] = view.getInt32(remoteAt + 12);
}

/**
 * Hash of a key, an int32. The seed keeps an outsider from choosing colliding flows.
 *
 * The mixing is MurmurHash3's, x86 32-bit (public domain, Austin Appleby).
 *
 * @hotpath
 */
export function hashFlowKey(key: Int32Array, seed: number): number {
  let hash = mixWord(seed, key[KEY_PROTOCOL]);
  hash = mixWord(hash, key[KEY_PORTS]);
  hash = mixWord(hash, key[2]);
  hash = mixWord(hash, key[6]);
  if (key[KEY_PROTOCOL] >> 8 === 6) {
    hash = mixWord(hash, key[3]);
    hash = mixWord(hash, key[4]);
    hash = mixWord(hash, key[5]);
    hash = mixWord(hash, key[7]);
    hash = mixWord(hash, key[8]);
    hash = mixWord(hash, key[9]);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function mixWord(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  hash ^= Math.imul(k, 0x1b873593);
  hash = (hash << 13) | (hash >>> 19);
  return (Math.imul(hash, 5) + 0xe6546b64) | 0;
}
