/**
 * Running connections between two PREFLEX domains when one of three links becomes a black hole: the laboratory's
 * experiment `recovery` in virtual time. How long do they stand still, and is one lost?
 */
import { requireInteger, requireNumber } from '../../errors.ts';
import type { FailureEvent } from '../../pref/failure-events.ts';
import type { Strategy } from '../../pref/balancers/strategies.ts';
import { Network } from '../network.ts';
import type { Quantiles } from './records.ts';
import { quantiles } from './records.ts';
import { TwoDomainsTraffic, twoDomainsTopology } from './two-domains.ts';
import type { TwoDomainsOptions } from './two-domains.ts';

/** Which directions of L2 die: `forward` is that of the data, `backward` that of the acknowledgements. */
export const DEAD_DIRECTIONS = ['forward', 'backward', 'both'] as const;
/** See {@link DEAD_DIRECTIONS}. */
export type DeadDirections = (typeof DEAD_DIRECTIONS)[number];

/** Options of {@link runRecovery}. */
export interface RecoveryOptions {
  readonly mode: Strategy;
  readonly dead: DeadDirections;
  /** An int32. */
  readonly seed: number;
  /** Default 60. */
  readonly connections?: number;
  /** Timeouts after which a host gives up a path, default that of the host. */
  readonly fneAfterTimeouts?: number;
  /** Whether each gateway shows the other one the marks; default true. */
  readonly isExposed?: boolean;
  /** One-way delay of the links, s; default 0.05. */
  readonly delaySeconds?: number;
  readonly policy?: TwoDomainsOptions['policy'];
}

/** A decision of one of the gateways. */
export interface GatewayDecision extends FailureEvent {
  readonly gateway: 'ps' | 'pc';
}

/** What came of it. Times in s. */
export interface RecoveryRecord {
  readonly seed: number;
  /** Running connections, those of them that stood still for over 0.3 s, and for how long. */
  readonly running: number;
  readonly stall: Quantiles;
  readonly stalls: readonly number[];
  readonly lost: number;
  readonly newConnections: number;
  readonly newOver3Seconds: number;
  /** Decisions before the failure: each would be a false alarm. */
  readonly decisionsBefore: number;
  readonly decisions: readonly GatewayDecision[];
}

const NS_PER_S = 1e9;
/** As in the laboratory. */
const FAILS_AT = 25;
const REPAIRED_AT = 55;
const SECONDS = 75;
const AFFECTED_SECONDS = 0.3;
const SLOW_SECONDS = 3;

/** Runs it once. @throws PreflexError naming what is wrong */
export function runRecovery(options: RecoveryOptions): RecoveryRecord {
  const { connections = 60, dead, delaySeconds = 0.05, fneAfterTimeouts, isExposed, mode, policy } = options;
  const seed = requireInteger('seed', options.seed, -(2 ** 31), 2 ** 31 - 1);
  const topology = twoDomainsTopology({
    mode,
    intervalSeconds: 10,
    link: {
      rateBitsPerSec: 25e6,
      queuePackets: 300,
      delayNs: requireNumber('delaySeconds', delaySeconds, 0, 10) * NS_PER_S,
    },
    ...(isExposed === undefined ? {} : { isExposed }),
    ...(fneAfterTimeouts === undefined ? {} : { host: { fneAfterTimeouts } }),
    ...(policy === undefined ? {} : { policy }),
  });
  const network = new Network(topology, seed);
  const traffic = new TwoDomainsTraffic(network, 50_000, 20_000);
  traffic.start(requireInteger('connections', connections, 1, 10_000), 10, SECONDS * NS_PER_S);
  traffic.watchFromNs = FAILS_AT * NS_PER_S;
  traffic.watchToNs = REPAIRED_AT * NS_PER_S;
  network.run(FAILS_AT * NS_PER_S);
  const names = ['ps', 'pc'] as const;
  const decide = (): GatewayDecision[] =>
    names.flatMap((gateway) =>
      network
        .gateway(gateway)
        .gateway.failureEvents()
        .map((event) => ({ ...event, gateway })),
    );
  const decisionsBefore = decide().length;
  const [forward, back] = network.link('L2');
  if (dead !== 'backward') forward.link.isBlackhole = true;
  if (dead !== 'forward') back.link.isBlackhole = true;
  network.run(REPAIRED_AT * NS_PER_S);
  network.setBlackhole('L2', false);
  network.run(SECONDS * NS_PER_S);
  traffic.closeGaps();
  const { records } = traffic;
  const running = records.filter(({ name }) => name === 'running');
  const stalls = running.map(({ gapNs }) => gapNs / NS_PER_S).filter((gap) => gap > AFFECTED_SECONDS);
  const fresh = records.filter(
    ({ name, startNs }) =>
      name === 'new' && startNs >= FAILS_AT * NS_PER_S && startNs < REPAIRED_AT * NS_PER_S,
  );
  return {
    seed,
    running: running.length,
    stall: quantiles(stalls),
    stalls: stalls.sort((a, b) => a - b),
    lost: records.filter(({ isLost }) => isLost).length,
    newConnections: fresh.length,
    newOver3Seconds: fresh.filter(
      ({ endNs, isLost, startNs }) => isLost || endNs - startNs > SLOW_SECONDS * NS_PER_S,
    ).length,
    decisionsBefore,
    decisions: decide(),
  };
}
