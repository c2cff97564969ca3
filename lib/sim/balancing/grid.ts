/**
 * Balancers on the grid: the self-tuning one against fixed betas, on saturated TCP, over flow turnover, capacities,
 * numbers of routes and of losses. What `preflex sim balancers` prints and the tests check.
 */
import type { Balancer } from '../../pref/balancers/balancer.ts';
import { mixed } from '../../pref/balancers/mixed.ts';
import { selfTuning } from '../../pref/balancers/self-tuning.ts';
import { RandomStreams } from '../random.ts';
import { SaturatedTcp } from './saturated-tcp.ts';
import type { TurnoverKind } from './saturated-tcp.ts';

/** Flows begun in a configured interval over flows active. */
export const TURNOVERS: readonly number[] = [0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1];
/** Capacity of the largest route over that of the smallest; those between are in geometric steps. */
export const CAPACITY_RATIOS: readonly number[] = [1, 3, 9];
export const ROUTE_COUNTS: readonly number[] = [2, 3, 4, 5, 6, 7];
/** LEx packets in a configured interval: plenty, and hardly enough. */
export const LEX_PACKETS: readonly number[] = [2000, 200];
export const KINDS: readonly TurnoverKind[] = ['gradual', 'frozen'];

/** A swing of a ratio that counts. */
export const SWING = 0.05;
/** Swings of alternating sign in a row that make an oscillation which lasts. */
export const SUSTAINED = 4;
/** Update intervals within which ratios are to stay within a {@link SWING} of where they end. */
export const INTERVALS_TO_CONVERGE = 10;
/** Over the spread of the best fixed setting: what is allowed. */
export const SPREAD_FACTOR = 1.2;

const CONFIGURED_NS = 10e9;
const SHORTEST = 0.25;
const LONGEST = 4;
const INTERVALS = 60;
const SETTLED = 30;

/** beta_E, beta_C, beta_L of the fixed settings; the first is the paper's. */
export const FIXED_BETAS: readonly (readonly [number, number, number])[] = [
  [0.1, 0, 0.9],
  [1, 0, 0],
  [0.1, 0.9, 0],
  [0.1, 0.6, 0.3],
  [0.1, 0.3, 0.6],
];

/** Runs of which the spread is the mean, so that its own error is about a hundredth of it. */
export const SPREAD_RUNS = 16;

/** One place of the grid. */
export interface GridCell {
  readonly kind: TurnoverKind;
  readonly lexPackets: number;
  readonly turnover: number;
  readonly capacityRatio: number;
  readonly routeCount: number;
}

/** How a balancer did in a cell. */
export interface BalancerRun {
  /** Longest row of swings over 0.05 with alternating sign, once settled. */
  readonly alternations: number;
  /** Own update intervals until all ratios stayed within 0.05 of where they ended; 60 for never. Without noise. */
  readonly convergedAfter: number;
  /** The same in configured intervals. */
  readonly convergedAfterConfigured: number;
  /**
   * Largest loss ratio less the smallest, over their mean, as counted in a configured interval of time, chance included;
   * mean over all of them since the ratios settled, and over the runs.
   */
  readonly spread: number;
  /** Mean length of the settled intervals, in configured ones. */
  readonly intervalLength: number;
}

/** A cell with what became of it. */
export interface CellResult extends GridCell {
  readonly selfTuning: BalancerRun;
  /** The paper's betas, 0.1 and 0.9. */
  readonly paper: BalancerRun;
  /** Least spread of the fixed settings. */
  readonly bestSpread: number;
  readonly bestBetas: readonly [number, number, number];
}

/** All cells of the grid. */
export function gridCells(): GridCell[] {
  return KINDS.flatMap((kind) =>
    LEX_PACKETS.flatMap((lexPackets) =>
      TURNOVERS.flatMap((turnover) =>
        CAPACITY_RATIOS.flatMap((capacityRatio) =>
          ROUTE_COUNTS.map((routeCount) => ({ kind, lexPackets, turnover, capacityRatio, routeCount })),
        ),
      ),
    ),
  );
}

/**
 * Tries all balancers in a cell.
 *
 * @param seed - of the first run; the others have the next ones
 * @param runs - of which the spread is the mean, at least 1
 */
export function runCell(cell: GridCell, seed = 1, runs = SPREAD_RUNS): CellResult {
  const fixed = FIXED_BETAS.map(([betaE, betaC, betaL]) =>
    runBalancer(mixed({ betaE, betaC, betaL }), cell, seed, runs),
  );
  let best = 0;
  for (const [i, run] of fixed.entries()) if (run.spread < fixed[best].spread) best = i;
  return {
    ...cell,
    selfTuning: runBalancer(selfTuning(), cell, seed, runs),
    paper: fixed[0],
    bestSpread: fixed[best].spread,
    bestBetas: FIXED_BETAS[best],
  };
}

/** Whether the spread is as small as asked for. */
export function isSpreadGood({ selfTuning: run, bestSpread }: CellResult): boolean {
  return run.spread <= SPREAD_FACTOR * bestSpread;
}

/** Runs a balancer with the losses drawn, so many times, and once with the losses expected. */
export function runBalancer(
  balancer: Balancer,
  cell: GridCell,
  seed: number,
  runs = SPREAD_RUNS,
): BalancerRun {
  const drawn = trace(balancer, cell, seed);
  const expected = trace(balancer, cell, undefined);
  const settled = drawn.ratios.slice(-SETTLED);
  const convergedAfter = convergence(expected.ratios);
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    alternations: Math.max(...settled[0].map((_, i) => alternations(settled.map((ratios) => ratios[i])))),
    convergedAfter,
    convergedAfterConfigured: expected.lengths.slice(0, convergedAfter).reduce((sum, n) => sum + n, 0),
    spread: mean(
      Array.from({ length: runs }, (_, i) =>
        mean((i === 0 ? drawn : trace(balancer, cell, seed + i)).settledSpreads),
      ),
    ),
    intervalLength: mean(drawn.lengths.slice(-SETTLED)),
  };
}

interface Trace {
  readonly ratios: number[][];
  /** Of the configured intervals that ended in the settled ones. */
  readonly settledSpreads: number[];
  readonly lengths: number[];
}

function trace(balancer: Balancer, cell: GridCell, seed: number | undefined): Trace {
  const { routeCount, capacityRatio } = cell;
  const capacities = Array.from(
    { length: routeCount },
    (_, i) => capacityRatio ** (i / Math.max(1, routeCount - 1)),
  );
  const streams = seed === undefined ? undefined : new RandomStreams(seed);
  const model = new SaturatedTcp({
    ...cell,
    capacities,
    random: streams?.next(),
    windowRandom: streams?.next(),
  });
  let ratios = new Float64Array(routeCount).fill(1 / routeCount);
  let length = 1;
  const result: Trace = { ratios: [], settledSpreads: [], lengths: [] };
  for (let interval = 0; interval < INTERVALS; interval++) {
    model.run(ratios, length);
    const measures = { intervalNs: length * CONFIGURED_NS, turnover: model.turnover };
    const next = new Float64Array(routeCount);
    balancer.balance(routeCount, model.bytes, model.lostBytes, ratios, next, measures);
    ratios = next;
    result.ratios.push([...ratios]);
    if (interval >= INTERVALS - SETTLED) result.settledSpreads.push(...model.spreads);
    result.lengths.push(length);
    const wanted = balancer.wantedIntervalNs?.(routeCount, model.bytes, model.lostBytes, measures);
    if (wanted !== undefined) length = Math.min(LONGEST, Math.max(SHORTEST, wanted / CONFIGURED_NS));
  }
  return result;
}

/** Longest row of changes over {@link SWING}, each with the other sign than the one before. */
export function alternations(values: readonly number[]): number {
  let longest = 0;
  let row = 0;
  let before = 0;
  for (let i = 1; i < values.length; i++) {
    const change = values[i] - values[i - 1];
    if (Math.abs(change) <= SWING) row = 0;
    else if (row > 0 && change * before < 0) row++;
    else row = 1;
    before = change;
    longest = Math.max(longest, row);
  }
  return longest;
}

/** Intervals until all ratios stay within {@link SWING} of their mean over the last ones. */
function convergence(ratios: readonly (readonly number[])[]): number {
  const last = ratios.slice(-SETTLED);
  const end = last[0].map((_, i) => last.reduce((sum, row) => sum + row[i], 0) / last.length);
  let after = ratios.length;
  while (after > 0 && ratios[after - 1].every((ratio, i) => Math.abs(ratio - end[i]) <= SWING)) after--;
  return after;
}
