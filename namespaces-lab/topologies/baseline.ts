/**
 * What stands in place of PREFLEX in a baseline: the kernel's routes in the gateways, and addresses for MPTCP in the
 * hosts.
 *
 * A veth pair hands a packet over with the hash that its sender's socket gave it, and a multipath route takes that
 * hash: it would follow the sender's own choice, which no wire shows. So in baselines the host and its gateway are joined
 * by the emulated network, without rate and delay, in place of the veth pair:
 *
 *      host h0 ==== access ==== p0 gateway l1, l2, l3
 */
import { CommandError } from '../../lib/netns/command.ts';
import { ip } from '../../lib/netns/ip.ts';
import { readSysctl, writeSysctl } from '../../lib/netns/sysctl.ts';
import { PreflexError } from '../../lib/errors.ts';
import type { FabricPlan } from '../links/fabric-plan.ts';
import type { Baseline } from '../scenarios/scenario.ts';

/** Next hops of the resilient group, and seconds without a packet after which one may be moved. */
const BUCKETS = 120;
const IDLE_SECONDS = 60;
const GROUP_ID = 100;
/** Routing tables of MPTCP's source addresses, and the priorities of the rules that choose them. */
const FIRST_TABLE = 101;

/** A host and its gateway. */
export interface Access {
  /** Name of the link, and beginning of its ports' names: `access-s`, `access-s-h0`, `access-s-p0`. */
  readonly name: string;
  readonly host: { readonly netns: string; readonly addresses: readonly string[] };
  readonly gateway: { readonly netns: string; readonly address: string };
  /** What is behind the gateway. */
  readonly inside: string;
}

/** The plan with the links between hosts and gateways added. Pure. */
export function withAccess(plan: FabricPlan, accesses: readonly Access[]): FabricPlan {
  return {
    ...plan,
    ports: [
      ...plan.ports,
      ...accesses.flatMap(({ name, host, gateway }) => [
        { name: `${name}-h0`, netns: host.netns, device: 'h0', addresses: host.addresses },
        { name: `${name}-p0`, netns: gateway.netns, device: 'p0', addresses: [gateway.address] },
      ]),
    ],
    links: [...plan.links, ...accesses.map(({ name }) => ({ name }))],
    paths: [
      ...plan.paths,
      ...accesses.flatMap(({ name, inside }) => [
        {
          from: `${name}-h0`,
          prefix: '0.0.0.0/0',
          link: name,
          direction: 'forward' as const,
          to: `${name}-p0`,
        },
        {
          from: `${name}-p0`,
          prefix: inside,
          link: name,
          direction: 'backward' as const,
          to: `${name}-h0`,
        },
      ]),
    ],
  };
}

/** The first route that can carry anything. Pure. */
export function singleRoute(routes: readonly string[], ratesBitsPerSec: readonly number[]): string {
  return routes.find((_, i) => ratesBitsPerSec[i] > 0) ?? routes[0];
}

/** The words after `ip` that make a baseline's default route in a gateway. Pure. */
export function routeCommands(
  baseline: Baseline,
  routes: readonly string[],
  ratesBitsPerSec: readonly number[],
): string[][] {
  switch (baseline) {
    case 'ecmp':
      return [['-4', 'route', 'replace', 'default', ...routes.flatMap((route) => ['nexthop', 'dev', route])]];
    case 'resilient': {
      const ids = routes.map((_, i) => String(i + 1));
      const group = ['id', String(GROUP_ID), 'group', ids.join('/'), 'type', 'resilient'];
      return [
        ...routes.map((route, i) => ['-4', 'nexthop', 'add', 'id', ids[i], 'dev', route]),
        ['nexthop', 'add', ...group, 'buckets', String(BUCKETS), 'idle_timer', String(IDLE_SECONDS)],
        ['-4', 'route', 'replace', 'default', 'nhid', String(GROUP_ID)],
      ];
    }
    case 'single':
      return [['-4', 'route', 'replace', 'default', 'dev', singleRoute(routes, ratesBitsPerSec)]];
    case 'mptcp':
      // One for each address of the hosts: pinAddresses.
      return [];
  }
}

/** One sentence for reports. Pure. */
export function describeBaseline(
  baseline: Baseline,
  routes: readonly string[],
  ratesBitsPerSec: readonly number[],
): string {
  const all = routes.join(', ');
  switch (baseline) {
    case 'ecmp':
      return `the kernel's multipath route over ${all} by a hash of addresses and ports, hosts without agent`;
    case 'resilient':
      return (
        `the kernel's resilient group of ${all} (${BUCKETS} buckets, idle timer ${IDLE_SECONDS} s) by a hash of ` +
        'addresses and ports, hosts without agent'
      );
    case 'single':
      return `everything by ${singleRoute(routes, ratesBitsPerSec)}, hosts without agent`;
    case 'mptcp':
      return `MPTCP with a subflow over each of ${all}, hosts without agent`;
  }
}

/**
 * Looks whether this kernel has what a baseline takes, before anything is built.
 *
 * @param hasSetting - whether the kernel has a setting, by its name; default: asks it
 * @throws PreflexError ERR_MISSING_REQUIREMENT that says what is missing
 */
export function requireKernel(
  baseline: Baseline,
  hasSetting: (name: string) => boolean = (name) => readSysctl(name) !== undefined,
): void {
  if (baseline === 'mptcp') {
    if (!hasSetting('net/mptcp/enabled')) {
      throw missing(baseline, 'a kernel with MPTCP (CONFIG_MPTCP): net.mptcp.enabled does not exist');
    }
    return;
  }
  if (baseline === 'single') return;
  for (const name of ['fib_multipath_hash_policy', 'fib_multipath_hash_seed']) {
    if (!hasSetting(`net/ipv4/${name}`)) {
      throw missing(
        baseline,
        `Linux 6.11 with CONFIG_IP_ROUTE_MULTIPATH: net.ipv4.${name} does not exist, and without a seed of its own ` +
          'each gateway chooses as the other',
      );
    }
  }
}

/**
 * Sets a gateway's default route.
 *
 * @param hashSeed - of its own for each gateway, an int32: with one for all, both directions of a flow take one route
 * @throws PreflexError ERR_MISSING_REQUIREMENT when the kernel or iproute2 has no resilient groups
 */
export function divideRoutes(
  netns: string,
  baseline: Baseline,
  routes: readonly string[],
  ratesBitsPerSec: readonly number[],
  hashSeed: number,
): void {
  if (baseline === 'ecmp' || baseline === 'resilient') {
    // Addresses and ports. The kernel takes 0 for "not set".
    writeSysctl('net/ipv4/fib_multipath_hash_policy', 1, { netns });
    writeSysctl('net/ipv4/fib_multipath_hash_seed', Math.max(1, hashSeed >>> 0), { netns });
  }
  for (const command of routeCommands(baseline, routes, ratesBitsPerSec)) {
    try {
      ip(command, { netns });
    } catch (error) {
      if (!(error instanceof CommandError) || !command.includes('resilient')) throw error;
      throw missing(
        baseline,
        `resilient groups of next hops (Linux 5.13 and its iproute2): ip said "${error.stderr.split('\n', 1)[0]}"`,
        error,
      );
    }
  }
}

/**
 * Pins each address of a remote host, or of a host behind this gateway, to the route of its place.
 *
 * @param end - whether the addresses are packets' sources (the host is behind this gateway) or destinations
 */
export function pinAddresses(
  netns: string,
  addresses: readonly string[],
  routes: readonly string[],
  end: 'source' | 'destination',
): void {
  for (const [i, address] of addresses.entries()) {
    if (end === 'destination') {
      ip(['-4', 'route', 'add', `${address}/32`, 'dev', routes[i]], { netns });
      continue;
    }
    const table = String(FIRST_TABLE + i);
    ip(['-4', 'route', 'add', 'default', 'dev', routes[i], 'table', table], { netns });
    ip(['-4', 'rule', 'add', 'from', address, 'lookup', table, 'priority', table], { netns });
  }
}

/**
 * Lets a host have one subflow for each address of the client, which opens them.
 *
 * @param endpoints - addresses of this host that subflows start from; none for the source
 * @throws PreflexError ERR_MISSING_REQUIREMENT when iproute2 has no `ip mptcp`
 */
export function allowSubflows(netns: string, count: number, endpoints: readonly string[]): void {
  writeSysctl('net/mptcp/enabled', 1, { netns });
  try {
    // Subflows beside the first one.
    ip(['mptcp', 'limits', 'set', 'subflows', String(count - 1), 'add_addr_accepted', '0'], { netns });
    for (const address of endpoints) {
      ip(['mptcp', 'endpoint', 'add', address, 'dev', 'h0', 'subflow'], { netns });
    }
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw missing(
      'mptcp',
      `iproute2 with "ip mptcp" (5.8): it said "${error.stderr.split('\n', 1)[0]}"`,
      error,
    );
  }
}

function missing(baseline: Baseline, what: string, cause?: unknown): PreflexError {
  return new PreflexError('ERR_MISSING_REQUIREMENT', `mode ${baseline} needs ${what}.`, { cause });
}
