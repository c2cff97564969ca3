/** Options of the host, their defaults and their checks. */
import { invalidOption, rejectUnknownKeys, requireInteger, requireNumber } from '../errors.ts';
import { markingScheme } from '../wire/marking/scheme.ts';
import type { MarkingScheme } from '../wire/marking/scheme.ts';
import { MAX_TIMEOUTS } from './flow-state.ts';

/** Options of a LexHost. */
export interface LexHostOptions {
  /** Marking scheme, `pool2` (default) or `full`. */
  readonly scheme?: 'pool2' | 'full';
  /** Flows remembered at the same time, 1 to 16,777,216; default 65,536. Each takes 128 bytes and up to 36 for finding it. */
  readonly flowCapacity?: number;
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
  /** An open TCP flow is forgotten after this silence, in ns; default 600e9. Must exceed the longest RTO, 120 s. */
  readonly idleLimitNs?: number;
  /** A closed TCP flow is forgotten after this silence, in ns; default 60e9. */
  readonly closedLimitNs?: number;
  /** A UDP flow is forgotten after this silence, in ns; default 180e9. */
  readonly datagramLimitNs?: number;
  /**
   * The host may choose the path of a TCP flow itself: after `fneAfterTimeouts` successive timeouts it moves the flow to
   * another path ID that it learnt for the same remote address, and asks the gateway only when it knows none; default
   * false. @see paper section 6, "at its most liberal"; docs/balancers.md
   */
  readonly hostDriven?: boolean;
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
  'learntAddresses',
  'learntPathLifetimeNs',
  'seed',
];

/** Checks the options and fills in the defaults. Throws a PreflexError that names the field. */
export function lexSettings(options: LexHostOptions): LexSettings {
  rejectUnknownKeys('options', options, KNOWN);
  const keepPathWithoutAnswer = options.keepPathWithoutAnswer ?? true;
  if (typeof keepPathWithoutAnswer !== 'boolean') {
    throw invalidOption('keepPathWithoutAnswer', keepPathWithoutAnswer, 'true or false');
  }
  const hostDriven = options.hostDriven ?? false;
  if (typeof hostDriven !== 'boolean') throw invalidOption('hostDriven', hostDriven, 'true or false');
  return {
    scheme: markingScheme(options.scheme ?? 'pool2'),
    flowCapacity: requireInteger('flowCapacity', options.flowCapacity ?? 65_536, 1, 1 << 24),
    flowletGapNs: requireNumber('flowletGapNs', options.flowletGapNs ?? 1e9, 1e6, 3600e9),
    fneAfterTimeouts: requireInteger('fneAfterTimeouts', options.fneAfterTimeouts ?? 2, 1, MAX_TIMEOUTS),
    keepPathWithoutAnswer,
    idleLimitNs: requireNumber('idleLimitNs', options.idleLimitNs ?? 600e9, 121e9, 7 * 86400e9),
    closedLimitNs: requireNumber('closedLimitNs', options.closedLimitNs ?? 60e9, 1e9, 86400e9),
    datagramLimitNs: requireNumber('datagramLimitNs', options.datagramLimitNs ?? 180e9, 1e9, 86400e9),
    hostDriven,
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
