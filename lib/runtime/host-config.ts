/**
 * The configuration file of `preflex host`: the same options as the flags of the command, as YAML. Fields, ranges,
 * defaults, and what depends on several fields. Nothing on the machine is touched here.
 */
import type * as Zod from 'zod';
import { MAX_TIMEOUTS } from '../lex/flow-state.ts';
import type { LexHostOptions } from '../lex/options.ts';
import { configFields } from './config-fields.ts';
import type { ConfigIssue } from './config-file.ts';
import { parseConfigText, readConfigFile } from './config-file.ts';
import { DATAPATHS, SCHEMES } from './config-schema.ts';
import type { HostAgentOptions } from './host-agent.ts';
import { normalizeAddress } from './prefixes.ts';
import type { ServiceConfig } from './service-config.ts';
import { serviceFields } from './service-config.ts';

/** Fields of the TUN datapath alone; `hostDriven` may be false. */
export const TUN_ONLY_FIELDS = [
  'hostDriven',
  'offload',
  'appSide',
  'netSide',
  'metrics',
  'ui',
  'user',
] as const;

/** A host agent's configuration, complete. */
export interface HostConfig extends ServiceConfig {
  /** One IPv4 address, one IPv6 address, or one of each. */
  readonly addresses: readonly string[];
  /** The device that has them. */
  readonly device: string;
  /** Where packets are marked: in this process, behind TUNs, or in the kernel by BPF programs. */
  readonly datapath: 'tun' | 'ebpf';
  readonly scheme: 'pool2' | 'full';
  /** Flows remembered at the same time. */
  readonly flows: number;
  readonly flowletGapSeconds: number;
  readonly fneAfterTimeouts: number;
  readonly keepPath: boolean;
  /** After timeouts TCP flows move to another learnt path before one is asked for. */
  readonly hostDriven: boolean;
  readonly offload: boolean;
  readonly appSide: string;
  readonly netSide: string;
  /** Time between two status lines, seconds. */
  readonly intervalSeconds: number;
  /** Where metrics are shown, as `parseListenAddress` reads it; without it they are not. */
  readonly metrics?: string | undefined;
  /** Where the web page is, likewise. */
  readonly ui?: string | undefined;
}

/** Reads a configuration file. @throws ConfigError with all problems at once */
export async function loadHostConfig(file: string): Promise<HostConfig> {
  return parseHostConfig(readConfigFile(file), file);
}

/**
 * Parses the text of a configuration file.
 *
 * @param file - its name, for messages
 * @throws ConfigError with all problems at once
 */
export async function parseHostConfig(text: string, file: string): Promise<HostConfig> {
  const zod = await import('zod');
  return parseConfigText(text, file, hostConfigSchema(zod), checkHostConfig);
}

/** The options of the agent for a configuration. */
export function hostAgentOptions(config: HostConfig): HostAgentOptions {
  return {
    plumbing: {
      addresses: config.addresses,
      device: config.device,
      appSide: config.appSide,
      netSide: config.netSide,
    },
    lex: lexOptions(config),
    offload: config.offload,
  };
}

/** The options of the host rules for a configuration, with either datapath. */
export function lexOptions(config: HostConfig): LexHostOptions {
  return {
    scheme: config.scheme,
    flowCapacity: config.flows,
    flowletGapNs: config.flowletGapSeconds * 1e9,
    fneAfterTimeouts: config.fneAfterTimeouts,
    keepPathWithoutAnswer: config.keepPath,
    hostDriven: config.hostDriven,
  };
}

function hostConfigSchema(zod: Pick<typeof Zod, 'z'>) {
  const fields = configFields(zod);
  const { choice, device, integer, list, listen, mapping, number, text, yesOrNo } = fields;
  const isAddress = (value: string): boolean => normalizeAddress(value) !== undefined;
  return mapping({
    addresses: list(text('an IPv4 or IPv6 address without prefix length and zone', isAddress), 'addresses'),
    device,
    datapath: choice(DATAPATHS).default('tun'),
    scheme: choice(SCHEMES).default('pool2'),
    flows: integer(1, 1 << 24).default(65_536),
    flowletGapSeconds: number(0.001, 3600).default(1),
    fneAfterTimeouts: integer(1, MAX_TIMEOUTS).default(2),
    keepPath: yesOrNo().default(true),
    hostDriven: yesOrNo().default(false),
    offload: yesOrNo().default(true),
    appSide: device.default('lex0'),
    netSide: device.default('lex1'),
    intervalSeconds: number(0.001, 86_400).default(10),
    metrics: listen.optional(),
    ui: listen.optional(),
    ...serviceFields(fields),
  });
}

/** What depends on several fields, in the data as the file has it. */
function checkHostConfig(data: unknown): ConfigIssue[] {
  if (typeof data !== 'object' || data === null) return [];
  const issues: ConfigIssue[] = [];
  const { addresses, device, appSide = 'lex0', netSide = 'lex1' } = data as Record<string, unknown>;
  const families = new Set<boolean>();
  for (const [index, address] of (Array.isArray(addresses) ? addresses : []).entries()) {
    if (typeof address !== 'string') continue;
    const isIpv6 = address.includes(':');
    if (families.has(isIpv6)) {
      const allowed = `one address of each IP version; this is the second IPv${isIpv6 ? 6 : 4} address`;
      issues.push({ path: ['addresses', index], allowed });
    }
    families.add(isIpv6);
  }
  if (appSide === device)
    issues.push({ path: ['appSide'], allowed: 'a name other than device', shown: `"${appSide}"` });
  if (netSide === device || netSide === appSide) {
    issues.push({
      path: ['netSide'],
      allowed: 'a name other than device and appSide',
      shown: `"${netSide}"`,
    });
  }
  const given = data as Record<string, unknown>;
  if (given['datapath'] !== 'ebpf') return issues;
  for (const field of TUN_ONLY_FIELDS) {
    if (given[field] === undefined || given[field] === false) continue;
    issues.push({
      path: [field],
      allowed: 'no value with datapath ebpf',
      shown: JSON.stringify(given[field]),
    });
  }
  return issues;
}
