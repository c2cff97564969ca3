/**
 * What the kernel says and is asked about routes and links, as bytes: requests out, messages in. Pure; lengths are never
 * believed, and bytes that make no sense are told apart from messages that are of no interest.
 *
 * ```
 *  struct rtmsg    (12):  0 family  1 dst_len  2 src_len  3 tos  4 table  5 protocol  6 scope  7 type  8 flags (u32)
 *  struct ifinfomsg(16):  0 family  2 type (u16)  4 index (i32)  8 flags (u32)  12 change (u32)
 *  struct rtnexthop (8):  0 length (u16)  2 flags  3 hops  4 index (i32), then attributes
 * ```
 *
 * Behind the header of a message (netlink-messages.ts), with attributes after it. Numbers are in the machine's byte order,
 * addresses in the network's.
 *
 * @see rtnetlink(7), linux/rtnetlink.h
 */
import type { Family } from './ip.ts';
import type { NetlinkHeader } from './netlink-messages.ts';
import {
  NETLINK_HEADER_BYTES,
  IS_LITTLE,
  aligned,
  dumpRequest,
  forEachAttribute,
  readAttributeText,
} from './netlink-messages.ts';

/** Message: a link is there, or has changed. */
export const RTM_NEWLINK = 16;
/** Message: a link is gone. */
export const RTM_DELLINK = 17;
/** Message: an address was taken away; the kernel drops the IPv4 routes that use it without a word. */
export const RTM_DELADDR = 21;
/** Message: a route was added or replaced. */
export const RTM_NEWROUTE = 24;
/** Message: a route was removed. */
export const RTM_DELROUTE = 25;
/** Message: a next hop object was removed; IPv4 routes that used it go without a word. */
export const RTM_DELNEXTHOP = 105;

const NLM_F_REPLACE = 0x100;
const NLM_F_APPEND = 0x800;

const RTM_GETLINK = 18;
const RTM_GETROUTE = 26;
const AF_INET = 2;
const AF_INET6 = 10;
const RTM_F_CLONED = 0x200;
const RTNH_F_DEAD = 1;
const RTNH_F_LINKDOWN = 16;
const IFF_UP = 0x1;
const IFF_RUNNING = 0x40;
const IFF_LOWER_UP = 0x1_0000;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const IFLA_IFNAME = 3;

const RTMSG_BYTES = 12;
const IFINFO_BYTES = 16;
const NEXT_HOP_BYTES = 8;
/** An error number, a table, a metric, an index of a device. */
const NUMBER_BYTES = 4;

/** Most next hops of a route that are looked at; the kernel's own limit is the message, some 2,000. */
const MAX_HOPS = 4096;

/** What a route does with packets: leads on, refuses them in one way or another, or something else. */
export type RouteAction = 'unicast' | 'refuse' | 'other';

/** One next hop of a {@link RouteMessage}. */
export interface RouteMessageHop {
  /** Index of the device, 0 for none. */
  device: number;
  /** Whether the kernel would not use it: its device is down or has no carrier. */
  isDead: boolean;
  /** IP version of the next hop's address, 0 for none: the destination is on the link. */
  viaFamily: 0 | Family;
  /** That address as int32 words, most significant first. */
  readonly via: Int32Array;
}

/** A route as RTM_NEWROUTE and RTM_DELROUTE tell it; filled anew by each {@link readRoute}. */
export class RouteMessage {
  family: Family = 4;
  table = 0;
  action: RouteAction = 'other';
  /** The preference among routes to one prefix, lower first: 0..2^32-1. */
  metric = 0;
  /** Bits of the prefix. */
  length = 0;
  /** The prefix as int32 words, most significant first, bits beyond the length 0; IPv4 uses only the first. */
  readonly words: Int32Array = new Int32Array(4);
  /** Whether it is for all packets to the prefix: no source prefix, no traffic class, no cached copy. */
  isPlain = false;
  /** Whether it takes the place of the one with the same prefix and metric. */
  isReplacement = false;
  /** Whether it comes behind those with the same prefix and metric. */
  isAppended = false;
  /** How many of {@link hops} are filled. */
  hopCount = 0;
  readonly hops: RouteMessageHop[] = [];

  /** The next free hop, emptied. */
  addHop(): RouteMessageHop {
    let hop = this.hops[this.hopCount];
    if (hop === undefined) {
      hop = { device: 0, isDead: false, viaFamily: 0, via: new Int32Array(4) };
      this.hops.push(hop);
    }
    this.hopCount++;
    hop.device = 0;
    hop.isDead = false;
    hop.viaFamily = 0;
    hop.via.fill(0);
    return hop;
  }
}

/** A link as RTM_NEWLINK tells it. */
export interface LinkMessage {
  readonly index: number;
  readonly name: string;
  /** Whether packets can leave: switched on, with carrier, and in operation. */
  readonly isUp: boolean;
}

/**
 * Reads a route.
 *
 * @param into - filled; its contents count only if the answer is true
 * @returns false for bytes that are no route of IPv4 or IPv6
 */
export function readRoute(view: DataView, header: NetlinkHeader, into: RouteMessage): boolean {
  const { at, end, flags } = header;
  if (end - at < RTMSG_BYTES) return false;
  const family = familyOf(view.getUint8(at));
  if (family === undefined) return false;
  into.family = family;
  into.length = view.getUint8(at + 1);
  if (into.length > (family === 4 ? 32 : 128)) return false;
  const isForSome = view.getUint8(at + 2) !== 0 || view.getUint8(at + 3) !== 0;
  into.isPlain = !isForSome && (view.getUint32(at + 8, IS_LITTLE) & RTM_F_CLONED) === 0;
  into.table = view.getUint8(at + 4);
  into.action = actionOf(view.getUint8(at + 7));
  into.metric = 0;
  into.words.fill(0);
  into.isReplacement = (flags & NLM_F_REPLACE) !== 0;
  into.isAppended = (flags & NLM_F_APPEND) !== 0;
  into.hopCount = 0;
  // Of a plain route its only hop is told by the route's own flags and attributes.
  const own = into.addHop();
  own.isDead = isDead(view.getUint32(at + 8, IS_LITTLE));
  let hasOwn = false;
  const isRight = forEachAttribute(view, at + RTMSG_BYTES, end, (type, value, size) => {
    switch (type) {
      case RTA_DST:
        return readAddress(view, value, size, family, into.words);
      case RTA_TABLE:
        if (size < NUMBER_BYTES) return false;
        into.table = view.getUint32(value, IS_LITTLE);
        return true;
      case RTA_PRIORITY:
        if (size < NUMBER_BYTES) return false;
        into.metric = view.getUint32(value, IS_LITTLE);
        return true;
      case RTA_MULTIPATH:
        return readHops(view, value, value + size, family, into);
      default:
        hasOwn = type === RTA_OIF || type === RTA_GATEWAY || type === RTA_VIA || hasOwn;
        return readHopAttribute(view, type, value, size, family, own);
    }
  });
  if (!isRight) return false;
  if (!hasOwn) removeFirstHop(into);
  clearHostBits(into.words, into.length);
  return true;
}

/** Reads a link; undefined for bytes that are none. */
export function readLink(view: DataView, { at, end }: NetlinkHeader): LinkMessage | undefined {
  if (end - at < IFINFO_BYTES) return undefined;
  const flags = view.getUint32(at + 8, IS_LITTLE);
  const wanted = IFF_UP | IFF_RUNNING | IFF_LOWER_UP;
  let name = '';
  const isRight = forEachAttribute(view, at + IFINFO_BYTES, end, (type, value, size) => {
    if (type === IFLA_IFNAME) name = readAttributeText(view, value, size);
    return true;
  });
  if (!isRight || name === '') return undefined;
  return { index: view.getInt32(at + 4, IS_LITTLE), name, isUp: (flags & wanted) === wanted };
}

/** The request for all routes of a table. @param sequence - comes back in every message of the answer */
export function routeDumpRequest(family: Family, table: number, sequence: number): Uint8Array {
  const bytes = dumpRequest(RTM_GETROUTE, RTMSG_BYTES + 8, sequence);
  const view = new DataView(bytes.buffer);
  const at = NETLINK_HEADER_BYTES;
  view.setUint8(at, family === 4 ? AF_INET : AF_INET6);
  view.setUint16(at + RTMSG_BYTES, 8, IS_LITTLE);
  view.setUint16(at + RTMSG_BYTES + 2, RTA_TABLE, IS_LITTLE);
  view.setUint32(at + RTMSG_BYTES + 4, table, IS_LITTLE);
  return bytes;
}

/** The request for all links. */
export function linkDumpRequest(sequence: number): Uint8Array {
  return dumpRequest(RTM_GETLINK, IFINFO_BYTES, sequence);
}

function readHopAttribute(
  view: DataView,
  type: number,
  value: number,
  size: number,
  family: Family,
  hop: RouteMessageHop,
): boolean {
  if (type === RTA_OIF) {
    if (size < NUMBER_BYTES) return false;
    hop.device = view.getInt32(value, IS_LITTLE);
  } else if (type === RTA_GATEWAY) {
    hop.viaFamily = family;
    return readAddress(view, value, size, family, hop.via);
  } else if (type === RTA_VIA) {
    // A next hop of the other IP version: its family, then its address.
    const viaFamily = size < 2 ? undefined : familyOf(view.getUint16(value, IS_LITTLE));
    if (viaFamily === undefined) return false;
    hop.viaFamily = viaFamily;
    return readAddress(view, value + 2, size - 2, viaFamily, hop.via);
  }
  return true;
}

function readHops(view: DataView, from: number, end: number, family: Family, into: RouteMessage): boolean {
  let at = from;
  while (at + NEXT_HOP_BYTES <= end) {
    const size = view.getUint16(at, IS_LITTLE);
    if (size < NEXT_HOP_BYTES || size > end - at || into.hopCount >= MAX_HOPS) return false;
    const hop = into.addHop();
    hop.isDead = isDead(view.getUint8(at + 2));
    hop.device = view.getInt32(at + 4, IS_LITTLE);
    const isRight = forEachAttribute(view, at + NEXT_HOP_BYTES, at + size, (type, value, bytes) =>
      readHopAttribute(view, type, value, bytes, family, hop),
    );
    if (!isRight) return false;
    at += aligned(size);
  }
  return true;
}

function removeFirstHop(route: RouteMessage): void {
  const [first] = route.hops.splice(0, 1);
  route.hops.push(first);
  route.hopCount--;
}

function readAddress(view: DataView, at: number, size: number, family: Family, into: Int32Array): boolean {
  const bytes = family === 4 ? 4 : 16;
  if (size !== bytes) return false;
  for (let i = 0; i < bytes; i += 4) into[i >>> 2] = view.getInt32(at + i);
  return true;
}

/** The kernel clears them itself; a prefix with host bits would be lost in a table of prefixes. */
function clearHostBits(words: Int32Array, length: number): void {
  for (let i = 0; i < 4; i++) {
    const bits = length - 32 * i;
    if (bits <= 0) words[i] = 0;
    else if (bits < 32) words[i] &= -1 << (32 - bits);
  }
}

function familyOf(number: number): Family | undefined {
  if (number === AF_INET) return 4;
  return number === AF_INET6 ? 6 : undefined;
}

/** RTN_UNICAST is 1; RTN_BLACKHOLE, UNREACHABLE, PROHIBIT and THROW are 6 to 9. */
function actionOf(type: number): RouteAction {
  if (type === 1) return 'unicast';
  return type >= 6 && type <= 9 ? 'refuse' : 'other';
}

function isDead(flags: number): boolean {
  return (flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) !== 0;
}
