/**
 * TCP options: iteration and the four kinds that matter here (MSS, window scale, SACK, timestamps).
 *
 * Iterating allocates nothing; an option is the offset of its kind byte:
 *
 * ```
 * for (let o = firstOption(view, at); o >= 0; o = nextOption(view, at, o)) use(optionKind(view, o));
 * ```
 *
 * `at` is the offset of a TCP header that passed `checkTcp`. A malformed option ends the list, what came before it
 * counts; padding (NOP) is skipped.
 *
 * @see RFC 9293 section 3.2
 */

/** End of option list. */
export const OPTION_END = 0;
/** One byte of padding. */
export const OPTION_NOP = 1;
/** Maximum segment size, 4 bytes. */
export const OPTION_MSS = 2;
/** Window scale, 3 bytes. @see RFC 7323 section 2 */
export const OPTION_WINDOW_SCALE = 3;
/** SACK permitted, 2 bytes. @see RFC 2018 section 2 */
export const OPTION_SACK_PERMITTED = 4;
/** SACK, 2 + 8n bytes. @see RFC 2018 section 3 */
export const OPTION_SACK = 5;
/** Timestamps, 10 bytes. @see RFC 7323 section 3 */
export const OPTION_TIMESTAMPS = 8;

/** The first option of the header at `at`, or -1 when there is none. @hotpath */
export function firstOption(view: DataView, at: number): number {
  return settle(view, at + 20, optionsEnd(view, at));
}

/** The option behind `option`, or -1. @hotpath */
export function nextOption(view: DataView, at: number, option: number): number {
  return settle(view, option + view.getUint8(option + 1), optionsEnd(view, at));
}

/** Kind of an option. @hotpath */
export function optionKind(view: DataView, option: number): number {
  return view.getUint8(option);
}

/** Bytes of an option, kind and length bytes included. @hotpath */
export function optionLength(view: DataView, option: number): number {
  return view.getUint8(option + 1);
}

/** The first option of that kind and at least that length, or -1. @hotpath */
export function findOption(view: DataView, at: number, kind: number, minLength: number): number {
  for (let option = firstOption(view, at); option >= 0; option = nextOption(view, at, option)) {
    if (view.getUint8(option) === kind && view.getUint8(option + 1) >= minLength) return option;
  }
  return -1;
}

/** Maximum segment size in bytes, or -1 without the option. @hotpath */
export function maximumSegmentSize(view: DataView, at: number): number {
  const option = findOption(view, at, OPTION_MSS, 4);
  return option < 0 ? -1 : view.getUint16(option + 2);
}

/** Window scale shift count as on the wire, or -1 without the option. @hotpath */
export function windowScaleShift(view: DataView, at: number): number {
  const option = findOption(view, at, OPTION_WINDOW_SCALE, 3);
  return option < 0 ? -1 : view.getUint8(option + 2);
}

/** Whether the sender takes SACK options. @hotpath */
export function isSackPermitted(view: DataView, at: number): boolean {
  return findOption(view, at, OPTION_SACK_PERMITTED, 2) >= 0;
}

/** Offset of the timestamps option, or -1; {@link timestampValue} and {@link timestampEcho} take it. @hotpath */
export function timestampsOption(view: DataView, at: number): number {
  return findOption(view, at, OPTION_TIMESTAMPS, 10);
}

/** TSval of the timestamps option, int32. @hotpath */
export function timestampValue(view: DataView, option: number): number {
  return view.getInt32(option + 2);
}

/** TSecr of the timestamps option, int32. @hotpath */
export function timestampEcho(view: DataView, option: number): number {
  return view.getInt32(option + 6);
}

/** Offset of the SACK option, or -1; the `sack*` functions take it. @hotpath */
export function sackOption(view: DataView, at: number): number {
  return findOption(view, at, OPTION_SACK, 10);
}

/** Number of whole blocks in the SACK option, 1..4. @hotpath */
export function sackBlockCount(view: DataView, option: number): number {
  return (view.getUint8(option + 1) - 2) >>> 3;
}

/** Left edge of SACK block `i`: its first sequence number, int32. @hotpath */
export function sackLeftEdge(view: DataView, option: number, i: number): number {
  return view.getInt32(option + 2 + (i << 3));
}

/** Right edge of SACK block `i`: the sequence number behind its last, int32. @hotpath */
export function sackRightEdge(view: DataView, option: number, i: number): number {
  return view.getInt32(option + 6 + (i << 3));
}

function optionsEnd(view: DataView, at: number): number {
  return at + ((view.getUint8(at + 12) >>> 2) & 0x3c);
}

/** Skips padding from `next` and answers with a whole option or -1. */
function settle(view: DataView, next: number, end: number): number {
  let option = next;
  while (option < end && view.getUint8(option) === OPTION_NOP) option += 1;
  if (option + 2 > end || view.getUint8(option) === OPTION_END) return -1;
  const length = view.getUint8(option + 1);
  return length < 2 || option + length > end ? -1 : option;
}
