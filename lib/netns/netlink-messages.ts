/**
 * Messages of netlink, whatever family they are of, as bytes: their headers, their attributes, the beginning of a
 * request. Pure; lengths are never believed.
 *
 * ```
 *  struct nlmsghdr (16):  0 length (u32)  4 type (u16)  6 flags (u16)  8 sequence (u32)  12 port (u32)
 *  struct nlattr    (4):  0 length (u16)  2 type (u16), then the value, padded to 4
 * ```
 *
 * @see netlink(7), linux/netlink.h
 */
import { endianness } from 'node:os';

/** Message: an error, or with code 0 an acknowledgement. */
export const NLMSG_ERROR = 2;
/** Message: the end of a dump. */
export const NLMSG_DONE = 3;
/** Flag of a message of a dump: what is dumped changed in the meantime, and it may lack some. */
export const NLM_F_DUMP_INTR = 0x10;
const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP = 0x300;

/** Bytes of the header of a message: where the body of a {@link dumpRequest} begins. */
export const NETLINK_HEADER_BYTES = 16;
const ATTRIBUTE_BYTES = 4;
const ERROR_BYTES = 4;
/** The upper two bits of an attribute's type are flags. */
const NLA_TYPE_MASK = 0x3fff;
/** Whether numbers of netlink, which are the machine's, have their lowest byte first. */
export const IS_LITTLE = endianness() === 'LE';

/** A message's header. */
export interface NetlinkHeader {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Address of the socket whose request it answers, or that caused what it tells of; 0 for the kernel itself. */
  readonly port: number;
  /** Where the message's own part begins. */
  readonly at: number;
  /** Where it ends. */
  readonly end: number;
}

/**
 * Calls `visit` with each message of a datagram.
 *
 * @param length - bytes of the datagram in `view`
 * @returns false when it ends in the middle of a message, or a length is impossible; what came before was visited
 */
export function forEachMessage(
  view: DataView,
  length: number,
  visit: (header: NetlinkHeader) => void,
): boolean {
  let at = 0;
  while (at + NETLINK_HEADER_BYTES <= length) {
    const size = view.getUint32(at, IS_LITTLE);
    if (size < NETLINK_HEADER_BYTES || size > length - at) return false;
    visit({
      type: view.getUint16(at + 4, IS_LITTLE),
      flags: view.getUint16(at + 6, IS_LITTLE),
      sequence: view.getUint32(at + 8, IS_LITTLE),
      port: view.getUint32(at + 12, IS_LITTLE),
      at: at + NETLINK_HEADER_BYTES,
      end: at + size,
    });
    at += aligned(size);
  }
  return at >= length;
}

/** The error number of an NLMSG_ERROR or NLMSG_DONE message, 0 for none. */
export function readErrorNumber(view: DataView, { at, end }: NetlinkHeader): number {
  return end - at < ERROR_BYTES ? 0 : Math.abs(view.getInt32(at, IS_LITTLE));
}

/**
 * The request for all there is of something.
 *
 * @param bodyBytes - zeros behind the header, for the caller to fill in
 * @param sequence - comes back in every message of the answer
 */
export function dumpRequest(type: number, bodyBytes: number, sequence: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(NETLINK_HEADER_BYTES + bodyBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, IS_LITTLE);
  view.setUint16(4, type, IS_LITTLE);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, IS_LITTLE);
  view.setUint32(8, sequence, IS_LITTLE);
  return bytes;
}

/**
 * Calls `visit` with each attribute: type, where its value begins, bytes of it.
 *
 * @returns false when the bytes are cut off or `visit` says so
 */
export function forEachAttribute(
  view: DataView,
  from: number,
  end: number,
  visit: (type: number, value: number, size: number) => boolean,
): boolean {
  let at = from;
  while (at + ATTRIBUTE_BYTES <= end) {
    const size = view.getUint16(at, IS_LITTLE);
    if (size < ATTRIBUTE_BYTES || size > end - at) return false;
    const type = view.getUint16(at + 2, IS_LITTLE) & NLA_TYPE_MASK;
    if (!visit(type, at + ATTRIBUTE_BYTES, size - ATTRIBUTE_BYTES)) return false;
    at += aligned(size);
  }
  return true;
}

/** The text of an attribute, up to its end or a NUL. */
export function readAttributeText(view: DataView, at: number, size: number): string {
  let text = '';
  for (let i = 0; i < size; i++) {
    const code = view.getUint8(at + i);
    if (code === 0) break;
    text += String.fromCharCode(code);
  }
  return text;
}

/** Where the next message, attribute or hop begins behind one of so many bytes. */
export function aligned(size: number): number {
  return (size + 3) & ~3;
}
