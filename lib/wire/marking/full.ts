/**
 * The scheme for a domain that owns all 64 values: DSCP = `pppp cc`.
 *
 * ```
 *   cc   00 Not-LECT   01 LECT   10 LEx   11 FNE
 *   pppp path ID, 0 for none
 * ```
 *
 * FNE and path ID travel together, literally as in the paper. `cc` = 00 is Not-LECT whatever `pppp` says: those are
 * the class selectors and other values of packets that were never marked.
 *
 * @see paper section 3
 */
import type { MarkingScheme } from './scheme.ts';
import { CODEPOINT_FNE, CODEPOINT_NOT_LECT, DSCP_UNCHANGED } from './codepoint.ts';

/** The scheme `full`: path IDs 1..15, with every codepoint but Not-LECT. */
export const full: MarkingScheme = {
  name: 'full',
  maxPathId: 15,
  decodeTable: marksByDscp(CODEPOINT_NOT_LECT),
  encodeTable: marksByDscp(DSCP_UNCHANGED),
  assignmentCodepoint: CODEPOINT_FNE,
};

/** A mark and its DSCP are the same number here; only Not-LECT differs between the two tables. */
function marksByDscp(notLect: number): Uint8Array {
  const table = new Uint8Array(64);
  for (let i = 0; i < 64; i++) table[i] = (i & 3) === CODEPOINT_NOT_LECT ? notLect : i;
  return table;
}
