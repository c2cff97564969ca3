/**
 * The four codepoints. They have a file of their own so that the schemes need nothing of scheme.ts but its type.
 *
 * @see paper table 1
 */

/** The transport does not expose loss; the packet's own DSCP stays. */
export const CODEPOINT_NOT_LECT = 0;
/** Loss exposure capable transport. */
export const CODEPOINT_LECT = 1;
/** Loss experienced: the packet repeats lost bytes. */
export const CODEPOINT_LEX = 2;
/** Feedback not established: the first packet of a flowlet. */
export const CODEPOINT_FNE = 3;

/** The paper's name of each codepoint, by value. */
export const CODEPOINT_NAMES: readonly string[] = ['Not-LECT', 'LECT', 'LEx', 'FNE'];

/** Stands in encode tables where the packet keeps the DSCP that it has; `writeDscp` ignores it. */
export const DSCP_UNCHANGED = 255;
