/**
 * Topology `two-path`: one domain, its gateway P with two routes, and a far host behind both.
 *
 *                                      10.71.10.0/30
 *                               a +----- link A -----+ a
 *      host ------------- P ------|                  |------ R ------------- far
 *      .2  10.71.1.0/24 .1        |                  |      .1 10.71.9.0/24 .2
 *      h0               p0      b +----- link B -----+ b    r0              f0
 *                                      10.71.20.0/30
 *
 * Every 10.71.N.x has a fd71:N::x beside it. `host` runs the agent, P the gateway; R is a plain router that sends
 * what comes back over link A, and `far` is a stock host. Links A and B are emulated (links/lab-link.ts), the others
 * are veth pairs.
 */
import { addAddressesAndUp } from '../../lib/netns/addresses.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { addRoutes } from '../../lib/netns/routes.ts';
import { writeSysctl } from '../../lib/netns/sysctl.ts';
import type { LabLink, LabLinkOptions } from '../links/lab-link.ts';
import { openLabLink } from '../links/lab-link.ts';
import { prepareIpv6, prepareRouter, wire } from './wiring.ts';

/** Addresses of the topology. */
export const TWO_PATH = {
  hostAddress: '10.71.1.2',
  hostAddress6: 'fd71:1::2',
  farAddress: '10.71.9.2',
  farAddress6: 'fd71:9::2',
  insidePrefixes: ['10.71.1.0/24', 'fd71:1::/64'],
  routes: [
    { name: 'a', nextHop: '10.71.10.2', nextHop6: 'fd71:10::2' },
    { name: 'b', nextHop: '10.71.20.2', nextHop6: 'fd71:20::2' },
  ],
} as const;

/** The namespaces of a running two-path topology, and its two links. */
export interface TwoPathTopology {
  readonly host: string;
  readonly gateway: string;
  readonly router: string;
  readonly far: string;
  readonly links: { readonly a: LabLink; readonly b: LabLink };
}

/** Link options of the two routes. */
export interface TwoPathOptions {
  readonly a?: LabLinkOptions;
  readonly b?: LabLinkOptions;
}

/** Builds the topology; everything in it is undone when `scope` closes. */
export function buildTwoPath(scope: LabScope, options: TwoPathOptions = {}): TwoPathTopology {
  const host = scope.namespace('host');
  const gateway = scope.namespace('p');
  const router = scope.namespace('r');
  const far = scope.namespace('far');
  for (const netns of [host, gateway, router, far]) prepareIpv6(netns);
  for (const netns of [gateway, router]) {
    prepareRouter(netns);
    writeSysctl('net/ipv6/conf/all/forwarding', 1, { netns });
  }
  wire(
    { netns: host, name: 'h0', addresses: ['10.71.1.2/24', 'fd71:1::2/64'] },
    { netns: gateway, name: 'p0', addresses: ['10.71.1.1/24', 'fd71:1::1/64'] },
  );
  wire(
    { netns: router, name: 'r0', addresses: ['10.71.9.1/24', 'fd71:9::1/64'] },
    { netns: far, name: 'f0', addresses: ['10.71.9.2/24', 'fd71:9::2/64'] },
  );
  const a = openLabLink(scope, { netns: gateway, name: 'a' }, { netns: router, name: 'a' }, options.a);
  const b = openLabLink(scope, { netns: gateway, name: 'b' }, { netns: router, name: 'b' }, options.b);
  for (const [name, net] of [
    ['a', '10'],
    ['b', '20'],
  ] as const) {
    addAddressesAndUp(name, [`10.71.${net}.1/30`, `fd71:${net}::1/64`], { netns: gateway });
    addAddressesAndUp(name, [`10.71.${net}.2/30`, `fd71:${net}::2/64`], { netns: router });
  }
  addDefaults(host, '10.71.1.1', 'fd71:1::1');
  addDefaults(far, '10.71.9.1', 'fd71:9::1');
  addDefaults(gateway, '10.71.10.2', 'fd71:10::2');
  addRoutes(
    [
      { family: 4, prefix: '10.71.1.0/24', via: '10.71.10.1', device: 'a' },
      { family: 6, prefix: 'fd71:1::/64', via: 'fd71:10::1', device: 'a' },
    ],
    { netns: router },
  );
  return { host, gateway, router, far, links: { a, b } };
}

function addDefaults(netns: string, via4: string, via6: string): void {
  addRoutes(
    [
      { family: 4, prefix: 'default', via: via4 },
      { family: 6, prefix: 'default', via: via6 },
    ],
    { netns },
  );
}
