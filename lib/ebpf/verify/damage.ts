/** Packets as they should not be: with wrong bytes, cut off, or with padding. */
import type { Dice } from './dice.ts';
import { ETHERNET_BYTES } from './packet-writer.ts';

const HEADER_BYTES = 70;

/**
 * Changes bytes of the headers, cuts the packet, or leaves padding behind it.
 *
 * @param bytes - the frame; the IP packet begins at {@link ETHERNET_BYTES}
 * @param length - bytes of the IP packet
 * @returns the new length
 */
export function damagePacket(dice: Dice, bytes: Uint8Array, length: number): number {
  switch (dice.below(4)) {
    case 0:
      return 1 + dice.below(length);
    case 1:
      return length + dice.below(20);
    default:
      for (let i = dice.below(3); i >= 0; i--) {
        bytes[ETHERNET_BYTES + dice.below(Math.min(length, HEADER_BYTES))] ^= 1 << dice.below(8);
      }
      return length;
  }
}
