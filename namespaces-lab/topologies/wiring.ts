/** What all topologies are made of: pairs of devices with addresses, and the settings of hosts and routers. */
import { addAddressesAndUp } from '../../lib/netns/addresses.ts';
import { createVethPair } from '../../lib/netns/links.ts';
import { writeSysctl, writeSysctls } from '../../lib/netns/sysctl.ts';

/** A device to be made. */
export interface WiredEnd {
  readonly netns: string;
  readonly name: string;
  /** With their prefix lengths. */
  readonly addresses: readonly string[];
}

/** Joins two namespaces by a veth pair, with addresses and up. @throws CommandError */
export function wire(a: WiredEnd, b: WiredEnd): void {
  createVethPair(a, b);
  for (const { netns, name, addresses } of [a, b]) addAddressesAndUp(name, addresses, { netns });
}

/**
 * Settings of every namespace of an experiment: no IPv6, whose neighbour and router discovery would be packets without
 * a path, and no memory of earlier connections, which would make a flow's start depend on the flows before it.
 */
export function prepareHost(netns: string): void {
  const ipv6 = ['net/ipv6/conf/all/disable_ipv6', 'net/ipv6/conf/default/disable_ipv6'];
  writeSysctls([...ipv6, 'net/ipv4/tcp_no_metrics_save'], 1, { netns });
}

/** Settings of a namespace that forwards by several devices. */
export function prepareRouter(netns: string): void {
  writeSysctl('net/ipv4/ip_forward', 1, { netns });
  writeSysctls(['net/ipv4/conf/all/rp_filter', 'net/ipv4/conf/default/rp_filter'], 0, { netns });
}

/**
 * Settings of a namespace with IPv6, before it has devices: its addresses can be used at once. The devices of a topology
 * have no neighbours but each other, so no address is a duplicate, and detection takes one to two seconds of every start.
 *
 * @see ip-sysctl.rst of Linux: accept_dad
 */
export function prepareIpv6(netns: string): void {
  writeSysctl('net/ipv6/conf/default/accept_dad', 0, { netns });
}
