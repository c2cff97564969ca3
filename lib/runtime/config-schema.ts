/**
 * The shape of a gateway configuration file: fields, ranges, defaults. What depends on several fields at once is
 * checked in `config-checks.ts`.
 *
 * Every error text is what the field takes ("a whole number from 1 to 15"); `config.ts` puts field, value, line and
 * column before it.
 */
import { isIPv4, isIPv6 } from 'node:net';
import type * as Zod from 'zod';
import { STRATEGIES } from '../pref/balancers/strategies.ts';
import { MAX_DEVICE_NAME } from '../netns/index.ts';
import { configFields } from './config-fields.ts';
import { DEFAULT_MARK_MASK, MARK_MASK_RULE, markMask } from './mark-mask.ts';
import { parsePrefix } from './prefixes.ts';
import { SHARE_NAME_RULE, isShareName } from './share/message.ts';
import { serviceFields } from './service-config.ts';

/** Names of the marking schemes. */
export const SCHEMES = ['pool2', 'full'] as const;
/** Names of the datapaths of both daemons. */
export const DATAPATHS = ['tun', 'ebpf'] as const;
/** One of {@link DATAPATHS}. */
export type DatapathName = (typeof DATAPATHS)[number];
/** Who sends packets by their routes with the datapath in the kernel. */
export const KERNEL_FORWARDINGS = ['auto', 'kernel', 'redirect'] as const;
/** One of {@link KERNEL_FORWARDINGS}. */
export type KernelForwarding = (typeof KERNEL_FORWARDINGS)[number];
/** Longest name of a route: its TUN is `pref-NAME`, and a device name has 15 characters at most. */
export const MAX_ROUTE_NAME = MAX_DEVICE_NAME - 'pref-'.length;

/**
 * Makes the schema with a zod that the caller has loaded (it takes 80 ms, so it is imported only when needed).
 *
 * Optional fields stay undefined here where the default depends on other fields.
 */
export function gatewayConfigSchema(zod: Pick<typeof Zod, 'z'>) {
  const { z } = zod;
  const fields = configFields(zod);
  const { choice, device, integer, list, listen, mapping, number, text, yesOrNo } = fields;

  const prefix = text(
    'a prefix such as 192.0.2.0/24 or 2001:db8::/32, host bits zero',
    (value) => parsePrefix(value) !== undefined,
  );
  const routeName = text(
    `a name of 1 to ${MAX_ROUTE_NAME} lower-case letters, digits and dashes, other than "in"`,
    (value) => /^[a-z0-9][a-z0-9-]*$/.test(value) && value.length <= MAX_ROUTE_NAME && value !== 'in',
  );

  const shareName = text(SHARE_NAME_RULE, isShareName);
  const file = text('the absolute path of a file', (value) => value.startsWith('/'));

  return mapping({
    inside: mapping({ device, prefixes: list(prefix, 'prefixes') }),
    routes: list(
      mapping({
        name: routeName,
        pathId: integer(1, 15).optional(),
        device,
        nextHop: text('an IPv4 address', isIPv4).optional(),
        nextHop6: text('an IPv6 address', (value) => isIPv6(value) && !value.includes('%')).optional(),
        table: integer(1, 0xffff_ffff).optional(),
        nat: yesOrNo().default(false),
      }),
      'routes',
    ),
    destinations: list(
      mapping({ prefixes: list(prefix, 'prefixes'), routes: list(routeName, 'names of routes').optional() }),
      'destinations',
    ).optional(),
    exposeTo: z.array(routeName, 'a list of names of routes').default([]),
    scheme: choice(SCHEMES).default('pool2'),
    strategy: choice(STRATEGIES).default('loss'),
    betas: mapping({
      equal: number(0, 1).default(0),
      conservative: number(0, 1).default(0),
      loss: number(0, 1).default(0),
    }).optional(),
    intervalSeconds: number(0.001, 86_400).default(10),
    shortestIntervalSeconds: number(0.001, 86_400).optional(),
    longestIntervalSeconds: number(0.001, 86_400).optional(),
    startShare: choice(['probe', 'equal']).optional(),
    fne: mapping({
      perPrefixPerSecond: number(0.001, 1e9).default(10_000),
      totalPerSecond: number(0.001, 1e9).default(100_000),
      memorySeconds: number(0.001, 3600).default(10),
      memoryEntries: integer(4, 2 ** 24)
        .refine((value) => (value & (value - 1)) === 0, `a power of 2 from 4 to ${2 ** 24}`)
        .default(65_536),
      inferFromSyn: yesOrNo().default(true),
      inferFromAnswer: yesOrNo().default(true),
      countRepeats: yesOrNo().default(true),
    }).prefault({}),
    failures: mapping({
      infer: yesOrNo().default(true),
      windowSeconds: number(0.2, 0.8).default(0.5),
      share: number(0.5, 1).default(0.9),
      sample: integer(8, 64).default(64),
      sampleEntries: integer(64, 65_536)
        .refine((value) => (value & (value - 1)) === 0, 'a power of 2 from 64 to 65536')
        .default(8192),
    }).prefault({}),
    notLect: choice(['default', 'hash']).default('hash'),
    datapath: choice(DATAPATHS).default('tun'),
    markMask: z
      .int(MARK_MASK_RULE)
      .refine((value) => markMask(value) !== undefined, MARK_MASK_RULE)
      .default(DEFAULT_MARK_MASK),
    maxDestinations: integer(1, 2 ** 20).optional(),
    forwarding: choice(KERNEL_FORWARDINGS).default('auto'),
    share: mapping({
      // What an address may be is checked in config-checks.ts, which never shows a password.
      servers: list(z.string('an address'), 'servers'),
      domain: shareName,
      name: shareName,
      keepIntervals: integer(1, 100).default(3),
      tokenFile: file.optional(),
      credentialsFile: file.optional(),
      user: text('a name', (value) => value !== '').optional(),
      passwordFile: file.optional(),
      tls: mapping({ ca: file.optional(), cert: file.optional(), key: file.optional() }).optional(),
    }).optional(),
    metrics: listen.optional(),
    ui: listen.optional(),
    ...serviceFields(fields),
  });
}

/** What the schema yields for a file without errors. */
export type ParsedGatewayConfig = Zod.output<ReturnType<typeof gatewayConfigSchema>>;
