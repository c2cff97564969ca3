/**
 * What the kernel says by netlink about those that look at packets on their way through the machine, as bytes: chains
 * and flow tables of nftables, policies of IPsec, policy rules, local routes, filters of devices. Pure.
 *
 * ```
 *  struct nfgenmsg           (4):  0 family  1 version  2 resource (u16); then attributes, numbers in network order
 *  struct xfrm_userpolicy_info (168):  160 direction
 *  struct xfrm_userpolicy_default (3):  0 in  1 forward  2 out
 *  struct fib_rule_hdr      (12):  0 family  1 dst_len  2 src_len  3 tos  4 table  7 action  8 flags (u32)
 *  struct rtmsg             (12):  4 table  5 protocol  7 type
 *  struct tcmsg             (20):  4 index (i32)  8 handle (u32)  12 parent (u32)  16 priority << 16 | protocol
 * ```
 *
 * @see linux/netfilter/nf_tables.h, linux/xfrm.h, linux/fib_rules.h, linux/rtnetlink.h
 */
import type { Family } from './ip.ts';
import type { NetlinkHeader } from './netlink-messages.ts';
import {
  IS_LITTLE,
  NETLINK_HEADER_BYTES,
  dumpRequest,
  forEachAttribute,
  readAttributeText,
} from './netlink-messages.ts';
import { TABLE_LOCAL } from './routes.ts';

const NFTABLES = 10 << 8;
/** Message: a table of nftables was added or changed. */
export const NFT_MSG_NEWTABLE = NFTABLES;
/** Message: a chain of nftables is there, or was added or changed. */
export const NFT_MSG_NEWCHAIN = NFTABLES | 3;
/** Message: a flow table of nftables is there, or was added or changed. */
export const NFT_MSG_NEWFLOWTABLE = NFTABLES | 22;
/** Message: a policy of IPsec is there, or was added. */
export const XFRM_MSG_NEWPOLICY = 0x13;
/** Message: a policy of IPsec was changed. */
export const XFRM_MSG_UPDPOLICY = 0x19;
/** Message: a policy rule is there, or was added. */
export const RTM_NEWRULE = 32;
/** Message: a filter of a device is there, or was added. */
export const RTM_NEWTFILTER = 44;
/** Message: an address is there, or was added. */
export const RTM_NEWADDR = 20;
/** Message: what happens to packets that no policy of IPsec is for; the request for it, its answer, and news of it. */
export const XFRM_MSG_GETDEFAULT = 0x28;

const NFT_MSG_GETCHAIN = NFTABLES | 4;
const NFT_MSG_GETFLOWTABLE = NFTABLES | 23;
const XFRM_MSG_GETPOLICY = 0x15;
const RTM_GETROUTE = 26;
const RTM_GETRULE = 34;
const RTM_GETTFILTER = 46;
const NLM_F_REQUEST = 1;

const NFGENMSG_BYTES = 4;
const NFTA_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_FLOWTABLE_NAME = 2;
const NFTA_HOOK_NUMBER = 1;
const NFTA_HOOK_DEVICE = 3;
const NFTA_HOOK_DEVICES = 4;
const NFTA_DEVICE_NAME = 1;
const NFTA_DEVICE_PREFIX = 2;

const POLICY_BYTES = 168;
const POLICY_DIRECTION = 160;
const RTMSG_BYTES = 12;
const RTA_DST = 1;
const FIB_RULE_BYTES = 12;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;
const FRA_PROTOCOL = 21;
/** Attributes that select no packets: priority, table, who made the rule, and what is 0 or -1 where it is not used. */
const FRA_WITHOUT_CHOICE = [FRA_PRIORITY, FRA_TABLE, FRA_PROTOCOL, 13, 14, 18];
const FR_ACT_TO_TBL = 1;
const FIB_RULE_INVERT = 2;
const TCMSG_BYTES = 20;
/** Filters on the ingress of a device: parent of clsact, TC_H_CLSACT and TC_H_MIN_INGRESS. */
const INGRESS_PARENT = 0xffff_fff2;
const FAMILY_NUMBERS: Readonly<Record<Family, number>> = { 4: 2, 6: 10 };

/** Families of netfilter, by the kernel's numbers. */
export const NETFILTER_FAMILIES: Readonly<Record<number, string>> = {
  1: 'inet',
  2: 'ip',
  3: 'arp',
  5: 'netdev',
  7: 'bridge',
  10: 'ip6',
};

/** A chain of nftables that packets come to by themselves. */
export interface BaseChain {
  /** One of {@link NETFILTER_FAMILIES}, or the number of another. */
  readonly family: string;
  readonly table: string;
  readonly name: string;
  /** NF_INET_ number: 0 prerouting, 2 forward, 4 postrouting, 5 ingress; of the family netdev 0 ingress, 1 egress. */
  readonly hook: number;
  /** Devices that it is for, as `NAME` or, for all that begin so, `NAME*`. Empty: all. */
  readonly devices: readonly string[];
}

/** A policy rule, as far as it has to be known whose packets it is for. */
export interface RuleMessage {
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  /** Whether it looks into its table, for every packet. */
  readonly isForAll: boolean;
  readonly iif: string | undefined;
  readonly fwmark: number;
  readonly fwmask: number;
}

/** A filter on a device. */
export interface FilterMessage {
  /** 0 for what only holds others. */
  readonly handle: number;
  readonly priority: number;
}

/** The request for all chains of nftables. */
export function chainDumpRequest(sequence: number): Uint8Array {
  return dumpRequest(NFT_MSG_GETCHAIN, NFGENMSG_BYTES, sequence);
}

/** The request for all flow tables of nftables. */
export function flowtableDumpRequest(sequence: number): Uint8Array {
  return dumpRequest(NFT_MSG_GETFLOWTABLE, NFGENMSG_BYTES, sequence);
}

/** The request for all policies of IPsec. */
export function policyDumpRequest(sequence: number): Uint8Array {
  return dumpRequest(XFRM_MSG_GETPOLICY, 0, sequence);
}

/** The request for what happens to packets that no policy of IPsec is for. */
export function policyDefaultRequest(sequence: number): Uint8Array {
  const bytes = dumpRequest(XFRM_MSG_GETDEFAULT, 4, sequence);
  new DataView(bytes.buffer).setUint16(6, NLM_F_REQUEST, IS_LITTLE);
  return bytes;
}

/** The request for all policy rules of one IP version. */
export function ruleDumpRequest(family: Family, sequence: number): Uint8Array {
  const bytes = dumpRequest(RTM_GETRULE, FIB_RULE_BYTES, sequence);
  bytes[NETLINK_HEADER_BYTES] = FAMILY_NUMBERS[family];
  return bytes;
}

/** The request for all routes of the local table of one IP version; others come with it where the kernel does not filter. */
export function localDumpRequest(family: Family, sequence: number): Uint8Array {
  const bytes = dumpRequest(RTM_GETROUTE, RTMSG_BYTES, sequence);
  bytes[NETLINK_HEADER_BYTES] = FAMILY_NUMBERS[family];
  bytes[NETLINK_HEADER_BYTES + 4] = TABLE_LOCAL;
  return bytes;
}

/** The request for all filters on the ingress of a device. @param ifindex - of the device */
export function ingressDumpRequest(ifindex: number, sequence: number): Uint8Array {
  const bytes = dumpRequest(RTM_GETTFILTER, TCMSG_BYTES, sequence);
  const view = new DataView(bytes.buffer);
  view.setInt32(NETLINK_HEADER_BYTES + 4, ifindex, IS_LITTLE);
  view.setUint32(NETLINK_HEADER_BYTES + 12, INGRESS_PARENT, IS_LITTLE);
  return bytes;
}

/**
 * Reads a chain. A hook that makes no sense counts as one for all devices.
 *
 * @returns undefined for a chain that is only called by others
 */
export function readBaseChain(view: DataView, { at, end }: NetlinkHeader): BaseChain | undefined {
  let [table, name, hook] = ['', '', -1];
  let hasHook = false;
  let devices: string[] = [];
  if (end - at < NFGENMSG_BYTES) return undefined;
  forEachAttribute(view, at + NFGENMSG_BYTES, end, (type, value, size) => {
    if (type === NFTA_TABLE) table = readAttributeText(view, value, size);
    else if (type === NFTA_CHAIN_NAME) name = readAttributeText(view, value, size);
    else if (type === NFTA_CHAIN_HOOK) {
      hasHook = true;
      const isRight = forEachAttribute(view, value, value + size, (part, start, length) => {
        if (part === NFTA_HOOK_NUMBER && length === 4) hook = view.getUint32(start);
        else if (part === NFTA_HOOK_DEVICE) devices.push(readAttributeText(view, start, length));
        else if (part === NFTA_HOOK_DEVICES) return readDevices(view, start, length, devices);
        return true;
      });
      if (!isRight) devices = [];
    }
    return true;
  });
  return hasHook ? { family: familyName(view.getUint8(at)), table, name, hook, devices } : undefined;
}

/** Reads a flow table: `FAMILY TABLE NAME`. */
export function readFlowtable(view: DataView, { at, end }: NetlinkHeader): string {
  let [table, name] = ['', ''];
  if (end - at < NFGENMSG_BYTES) return '';
  forEachAttribute(view, at + NFGENMSG_BYTES, end, (type, value, size) => {
    if (type === NFTA_TABLE) table = readAttributeText(view, value, size);
    else if (type === NFTA_FLOWTABLE_NAME) name = readAttributeText(view, value, size);
    return true;
  });
  return `${familyName(view.getUint8(at))} ${table} ${name}`;
}

/** The direction of a policy of IPsec: 0 in, 1 out, 2 forward, more for those of single sockets. */
export function readPolicyDirection(view: DataView, { at, end }: NetlinkHeader): number {
  return end - at < POLICY_BYTES ? 0 : view.getUint8(at + POLICY_DIRECTION);
}

/** Whether packets that no policy of IPsec is for are dropped on their way through the machine, or out of it. */
export function readPolicyDefault(view: DataView, { at, end }: NetlinkHeader): boolean {
  return end - at >= 3 && (view.getUint8(at + 1) === 1 || view.getUint8(at + 2) === 1);
}

/** Reads a policy rule; undefined for bytes that are none of IPv4 or IPv6. */
export function readRule(view: DataView, { at, end }: NetlinkHeader): RuleMessage | undefined {
  if (end - at < FIB_RULE_BYTES) return undefined;
  const number = view.getUint8(at);
  const family = number === FAMILY_NUMBERS[4] ? 4 : number === FAMILY_NUMBERS[6] ? 6 : undefined;
  if (family === undefined) return undefined;
  let [priority, table, fwmark, fwmask] = [0, view.getUint8(at + 4), 0, 0];
  let iif: string | undefined;
  const flags = view.getUint32(at + 8, IS_LITTLE);
  let isForAll =
    view.getUint8(at + 7) === FR_ACT_TO_TBL &&
    view.getUint8(at + 1) + view.getUint8(at + 2) + view.getUint8(at + 3) === 0 &&
    (flags & FIB_RULE_INVERT) === 0;
  const isRight = forEachAttribute(view, at + FIB_RULE_BYTES, end, (type, value, size) => {
    const word = size === 4 ? view.getUint32(value, IS_LITTLE) : 0;
    if (type === FRA_PRIORITY) priority = word;
    else if (type === FRA_TABLE) table = word;
    else if (type === FRA_FWMARK) fwmark = word;
    else if (type === FRA_FWMASK) fwmask = word;
    else if (type === FRA_IIFNAME) iif = readAttributeText(view, value, size);
    if (!FRA_WITHOUT_CHOICE.includes(type)) isForAll = false;
    return true;
  });
  if (!isRight) isForAll = false;
  // An inverted rule is for what does not come in there, too.
  if ((flags & FIB_RULE_INVERT) !== 0) iif = undefined;
  return { family, priority, table, isForAll, iif, fwmark, fwmask };
}

/** The prefix of a route of the local table that somebody made; undefined for the kernel's own, of an address. */
export function readLocalRoute(view: DataView, { at, end }: NetlinkHeader): string | undefined {
  if (end - at < RTMSG_BYTES || view.getUint8(at + 4) !== TABLE_LOCAL) return undefined;
  const protocol = view.getUint8(at + 5);
  if (protocol === 0 || protocol === 2) return undefined;
  const bytes: number[] = [];
  forEachAttribute(view, at + RTMSG_BYTES, end, (type, value, size) => {
    if (type === RTA_DST) for (let i = 0; i < size; i++) bytes.push(view.getUint8(value + i));
    return true;
  });
  const address =
    bytes.length === 16
      ? Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] << 8) | bytes[2 * i + 1]).toString(16)).join(':')
      : bytes.join('.');
  return bytes.length === 0 ? 'default' : `${address}/${view.getUint8(at + 1)}`;
}

/** Reads a filter of a device; undefined for bytes that are none. */
export function readFilter(view: DataView, { at, end }: NetlinkHeader): FilterMessage | undefined {
  if (end - at < TCMSG_BYTES) return undefined;
  return { handle: view.getUint32(at + 8, IS_LITTLE), priority: view.getUint32(at + 16, IS_LITTLE) >>> 16 };
}

function readDevices(view: DataView, at: number, size: number, into: string[]): boolean {
  return forEachAttribute(view, at, at + size, (type, value, length) => {
    const name = readAttributeText(view, value, length);
    if (type === NFTA_DEVICE_NAME) into.push(name);
    else if (type === NFTA_DEVICE_PREFIX) into.push(`${name}*`);
    return true;
  });
}

function familyName(number: number): string {
  return NETFILTER_FAMILIES[number] ?? String(number);
}
