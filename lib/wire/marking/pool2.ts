/**
 * The default scheme: only pool 2 of the DSCP space (xxxx11, experimental and local use) carries marks, DSCP =
 * `ppp L 11`.
 *
 * ```
 *   DSCP                meaning
 *   3                   LECT, no path
 *   7                   FNE
 *   8p + 3, p = 1..6    outbound LECT on path p; inbound an assignment of path p
 *   8p + 7, p = 1..6    LEx on path p
 *   59                  reserved, read as LECT without path
 *   63                  LEx, no path
 *   any other           Not-LECT
 * ```
 *
 * LECT and LEx of one path share the top three bits, hence a queueing class, and are not reordered against each
 * other. An assignment is the LECT mark itself, so a server that only reflects the DSCP stays on its path.
 *
 * @see RFC 8436
 * @see RFC 8325
 */
import type { MarkingScheme } from './scheme.ts';
import { CODEPOINT_FNE, CODEPOINT_LECT, CODEPOINT_LEX, DSCP_UNCHANGED } from './codepoint.ts';

const MAX_PATH_ID = 6;
const DSCP_LECT = 3;
const DSCP_FNE = 7;
const DSCP_LEX = 63;
const DSCP_RESERVED = 59;

/** The scheme `pool2`: path IDs 1..6; an FNE packet carries no path ID of its own. */
export const pool2: MarkingScheme = {
  name: 'pool2',
  maxPathId: MAX_PATH_ID,
  decodeTable: decodeTable(),
  encodeTable: encodeTable(),
  assignmentCodepoint: CODEPOINT_LECT,
};

function decodeTable(): Uint8Array {
  const marks = new Uint8Array(64);
  marks[DSCP_LECT] = CODEPOINT_LECT;
  marks[DSCP_RESERVED] = CODEPOINT_LECT;
  marks[DSCP_FNE] = CODEPOINT_FNE;
  marks[DSCP_LEX] = CODEPOINT_LEX;
  for (let pathId = 1; pathId <= MAX_PATH_ID; pathId++) {
    marks[8 * pathId + 3] = CODEPOINT_LECT | (pathId << 2);
    marks[8 * pathId + 7] = CODEPOINT_LEX | (pathId << 2);
  }
  return marks;
}

function encodeTable(): Uint8Array {
  const dscps = new Uint8Array(64).fill(DSCP_UNCHANGED);
  for (let pathId = 0; pathId < 16; pathId++) {
    const isCarried = pathId >= 1 && pathId <= MAX_PATH_ID;
    dscps[CODEPOINT_LECT | (pathId << 2)] = isCarried ? 8 * pathId + 3 : DSCP_LECT;
    dscps[CODEPOINT_LEX | (pathId << 2)] = isCarried ? 8 * pathId + 7 : DSCP_LEX;
    dscps[CODEPOINT_FNE | (pathId << 2)] = DSCP_FNE;
  }
  return dscps;
}
