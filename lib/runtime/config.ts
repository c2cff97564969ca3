/**
 * The configuration file of `preflex gateway`: YAML in, a complete configuration or all of its problems out. Nothing on
 * the machine is touched here.
 */
import { BETAS } from '../pref/balancers/strategies.ts';
import { carries, checkGatewayConfig } from './config-checks.ts';
import { parseConfigText, readConfigFile } from './config-file.ts';
import { checkKernelFields } from './config-kernel-checks.ts';
import type { DatapathName, KernelForwarding, ParsedGatewayConfig } from './config-schema.ts';
import { gatewayConfigSchema } from './config-schema.ts';
import { parsePrefix } from './prefixes.ts';
import type { ShareOptions } from './share/membership.ts';
import type { ServiceConfig } from './service-config.ts';

export type { ConfigProblem } from './config-file.ts';
export { ConfigError } from './config-file.ts';

/** A route out of the domain. */
export interface GatewayRouteConfig {
  readonly name: string;
  /** 1..6 with scheme pool2, 1..15 with full. */
  readonly pathId: number;
  readonly device: string;
  /** IPv4 next hop. */
  readonly nextHop?: string | undefined;
  /** IPv6 next hop. */
  readonly nextHop6?: string | undefined;
  /** Routing table of the kernel that somebody else fills, in place of next hops. */
  readonly table?: number | undefined;
  /** Whether addresses are translated on this way: flows stay on it from their first packet on. */
  readonly nat: boolean;
}

/** Prefixes outside and the names of the routes that lead there. */
export interface GatewayDestinationConfig {
  readonly prefixes: readonly string[];
  readonly routes: readonly string[];
}

/** A gateway's configuration, complete. */
export interface GatewayConfig extends ServiceConfig {
  readonly inside: { readonly device: string; readonly prefixes: readonly string[] };
  readonly routes: readonly GatewayRouteConfig[];
  /** One IP version each. */
  readonly destinations: readonly GatewayDestinationConfig[];
  /** Names of the routes whose neighbours take LEX codepoints; on all others the DSCP is cleared on leaving. */
  readonly exposeTo: readonly string[];
  readonly scheme: 'pool2' | 'full';
  readonly strategy: 'equal' | 'conservative' | 'loss' | 'mixed' | 'self-tuning';
  /** Weights of the three splits; their sum is 1. With `self-tuning` those that it begins with. @see paper eq. 3 */
  readonly betas: { readonly equal: number; readonly conservative: number; readonly loss: number };
  /** Update interval, seconds; with `self-tuning` the first. */
  readonly intervalSeconds: number;
  /** Bounds of the interval with `self-tuning`, seconds; default a quarter and four times of it. */
  readonly shortestIntervalSeconds?: number | undefined;
  readonly longestIntervalSeconds?: number | undefined;
  readonly startShare: 'probe' | 'equal';
  readonly fne: {
    readonly perPrefixPerSecond: number;
    readonly totalPerSecond: number;
    readonly memorySeconds: number;
    readonly memoryEntries: number;
    readonly inferFromSyn: boolean;
    readonly inferFromAnswer: boolean;
    readonly countRepeats: boolean;
  };
  /** When a route is suspended for a destination because the marks say that it failed. */
  readonly failures: {
    readonly infer: boolean;
    readonly windowSeconds: number;
    readonly share: number;
    readonly sample: number;
    readonly sampleEntries: number;
  };
  readonly notLect: 'default' | 'hash';
  /** Where packets pass: through this process, behind TUNs, or in the kernel by BPF programs. */
  readonly datapath: DatapathName;
  /** In the kernel: bits of the packets' mark that say the route. */
  readonly markMask: number;
  /** In the kernel: destinations there is room for. */
  readonly maxDestinations?: number | undefined;
  /** In the kernel: who sends packets by their routes. */
  readonly forwarding: KernelForwarding;
  /** The domain whose other gateways it shares its figures with. */
  readonly share?: ShareOptions | undefined;
  /** Where metrics are shown, as `parseListenAddress` reads it; without it they are not. */
  readonly metrics?: string | undefined;
  /** Where the web page is, likewise. */
  readonly ui?: string | undefined;
}

/** Reads a configuration file. @throws ConfigError with all problems at once */
export async function loadGatewayConfig(file: string): Promise<GatewayConfig> {
  return parseGatewayConfig(readConfigFile(file), file);
}

/**
 * Parses the text of a configuration file.
 *
 * @param file - its name, for messages
 * @param datapath - in the place of what the text says
 * @throws ConfigError with all problems at once
 */
export async function parseGatewayConfig(
  text: string,
  file: string,
  datapath?: DatapathName,
): Promise<GatewayConfig> {
  const zod = await import('zod');
  const config = complete(
    await parseConfigText(text, file, gatewayConfigSchema(zod), (data) => [
      ...checkGatewayConfig(data),
      ...checkKernelFields(data, datapath),
    ]),
  );
  return { ...config, datapath: datapath ?? config.datapath };
}

/** Fills in the defaults that depend on other fields. */
function complete(parsed: ParsedGatewayConfig): GatewayConfig {
  const taken = new Set(parsed.routes.map((route) => route.pathId));
  let next = 1;
  const routes = parsed.routes.map((route): GatewayRouteConfig => {
    let { pathId } = route;
    if (pathId === undefined) {
      while (taken.has(next)) next++;
      pathId = next++;
    }
    return { ...route, pathId };
  });
  const betas = parsed.betas ?? BETAS[parsed.strategy];
  const insidePrefixes = parsed.inside.prefixes.map(canonical);
  return {
    inside: { device: parsed.inside.device, prefixes: insidePrefixes },
    routes,
    destinations: completeDestinations(parsed, routes, insidePrefixes),
    exposeTo: parsed.exposeTo,
    scheme: parsed.scheme,
    strategy: parsed.strategy,
    betas,
    intervalSeconds: parsed.intervalSeconds,
    shortestIntervalSeconds: parsed.shortestIntervalSeconds,
    longestIntervalSeconds: parsed.longestIntervalSeconds,
    startShare: parsed.startShare ?? (betas.equal > 0 ? 'probe' : 'equal'),
    fne: parsed.fne,
    failures: parsed.failures,
    notLect: parsed.notLect,
    datapath: parsed.datapath,
    markMask: parsed.markMask,
    maxDestinations: parsed.maxDestinations,
    forwarding: parsed.forwarding,
    share: parsed.share,
    metrics: parsed.metrics,
    ui: parsed.ui,
    user: parsed.user,
    logLevel: parsed.logLevel,
    logFile: parsed.logFile,
  };
}

/**
 * Destinations of one IP version each, over the routes that carry it. Without any in the file: everything, for each IP
 * version that the inside has and some route carries.
 */
function completeDestinations(
  parsed: ParsedGatewayConfig,
  routes: readonly GatewayRouteConfig[],
  insidePrefixes: readonly string[],
): GatewayDestinationConfig[] {
  const versionOf = (prefix: string): 4 | 6 => (prefix.includes(':') ? 6 : 4);
  const able = (family: 4 | 6): string[] =>
    routes.filter((route) => carries({ ...route }, family)).map((route) => route.name);
  const everything = [
    {
      prefixes: ['0.0.0.0/0', '::/0'].filter((all) =>
        insidePrefixes.some((own) => versionOf(own) === versionOf(all)),
      ),
      routes: undefined,
    },
  ];
  return (parsed.destinations ?? everything).flatMap((entry) =>
    ([4, 6] as const)
      .map((family) => ({
        prefixes: entry.prefixes.filter((prefix) => versionOf(prefix) === family).map(canonical),
        routes: entry.routes ?? able(family),
      }))
      .filter((destination) => destination.prefixes.length > 0 && destination.routes.length > 0),
  );
}

function canonical(prefix: string): string {
  return parsePrefix(prefix)?.text ?? prefix;
}
