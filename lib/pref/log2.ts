/**
 * Logarithms in whole numbers, so that the kernel, which has no floating point, computes the very same ones: a table of
 * 256 steps, and straight lines between them. The error is below 3e-6.
 */

const STEPS = 256;

/** Bits behind the binary point. */
export const LOG2_FRACTION_BITS = 22;

/** log2(1 + i / 256) in units of 2^-22, i from 0 to 256. */
export const LOG2_STEPS = Uint32Array.from({ length: STEPS + 1 }, (_, i) =>
  Math.round(Math.log2(1 + i / STEPS) * 2 ** LOG2_FRACTION_BITS),
);

/**
 * -log2((score + 1/2) / 2^32): how far a number that is as likely to be anywhere lies below 1.
 *
 * @param score - uint32
 * @returns a whole number of 2^-22, 0 to below 2^28
 * @hotpath
 */
export function distanceOf(score: number): number {
  // 2 * score + 1 is 2^bits * (1 + fraction / 2^32).
  const bits = 32 - Math.clz32(score);
  const fraction = bits === 0 ? 0 : (((score << (32 - bits)) << 1) | (1 << (32 - bits))) >>> 0;
  const step = fraction >>> 24;
  const from = LOG2_STEPS[step];
  const part = ((LOG2_STEPS[step + 1] - from) * ((fraction >>> 8) & 0xffff)) >>> 16;
  return ((33 - bits) << LOG2_FRACTION_BITS) - from - part;
}
