/**
 * Looks on this machine for those who want to see packets on their way from the inside device to a route's: the list of
 * docs/ebpf.md, "Who forwards".
 *
 * ```
 *   nftables     chains on prerouting, forward, postrouting; on the ingress of the inside device; flow tables
 *   iptables     tables of the old kind, of both IP versions
 *   IPVS         services
 *   IPsec        policies, but those of single sockets; a default that drops
 *   rules        before the gateway's, for packets from the inside device
 *   local routes that somebody made: the kernel would keep such packets
 *   programs     behind the gateway's on the inside device
 * ```
 *
 * Of three kinds the kernel tells at once: nftables, IPsec, and what is routing's. Notifications are looked through for
 * those that may mean somebody new; of lost ones it is assumed.
 */
import { readFileSync } from 'node:fs';
import {
  NETFILTER_FAMILIES,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWFLOWTABLE,
  NFT_MSG_NEWTABLE,
  NetlinkReader,
  RTM_NEWADDR,
  RTM_NEWRULE,
  RTM_NEWTFILTER,
  TABLE_LOCAL,
  XFRM_MSG_GETDEFAULT,
  XFRM_MSG_NEWPOLICY,
  XFRM_MSG_UPDPOLICY,
  chainDumpRequest,
  flowtableDumpRequest,
  ingressDumpRequest,
  localDumpRequest,
  policyDefaultRequest,
  policyDumpRequest,
  readBaseChain,
  readFilter,
  readFlowtable,
  readLocalRoute,
  readPolicyDefault,
  readPolicyDirection,
  readRule,
  ruleDumpRequest,
} from '../netns/index.ts';
import type { BaseChain, Family, NetlinkHeader, RuleMessage } from '../netns/index.ts';
import { EAFNOSUPPORT, EINVAL, EOPNOTSUPP, EPROTONOSUPPORT, SystemError, errnoName } from '../sys/errno.ts';
import { interfaceIndex } from '../sys/interface.ts';
import {
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  NETLINK_XFRM,
  NFNLGRP_NFTABLES_BIT,
  RTMGRP_IPV4_IFADDR,
  RTMGRP_IPV4_RULE,
  RTMGRP_IPV6_IFADDR,
  RTMGRP_IPV6_RULE,
  RTMGRP_TC,
  XFRMGRP_POLICY,
} from '../sys/netlink.ts';
import type { Onlookers } from './forwarding-watch.ts';
import { NetlinkListener } from './netlink-listener.ts';

/** What is the gateway's own. */
export interface OwnForwarding {
  readonly insideDevice: string;
  readonly families: readonly Family[];
  /** Priority of its rules, and the mask of their marks. */
  readonly rulePriority: number;
  readonly markMask: number;
  /** Tables that its rules look into. */
  readonly tables: readonly number[];
  /**
   * Programs of others that stand behind the gateway's own by TCX, and the priority of the gateway's filter if it is one
   * of clsact: those behind it have higher ones. Without, any filter stands behind.
   */
  readonly placeOfProgram: () => { readonly behind: number; readonly filterPriority: number | undefined };
  /** Addresses of this machine may have changed. */
  readonly onAddresses: () => void;
}

/** Where the packets of a chain are looked at: by the number of its hook, for inet, ip and ip6. */
const HOOKS: Readonly<Record<number, string>> = {
  0: 'prerouting',
  2: 'forward',
  4: 'postrouting',
  5: 'ingress',
};
const NETDEV_HOOKS: Readonly<Record<number, string>> = { 0: 'ingress' };
/** Errors that say that the kernel has nothing of the kind, so nobody can be there. */
const NOTHING_THERE = [EAFNOSUPPORT, EINVAL, EOPNOTSUPP, EPROTONOSUPPORT];
/** The same where the request is known to every kernel. */
const NO_SUCH_VERSION = [EAFNOSUPPORT, EOPNOTSUPP];
const LISTENERS = [
  {
    family: NETLINK_NETFILTER,
    what: 'nftables',
    groups: NFNLGRP_NFTABLES_BIT,
    news: [NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWFLOWTABLE],
  },
  {
    family: NETLINK_XFRM,
    what: 'policies of IPsec',
    groups: XFRMGRP_POLICY,
    news: [XFRM_MSG_NEWPOLICY, XFRM_MSG_UPDPOLICY, XFRM_MSG_GETDEFAULT],
  },
  {
    family: NETLINK_ROUTE,
    what: 'rules and filters',
    groups: RTMGRP_IPV4_RULE | RTMGRP_IPV6_RULE | RTMGRP_TC | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    news: [RTM_NEWRULE, RTM_NEWTFILTER],
  },
] as const;
/** Looks without asking again what this kernel does not have: asking makes it look for a module. */
const LOOKS_WITHOUT = 60;

/** Of the network namespace that it is made in. */
export class ForwardingOnlookers implements Onlookers {
  readonly #own: OwnForwarding;
  readonly #readers = new Map<number, NetlinkReader>();
  readonly #listeners: NetlinkListener[] = [];
  /** Looks until the kernel is asked again for what it did not know. */
  readonly #without = new Map<string, number>();
  #unknown: string | undefined;

  constructor(own: OwnForwarding) {
    this.#own = own;
    for (const { family, groups, news, what } of LISTENERS) {
      try {
        this.#readers.set(family, new NetlinkReader(family));
        this.#listeners.push(new NetlinkListener(family, groups, news));
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (!NOTHING_THERE.includes(error.errno))
          this.#unknown ??= `${what} cannot be asked for (${error.errnoName})`;
      }
    }
  }

  /** Who is there first, of the list at the top. */
  find(): string | undefined {
    return (
      this.#unknown ??
      this.#findChain() ??
      this.#findFlowtable() ??
      findOldTable() ??
      findService() ??
      this.#findPolicy() ??
      this.#findRule() ??
      this.#findLocalRoute() ??
      this.#findProgram()
    );
  }

  watch(onNews: () => void): void {
    for (const listener of this.#listeners) {
      listener.start((types, isLost) => {
        if (isLost || types.has(RTM_NEWADDR)) this.#own.onAddresses();
        if (isLost || listener.news.some((type) => types.has(type))) onNews();
      });
    }
  }

  /** Closes; a second call does nothing. */
  close(): void {
    for (const listener of this.#listeners) listener.close();
    for (const reader of this.#readers.values()) reader.close();
  }

  #findChain(): string | undefined {
    return this.#ask(NETLINK_NETFILTER, 'nftables', chainDumpRequest, (view, header) => {
      const chain = readBaseChain(view, header);
      const hook = chain && hookOfForwarded(chain, this.#own.insideDevice);
      return (
        hook && `chain ${chain!.name} of table ${chain!.family} ${chain!.table} (nftables, hook ${hook})`
      );
    });
  }

  #findFlowtable(): string | undefined {
    return this.#ask(
      NETLINK_NETFILTER,
      'flow tables of nftables',
      flowtableDumpRequest,
      (view, header) => `flow table ${readFlowtable(view, header)} (nftables)`,
    );
  }

  #findPolicy(): string | undefined {
    const names = ['in', 'out', 'fwd'];
    return (
      this.#ask(NETLINK_XFRM, 'policies of IPsec', policyDumpRequest, (view, header) => {
        const name = names[readPolicyDirection(view, header)] as string | undefined;
        return name && `a policy of IPsec (direction ${name})`;
      }) ??
      this.#ask(NETLINK_XFRM, 'the default policy of IPsec', policyDefaultRequest, (view, header) =>
        readPolicyDefault(view, header) ? 'the default policy of IPsec, which drops' : undefined,
      )
    );
  }

  #findRule(): string | undefined {
    for (const family of this.#own.families) {
      const found = this.#ask(
        NETLINK_ROUTE,
        `IPv${family} rules`,
        (sequence) => ruleDumpRequest(family, sequence),
        (view, header) => {
          const rule = readRule(view, header);
          if (rule !== undefined && !this.#takesPackets(rule)) return undefined;
          return `rule ${rule?.priority} of IPv${family} before the gateway's own`;
        },
      );
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Whether a rule of somebody else may take packets of the inside device from the gateway's rules. */
  #takesPackets({ priority, iif, table, isForAll, fwmask }: RuleMessage): boolean {
    const { insideDevice, markMask, rulePriority, tables } = this.#own;
    if (priority > rulePriority || (iif !== undefined && iif !== insideDevice)) return false;
    if (isForAll && table === TABLE_LOCAL) return false;
    const isOwn =
      priority === rulePriority && iif === insideDevice && fwmask === markMask && tables.includes(table);
    return !isOwn;
  }

  #findLocalRoute(): string | undefined {
    for (const family of this.#own.families) {
      const found = this.#ask(
        NETLINK_ROUTE,
        `local routes of IPv${family}`,
        (sequence) => localDumpRequest(family, sequence),
        (view, header) => {
          const prefix = readLocalRoute(view, header);
          return prefix && `route ${prefix} of the local table`;
        },
      );
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #findProgram(): string | undefined {
    const { insideDevice, placeOfProgram } = this.#own;
    const ifindex = interfaceIndex(insideDevice);
    if (ifindex === 0) return `the inside device ${insideDevice} is not there`;
    let place: ReturnType<OwnForwarding['placeOfProgram']>;
    try {
      place = placeOfProgram();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      return `programs of ${insideDevice} could not be read (${error.errnoName})`;
    }
    const { behind, filterPriority } = place;
    if (behind > 0) return `a program behind the gateway's on ${insideDevice} (TCX)`;
    return this.#ask(
      NETLINK_ROUTE,
      `filters of ${insideDevice}`,
      (sequence) => ingressDumpRequest(ifindex, sequence),
      (view, header) => {
        const filter = readFilter(view, header);
        if (filter?.handle === 0 || (filter && filter.priority <= (filterPriority ?? -1))) return undefined;
        return `a filter (tc) behind the gateway's program on ${insideDevice}`;
      },
    );
  }

  /**
   * Reads all of something.
   *
   * @param what - it is, for the reason
   * @param request - makes the request with a sequence number
   * @param judge - says of each whether it is an onlooker
   */
  #ask(
    family: number,
    what: string,
    request: (sequence: number) => Uint8Array,
    judge: (view: DataView, header: NetlinkHeader) => string | undefined,
  ): string | undefined {
    const reader = this.#readers.get(family);
    const rest = this.#without.get(what) ?? 0;
    if (reader === undefined) return undefined;
    if (rest > 0) {
      this.#without.set(what, rest - 1);
      return undefined;
    }
    let found: string | undefined;
    const errno = reader.read(request, (view, header) => {
      found ??= judge(view, header);
    });
    if (found !== undefined || errno === 0) return found;
    const isRouting = family === NETLINK_ROUTE;
    if (!(isRouting ? NO_SUCH_VERSION : NOTHING_THERE).includes(errno))
      return `${what} could not be read (${errnoName(errno)})`;
    if (!isRouting) this.#without.set(what, LOOKS_WITHOUT);
    return undefined;
  }
}

/** Where a chain looks at packets that come in by the inside device and are forwarded; undefined: nowhere. */
function hookOfForwarded({ family, hook, devices }: BaseChain, insideDevice: string): string | undefined {
  if (family === NETFILTER_FAMILIES[3] || family === NETFILTER_FAMILIES[7]) return undefined;
  const isOfDevices = family === NETFILTER_FAMILIES[5];
  const name = (isOfDevices ? NETDEV_HOOKS : HOOKS)[hook];
  if (name !== 'ingress' || devices.length === 0) return name;
  const isInside = devices.some((device) =>
    device.endsWith('*') ? insideDevice.startsWith(device.slice(0, -1)) : device === insideDevice,
  );
  return isInside ? name : undefined;
}

function findOldTable(): string | undefined {
  for (const [file, name] of [
    ['ip_tables_names', 'iptables'],
    ['ip6_tables_names', 'ip6tables'],
  ]) {
    const text = readNetFile(file);
    if (text === undefined) return `the tables of ${name} could not be read`;
    const table = text.split('\n')[0];
    if (table !== '') return `table ${table} of ${name}`;
  }
  return undefined;
}

function findService(): string | undefined {
  const text = readNetFile('ip_vs');
  if (text === undefined) return 'the services of IPVS could not be read';
  return /^(TCP|UDP|SCTP|FWM) /m.test(text) ? 'a service of IPVS' : undefined;
}

/** A file of the thread's namespace in /proc/net; empty when there is none, undefined when it cannot be read. */
function readNetFile(name: string): string | undefined {
  try {
    return readFileSync(`/proc/thread-self/net/${name}`, 'utf8');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? '' : undefined;
  }
}
