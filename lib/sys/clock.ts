/**
 * The one place that reads a clock.
 */

/** Taken once, because the global is a getter. */
const clock = performance;

/**
 * CLOCK_MONOTONIC, nanoseconds since this thread's runtime started. A float64: exact to the nanosecond for 104 days.
 * Costs about 50 ns, so the packet loop reads it once a batch. @hotpath
 */
export function nowNs(): number {
  return clock.now() * 1e6;
}

/**
 * What CLOCK_MONOTONIC showed when {@link nowNs} was 0, nanoseconds (good to about 0.2 us).
 * `nowNs() + clockOriginNs` can be compared between threads and processes of one machine.
 */
export const clockOriginNs: number = readClockOrigin();

/** What the wall clock showed when {@link nowNs} was 0, milliseconds since 1970. Later steps of it are not followed. */
export const clockEpochMs: number = performance.timeOrigin;

/** Two clocks cannot be read at once: of several tries the one that took least, and its middle. */
function readClockOrigin(): number {
  let origin = 0;
  let least = Infinity;
  for (let i = 0; i < 20; i++) {
    const before = process.hrtime.bigint();
    const now = performance.now();
    const took = Number(process.hrtime.bigint() - before);
    if (took >= least) continue;
    least = took;
    origin = Number(before) + took / 2 - now * 1e6;
  }
  return origin;
}
