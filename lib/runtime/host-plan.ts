/**
 * The host's bump in the stack: policy routing that leads the TCP and UDP traffic of one address through the shim.
 *
 * ```
 *   applications                                               the network
 *        |  ^                                                      ^  |
 *        |  | local delivery                          main table   |  |
 *        v  |                                                      |  v
 *     [ IP of this host ] --table outbound--> lex0 =agent=> lex1 --> D (address A)
 *                         <---------- lex0 <=agent= lex1 <--table inbound-- D
 *
 *   rule  inbound      iif D ipproto tcp|udp           lookup inbound    A dev lex1
 *   rule  local        lookup local                    (moved here from 0: the inbound rules must come before)
 *   rule  local+1      iif D blackhole                 only if D was not forwarding: see below
 *   rule  outbound     from A iif lo ipproto tcp|udp   lookup outbound   the main table's routes over D, dev lex0
 *   rule  outbound+1   the same for sockets that have not chosen their source address yet
 * ```
 *
 * - Only TCP and UDP: ICMP and neighbour discovery (whose hop limit of 255 forwarding would break) never pass the shim.
 *   Non-first fragments match too, in IPv4 and IPv6, because the kernel dissects the packet for such rules.
 * - `ip_early_demux=0`: a packet from the network that matches a local socket would otherwise be given that socket at
 *   once, and forwarding (to lex1) drops packets that have one.
 * - The kernel forwards between D and the TUNs, so the TTL falls by one each way. Protocols that demand a TTL of 255 or
 *   send with 1 over TCP or UDP (GTSM, single-hop BGP) do not work through the shim.
 * - Forwarding on D alone would make this host a router for its neighbours. Where it was none, the blackhole rule keeps
 *   it so: what is neither diverted nor local is dropped, as before. Refreshing the plumbing takes the rule away
 *   when somebody turns forwarding on for the whole machine.
 * - It fails open: without the agent the TUNs are gone and with them the routes of both tables; the rules fall through
 *   to local and main.
 * - Sockets bound to a device (SO_BINDTODEVICE) pass by the shim.
 */
import { PreflexError, invalidOption, rejectUnknownKeys, requireInteger } from '../errors.ts';
import type { Family, RuleSpec } from '../netns/index.ts';
import { TABLE_LOCAL, requireDeviceName, routeArgs, ruleArgs } from '../netns/index.ts';
import type { Change } from './change.ts';
import { fixedTableChange, ruleChange, ruleKey, tableChange } from './change.ts';
import type { MachineState } from './machine-state.ts';
import type { PlumbingPlan } from './plumbing-common.ts';
import {
  DEFAULT_TUN_QUEUE_PACKETS,
  describeRule,
  foreignRules,
  forwardingChange,
  ipv6ForwardingChanges,
  isLocalRule,
  pushDownChanges,
  requireFreeTables,
  requireLink,
  requireRisingPriorities,
  requireTables,
  sharedSysctl,
  tunChanges,
} from './plumbing-common.ts';
import { normalizeAddress } from './prefixes.ts';
import { mirrorRoutes } from './route-mirror.ts';

/** What to divert, and with which numbers. */
export interface HostPlumbingOptions {
  /** One IPv4 and/or one IPv6 address of {@link device}. */
  readonly addresses: readonly string[];
  /** The device that has the addresses. */
  readonly device: string;
  /** TUN that faces the applications. Default `lex0`. It must exist and be up. */
  readonly appSide?: string | undefined;
  /** TUN that faces the network. Default `lex1`. It must exist and be up. */
  readonly netSide?: string | undefined;
  /** Routing tables of this agent alone. Default 7100 and 7101. */
  readonly tables?: { readonly outbound: number; readonly inbound: number } | undefined;
  /**
   * Priorities of the rules, rising; `local + 1` and `outbound + 1` are used too. Agents of one machine can have the
   * same. Default 20, 25, 30.
   */
  readonly rulePriorities?:
    { readonly inbound: number; readonly local: number; readonly outbound: number } | undefined;
  /** Transmit queue of the TUNs, packets. Default 10000. */
  readonly queuePackets?: number | undefined;
  /** Namespace to work in. Default: the one of this process. */
  readonly netns?: string | undefined;
  /** Folder of the undo journal. Default /run/preflex. */
  readonly journalDirectory?: string | undefined;
}

/** {@link HostPlumbingOptions}, checked and with defaults filled in. */
export interface ResolvedHostPlumbing {
  readonly addresses: readonly { readonly family: Family; readonly address: string }[];
  readonly device: string;
  readonly appSide: string;
  readonly netSide: string;
  readonly tables: { readonly outbound: number; readonly inbound: number };
  readonly rulePriorities: { readonly inbound: number; readonly local: number; readonly outbound: number };
  readonly queuePackets: number;
}

const OPTION_NAMES = [
  'addresses',
  'device',
  'appSide',
  'netSide',
  'tables',
  'rulePriorities',
  'queuePackets',
  'netns',
  'journalDirectory',
] as const;

/** Checks options and fills in defaults. Pure. @throws PreflexError ERR_INVALID_OPTION */
export function resolveHostPlumbing(options: HostPlumbingOptions): ResolvedHostPlumbing {
  rejectUnknownKeys('hostPlumbing', options, OPTION_NAMES);
  const addresses = options.addresses.map((text) => {
    const address = normalizeAddress(text);
    if (address === undefined) throw invalidOption('addresses', text, 'IPv4 and IPv6 addresses');
    return { family: (address.includes(':') ? 6 : 4) as Family, address };
  });
  if (addresses.length === 0 || new Set(addresses.map(({ family }) => family)).size !== addresses.length) {
    throw invalidOption('addresses', options.addresses, 'one IPv4 address, one IPv6 address, or one of each');
  }
  const tables = options.tables ?? { outbound: 7100, inbound: 7101 };
  requireTables('tables', tables);
  const rulePriorities = options.rulePriorities ?? { inbound: 20, local: 25, outbound: 30 };
  rejectUnknownKeys('rulePriorities', rulePriorities, ['inbound', 'local', 'outbound']);
  requireRisingPriorities('rulePriorities', [
    ['inbound', rulePriorities.inbound],
    ['local', rulePriorities.local],
    ['local + 1', rulePriorities.local + 1],
    ['outbound', rulePriorities.outbound],
    ['outbound + 1', rulePriorities.outbound + 1],
  ]);
  const device = requireDeviceName(options.device);
  const appSide = requireDeviceName(options.appSide ?? 'lex0');
  const netSide = requireDeviceName(options.netSide ?? 'lex1');
  if (new Set([device, appSide, netSide]).size < 3) {
    throw invalidOption('netSide', netSide, 'a name other than device and appSide');
  }
  const queuePackets = requireInteger(
    'queuePackets',
    options.queuePackets ?? DEFAULT_TUN_QUEUE_PACKETS,
    1,
    1_000_000,
  );
  return { addresses, device, appSide, netSide, tables, rulePriorities, queuePackets };
}

/**
 * What to change on a machine in this state. Pure: no command is run.
 *
 * The order: settings and routes first, which nothing looks at yet; then the local table gets its second rule before it
 * loses the first; the inbound rules take effect with that loss; the outbound rules come last.
 *
 * @throws PreflexError ERR_SYSTEM when the device, an address or a TUN is missing, or tables or rules clash
 */
export function planHostPlumbing(state: MachineState, options: ResolvedHostPlumbing): PlumbingPlan {
  const { device, appSide, netSide, tables, rulePriorities: at } = options;
  const families = options.addresses.map(({ family }) => family);
  const warnings: string[] = [];
  const link = requireLink(state, device, 'Name the device that has the address (see "ip address").');
  for (const tun of [appSide, netSide]) {
    const found = requireLink(state, tun, 'The agent opens it before the plumbing is set up.');
    if (!found.isUp)
      throw new PreflexError(
        'ERR_SYSTEM',
        `The TUN "${tun}" is down. Set it up first: ip link set ${tun} up`,
      );
  }
  requireFreeTables(state, families, [tables.outbound, tables.inbound]);

  const guards: Change[] = [];
  const routes: Change[] = [];
  const inboundRules: Change[] = [];
  const localAdds: Change[] = [];
  const localRemovals: Change[] = [];
  const outboundRules: Change[] = [];
  for (const { family, address } of options.addresses) {
    requireOwnAddress(state, device, family, address);
    warnings.push(...checkRules(state, family, at));
    const guard = guardRule(options, family);
    if (isGuardNeeded(state, device, family) || state.peerKeys.has(ruleKey(guard))) {
      guards.push(ruleChange(guard, { shared: true }));
    }
    const mirror = mirrorRoutes(state.mainRoutes[family], mirrorOptions(options, family, address));
    if (!mirror.some((spec) => spec.device === appSide)) {
      warnings.push(
        `The main IPv${family} table has no route over ${device}: nothing sent from ${address} is diverted yet.`,
      );
    }
    routes.push(
      fixedTableChange(family, tables.inbound, [
        ['route', 'add', ...routeArgs({ family, prefix: address, device: netSide, table: tables.inbound })],
      ]),
      tableChange(
        family,
        tables.outbound,
        mirror.map((spec) => ['route', 'add', ...routeArgs(spec)]),
      ),
    );
    const move = moveLocalTable(state, family, at.local);
    localAdds.push(move.add);
    localRemovals.push(move.remove);
    inboundRules.push(...diversion(family, { iif: device, priority: at.inbound, table: tables.inbound }));
    const own = family === 4 ? `${address}/32` : `${address}/128`;
    const toShim = { family, iif: 'lo', table: tables.outbound };
    outboundRules.push(...diversion(family, { ...toShim, priority: at.outbound, from: own }));
    // IPv4 looks up such sockets with source 0.0.0.0; IPv6 has no selector for "not chosen yet".
    const unbound = family === 4 ? { from: '0.0.0.0/32' } : {};
    outboundRules.push(...diversion(family, { ...toShim, priority: at.outbound + 1, ...unbound }));
  }
  return {
    changes: [
      ...guards,
      ...settings(state, options, families, warnings),
      ...tunSettings(state, options, link.mtu),
      ...routes,
      ...localAdds,
      ...inboundRules,
      ...localRemovals,
      ...outboundRules,
    ],
    warnings,
  };
}

function requireOwnAddress(state: MachineState, device: string, family: Family, address: string): void {
  const own = state.addresses.filter(
    (candidate) => candidate.device === device && candidate.family === family,
  );
  if (own.some((candidate) => normalizeAddress(candidate.address) === address)) return;
  const known = own.map((candidate) => candidate.address).join(', ') || 'none';
  throw new PreflexError(
    'ERR_SYSTEM',
    `${device} does not have the address ${address}; its IPv${family} addresses: ${known}`,
  );
}

/** Refuses rules that the move of the local table would put before it; warns of those that come between. */
function checkRules(
  state: MachineState,
  family: Family,
  at: ResolvedHostPlumbing['rulePriorities'],
): string[] {
  const early = foreignRules(state, family, -1, at.local)[0];
  if (early !== undefined) {
    throw new PreflexError(
      'ERR_SYSTEM',
      `${describeRule(early)} stands before ${at.local}, where the local table is moved to, and would then take traffic to this ` +
        'machine itself. Choose rulePriorities below it, or give that rule a higher number.',
    );
  }
  const local = state.rules[family].find(isLocalRule);
  if (local !== undefined && local.priority > 0 && local.priority <= at.inbound) {
    throw new PreflexError(
      'ERR_SYSTEM',
      `The local table is looked up at ${local.priority}, before the inbound rule at ${at.inbound}: nothing would be diverted. ` +
        `Choose rulePriorities.inbound below ${local.priority}.`,
    );
  }
  const late = foreignRules(state, family, at.local - 1, 32766);
  return late.map(
    (rule) =>
      `${describeRule(rule)} is not ours: what it routes elsewhere (a VPN?) may now go over the shim's routes first.`,
  );
}

/** Whether forwarding on the device would make this machine a router that it is not. */
function isGuardNeeded(state: MachineState, device: string, family: Family): boolean {
  const isOff = (name: string): boolean => (state.sysctls.get(name) ?? '0') === '0';
  const base = `net/ipv${family}/conf`;
  return (
    isOff(`${base}/all/forwarding`) &&
    isOff(`${base}/${device}/forwarding`) &&
    isOff(`${base}/${device}/force_forwarding`)
  );
}

/** The rule that keeps a host from forwarding what it did not forward before. Pure. */
export function guardRule(options: ResolvedHostPlumbing, family: Family): RuleSpec {
  return { family, priority: options.rulePriorities.local + 1, iif: options.device, action: 'blackhole' };
}

/** How the main table is mirrored for one address. Pure. */
export function mirrorOptions(
  options: ResolvedHostPlumbing,
  family: Family,
  address: string,
): Parameters<typeof mirrorRoutes>[1] {
  return {
    family,
    device: options.device,
    appSide: options.appSide,
    source: address,
    table: options.tables.outbound,
  };
}

function diversion(family: Family, selectors: Omit<RuleSpec, 'family' | 'ipProtocol'>): Change[] {
  return (['tcp', 'udp'] as const).map((ipProtocol) => ruleChange({ ...selectors, family, ipProtocol }));
}

/**
 * The local table gets a rule at `priority` and loses the one at 0, in this order: it is never without one. Where the
 * rule at 0 is gone already (another agent, or the administrator), only a claim on it is recorded.
 */
function moveLocalTable(
  state: MachineState,
  family: Family,
  priority: number,
): { add: Change; remove: Change } {
  const has = (at: number): boolean =>
    state.rules[family].some((rule) => isLocalRule(rule) && rule.priority === at);
  const claim = { run: [], undo: [] };
  const rule: RuleSpec = { family, priority, table: TABLE_LOCAL };
  const add = ruleChange(rule, { shared: true });
  const first: RuleSpec = { family, priority: 0, table: TABLE_LOCAL };
  const remove: Change = {
    key: `no ${ruleKey(first)}`,
    shared: true,
    run: [{ kind: 'ip', args: [`-${family}`, 'rule', 'del', ...ruleArgs(first)] }],
    // Origin 2 is the kernel: the rule comes back as it was at boot.
    undo: [{ kind: 'ip', args: [`-${family}`, 'rule', 'add', ...ruleArgs({ ...first, origin: 2 })] }],
  };
  return {
    add: has(priority) ? { ...add, ...claim } : add,
    remove: has(0) ? remove : { ...remove, ...claim },
  };
}

function settings(
  state: MachineState,
  options: ResolvedHostPlumbing,
  families: readonly Family[],
  warnings: string[],
): Change[] {
  const { device, appSide, netSide } = options;
  const changes: Change[] = [
    ...sharedSysctl(state, 'net/ipv4/ip_early_demux', '0'), // of both IP versions, in spite of its name
    ...sharedSysctl(state, 'net/ipv4/ip_forward_update_priority', '0'), // or pfifo_fast sends marked packets last
  ];
  if (families.includes(4)) {
    changes.push(
      ...pushDownChanges(state, 'rp_filter', [appSide, netSide]),
      ...forwardingChange(state, device),
    );
  }
  if (families.includes(6)) {
    const force = `net/ipv6/conf/${device}/force_forwarding`;
    if (state.sysctls.has(force)) {
      changes.push(...sharedSysctl(state, force, '1'));
    } else {
      warnings.push(
        'This kernel (before 6.17) cannot forward IPv6 for single devices: IPv6 forwarding is on for all of them.',
      );
      changes.push(...ipv6ForwardingChanges(state));
    }
  }
  return changes;
}

function tunSettings(state: MachineState, options: ResolvedHostPlumbing, mtu: number): Change[] {
  const common = { mtu, queuePackets: options.queuePackets };
  // Packets come in by the TUNs with source addresses whose route back is another device, or which are our own.
  const ipv4 = { rp_filter: '0', accept_local: '1' };
  return [
    ...tunChanges(state, options.appSide, { ...common, ipv4 }),
    ...tunChanges(state, options.netSide, {
      ...common,
      ipv4: { ...ipv4, forwarding: '1' },
      ipv6: { force_forwarding: '1' },
    }),
  ];
}
