/**
 * From a gateway's configuration file to the options of its parts.
 */
import { balancerOf } from '../pref/balancers/strategies.ts';
import type { GatewayOptions } from '../pref/gateway-options.ts';
import type { GatewayConfig } from './config.ts';
import type { GatewayDaemonOptions } from './gateway-daemon.ts';

const NS_PER_S = 1e9;

/**
 * The options of the daemon for a configuration. The first route is the default route; the buckets of the FNE limits
 * hold what one second brings.
 */
export function gatewayDaemonOptions(config: GatewayConfig): GatewayDaemonOptions {
  const { failures, fne, routes } = config;
  const pathIdOf = new Map(routes.map((route) => [route.name, route.pathId]));
  return {
    plumbing: {
      insideDevice: config.inside.device,
      insidePrefixes: config.inside.prefixes,
      routes: routes.map(({ name, device, nextHop, nextHop6, table, nat }) => ({
        ...{ name, device, nextHop, nextHop6, table, nat },
      })),
      destinations: config.destinations.flatMap((destination) => destination.prefixes),
    },
    gateway: {
      routes: routes.map(({ name, pathId, nat }) => ({ name, pathId, nat })),
      scheme: config.scheme,
      balancer: balancerOf(config.strategy, config.betas),
      updateIntervalNs: config.intervalSeconds * NS_PER_S,
      ...intervalBounds(config),
      startShare: config.startShare,
      countFneRepeats: fne.countRepeats,
      inferFromSyn: fne.inferFromSyn,
      inferFromAnswer: fne.inferFromAnswer,
      notLect: config.notLect,
      exposeTo: config.exposeTo.map((name) => pathIdOf.get(name) ?? 0),
      fneMemoryEntries: fne.memoryEntries,
      fneMemoryLifetimeNs: fne.memorySeconds * NS_PER_S,
      fneRatePerDestination: fne.perPrefixPerSecond,
      fneBurstPerDestination: Math.max(1, fne.perPrefixPerSecond),
      fneRateTotal: fne.totalPerSecond,
      fneBurstTotal: Math.max(1, fne.totalPerSecond),
      inferFailures: failures.infer,
      failureWindowNs: failures.windowSeconds * NS_PER_S,
      failureShare: failures.share,
      failureSample: failures.sample,
      failureSampleEntries: failures.sampleEntries,
    },
    share: config.share,
    kernel:
      config.datapath === 'ebpf'
        ? {
            markMask: config.markMask,
            destinations: config.maxDestinations,
            forwarding: config.forwarding,
          }
        : undefined,
    destinations: config.destinations.map((destination) => ({
      prefixes: destination.prefixes,
      pathIds: destination.routes.map((name) => pathIdOf.get(name) ?? 0),
    })),
  };
}

/** Bounds of an interval that the balancer sets; the gateway's defaults where the file gives none. */
function intervalBounds({
  shortestIntervalSeconds: shortest,
  longestIntervalSeconds: longest,
}: GatewayConfig): Pick<GatewayOptions, 'shortestIntervalNs' | 'longestIntervalNs'> {
  return {
    ...(shortest === undefined ? {} : { shortestIntervalNs: shortest * NS_PER_S }),
    ...(longest === undefined ? {} : { longestIntervalNs: longest * NS_PER_S }),
  };
}
