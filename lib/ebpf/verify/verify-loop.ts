/** Generated sequences one after the other, until two implementations differ too often or all are done. */

/** Options of the comparison. */
export interface VerifyOptions {
  readonly sequences: number;
  /** Longest sequence, packets, up to 200; default 60. */
  readonly packets?: number;
  readonly seed?: number;
  /** Told how many sequences are done, now and then. */
  readonly onProgress?: (done: number) => void;
}

/** Where the two differ. */
export interface Mismatch {
  readonly sequence: number;
  readonly packet: number;
  readonly what: string;
}

/** What came of it. */
export interface VerifyResult {
  readonly sequences: number;
  readonly packets: number;
  readonly seed: number;
  /** Packets by reason, over all sequences. */
  readonly reasons: Record<string, number>;
  readonly mismatches: readonly Mismatch[];
}

/** The packets of one life of the two. */
export interface Life {
  readonly packets: number;
  /** How they differed; undefined where they did not. */
  readonly what: string | undefined;
}

/** Most packets of a sequence. */
export const LONGEST_SEQUENCE = 200;
/** After so many differences it ends. */
const MAX_MISMATCHES = 5;
const PROGRESS_EVERY = 1000;

/**
 * Runs lives of some sequences each.
 *
 * @param names - of the reasons
 * @param sequencesALife - so many sequences make a life; the last has what is left
 * @param runLife - runs one, and counts packets by reason; `seed` is that of its first sequence
 */
export function runLives(
  options: VerifyOptions,
  names: readonly string[],
  sequencesALife: number,
  runLife: (seed: number, sequences: number, longest: number, reasons: number[]) => Life,
): VerifyResult {
  const { sequences, seed = 1, onProgress } = options;
  const longest = Math.min(options.packets ?? 60, LONGEST_SEQUENCE);
  const reasons = new Array<number>(names.length).fill(0);
  const mismatches: Mismatch[] = [];
  let packets = 0;
  let done = 0;
  while (done < sequences && mismatches.length < MAX_MISMATCHES) {
    const count = Math.min(sequencesALife, sequences - done);
    const life = runLife(seed + done, count, longest, reasons);
    packets += life.packets;
    if (life.what !== undefined)
      mismatches.push({ sequence: seed + done, packet: life.packets, what: life.what });
    const before = done;
    done += count;
    const rounds = Math.floor(done / PROGRESS_EVERY);
    if (Math.floor(before / PROGRESS_EVERY) < rounds) onProgress?.(rounds * PROGRESS_EVERY);
  }
  const counted = names.map((name, reason) => [name, reasons[reason]] as const);
  return {
    sequences: done,
    packets,
    seed,
    reasons: Object.fromEntries(counted.filter(([, count]) => count > 0)),
    mismatches,
  };
}
