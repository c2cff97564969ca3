/**
 * What a sender knows of every segment between SND.UNA and SND.NXT: a ring of segments with their times and flags, and
 * the bytes thought to be in the network ("pipe").
 *
 *      index:  first                 lostEdge      highestSacked      end
 *                |   all below are SACKed or lost  |   |               |
 *      ring:   [ L R ][ S ][ L ][ S ][ S ][   ][ S ][ S ][   ][   ]
 *               lost,  sacked            unknown                 unknown
 *               retransmitted
 *
 * A segment adds its length to the pipe unless it is lost, and once more when it was sent again; a SACKed one adds
 * nothing. That is SetPipe of RFC 6675 kept up to date instead of computed. Indices grow for ever; the ring masks them.
 *
 * A segment is lost when three segments above it were SACKed (RFC 6675 IsLost, counted in segments instead of bytes,
 * which is the same for full ones and does better for short ones). What the receiver SACKed it never takes back.
 *
 * @see RFC 6675
 */
import { seqBefore } from '../../wire/seq.ts';
import { sackBlockCount, sackLeftEdge, sackRightEdge } from '../../wire/tcp-options.ts';

/** Three segments SACKed above one prove it lost. @see RFC 6675 section 2, DupThresh */
export const DUP_THRESHOLD = 3;

const FIRST_CAPACITY = 16;
const LENGTH_MASK = 0xffff;
const SACKED = 1 << 16;
const LOST = 1 << 17;
/** Sent again, and not thought lost since. */
const RETRANSMITTED = 1 << 18;
/** Sent more than once: its acknowledgement tells nothing of the RTT (Karn). */
const EVER_RETRANSMITTED = 1 << 19;
const FIN = 1 << 20;
const CACHED_BLOCKS = 4;
const NO_INTEGERS = new Int32Array(0);
const NO_NUMBERS = new Float64Array(0);

/**
 * A segment is 16 bytes, four of them a cache line, seen as four int32 and as two doubles:
 *
 *      int 0: sequence number | int 1: length and flags | double 1: when it was sent last, ns
 */
const SEGMENT_BYTES = 16;
const INTS_SHIFT = 2;
const WORD = 1;
const DOUBLES_SHIFT = 1;
const SENT = 1;

/** The segments of one direction that are not acknowledged. */
export class Scoreboard {
  /** Index of the oldest segment. */
  first = 0;
  /** Index behind the newest segment. */
  end = 0;
  /** Bytes of sequence numbers thought to be in the network. @see RFC 6675 section 4, SetPipe */
  pipeBytes = 0;
  /** Segments SACKed and not yet acknowledged. */
  sackedSegments = 0;
  /** Bytes of those segments. */
  sackedBytes = 0;
  /** Segments that are lost and not sent again since. */
  lostSegments = 0;
  /**
   * When the oldest and the newest segment that {@link acknowledge} removed were sent, in ns; -1 when they tell
   * nothing of the RTT.
   */
  oldestSentNs = -1;
  newestSentNs = -1;
  /** The last call of {@link acknowledge} removed something that was sent more than once. */
  hasAckedRetransmission = false;

  // Made with the first segment: a side that only receives needs none.
  #ints = NO_INTEGERS;
  #doubles = NO_NUMBERS;
  /** Segments that there is room for, less 1; a power of 2 less 1. */
  #mask = -1;
  #highestSacked = -1;
  #lostEdge = 0;
  #nextLost = 0;
  /** SACK blocks seen last: what they covered need not be walked again. */
  #cachedLefts = NO_INTEGERS;
  #cachedRights = NO_INTEGERS;

  /** True when nothing is outstanding. */
  get isEmpty(): boolean {
    return this.first === this.end;
  }

  /** Empties the board for another connection. */
  reset(): void {
    this.first = 0;
    this.end = 0;
    this.pipeBytes = 0;
    this.sackedSegments = 0;
    this.sackedBytes = 0;
    this.lostSegments = 0;
    this.#highestSacked = -1;
    this.#lostEdge = 0;
    this.#nextLost = 0;
    this.#cachedLefts.fill(0);
    this.#cachedRights.fill(0);
  }

  /**
   * A new segment goes out.
   *
   * @hotpath
   * @param length - in sequence numbers: payload bytes, one more with FIN; 1 to 65,535
   */
  push(seq: number, length: number, hasFin: boolean, nowNs: number): void {
    if (this.end - this.first > this.#mask) this.#grow();
    const at = this.end++ & this.#mask;
    this.#ints[at << INTS_SHIFT] = seq;
    this.#ints[(at << INTS_SHIFT) + WORD] = hasFin ? length | FIN : length;
    this.#doubles[(at << DOUBLES_SHIFT) + SENT] = nowNs;
    this.pipeBytes += length;
  }

  /** Sequence number of a segment. */
  seqAt(index: number): number {
    return this.#ints[(index & this.#mask) << INTS_SHIFT];
  }

  /** Length of a segment in sequence numbers. */
  lengthAt(index: number): number {
    return this.#wordAt(index) & LENGTH_MASK;
  }

  /** Whether a segment carries FIN. */
  hasFinAt(index: number): boolean {
    return (this.#wordAt(index) & FIN) !== 0;
  }

  /** Whether a segment was SACKed. */
  isSackedAt(index: number): boolean {
    return (this.#wordAt(index) & SACKED) !== 0;
  }

  /** Whether a segment was sent again and is not thought lost since. */
  isRetransmittedAt(index: number): boolean {
    return (this.#wordAt(index) & RETRANSMITTED) !== 0;
  }

  /** When a segment was sent last, in ns. */
  sentNsAt(index: number): number {
    return this.#doubles[((index & this.#mask) << DOUBLES_SHIFT) + SENT];
  }

  /**
   * Removes what a cumulative acknowledgement covers.
   *
   * @hotpath
   */
  acknowledge(ackNumber: number): void {
    const mask = this.#mask;
    const ints = this.#ints;
    this.oldestSentNs = -1;
    this.newestSentNs = -1;
    this.hasAckedRetransmission = false;
    while (this.first < this.end) {
      const at = this.first & mask;
      const word = ints[(at << INTS_SHIFT) + WORD];
      const length = word & LENGTH_MASK;
      const beyond = (ints[at << INTS_SHIFT] + length - ackNumber) | 0;
      if (beyond > 0) {
        if (beyond < length) this.#trim(length - beyond);
        return;
      }
      this.pipeBytes -= contribution(word);
      if ((word & SACKED) !== 0) {
        this.sackedSegments--;
        this.sackedBytes -= length;
      } else {
        if ((word & (LOST | RETRANSMITTED)) === LOST) this.lostSegments--;
        if ((word & EVER_RETRANSMITTED) !== 0) this.hasAckedRetransmission = true;
        else {
          this.newestSentNs = this.#doubles[(at << DOUBLES_SHIFT) + SENT];
          if (this.oldestSentNs < 0) this.oldestSentNs = this.newestSentNs;
        }
      }
      this.first++;
    }
  }

  /**
   * Takes the SACK option in.
   *
   * @param option - offset of the option, as `sackOption` returns it
   * @param una - SND.UNA; a block below it is a D-SACK (RFC 2883) and tells nothing here
   * @returns segments newly SACKed
   */
  applySack(view: DataView, option: number, una: number): number {
    if (this.isEmpty) return 0;
    const before = this.sackedSegments;
    const blocks = sackBlockCount(view, option);
    for (let i = 0; i < blocks; i++) {
      const left = sackLeftEdge(view, option, i);
      const right = sackRightEdge(view, option, i);
      if (!seqBefore(una, right) || !seqBefore(left, right)) continue;
      this.#applyBlock(left, right);
    }
    for (let i = 0; i < CACHED_BLOCKS; i++) {
      this.#cachedLefts[i] = i < blocks ? sackLeftEdge(view, option, i) : 0;
      this.#cachedRights[i] = i < blocks ? sackRightEdge(view, option, i) : 0;
    }
    return this.sackedSegments - before;
  }

  /** Marks what {@link DUP_THRESHOLD} SACKed segments above prove lost. */
  markLost(): void {
    if (this.sackedSegments < DUP_THRESHOLD) return;
    let index = this.#highestSacked;
    for (let seen = 1; seen < DUP_THRESHOLD; seen++) {
      do index--;
      while ((this.#wordAt(index) & SACKED) === 0);
    }
    this.markLostBelow(index);
  }

  /** Marks everything below a segment lost that was not SACKed. */
  markLostBelow(index: number): void {
    for (let i = Math.max(this.#lostEdge, this.first); i < index; i++) this.#lose(i);
    if (index > this.#lostEdge) this.#lostEdge = index;
  }

  /** Marks everything lost that was not SACKed, retransmissions included: the timer ran out. */
  markAllLost(): void {
    for (let i = this.first; i < this.end; i++) {
      const word = this.#wordAt(i);
      if ((word & SACKED) !== 0) continue;
      if ((word & RETRANSMITTED) !== 0) {
        if ((word & LOST) !== 0) this.lostSegments++;
        this.#setWord(i, word & ~RETRANSMITTED);
        this.pipeBytes -= word & LENGTH_MASK;
      }
      this.#lose(i);
    }
    this.#lostEdge = this.end;
    this.#nextLost = this.first;
  }

  /** The highest SACKed segment; below `first` when there is none. */
  get highestSacked(): number {
    return this.#highestSacked;
  }

  /** The oldest segment that is lost and not sent again, -1 for none. @see RFC 6675 section 4, NextSeg rule 1 */
  nextLost(): number {
    if (this.lostSegments === 0) return -1;
    if (this.#nextLost < this.first) this.#nextLost = this.first;
    while (this.#nextLost < this.end) {
      if ((this.#wordAt(this.#nextLost) & (LOST | SACKED | RETRANSMITTED)) === LOST) return this.#nextLost;
      this.#nextLost++;
    }
    return -1;
  }

  /**
   * The oldest segment below the highest SACKed one that is neither SACKed nor sent again, -1 for none.
   *
   * @see RFC 6675 section 4, NextSeg rule 3
   */
  nextHole(): number {
    for (let i = Math.max(this.first, this.#nextLost); i < this.#highestSacked; i++) {
      if ((this.#wordAt(i) & (SACKED | RETRANSMITTED)) === 0) return i;
    }
    return -1;
  }

  /** The newest segment that was not SACKed, -1 for none. */
  newestUnsacked(): number {
    for (let i = this.end - 1; i >= this.first; i--) if (!this.isSackedAt(i)) return i;
    return -1;
  }

  /** A segment goes out again. */
  retransmit(index: number, nowNs: number): void {
    const word = this.#wordAt(index);
    if ((word & (LOST | RETRANSMITTED)) === LOST) this.lostSegments--;
    const next = word | RETRANSMITTED | EVER_RETRANSMITTED;
    this.#setWord(index, next);
    this.pipeBytes += contribution(next) - contribution(word);
    this.#doubles[((index & this.#mask) << DOUBLES_SHIFT) + SENT] = nowNs;
  }

  #wordAt(index: number): number {
    return this.#ints[((index & this.#mask) << INTS_SHIFT) + WORD];
  }

  #setWord(index: number, word: number): void {
    this.#ints[((index & this.#mask) << INTS_SHIFT) + WORD] = word;
  }

  #lose(index: number): void {
    const word = this.#wordAt(index);
    if ((word & (SACKED | LOST)) !== 0) return;
    this.#setWord(index, word | LOST);
    this.pipeBytes -= word & LENGTH_MASK;
    if ((word & RETRANSMITTED) === 0) {
      this.lostSegments++;
      if (index < this.#nextLost) this.#nextLost = index;
    }
  }

  #applyBlock(left: number, right: number): void {
    let from = left;
    for (let i = 0; i < CACHED_BLOCKS; i++) {
      if (this.#cachedLefts[i] !== left || this.#cachedRights[i] === left) continue;
      if (!seqBefore(this.#cachedRights[i], right)) return;
      from = this.#cachedRights[i];
      break;
    }
    for (let index = this.#indexOf(from); index < this.end; index++) {
      const word = this.#wordAt(index);
      const length = word & LENGTH_MASK;
      if (seqBefore(right, this.seqAt(index) + length)) return;
      if (index > this.#highestSacked) this.#highestSacked = index;
      if ((word & SACKED) !== 0) continue;
      this.pipeBytes -= contribution(word);
      if ((word & (LOST | RETRANSMITTED)) === LOST) this.lostSegments--;
      this.#setWord(index, word | SACKED);
      this.sackedSegments++;
      this.sackedBytes += length;
    }
  }

  /** The first segment that begins at or above a sequence number. */
  #indexOf(seq: number): number {
    let low = this.first;
    let high = this.end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (seqBefore(this.seqAt(middle), seq)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Part of the oldest segment was acknowledged: its rest remains. */
  #trim(bytes: number): void {
    const word = this.#wordAt(this.first);
    this.pipeBytes += contribution(word - bytes) - contribution(word);
    this.#ints[(this.first & this.#mask) << INTS_SHIFT] = (this.seqAt(this.first) + bytes) | 0;
    this.#setWord(this.first, word - bytes);
    if ((word & SACKED) !== 0) this.sackedBytes -= bytes;
  }

  #grow(): void {
    const size = this.#mask + 1;
    const larger = size === 0 ? FIRST_CAPACITY : size * 2;
    const memory = new ArrayBuffer(larger * SEGMENT_BYTES);
    const ints = new Int32Array(memory);
    for (let i = this.first; i < this.end; i++) {
      const from = (i & this.#mask) << INTS_SHIFT;
      const to = (i & (larger - 1)) << INTS_SHIFT;
      for (let k = 0; k < 1 << INTS_SHIFT; k++) ints[to + k] = this.#ints[from + k];
    }
    this.#ints = ints;
    this.#doubles = new Float64Array(memory);
    this.#mask = larger - 1;
    if (size > 0) return;
    this.#cachedLefts = new Int32Array(CACHED_BLOCKS);
    this.#cachedRights = new Int32Array(CACHED_BLOCKS);
  }
}

/** What a segment adds to the pipe. */
function contribution(word: number): number {
  if ((word & SACKED) !== 0) return 0;
  const length = word & LENGTH_MASK;
  return ((word & LOST) !== 0 ? 0 : length) + ((word & RETRANSMITTED) !== 0 ? length : 0);
}
