/**
 * What the host's and the gateway's plumbing have in common: checks for clashes, settings, options. All pure.
 */
import { PreflexError, requireInteger } from '../errors.ts';
import type { Family, Link, Rule } from '../netns/index.ts';
import { MAIN_RULE_PRIORITY, TABLE_LOCAL } from '../netns/index.ts';
import type { Change } from './change.ts';
import { ruleKey, sysctlChange } from './change.ts';
import type { MachineState } from './machine-state.ts';
import { tableKey } from './machine-state.ts';

/** What a plan says: what to do, and what its user should know. */
export interface PlumbingPlan {
  readonly changes: readonly Change[];
  /** Whole sentences about other settings of this machine that may get in the way. */
  readonly warnings: readonly string[];
}

/**
 * Default transmit queue of the TUNs, in packets. A full queue drops silently, and a segmentation super-packet counts
 * as one; 10,000 covers what a fast sender queues while the shim is not scheduled.
 */
export const DEFAULT_TUN_QUEUE_PACKETS = 10_000;

/** Checks that every number is a usable table of its own. */
export function requireTables(field: string, tables: Readonly<Record<string, number>>): void {
  const seen = new Map<number, string>();
  for (const [name, table] of Object.entries(tables)) {
    requireInteger(`${field}.${name}`, table, 1, 0xffff_ffff);
    if (table >= 253 && table <= 255) {
      throw new PreflexError(
        'ERR_INVALID_OPTION',
        `${field}.${name}: ${table} is a table of the kernel's own (253 to 255)`,
      );
    }
    const other = seen.get(table);
    if (other !== undefined) {
      throw new PreflexError('ERR_INVALID_OPTION', `${field}.${name}: ${table} is ${field}.${other} already`);
    }
    seen.set(table, name);
  }
}

/** Checks that priorities rise in the order given and stay before the main table's rule. */
export function requireRisingPriorities(
  field: string,
  priorities: readonly (readonly [string, number])[],
): void {
  let below = 0;
  for (const [name, priority] of priorities) {
    requireInteger(`${field}.${name}`, priority, below + 1, MAIN_RULE_PRIORITY - 1);
    below = priority;
  }
}

/** Throws when a table that the plan wants is in use: it has routes, or rules look into it. */
export function requireFreeTables(
  state: MachineState,
  families: readonly Family[],
  tables: readonly number[],
): void {
  for (const family of families) {
    for (const table of tables) {
      const routes = state.ownTables.get(tableKey(family, table)) ?? [];
      const rule = state.rules[family].find((candidate) => candidate.table === table);
      if (routes.length === 0 && rule === undefined) continue;
      const evidence =
        rule === undefined ? `it has ${routes.length} route(s)` : `rule ${rule.priority} looks into it`;
      throw new PreflexError(
        'ERR_SYSTEM',
        `IPv${family} routing table ${table} is in use: ${evidence}. Another agent or program has it: choose other table ` +
          `numbers (option "tables"). If it is left from a run that is over: ip -${family} route flush table ${table}`,
      );
    }
  }
}

/** The device of that name, or an error that says who should have made it. */
export function requireLink(state: MachineState, name: string, remedy: string): Link {
  const link = state.links.find((candidate) => candidate.name === name);
  if (link !== undefined) return link;
  const known = state.links.map((candidate) => candidate.name).join(', ');
  throw new PreflexError(
    'ERR_SYSTEM',
    `There is no device "${name}" in this namespace (there are ${known}). ${remedy}`,
  );
}

/** Whether a rule does nothing but look into the local table for every packet. */
export function isLocalRule(rule: Rule): boolean {
  return (
    rule.table === TABLE_LOCAL &&
    rule.other === '' &&
    rule.from === undefined &&
    rule.to === undefined &&
    rule.iif === undefined &&
    rule.fwmark === undefined
  );
}

/** Rules between `above` and `below` (both exclusive) that neither the kernel nor a live agent of ours has made. */
export function foreignRules(state: MachineState, family: Family, above: number, below: number): Rule[] {
  return state.rules[family].filter(
    (rule) =>
      rule.priority > above &&
      rule.priority < below &&
      !isLocalRule(rule) &&
      !state.peerKeys.has(ruleKey(rule)),
  );
}

/** A rule in words. */
export function describeRule(rule: Rule): string {
  return `ip -${rule.family} rule "${ruleKey(rule).replace(/^rule -[46] /, '')}"${rule.other === '' ? '' : ` ${rule.other}`}`;
}

/**
 * Changes that give every device its own value of a setting of which the kernel takes the larger of `all` and the
 * device, and set `all` to 0, so that a TUN can have 0. The effective value of every other device stays as it is:
 * each gets the larger of the two, devices to come as well (`default`).
 *
 * @param tuns - devices that get no value here
 */
export function pushDownChanges(
  state: MachineState,
  setting: 'rp_filter' | 'send_redirects',
  tuns: readonly string[],
): Change[] {
  const path = (device: string): string => `net/ipv4/conf/${device}/${setting}`;
  const all = state.sysctls.get(path('all'));
  if (all === undefined) return [];
  const changes: Change[] = [];
  for (const device of ['default', ...state.links.map((link) => link.name)]) {
    const before = state.sysctls.get(path(device));
    if (before === undefined || tuns.includes(device)) continue;
    const value = String(Math.max(Number(all), Number(before)));
    const change = sysctlChange(path(device), value, before, { shared: true });
    // A claim on what another agent has pushed down, so that the last of us puts it back.
    // What others write for a device afterwards is theirs.
    if (value !== before || state.peerKeys.has(change.key)) changes.push({ ...change, settings: undefined });
  }
  changes.push(sysctlChange(path('all'), '0', all, { shared: true }));
  return changes;
}

/** Shared change of a global or device setting; none when this kernel lacks it. */
export function sharedSysctl(state: MachineState, name: string, value: string): Change[] {
  const before = state.sysctls.get(name);
  return before === undefined ? [] : [sysctlChange(name, value, before, { shared: true })];
}

/**
 * Turns IPv4 forwarding on for one device. The way back leaves it on if `all` has been turned on meanwhile: then
 * somebody else has made this machine a router.
 */
export function forwardingChange(state: MachineState, device: string): Change[] {
  const name = `net/ipv4/conf/${device}/forwarding`;
  const before = state.sysctls.get(name);
  if (before === undefined) return [];
  const unless = { name: 'net/ipv4/conf/all/forwarding', value: '1' };
  const isRouter = state.sysctls.get(unless.name) === '1';
  return [sysctlChange(name, '1', before, isRouter ? { shared: true } : { shared: true, unless })];
}

/**
 * Turns IPv6 forwarding on for the whole namespace. A router ignores router advertisements and forgets the default
 * routes it learnt from them, unless accept_ra is 2: so devices that take them get 2 first.
 *
 * @see Documentation/networking/ip-sysctl.rst, accept_ra and forwarding
 */
export function ipv6ForwardingChanges(state: MachineState): Change[] {
  const all = 'net/ipv6/conf/all/forwarding';
  const before = state.sysctls.get(all);
  if (before === undefined) return [];
  const changes: Change[] = [];
  const wereOn: string[] = [];
  for (const device of ['default', ...state.links.map((link) => link.name)]) {
    const name = `net/ipv6/conf/${device}/accept_ra`;
    const acceptRa = state.sysctls.get(name);
    const key = sysctlChange(name, '2', '1').key;
    if (acceptRa === '1' && before === '0') changes.push(sysctlChange(name, '2', '1', { shared: true }));
    else if (state.peerKeys.has(key)) changes.push(sysctlChange(name, '2', '2', { shared: true }));
    if (state.sysctls.get(`net/ipv6/conf/${device}/forwarding`) === '1') wereOn.push(device);
  }
  const change = sysctlChange(all, '1', before, { shared: true });
  // Writing `all` writes every device: those that were on by themselves are turned on again after it.
  const again = wereOn.map((device) => ({
    kind: 'sysctl' as const,
    name: `net/ipv6/conf/${device}/forwarding`,
    value: '1',
  }));
  changes.push(before === '1' ? change : { ...change, undo: [...change.undo, ...again] });
  return changes;
}

/**
 * Settings of a TUN of ours. They have no way back: the device vanishes with the process that holds it.
 *
 * @param settings - IPv4 settings by name, for example `{ rp_filter: '0' }`
 */
export function tunChanges(
  state: MachineState,
  tun: string,
  settings: {
    readonly mtu: number;
    readonly queuePackets: number;
    readonly ipv4: Readonly<Record<string, string>>;
    readonly ipv6?: Readonly<Record<string, string>>;
  },
): Change[] {
  const run: Change['run'][number][] = [
    {
      kind: 'ip',
      args: [
        'link',
        'set',
        'dev',
        tun,
        'mtu',
        String(settings.mtu),
        'txqueuelen',
        String(settings.queuePackets),
      ],
    },
  ];
  const add = (name: string, value: string): void => {
    if (state.sysctls.has(name)) run.push({ kind: 'sysctl', name, value });
  };
  for (const [setting, value] of Object.entries(settings.ipv4)) add(`net/ipv4/conf/${tun}/${setting}`, value);
  // No link-local address of its own, hence no router solicitations and no multicast reports into the shim.
  for (const [setting, value] of Object.entries({ addr_gen_mode: '1', ...settings.ipv6 }))
    add(`net/ipv6/conf/${tun}/${setting}`, value);
  if (
    state.addresses.some(
      (address) => address.device === tun && address.family === 6 && address.scope === 'link',
    )
  ) {
    run.push({ kind: 'ip', args: ['-6', 'address', 'flush', 'dev', tun, 'scope', 'link'] });
  }
  const kept = run.flatMap((command) => (command.kind === 'sysctl' ? [command] : []));
  return [{ key: `tun ${tun}`, run, undo: [], settings: kept.map(({ name, value }) => ({ name, value })) }];
}
