/**
 * How the codepoint and the path identifier of a packet travel in its DSCP. A scheme is data: a decode and an encode
 * table; adding a scheme is adding one table and one line in {@link markingScheme}.
 *
 * Inside the program both travel as one number, the mark: `codepoint | pathId << 2`. Path ID 0 means none.
 *
 * @see paper table 1
 */
import { invalidOption } from '../../errors.ts';
import { full } from './full.ts';
import { pool2 } from './pool2.ts';

export {
  CODEPOINT_FNE,
  CODEPOINT_LECT,
  CODEPOINT_LEX,
  CODEPOINT_NOT_LECT,
  CODEPOINT_NAMES,
  DSCP_UNCHANGED,
} from './codepoint.ts';

/** One way to carry marks in the DSCP. */
export interface MarkingScheme {
  readonly name: 'pool2' | 'full';
  /** The largest path ID that the scheme carries; path IDs are 1..maxPathId. */
  readonly maxPathId: number;
  /** The mark of each DSCP, 64 entries. */
  readonly decodeTable: Uint8Array;
  /**
   * The DSCP of each mark, 64 entries; DSCP_UNCHANGED for Not-LECT. A mark that the scheme cannot carry has the DSCP
   * of its codepoint without a path.
   */
  readonly encodeTable: Uint8Array;
  /** An inbound packet with this codepoint and a path ID is an assignment of the path to its flow. */
  readonly assignmentCodepoint: number;
}

/** The codepoint of a mark, CODEPOINT_NOT_LECT .. CODEPOINT_FNE. @hotpath */
export function markCodepoint(mark: number): number {
  return mark & 3;
}

/** The path ID of a mark, 0 for none. @hotpath */
export function markPathId(mark: number): number {
  return mark >> 2;
}

/**
 * The DSCP for a codepoint on a path, or DSCP_UNCHANGED for Not-LECT. A path ID that the scheme cannot carry is left
 * out. @hotpath
 */
export function encodeMark(scheme: MarkingScheme, codepoint: number, pathId: number): number {
  const carried = pathId >>> 0 > scheme.maxPathId ? 0 : pathId;
  return scheme.encodeTable[codepoint | (carried << 2)]!;
}

/** Whether the mark, seen on an inbound packet, assigns its path to the flow. @hotpath */
export function isAssignment(scheme: MarkingScheme, mark: number): boolean {
  return (mark & 3) === scheme.assignmentCodepoint && mark >> 2 !== 0;
}

/**
 * The scheme of that name.
 *
 * @throws PreflexError ERR_INVALID_OPTION for any other name
 */
export function markingScheme(name: string): MarkingScheme {
  if (name === pool2.name) return pool2;
  if (name === full.name) return full;
  throw invalidOption('scheme', name, "'pool2' or 'full'");
}
