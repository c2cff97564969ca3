/**
 * Policy routing rules: which packets look into which routing table, and in what order.
 */
import type { Where } from './command.ts';
import { CommandError } from './command.ts';
import type { Family } from './ip.ts';
import { ip, ipJson } from './ip.ts';
import { TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN } from './routes.ts';

/** Priority of the kernel's rule for the main table. */
export const MAIN_RULE_PRIORITY = 32766;

/** Transport protocols that rules of this project select. */
export type RuleProtocol = 'tcp' | 'udp';

/** A rule to add, to remove, or as read. A selector that is left out matches everything. */
export interface RuleSpec {
  readonly family: Family;
  /** 0..32767, lower first. */
  readonly priority: number;
  /** Source address or prefix. `0.0.0.0/32` selects IPv4 lookups whose source is not chosen yet. */
  readonly from?: string | undefined;
  /** Destination address or prefix. */
  readonly to?: string | undefined;
  /** Device the packet came in by; `lo` means: sent by this machine. */
  readonly iif?: string | undefined;
  /** Mark of the packet under a mask, both as 32 bits without sign. */
  readonly fwmark?: { readonly value: number; readonly mask: number } | undefined;
  readonly ipProtocol?: RuleProtocol | undefined;
  /** The table to look into. */
  readonly table?: number | undefined;
  /** Instead of a table: end the search here. */
  readonly action?: 'blackhole' | 'unreachable' | 'prohibit' | undefined;
  /** Who made it, as the kernel's number; 2 is the kernel itself. Default: not given. */
  readonly origin?: number | undefined;
}

/** A rule as read from the kernel. */
export interface Rule extends RuleSpec {
  /** Selectors and actions that {@link RuleSpec} cannot say, in iproute2's JSON words; empty for rules of this project. */
  readonly other: string;
}

/** The words after `ip rule add|del` for a rule. Pure; also serves as the rule's identity. */
export function ruleArgs(spec: RuleSpec): string[] {
  const words = ['priority', String(spec.priority)];
  if (spec.from !== undefined) words.push('from', spec.from);
  if (spec.to !== undefined) words.push('to', spec.to);
  if (spec.iif !== undefined) words.push('iif', spec.iif);
  if (spec.fwmark !== undefined)
    words.push('fwmark', `${hexadecimal(spec.fwmark.value)}/${hexadecimal(spec.fwmark.mask)}`);
  if (spec.ipProtocol !== undefined) words.push('ipproto', spec.ipProtocol);
  if (spec.action !== undefined) words.push(spec.action);
  else if (spec.table !== undefined) words.push('lookup', String(spec.table));
  if (spec.origin !== undefined) words.push('protocol', String(spec.origin));
  return words;
}

/** Adds a rule; the very same rule twice is an error of the kernel. */
export function addRule(spec: RuleSpec, where: Where = {}): void {
  ip([`-${spec.family}`, 'rule', 'add', ...ruleArgs(spec)], where);
}

/** Removes a rule; one that is gone already is no error. */
export function deleteRule(spec: RuleSpec, where: Where = {}): void {
  try {
    ip([`-${spec.family}`, 'rule', 'del', ...ruleArgs(spec)], where);
  } catch (error) {
    if (!(error instanceof CommandError && error.isMissingObject)) throw error;
  }
}

/** All rules of one IP version, by priority. */
export function listRules(family: Family, where: Where = {}): Rule[] {
  // -N: tables, protocols and actions as numbers, whatever names /etc/iproute2 gives them.
  return ipJson<Record<string, unknown>>([`-${family}`, '-N', 'rule', 'show'], where).map((json) =>
    parseRule(family, json),
  );
}

const ACTIONS: Readonly<Record<string, 'blackhole' | 'unreachable' | 'prohibit'>> = {
  6: 'blackhole',
  7: 'unreachable',
  8: 'prohibit',
};
const PROTOCOLS: Readonly<Record<string, RuleProtocol>> = {
  'ipproto-6': 'tcp',
  'ipproto-17': 'udp',
  tcp: 'tcp',
  udp: 'udp',
};
const TABLES: Readonly<Record<string, number>> = {
  local: TABLE_LOCAL,
  main: TABLE_MAIN,
  default: TABLE_DEFAULT,
};

/** A rule from one element of `ip -j -N rule show`. Pure. */
export function parseRule(family: Family, json: Readonly<Record<string, unknown>>): Rule {
  const rest = new Map(Object.entries(json));
  // States of the device named, not selectors.
  for (const state of ['iif_detached', 'oif_detached']) rest.delete(state);
  const take = (key: string): string | undefined => {
    const value = rest.get(key);
    rest.delete(key);
    return value === undefined ? undefined : String(value);
  };
  const prefix = (key: string): string | undefined => {
    const address = take(key);
    const length = take(`${key}len`);
    if (address === undefined || address === 'all') return undefined;
    return `${address}/${length ?? (family === 4 ? '32' : '128')}`;
  };
  const priority = Number(take('priority'));
  const from = prefix('src');
  const to = prefix('dst');
  const iif = take('iif');
  const mark = take('fwmark');
  const mask = take('fwmask');
  const fwmark = mark === undefined ? undefined : { value: Number(mark), mask: Number(mask ?? 0xffff_ffff) };
  const ipProtocol = PROTOCOLS[String(rest.get('ipproto'))];
  if (ipProtocol !== undefined) rest.delete('ipproto');
  const action = ACTIONS[String(rest.get('action'))];
  if (action !== undefined) rest.delete('action');
  const tableText = take('table');
  const table = tableText === undefined ? undefined : (TABLES[tableText] ?? Number(tableText));
  const other = rest.size === 0 ? '' : JSON.stringify(Object.fromEntries(rest));
  return { family, priority, from, to, iif, fwmark, ipProtocol, table, action, other };
}

function hexadecimal(value: number): string {
  return `0x${value.toString(16)}`;
}
