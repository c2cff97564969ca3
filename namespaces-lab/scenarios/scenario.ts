/**
 * What an experiment of the laboratory is: those of the simulator, those between two PREFLEX domains, and the same
 * without PREFLEX, to compare with.
 */
import type {
  Mode as Balance,
  CommonScenario as BalancedScenario,
  Figure1Scenario as BalancedFigure1Scenario,
} from '../../lib/sim/scenarios/scenario.ts';
import {
  failureOf as failureOfBalanced,
  MODES as BALANCES,
  scenarioError,
} from '../../lib/sim/scenarios/scenario.ts';

export { PAPER_RATES, scaleTime, scenarioError } from '../../lib/sim/scenarios/scenario.ts';
export type { Balance };

/**
 * What divides traffic in place of a PREFLEX gateway, with hosts that have no agent: the kernel's multipath route, the
 * same with a resilient group of next hops, one route for everything, MPTCP in the hosts.
 */
export const BASELINES = ['ecmp', 'resilient', 'single', 'mptcp'] as const;
/** A way without PREFLEX. */
export type Baseline = (typeof BASELINES)[number];

/** How P's traffic is divided over its routes: a balance of the gateway, or a baseline. */
export type Mode = Balance | Baseline;
/** All of them, the balances first. */
export const MODES: readonly Mode[] = [...BALANCES, ...BASELINES];

/** Whether a mode does without PREFLEX. */
export function isBaseline(mode: Mode): mode is Baseline {
  return (BASELINES as readonly Mode[]).includes(mode);
}

/** What every experiment has. */
export interface CommonScenario extends Omit<BalancedScenario, 'mode'> {
  readonly mode: Mode;
}

/** An experiment in Figure 1's network. */
export interface Figure1Scenario extends Omit<BalancedFigure1Scenario, 'mode'> {
  readonly mode: Mode;
}

/** An experiment between two PREFLEX domains: connections that run throughout, and new ones all the time. */
export interface DomainsScenario extends CommonScenario {
  readonly topology: 'domains';
  readonly running: { readonly connections: number; readonly bytesPerSec: number };
  readonly arriving: { readonly perSecond: number; readonly bytes: number };
}

/** An experiment. */
export type Scenario = Figure1Scenario | DomainsScenario;

/** An experiment as it is defined, before another mode is asked for: with PREFLEX. */
export type DefinedScenario = BalancedFigure1Scenario | (DomainsScenario & { readonly mode: Balance });

/** The first link change that takes a link down, and the one that brings it back (at the end, if none does). */
export function failureOf(scenario: CommonScenario): ReturnType<typeof failureOfBalanced> {
  // The mode has no part in it.
  return failureOfBalanced({ ...scenario, mode: 'equal' });
}

/**
 * Checks that a scenario can be run in its mode, and returns it.
 *
 * @throws PreflexError ERR_INVALID_OPTION for MPTCP in a topology whose hosts have one address
 */
export function requireMode<T extends Scenario>(scenario: T): T {
  if (scenario.mode === 'mptcp' && scenario.topology !== 'domains') {
    throw scenarioError(
      `mode mptcp: hosts of the topology ${scenario.topology} have one address each, so "${scenario.name}" has no ` +
        'subflow for each route; it takes the topology domains (recovery, recovery-both)',
    );
  }
  return scenario;
}
