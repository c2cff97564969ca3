/**
 * Segments as bytes: a real IPv4 and TCP header in a packet slot, with a right header checksum. The payload is only
 * counted. The TCP checksum is 0, since there is no payload to sum up.
 *
 *      SYN           MSS, SACK permitted, window scale        40 + 12 bytes
 *      pure ACK      SACK blocks when there are any           40 + 4 + 8 a block
 *      data          no options                               40
 */
import { PROTOCOL_TCP } from '../../wire/protocol-numbers.ts';
import { foldSum } from '../../wire/ones-complement.ts';
import {
  OPTION_MSS,
  OPTION_NOP,
  OPTION_SACK,
  OPTION_SACK_PERMITTED,
  OPTION_WINDOW_SCALE,
} from '../../wire/tcp-options.ts';

/** Bytes of both headers without options. */
export const HEADER_BYTES = 40;
/** Bytes of the options of a SYN. */
export const SYN_OPTION_BYTES = 12;
const DEFAULT_TTL = 64;
const VERSION_AND_LENGTH = 0x4500;
const DONT_FRAGMENT = 0x4000;
const TTL_AND_PROTOCOL = (DEFAULT_TTL << 8) | PROTOCOL_TCP;

/**
 * Writes both headers without the options.
 *
 * @hotpath
 * @param length - of the whole packet
 * @param optionBytes - of TCP options that will follow, a multiple of 4
 */
export function writeHeaders(
  view: DataView,
  at: number,
  length: number,
  srcAddr: number,
  dstAddr: number,
  ports: number,
  seq: number,
  ack: number,
  flags: number,
  windowField: number,
  optionBytes: number,
): void {
  view.setInt32(at, (VERSION_AND_LENGTH << 16) | length);
  view.setInt32(at + 4, DONT_FRAGMENT);
  const sum =
    VERSION_AND_LENGTH +
    length +
    DONT_FRAGMENT +
    TTL_AND_PROTOCOL +
    (srcAddr >>> 16) +
    (srcAddr & 0xffff) +
    (dstAddr >>> 16) +
    (dstAddr & 0xffff);
  view.setInt32(at + 8, (TTL_AND_PROTOCOL << 16) | (~foldSum(sum) & 0xffff));
  view.setInt32(at + 12, srcAddr);
  view.setInt32(at + 16, dstAddr);
  view.setInt32(at + 20, ports);
  view.setInt32(at + 24, seq);
  view.setInt32(at + 28, ack);
  view.setInt32(at + 32, ((20 + optionBytes) << 26) | (flags << 16) | windowField);
  view.setInt32(at + 36, 0);
}

/** Writes the options of a SYN at `at`. */
export function writeSynOptions(view: DataView, at: number, mss: number, shift: number): void {
  view.setUint8(at, OPTION_MSS);
  view.setUint8(at + 1, 4);
  view.setUint16(at + 2, mss);
  view.setUint8(at + 4, OPTION_NOP);
  view.setUint8(at + 5, OPTION_NOP);
  view.setUint8(at + 6, OPTION_SACK_PERMITTED);
  view.setUint8(at + 7, 2);
  view.setUint8(at + 8, OPTION_NOP);
  view.setUint8(at + 9, OPTION_WINDOW_SCALE);
  view.setUint8(at + 10, 3);
  view.setUint8(at + 11, shift);
}

/** Writes the head of a SACK option with room for `blocks` at `at`; the blocks go to the returned offset. */
export function writeSackHead(view: DataView, at: number, blocks: number): number {
  view.setUint8(at, OPTION_NOP);
  view.setUint8(at + 1, OPTION_NOP);
  view.setUint8(at + 2, OPTION_SACK);
  view.setUint8(at + 3, 2 + 8 * blocks);
  return at + 4;
}

/** Both ports as they stand in the header: one word. */
export function portsWord(srcPort: number, dstPort: number): number {
  return (srcPort << 16) | dstPort;
}
