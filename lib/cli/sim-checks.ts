/** What the flowlet ratios of simulated runs must be, in every seed: the `checks` of `preflex sim figure1`. Pure. */
import type { Check } from '../../namespaces-lab/runs/validity.ts';
import type { Figure1Record } from '../sim/scenarios/figure1-run.ts';
import type { DestinationRoute, Interval } from '../sim/scenarios/records.ts';
import { failureOf } from '../sim/scenarios/scenario.ts';

/** What a sum of ratios may be off 1. */
export const SUM_TOLERANCE = 1e-12;
/** What the ratio of a failed route may be above beta_E / N. */
export const FLOOR_TOLERANCE = 0.01;
/** Intervals after a failure from which on that is asked. */
export const INTERVALS_TO_FLOOR = 2;

/** Rows that end at the same time as another figure are not before it for a rounding. */
const TIME_TOLERANCE_S = 1e-6;

type Run = Pick<Figure1Record, 'seed' | 'scenario' | 'betas' | 'intervals'>;

/** A figure of a run, with where it is from. */
interface Found {
  readonly value: number;
  readonly where: string;
}

/** The checks over all runs of one scenario; each names the worst that was found. */
export function checksOf(runs: readonly Run[]): Check[] {
  const checks = [finiteCheck(runs), sumCheck(runs)];
  const floor = floorCheck(runs);
  return floor === undefined ? checks : [...checks, floor];
}

function finiteCheck(runs: readonly Run[]): Check {
  const strange = figuresOf(runs, ({ flowletRatio, lossRatio }) => [flowletRatio, lossRatio]).filter(
    ({ value }) => !Number.isFinite(value),
  );
  return {
    name: 'flowlet ratios and loss ratios are numbers',
    isOk: strange.length === 0,
    detail: strange.length === 0 ? 'all of them' : `${strange.length} are not, one ${strange[0].where}`,
  };
}

function sumCheck(runs: readonly Run[]): Check {
  const sums = runs.flatMap((run) =>
    run.intervals.flatMap((interval) =>
      (interval.destinations ?? []).map(({ name, routes }) => ({
        value: Math.abs(routes.reduce((sum, { flowletRatio }) => sum + flowletRatio, 0) - 1),
        where: place(run, interval, name),
      })),
    ),
  );
  const worst = largest(sums);
  return {
    name: `flowlet ratios of a destination sum to 1 within ${SUM_TOLERANCE}`,
    isOk: sums.every(({ value }) => value <= SUM_TOLERANCE),
    detail: worst === undefined ? 'there are none' : `${worst.value} at most, ${worst.where}`,
  };
}

/** Undefined without a failure that lasts long enough. */
function floorCheck(runs: readonly Run[]): Check | undefined {
  const found = runs.flatMap((run) => {
    const { scenario, betas, intervals } = run;
    const failure = failureOf(scenario);
    if (failure === undefined) return [];
    const from = failure.from + INTERVALS_TO_FLOOR * scenario.intervalSeconds - TIME_TOLERANCE_S;
    return intervals
      .filter(({ t }) => t >= from && t <= failure.to + TIME_TOLERANCE_S)
      .flatMap((interval) =>
        (interval.destinations ?? []).flatMap(({ name, routes }) =>
          routes
            .filter((route) => route.name === failure.link.toLowerCase())
            .map(({ flowletRatio }) => ({
              value: flowletRatio - betas.equal / routes.length,
              where: place(run, interval, name),
            })),
        ),
      );
  });
  const worst = largest(found);
  if (worst === undefined) return undefined;
  return {
    name: `ratio of the failed route at most beta_E / N + ${FLOOR_TOLERANCE} from ${INTERVALS_TO_FLOOR} intervals after the failure on`,
    isOk: found.every(({ value }) => value <= FLOOR_TOLERANCE),
    detail: `beta_E / N ${worst.value < 0 ? '-' : '+'} ${Math.abs(worst.value).toFixed(4)} at most, ${worst.where}`,
  };
}

function figuresOf(runs: readonly Run[], pick: (route: DestinationRoute) => readonly number[]): Found[] {
  return runs.flatMap((run) =>
    run.intervals.flatMap((interval) =>
      (interval.destinations ?? []).flatMap(({ name, routes }) =>
        routes.flatMap((route) => pick(route).map((value) => ({ value, where: place(run, interval, name) }))),
      ),
    ),
  );
}

/** NaN counts as the largest. */
function largest(found: readonly Found[]): Found | undefined {
  let worst: Found | undefined;
  for (const next of found) {
    if (worst === undefined || Number.isNaN(next.value) || next.value > worst.value) worst = next;
  }
  return worst;
}

function place({ seed }: Run, { t }: Interval, destination: string): string {
  return `seed ${seed}, ${t} s, toward ${destination}`;
}
