/** The two-path topology with gateway and agent as processes, for tests that start and end those themselves. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listAddresses, listLinks, readSysctls, waitFor } from '../../lib/netns/index.ts';
import type { LabLinkOptions } from '../../namespaces-lab/links/lab-link.ts';
import type { Datapath } from '../../namespaces-lab/processes/datapath.ts';
import { startDaemon } from '../../namespaces-lab/processes/datapath.ts';
import type { PreflexProcess } from '../../namespaces-lab/processes/preflex-process.ts';
import { twoPathConfig } from '../../namespaces-lab/runs/two-path.ts';
import type { TwoPathTopology } from '../../namespaces-lab/topologies/two-path.ts';
import { buildTwoPath, TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import type { TestLab } from './netns.ts';

/** Value of addr_gen_mode of a device that the kernel gives no link-local address. @see ip-sysctl.rst of Linux */
const NO_LINK_LOCAL = '1';

/** What a test wants. */
export interface TestTwoPathOptions {
  /** Both links; default: no loss, single packets (so that captures hold final checksums and real sizes). */
  readonly links?: LabLinkOptions;
  readonly scheme?: string;
  readonly strategy?: string;
  readonly exposeTo?: readonly string[];
  readonly hostArgs?: readonly string[];
  readonly gatewayArgs?: readonly string[];
  /** Default tun. */
  readonly hostDatapath?: Datapath;
  /** Default tun. */
  readonly gatewayDatapath?: Datapath;
}

/** The topology, and how to start the daemons in it. */
export interface TestTwoPath extends TwoPathTopology {
  startAgent(): Promise<PreflexProcess>;
  startGateway(): Promise<PreflexProcess>;
}

/** Builds the topology; starts nothing. */
export function prepareTwoPath(lab: TestLab, options: TestTwoPathOptions = {}): TestTwoPath {
  const links = { offload: false, ...options.links };
  const topology = buildTwoPath(lab.scope, { a: links, b: links });
  const config = join(lab.folder, 'gateway.yaml');
  writeFileSync(config, twoPathConfig({ strategy: 'equal', ...options }));
  const agentArgs = ['--address', TWO_PATH.hostAddress, TWO_PATH.hostAddress6, '--device', 'h0'];
  agentArgs.push('--scheme', options.scheme ?? 'pool2', ...(options.hostArgs ?? []));
  return {
    ...topology,
    startAgent: () => startDaemon(lab.scope, topology.host, ['host', ...agentArgs], options.hostDatapath),
    startGateway: () => {
      const args = ['gateway', '--config', config, ...(options.gatewayArgs ?? [])];
      return startDaemon(lab.scope, topology.gateway, args, options.gatewayDatapath);
    },
  };
}

/**
 * Builds the topology with both daemons running, and with addresses that can be used: else the first IPv6 packets would
 * wait for duplicate address detection, longer than a SYN does before it is sent again.
 */
export async function startTwoPathTest(
  lab: TestLab,
  options: TestTwoPathOptions = {},
): Promise<TestTwoPath & { readonly agent: PreflexProcess; readonly gatewayDaemon: PreflexProcess }> {
  const topology = prepareTwoPath(lab, options);
  const [gatewayDaemon, agent] = await Promise.all([topology.startGateway(), topology.startAgent()]);
  await waitForTopology(topology);
  return { ...topology, agent, gatewayDaemon };
}

/** Waits for the addresses of all its namespaces: a packet needs those of the routers, too. */
export async function waitForTopology({ far, gateway, host, router }: TwoPathTopology): Promise<void> {
  await Promise.all([host, gateway, router, far].map((netns) => waitForAddresses(netns)));
}

/**
 * Waits until no IPv6 address of a namespace is tentative, and none is missing: their routes appear when they are not any
 * more, and the kernel gives a device its link-local one some time after carrier.
 */
export async function waitForAddresses(netns: string): Promise<void> {
  await waitFor(`IPv6 addresses of ${netns}`, () => {
    const addresses = listAddresses({ netns }).filter(({ family }) => family === 6);
    if (addresses.some(({ isTentative }) => isTentative)) return undefined;
    const lacking = listLinks({ netns }).filter(
      ({ name, isUp, hasCarrier }) =>
        isUp &&
        hasCarrier &&
        name !== 'lo' &&
        !addresses.some(({ device, address }) => device === name && /^fe[89ab]/.test(address)),
    );
    const settings = lacking.flatMap(({ name }) => [
      `net/ipv6/conf/${name}/addr_gen_mode`,
      `net/ipv6/conf/${name}/disable_ipv6`,
    ]);
    const values = settings.length === 0 ? new Map<string, string>() : readSysctls(settings, { netns });
    const isToCome = ({ name }: { readonly name: string }): boolean =>
      values.get(`net/ipv6/conf/${name}/addr_gen_mode`) !== NO_LINK_LOCAL &&
      values.get(`net/ipv6/conf/${name}/disable_ipv6`) === '0';
    return lacking.some(isToCome) ? undefined : true;
  });
}

/** Addresses of host and far by IP version. */
export function endsOf(version: 4 | 6): { readonly host: string; readonly far: string } {
  return version === 4
    ? { host: TWO_PATH.hostAddress, far: TWO_PATH.farAddress }
    : { host: TWO_PATH.hostAddress6, far: TWO_PATH.farAddress6 };
}
