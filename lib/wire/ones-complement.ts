/**
 * The arithmetic of the Internet checksum: one's complement sums of 16-bit words, with no knowledge of any header.
 *
 * @see RFC 1071
 */

/** Folds a sum of 16-bit words (below 2^32) into 16 bits with end-around carry. @hotpath */
export function foldSum(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/**
 * Adds `length` bytes to a running sum, an odd last byte padded with zero behind it.
 *
 * @param sum - the running sum, 0..65535, as a former call returned it
 * @returns the folded sum, 0..65535; pass it on, or complement it for the checksum
 */
export function addBytes(sum: number, view: DataView, at: number, length: number): number {
  const even = at + (length & ~1);
  let total = sum;
  let next = at;
  while (next < even) {
    // 32,000 words of 65,535 stay below 2^31, so the inner loop never leaves the int32 range.
    const stop = Math.min(even, next + 64_000);
    for (; next < stop; next += 2) total += view.getUint16(next);
    total = foldSum(total);
  }
  if ((length & 1) !== 0) total = foldSum(total + (view.getUint8(even) << 8));
  return total;
}

/**
 * The Internet checksum of `length` bytes: 0..65535. Over bytes that include a right checksum it is 0.
 *
 * @see RFC 1071
 */
export function internetChecksum(view: DataView, at: number, length: number): number {
  return ~addBytes(0, view, at, length) & 0xffff;
}

/**
 * The checksum after one 16-bit word went from `oldWord` to `newWord`: HC' = ~(~HC + ~m + m'). A checksum that was
 * wrong stays wrong by the same amount. @hotpath
 *
 * @see RFC 1624 equation 3
 */
export function incrementalChecksum(checksum: number, oldWord: number, newWord: number): number {
  return ~foldSum((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord) & 0xffff;
}
