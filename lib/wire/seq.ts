/**
 * Arithmetic on 32-bit sequence numbers, which compare modulo 2^32.
 *
 * All values are int32 (`| 0`), the form in which PacketView holds them: V8 keeps those as small integers. A
 * comparison means something only while the two are less than 2^31 apart.
 *
 * @see RFC 9293 section 3.4
 */

/** The signed distance from `b` to `a`: positive when `a` is later, -2^31 .. 2^31 - 1 bytes. @hotpath */
export function seqDelta(a: number, b: number): number {
  return (a - b) | 0;
}

/** Whether `a` comes before `b`. @hotpath */
export function seqBefore(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** Whether `a` comes after `b`. @hotpath */
export function seqAfter(a: number, b: number): boolean {
  return ((b - a) | 0) < 0;
}

/** The later of the two. @hotpath */
export function seqMax(a: number, b: number): number {
  return ((a - b) | 0) < 0 ? b : a;
}
