/** Options of the host, their defaults and their checks. */
import { invalidOption, rejectUnknownKeys, requireInteger, requireNumber } from '../errors.ts';
import { markingScheme } from '../wire/marking/scheme.ts';
import type { MarkingScheme } from '../wire/marking/scheme.ts';
import { MAX_TIMEOUTS } from './flow-state.ts';

/** Rules that a host can take over while it runs. */
export interface LexRuleOptions {
  /**
   * Shortest idle gap that begins a new flowlet, in ns, 1e6 to 3600e9; default 1e9. A flow's own gap is the larger of
   * this and its RTO estimate.
   *
   * @see RFC 5681 section 4.1
   */
  readonly flowletGapNs?: number;
  /** Successive timeouts without acknowledgement progress after which the path is given up, 1 to 15; default 2. */
  readonly fneAfterTimeouts?: number;
  /** A flowlet whose FNE is answered without an assignment goes back to the path of the one before; default true. */
  readonly keepPathWithoutAnswer?: boolean;
  /**
   * The host may choose the path of a TCP flow itself: after `fneAfterTimeouts` successive timeouts it moves the flow to
   * another path ID that it learnt for the same remote address, and asks the gateway only when it knows none; default
   * false. @see paper section 6, "at its most liberal"; docs/balancers.md
   */
  readonly hostDriven?: boolean;
}

/** Options of a LexHost. */
export interface LexHostOptions extends LexRuleOptions {
  /** Marking scheme, `pool2` (default) or `full`. */
  readonly scheme?: 'pool2' | 'full';
  /** Flows remembered at the same time, 1 to 16,777,216; default 65,536. Each takes 128 bytes and up to 36 for finding it. */
  readonly flowCapacity?: number;
  /**
   * Keep what each flow sent, when and why its path changed, and its last verdicts, for reports; default false. It takes
   * up to 80 bytes a flow.
   */
  readonly flowHistory?: boolean;
  /** An open TCP flow is forgotten after this silence, in ns; default 600e9. Must exceed the longest RTO, 120 s. */
  readonly idleLimitNs?: number;
  /** A closed TCP flow is forgotten after this silence, in ns; default 60e9. */
  readonly closedLimitNs?: number;
  /** A UDP flow is forgotten after this silence, in ns; default 180e9. */
  readonly datagramLimitNs?: number;
  /** Remote addresses whose paths are remembered with `hostDriven`, 1 to 1,048,576; default 1,024. Each takes 420 bytes. */
  readonly learntAddresses?: number;
  /** A path that was not assigned toward an address for so long is forgotten, in ns, 1e9 to 86400e9; default 600e9. */
  readonly learntPathLifetimeNs?: number;
  /** Seed of the flow hash, an int32; default 0. Give a random one where outsiders choose the flows. */
  readonly seed?: number;
}

/** The options with every default filled in. */
export interface LexSettings extends Required<Omit<LexHostOptions, 'scheme'>> {
  readonly scheme: MarkingScheme;
}

const KNOWN: readonly (keyof LexHostOptions)[] = [
  'scheme',
  'flowCapacity',
  'flowletGapNs',
  'fneAfterTimeouts',
  'keepPathWithoutAnswer',
  'idleLimitNs',
  'closedLimitNs',
  'datagramLimitNs',
  'hostDriven',
  'flowHistory',
  'learntAddresses',
  'learntPathLifetimeNs',
  'seed',
];

/** Checks the options and fills in the defaults. Throws a PreflexError that names the field. */
export function lexSettings(options: LexHostOptions): LexSettings {
  rejectUnknownKeys('options', options, KNOWN);
  return {
    scheme: markingScheme(options.scheme ?? 'pool2'),
    flowCapacity: requireInteger('flowCapacity', options.flowCapacity ?? 65_536, 1, 1 << 24),
    ...lexRules(options),
    flowHistory: requireBoolean('flowHistory', options.flowHistory ?? false),
    idleLimitNs: requireNumber('idleLimitNs', options.idleLimitNs ?? 600e9, 121e9, 7 * 86400e9),
    closedLimitNs: requireNumber('closedLimitNs', options.closedLimitNs ?? 60e9, 1e9, 86400e9),
    datagramLimitNs: requireNumber('datagramLimitNs', options.datagramLimitNs ?? 180e9, 1e9, 86400e9),
    learntAddresses: requireInteger('learntAddresses', options.learntAddresses ?? 1024, 1, 1 << 20),
    learntPathLifetimeNs: requireNumber(
      'learntPathLifetimeNs',
      options.learntPathLifetimeNs ?? 600e9,
      1e9,
      86400e9,
    ),
    seed: requireInteger('seed', options.seed ?? 0, -(2 ** 31), 2 ** 31 - 1),
  };
}

/** Checks the rules alone and fills in the defaults; other options are not looked at. Throws as {@link lexSettings}. */
export function lexRules(options: LexRuleOptions): Required<LexRuleOptions> {
  const {
    fneAfterTimeouts = 2,
    flowletGapNs = 1e9,
    hostDriven = false,
    keepPathWithoutAnswer = true,
  } = options;
  return {
    flowletGapNs: requireNumber('flowletGapNs', flowletGapNs, 1e6, 3600e9),
    fneAfterTimeouts: requireInteger('fneAfterTimeouts', fneAfterTimeouts, 1, MAX_TIMEOUTS),
    keepPathWithoutAnswer: requireBoolean('keepPathWithoutAnswer', keepPathWithoutAnswer),
    hostDriven: requireBoolean('hostDriven', hostDriven),
  };
}

function requireBoolean(field: string, value: boolean): boolean {
  if (typeof value !== 'boolean') throw invalidOption(field, value, 'true or false');
  return value;
}
