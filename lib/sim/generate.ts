/**
 * Networks of any size, made from a seed: stub domains with a PREFLEX gateway each, around a transit core whose links
 * are the bottlenecks. The result is a Topology like one written by hand.
 *
 * ```
 *   host ---+                 +-- e2 -- t4 --+-- core4.0 --> x0 --+-- e1 -- g7 --- host
 *           +--- g3 (PREF) ---+-- e3 -- t9 --+-- core9.0 --> x0   |
 *   host ---+                 +-- e1 ----------------------> x1 --+ mesh of exchanges
 *             2 to 15 egresses   providers     bottlenecks   one exchange a region
 * ```
 *
 * Egress 1 of a domain is its own link to the exchange of its region, a bottleneck of its own; everything that comes
 * into the domain comes in by it. The other egresses lead to different providers, and every provider has one bottleneck
 * toward each region. So the routes of a gateway to one destination share no bottleneck, the gateways share those of the
 * core, and destinations in different regions need different ratios.
 */
import type { GatewayOptions } from '../pref/gateway-options.ts';
import { invalidOption, rejectUnknownKeys, requireInteger, requireNumber } from '../errors.ts';
import { RandomStreams } from './random.ts';
import type { RandomStream } from './random.ts';
import type { GatewaySpec, HostSpec, LinkSpec, RouterSpec, RouteSpec, Topology } from './topology.ts';

/** What to generate; only `domains` is required. */
export interface GenerateOptions {
  /** Stub domains with a gateway each, 2 to 1,000. */
  readonly domains: number;
  /** Least number of routes of a gateway, 2 to 15; default 2. */
  readonly minRoutes?: number;
  /** Most routes of a gateway, `minRoutes` to 15; default 15. */
  readonly maxRoutes?: number;
  /** Prefixes of a domain, 1 to 256; default 8. */
  readonly prefixesPerDomain?: number;
  /** Whether the prefixes of a domain share their flowlet ratios at the other gateways; default false. */
  readonly shareRatios?: boolean;
  /** PREFLEX hosts of a domain, spread over its prefixes, 1 to 250 a prefix; default 4. */
  readonly hostsPerDomain?: number;
  /** Transit providers, `maxRoutes - 1` to 64; default that number. */
  readonly providers?: number;
  /** Regions with an exchange each, 1 to 16; default 3, but not more than domains. */
  readonly regions?: number;
  /** Mean rate of a provider's link to a region, bit/s, 1e5 to 1e13; default 25e6. Each is 0.5 to 1.5 times that. */
  readonly rateBitsPerSec?: number;
  /** Length of the bottlenecks' queues as time at their rate, ns, 1e6 to 10e9; default 50e6. At least 10 packets. */
  readonly queueNs?: number;
  /** Options of every gateway; the scheme is always `full`, which has 15 path IDs. */
  readonly gateway?: Omit<GatewayOptions, 'routes' | 'scheme'>;
}

/** A stub domain. */
export interface GeneratedDomain {
  /** Name of its gateway. */
  readonly gateway: string;
  /** Names of its hosts; host i has an address in prefix i modulo the number of prefixes. */
  readonly hosts: readonly string[];
  readonly prefixes: readonly string[];
  readonly pathIds: readonly number[];
}

/** A generated network. */
export interface GeneratedNetwork {
  readonly topology: Topology;
  readonly domains: readonly GeneratedDomain[];
  /** Names of the links that are bottlenecks in their forward direction. */
  readonly bottlenecks: readonly string[];
}

const KNOWN: readonly (keyof GenerateOptions)[] = [
  'domains',
  'minRoutes',
  'maxRoutes',
  'prefixesPerDomain',
  'shareRatios',
  'hostsPerDomain',
  'providers',
  'regions',
  'rateBitsPerSec',
  'queueNs',
  'gateway',
];
const MAX_PATH_ID = 15;
const MS = 1e6;
const PACKET_BITS = 12_000;
const LEAST_QUEUE = 10;
/** Rate into a domain, as multiple of what a domain sends on average: no bottleneck. */
const HEADROOM = 3;
const FIRST_OCTET = 10;

/**
 * Generates a network.
 *
 * @param seed - an int32; the same options and seed give the same network
 * @throws PreflexError naming the option, its value and the allowed range
 */
export function generateNetwork(options: GenerateOptions, seed: number): GeneratedNetwork {
  const settings = checkOptions(options);
  const streams = new RandomStreams(seed);
  const shape = streams.next();
  const rates = streams.next();
  const routeCounts = Array.from(
    { length: settings.domains },
    () => settings.minRoutes + shape.below(settings.maxRoutes - settings.minRoutes + 1),
  );
  const core = coreLinks(settings, rates);
  const domains: GeneratedDomain[] = [];
  const hosts: HostSpec[] = [];
  const gateways: GatewaySpec[] = [];
  const links: LinkSpec[] = [...core];
  const domainBitsPerSec = domainRate(settings, routeCounts);
  for (const [d, routeCount] of routeCounts.entries()) {
    const domain = describeDomain(settings, d, routeCount);
    const inside = domain.hosts.map((name): LinkSpec => ({
      name: `${name}-g${d}`,
      between: [name, `g${d}`],
      delayNs: MS,
    }));
    const providers = pickSome(settings.providers, routeCount - 1, shape);
    const egresses = [
      bottleneck(
        settings,
        `g${d}-e1`,
        [`g${d}`, `x${d % settings.regions}`],
        domainBitsPerSec / routeCount,
        rates,
        HEADROOM * domainBitsPerSec,
      ),
      ...providers.map((provider, i): LinkSpec => ({
        name: `g${d}-e${i + 2}`,
        between: [`g${d}`, `t${provider}`],
        delayNs: delay(rates, 2, 10),
      })),
    ];
    links.push(...inside, ...egresses);
    hosts.push(
      ...domain.hosts.map((name, i): HostSpec => ({
        name,
        address: hostAddress(settings, d, i),
        lex: { scheme: 'full' },
      })),
    );
    gateways.push({
      name: `g${d}`,
      egresses: egresses.map(({ name }, i) => ({ pathId: i + 1, name, link: name })),
      destinations: [],
      options: { ...settings.gateway, scheme: 'full', seed: settings.gateway.seed ?? d },
      routes: [
        ...domain.hosts.map((_, i) => ({
          prefix: `${hostAddress(settings, d, i)}/32`,
          link: inside[i].name,
        })),
        { prefix: '0.0.0.0/0', link: `g${d}-e1` },
      ],
    });
    domains.push(domain);
  }
  return {
    topology: {
      hosts,
      routers: routers(settings),
      gateways: gateways.map((gateway, d) => ({
        ...gateway,
        destinations: domains
          .filter((_, other) => other !== d)
          .flatMap(({ prefixes }) => (settings.shareRatios ? [prefixes] : prefixes.map((prefix) => [prefix])))
          .map((prefixes) => ({ prefixes, pathIds: domains[d].pathIds })),
      })),
      links,
      routing: 'listed',
    },
    domains,
    bottlenecks: [
      ...core.filter(({ name }) => name.startsWith('core')).map(({ name }) => name),
      ...routeCounts.map((_, d) => `g${d}-e1`),
    ],
  };
}

type Settings = Required<GenerateOptions>;

function checkOptions(options: GenerateOptions): Settings {
  rejectUnknownKeys('generate', options, KNOWN);
  const domains = requireInteger('generate.domains', options.domains, 2, 1000);
  const minRoutes = requireInteger('generate.minRoutes', options.minRoutes ?? 2, 2, MAX_PATH_ID);
  const maxRoutes = requireInteger(
    'generate.maxRoutes',
    options.maxRoutes ?? MAX_PATH_ID,
    minRoutes,
    MAX_PATH_ID,
  );
  const gateway = options.gateway ?? {};
  if ('scheme' in gateway || 'routes' in gateway) {
    throw invalidOption('generate.gateway', gateway, 'options of a gateway without scheme and routes');
  }
  const shareRatios = options.shareRatios ?? false;
  if (typeof shareRatios !== 'boolean')
    throw invalidOption('generate.shareRatios', shareRatios, 'true or false');
  const prefixes = requireInteger('generate.prefixesPerDomain', options.prefixesPerDomain ?? 8, 1, 256);
  return {
    domains,
    minRoutes,
    maxRoutes,
    prefixesPerDomain: prefixes,
    shareRatios,
    hostsPerDomain: requireInteger('generate.hostsPerDomain', options.hostsPerDomain ?? 4, 1, 250 * prefixes),
    providers: requireInteger('generate.providers', options.providers ?? maxRoutes - 1, maxRoutes - 1, 64),
    regions: requireInteger(
      'generate.regions',
      options.regions ?? Math.min(3, domains),
      1,
      Math.min(16, domains),
    ),
    rateBitsPerSec: requireNumber('generate.rateBitsPerSec', options.rateBitsPerSec ?? 25e6, 1e5, 1e13),
    queueNs: requireNumber('generate.queueNs', options.queueNs ?? 50 * MS, MS, 10_000 * MS),
    gateway,
  };
}

/**
 * What a domain sends when all bottlenecks are full and every gateway spreads its traffic evenly over its routes, bit/s:
 * the measure of the domains' own links.
 */
function domainRate(
  { providers, rateBitsPerSec, regions }: Settings,
  routeCounts: readonly number[],
): number {
  const overCore = routeCounts.reduce((sum, routes) => sum + 1 - 1 / routes, 0);
  return (providers * regions * rateBitsPerSec) / overCore;
}

/** The links between providers and exchanges, and those between exchanges. */
function coreLinks(settings: Settings, random: RandomStream): LinkSpec[] {
  const { providers, regions, rateBitsPerSec } = settings;
  const links: LinkSpec[] = [];
  for (let t = 0; t < providers; t++) {
    for (let m = 0; m < regions; m++) {
      links.push(bottleneck(settings, `core${t}.${m}`, [`t${t}`, `x${m}`], rateBitsPerSec, random));
    }
  }
  for (let a = 0; a < regions; a++) {
    for (let b = a + 1; b < regions; b++) {
      links.push({ name: `x${a}-x${b}`, between: [`x${a}`, `x${b}`], delayNs: delay(random, 5, 20) });
    }
  }
  return links;
}

function bottleneck(
  settings: Settings,
  name: string,
  between: readonly [string, string],
  meanBitsPerSec: number,
  random: RandomStream,
  backBitsPerSec = Infinity,
): LinkSpec {
  const direction = (rateBitsPerSec: number): { rateBitsPerSec: number; queuePackets: number } => ({
    rateBitsPerSec,
    queuePackets: Math.max(LEAST_QUEUE, Math.round((rateBitsPerSec * settings.queueNs) / 1e9 / PACKET_BITS)),
  });
  const delayNs = delay(random, 5, 25);
  return {
    name,
    between,
    delayNs,
    ...direction(Math.round(meanBitsPerSec * (0.5 + random.uniform()))),
    back: { delayNs, ...(backBitsPerSec === Infinity ? {} : direction(Math.round(backBitsPerSec))) },
  };
}

/** Providers, which send everything up into the regions, and exchanges. */
function routers(settings: Settings): RouterSpec[] {
  const { domains, providers, regions } = settings;
  const routesOf = (link: (d: number) => string): RouteSpec[] =>
    Array.from({ length: domains }, (_, d) => ({ prefix: `${domainBlock(d)}.0.0/16`, link: link(d) }));
  return [
    ...Array.from({ length: providers }, (_, t) => ({
      name: `t${t}`,
      routes: routesOf((d) => `core${t}.${d % regions}`),
    })),
    ...Array.from({ length: regions }, (_, m) => ({
      name: `x${m}`,
      routes: routesOf((d) => {
        const region = d % regions;
        return region === m ? `g${d}-e1` : `x${Math.min(m, region)}-x${Math.max(m, region)}`;
      }),
    })),
  ];
}

function describeDomain(settings: Settings, d: number, routeCount: number): GeneratedDomain {
  const { hostsPerDomain, prefixesPerDomain } = settings;
  return {
    gateway: `g${d}`,
    hosts: Array.from({ length: hostsPerDomain }, (_, i) => `h${d}.${i}`),
    prefixes: Array.from({ length: prefixesPerDomain }, (_, k) => `${domainBlock(d)}.${k}.0/24`),
    pathIds: Array.from({ length: routeCount }, (_, i) => i + 1),
  };
}

/** First two octets of a domain's addresses. */
function domainBlock(d: number): string {
  return `${FIRST_OCTET + (d >> 8)}.${d & 255}`;
}

function hostAddress(settings: Settings, d: number, i: number): string {
  const { prefixesPerDomain } = settings;
  const low = 1 + Math.floor(i / prefixesPerDomain);
  return `${domainBlock(d)}.${i % prefixesPerDomain}.${low}`;
}

/** So many different numbers below `limit`, in random order. */
function pickSome(limit: number, count: number, random: RandomStream): number[] {
  const all = Array.from({ length: limit }, (_, i) => i);
  for (let i = 0; i < count; i++) {
    const other = i + random.below(limit - i);
    [all[i], all[other]] = [all[other], all[i]];
  }
  return all.slice(0, count);
}

function delay(random: RandomStream, minMs: number, maxMs: number): number {
  return Math.round((minMs + random.uniform() * (maxMs - minMs)) * MS);
}
