/**
 * What the plumbing needs to know of the machine before it plans: read once, then handed to pure functions.
 */
import type { Family, Link, LinkAddress, Route, Rule, Where } from '../netns/index.ts';
import { TABLE_MAIN, listAddresses, listLinks, listRoutes, listRules, readSysctls } from '../netns/index.ts';

/** A snapshot of one network namespace. */
export interface MachineState {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  readonly rules: Readonly<Record<Family, readonly Rule[]>>;
  readonly mainRoutes: Readonly<Record<Family, readonly Route[]>>;
  /** Routes of the tables that the plan wants for itself, by `tableKey`. */
  readonly ownTables: ReadonlyMap<string, readonly Route[]>;
  /** Kernel settings by path below /proc/sys; those that do not exist are missing. */
  readonly sysctls: ReadonlyMap<string, string>;
  /** Keys of changes that other live agents of the namespace hold. */
  readonly peerKeys: ReadonlySet<string>;
}

/** Key of {@link MachineState.ownTables}. */
export function tableKey(family: Family, table: number): string {
  return `${family}:${table}`;
}

const GLOBAL_SETTINGS = ['net/ipv4/ip_early_demux', 'net/ipv4/ip_forward_update_priority'];
const IPV4_SETTINGS = ['rp_filter', 'accept_local', 'forwarding', 'send_redirects'];
const IPV6_SETTINGS = ['forwarding', 'force_forwarding', 'accept_ra', 'addr_gen_mode'];

/** Reads the state of a namespace. */
export function readMachineState(
  where: Where,
  wants: {
    readonly families: readonly Family[];
    readonly tables: readonly number[];
    readonly peerKeys: ReadonlySet<string>;
  },
): MachineState {
  const links = listLinks(where);
  const devices = ['all', 'default', ...links.map((link) => link.name)];
  const names = [
    ...GLOBAL_SETTINGS,
    ...devices.flatMap((device) => [
      ...IPV4_SETTINGS.map((setting) => `net/ipv4/conf/${device}/${setting}`),
      ...IPV6_SETTINGS.map((setting) => `net/ipv6/conf/${device}/${setting}`),
    ]),
  ];
  const has = (family: Family): boolean => wants.families.includes(family);
  const ownTables = new Map<string, readonly Route[]>();
  for (const family of wants.families) {
    for (const table of wants.tables)
      ownTables.set(tableKey(family, table), listRoutes(family, table, where));
  }
  return {
    links,
    addresses: listAddresses(where),
    rules: { 4: has(4) ? listRules(4, where) : [], 6: has(6) ? listRules(6, where) : [] },
    mainRoutes: {
      4: has(4) ? listRoutes(4, TABLE_MAIN, where) : [],
      6: has(6) ? listRoutes(6, TABLE_MAIN, where) : [],
    },
    ownTables,
    sysctls: readSysctls(names, where),
    peerKeys: wants.peerKeys,
  };
}
