/**
 * What an experiment in Figure 1's network is: traffic, what fails when, and how the gateway balances. The laboratory and
 * the simulator run the same ones.
 */
import { PreflexError } from '../../errors.ts';
import type { Betas, Strategy } from '../../pref/balancers/strategies.ts';
import { BETAS, STRATEGIES } from '../../pref/balancers/strategies.ts';
import type { FlowSchedule } from './schedule.ts';
import { scaleSchedule } from './schedule.ts';
import type { SizeModel } from './sizes.ts';

/** How P's traffic is divided over its routes. */
export const MODES = STRATEGIES;
/** A mode: a balancing strategy of the gateway. */
export type Mode = Strategy;

/** A change of a link at a time. */
export interface LinkChange {
  /** Seconds after the schedule was started. */
  readonly atSeconds: number;
  readonly link: string;
  readonly direction: 'forward' | 'backward' | 'both';
  /** True: every packet offered from now on is lost. */
  readonly isDown: boolean;
}

/** What every experiment has. */
export interface CommonScenario {
  readonly name: string;
  /** One line. */
  readonly description: string;
  /** Seconds of traffic. */
  readonly seconds: number;
  /** Seconds at the start that no sum counts. */
  readonly warmUpSeconds: number;
  /** Update interval of the gateway, seconds. */
  readonly intervalSeconds: number;
  readonly mode: Mode;
  /** Weights of mode `mixed`, where the usual ones do not fit. */
  readonly mixedBetas?: Betas;
  /** bit/s of L1, L2 and L3. */
  readonly ratesBitsPerSec: readonly [number, number, number];
  readonly changes: readonly LinkChange[];
  /** Further arguments of `preflex host`. */
  readonly hostArgs?: readonly string[];
}

/** The weights that an experiment runs with unless told otherwise. */
export function betasOf({ mode, mixedBetas }: Pick<CommonScenario, 'mode' | 'mixedBetas'>): Betas {
  return mode === 'mixed' && mixedBetas !== undefined ? mixedBetas : BETAS[mode];
}

/** An experiment in Figure 1's network: concurrent flows for each pair `INGRESS>EGRESS`, sizes as in the paper. */
export interface Figure1Scenario extends CommonScenario {
  readonly topology: 'figure1';
  readonly flows: Readonly<Record<string, FlowSchedule>>;
  /** Sizes of the transfers; default the paper's. */
  readonly sizes?: SizeModel;
}

/** 25 Mbit/s on each bottleneck, as in the paper. */
export const PAPER_RATES = [25e6, 25e6, 25e6] as const;

/** The first link change that takes a link down, and the one that brings it back (at the end, if none does). */
export function failureOf(
  scenario: CommonScenario,
): { readonly link: string; readonly from: number; readonly to: number } | undefined {
  const down = scenario.changes.find((change) => change.isDown);
  if (down === undefined) return undefined;
  const up = scenario.changes.find(
    (change) => change.link === down.link && !change.isDown && change.atSeconds > down.atSeconds,
  );
  return { link: down.link, from: down.atSeconds, to: up?.atSeconds ?? scenario.seconds };
}

/** What can be scaled in time: an experiment, with or without schedules of flows. */
type ScalableScenario = CommonScenario & { readonly flows?: Figure1Scenario['flows'] };

/** The same experiment in another time: every time in it multiplied, but not rates, delays and sizes. */
export function scaleTime<T extends ScalableScenario>(scenario: T, factor: number): T {
  const scaled = {
    ...scenario,
    seconds: scenario.seconds * factor,
    warmUpSeconds: scenario.warmUpSeconds * factor,
    changes: scenario.changes.map((change) => ({ ...change, atSeconds: change.atSeconds * factor })),
  };
  if (scaled.flows === undefined) return scaled;
  const flows = Object.fromEntries(
    Object.entries(scaled.flows).map(([pair, schedule]) => [pair, scaleSchedule(schedule, factor)]),
  );
  return { ...scaled, flows };
}

/** A scenario cannot be what was asked for. */
export function scenarioError(message: string): PreflexError {
  return new PreflexError('ERR_INVALID_OPTION', message);
}
