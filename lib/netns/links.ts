/**
 * Links (network devices): veth pairs between namespaces, dummies, TUNs, their settings and their counters.
 */
import { readFileSync } from 'node:fs';
import { PreflexError } from '../errors.ts';
import type { Where } from './command.ts';
import { CommandError } from './command.ts';
import { ip, ipJson } from './ip.ts';

/** Longest device name the kernel takes, in characters. @see IFNAMSIZ in linux/if.h */
export const MAX_DEVICE_NAME = 15;

/** One end of a veth pair. */
export interface VethEnd extends Where {
  readonly name: string;
}

/** Settings of a link; what is left out stays as it is. */
export interface LinkSettings {
  /** Largest IP packet in bytes, 68..65535 (1280 at least for IPv6). */
  readonly mtu?: number | undefined;
  /** Length of the transmit queue in packets; a TUN drops silently when it is full. Kernel default 500 or 1000. */
  readonly txQueueLength?: number | undefined;
  /** Administrative state. */
  readonly up?: boolean | undefined;
  /** Hardware address, for veth. */
  readonly address?: string | undefined;
}

/** A link as it is. */
export interface Link {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly txQueueLength: number;
  readonly isUp: boolean;
  /** Whether the other end is there and up (`LOWER_UP`): false for a TUN that no process holds. */
  readonly hasCarrier: boolean;
  /** `veth`, `tun`, `dummy`...; empty for a hardware device. */
  readonly kind: string;
}

/** What a link has carried since it was made: packets, bytes (link header included), drops. */
export interface LinkCounters {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxDropped: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly txDropped: number;
}

interface LinkJson {
  ifname: string;
  ifindex: number;
  mtu: number;
  txqlen?: number;
  flags: string[];
  linkinfo?: { info_kind?: string };
  stats64?: Record<'rx' | 'tx', { packets: number; bytes: number; dropped: number }>;
}

/** Makes a veth pair with its two ends in the namespaces given. Both are down and without address. */
export function createVethPair(a: VethEnd, b: VethEnd): void {
  requireDeviceName(a.name);
  requireDeviceName(b.name);
  const peer = ['peer', 'name', b.name, 'netns', b.netns ?? String(process.pid)];
  ip(['link', 'add', a.name, 'type', 'veth', ...peer], a); // `ip -n X` makes the first end in X
}

/** Makes a dummy device: it takes packets and forgets them. */
export function createDummy(name: string, where: Where = {}): void {
  requireDeviceName(name);
  ip(['link', 'add', name, 'type', 'dummy'], where);
}

/** Makes a persistent TUN that no process holds; for tests of routes and rules. */
export function createPersistentTun(name: string, where: Where = {}): void {
  requireDeviceName(name);
  ip(['tuntap', 'add', name, 'mode', 'tun'], where);
}

/** Changes a link's settings in one command. */
export function setLink(name: string, settings: LinkSettings, where: Where = {}): void {
  const words: string[] = [];
  if (settings.mtu !== undefined) words.push('mtu', String(settings.mtu));
  if (settings.txQueueLength !== undefined) words.push('txqueuelen', String(settings.txQueueLength));
  if (settings.address !== undefined) words.push('address', settings.address);
  if (settings.up !== undefined) words.push(settings.up ? 'up' : 'down');
  if (words.length > 0) ip(['link', 'set', 'dev', name, ...words], where);
}

/** Moves a link into another namespace; it arrives down and without addresses. */
export function moveLink(name: string, toNetns: string, where: Where = {}): void {
  ip(['link', 'set', 'dev', name, 'netns', toNetns], where);
}

/** Removes a link (a veth pair as a whole); one that is gone already is no error. */
export function deleteLink(name: string, where: Where = {}): void {
  try {
    ip(['link', 'del', 'dev', name], where);
  } catch (error) {
    if (!(error instanceof CommandError && error.isMissingObject)) throw error;
  }
}

/** All links of a namespace, in the kernel's order. */
export function listLinks(where: Where = {}): Link[] {
  return ipJson<LinkJson>(['-d', 'link', 'show'], where).map(toLink);
}

/** One link; undefined when there is none of that name. */
export function findLink(name: string, where: Where = {}): Link | undefined {
  try {
    return ipJson<LinkJson>(['-d', 'link', 'show', 'dev', name], where).map(toLink)[0];
  } catch (error) {
    if (error instanceof CommandError && /does not exist/.test(error.stderr)) return undefined;
    throw error;
  }
}

/** A link's counters, read with `ip -j -s link`. */
export function linkCounters(name: string, where: Where = {}): LinkCounters {
  const stats = ipJson<LinkJson>(['-s', 'link', 'show', 'dev', name], where)[0]?.stats64;
  if (stats === undefined)
    throw new PreflexError('ERR_SYSTEM', `${name}: the kernel shows no counters for this link`);
  return {
    rxPackets: stats.rx.packets,
    rxBytes: stats.rx.bytes,
    rxDropped: stats.rx.dropped,
    txPackets: stats.tx.packets,
    txBytes: stats.tx.bytes,
    txDropped: stats.tx.dropped,
  };
}

/**
 * The counters of all links of the namespace that this process is in, by name. Reads one file and starts no process, so
 * a daemon may call it often.
 *
 * @see proc_pid_net(5), /proc/pid/net/dev: after the colon eight figures of what was received and eight of what was sent
 */
export function ownLinkCounters(): Map<string, LinkCounters> {
  const counters = new Map<string, LinkCounters>();
  for (const line of readFileSync('/proc/self/net/dev', 'utf8').split('\n')) {
    const [, name, figures] = /^\s*(\S+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || figures === undefined) continue;
    const [rxBytes, rxPackets, , rxDropped, , , , , txBytes, txPackets, , txDropped] = figures
      .split(/\s+/)
      .map(Number);
    counters.set(name, { rxPackets, rxBytes, rxDropped, txPackets, txBytes, txDropped });
  }
  return counters;
}

/** Throws unless `name` can be a device's name: 1 to 15 characters, none of them a slash, colon or blank. */
export function requireDeviceName(name: string): string {
  if (!/^[^\s/:]{1,15}$/.test(name) || name === '.' || name === '..') {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      `device: ${JSON.stringify(name)} is not allowed; it takes 1 to ${MAX_DEVICE_NAME} characters without blank, slash or colon`,
    );
  }
  return name;
}

function toLink(json: LinkJson): Link {
  return {
    name: json.ifname,
    index: json.ifindex,
    mtu: json.mtu,
    txQueueLength: json.txqlen ?? 0,
    isUp: json.flags.includes('UP'),
    hasCarrier: json.flags.includes('LOWER_UP'),
    kind: json.linkinfo?.info_kind ?? '',
  };
}
