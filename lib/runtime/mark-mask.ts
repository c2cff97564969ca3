/** The bits of a packet's mark (fwmark) that say its route, for the gateway in the kernel. Pure. */
import { invalidOption } from '../errors.ts';

/** Which bits of the mark are the gateway's. */
export interface MarkMask {
  /** 32 bits without sign. */
  readonly mask: number;
  /** Its lowest bit: a path ID is shifted left by so many. */
  readonly shift: number;
  /** How many bits it has. */
  readonly width: number;
}

/** The mask unless another is configured: 6 bits, as many as path IDs can have. */
export const DEFAULT_MARK_MASK = 0x3f00_0000;
/** Bits that a path ID can have. */
const LEAST_BITS = 6;
/** What a mask may be, in words. */
export const MARK_MASK_RULE = `a mask of 32 bits whose ones stand together, ${LEAST_BITS} of them at least, such as 0x3f000000`;

/** The mask of a number; undefined when it is none. */
export function markMask(mask: number): MarkMask | undefined {
  if (!Number.isInteger(mask) || mask <= 0 || mask > 0xffff_ffff) return undefined;
  let shift = 0;
  while (((mask >>> shift) & 1) === 0) shift++;
  const ones = mask / 2 ** shift;
  const width = Math.log2(ones + 1);
  return Number.isInteger(width) && width >= LEAST_BITS ? { mask, shift, width } : undefined;
}

/** @throws PreflexError ERR_INVALID_OPTION */
export function requireMarkMask(field: string, mask: number): MarkMask {
  const found = markMask(mask);
  if (found === undefined) throw invalidOption(field, mask, MARK_MASK_RULE);
  return found;
}

/** The mark of packets that leave by a route. */
export function markOf({ mask, shift }: MarkMask, pathId: number): { value: number; mask: number } {
  return { value: (pathId * 2 ** shift) >>> 0, mask };
}
