/**
 * The file of `preflex sim sweep`: a grid of parameters in YAML. Its shape, ranges and defaults; docs/samples/sweep.yaml
 * shows all of it.
 */
import type { Betas } from '../pref/balancers/strategies.ts';
import { configFields } from '../runtime/config-fields.ts';
import type { ConfigIssue } from '../runtime/config-file.ts';
import { parseConfigText } from '../runtime/config-file.ts';

/** The axes of the grid, in the order in which points are counted: the last one goes fastest. */
export const AXES = [
  'betas',
  'intervalSeconds',
  'routes',
  'ratesBitsPerSec',
  'rttSeconds',
  'flows',
  'pauseSeconds',
  'sizeShape',
  'flowletGapSeconds',
] as const;
/** Name of an axis. */
export type Axis = (typeof AXES)[number];

/** What a point of the grid is judged by. */
export const FIGURES = ['spread', 'lossRatio', 'utilisation', 'ratioChange', 'completionSeconds'] as const;
/** Name of a figure. */
export type Figure = (typeof FIGURES)[number];

/** The values of each axis; a list stands for the routes, taken round and round. */
export interface Grid {
  readonly betas: readonly Betas[];
  readonly intervalSeconds: readonly number[];
  readonly routes: readonly number[];
  readonly ratesBitsPerSec: readonly (number | readonly number[])[];
  readonly rttSeconds: readonly (number | readonly number[])[];
  readonly flows: readonly number[];
  readonly pauseSeconds: readonly number[];
  readonly sizeShape: readonly number[];
  readonly flowletGapSeconds: readonly number[];
}

/** A sweep. */
export interface Sweep {
  /** Simulated seconds of each point. */
  readonly seconds: number;
  /** Seconds at the start that no figure counts. */
  readonly warmUpSeconds: number;
  readonly seeds: readonly number[];
  readonly queueBdp: number;
  readonly meanBytes: number;
  readonly grid: Grid;
  readonly heatMap: { readonly x: Axis; readonly y: Axis; readonly value: Figure };
}

/** Most simulations of a sweep: points times seeds. */
export const MAX_SIMULATIONS = 20_000;
const BETA_TOLERANCE = 1e-9;

/**
 * Parses a sweep.
 *
 * @param file - its name, for messages
 * @throws ConfigError with all that is wrong
 */
export async function parseSweep(text: string, file: string): Promise<Sweep> {
  const zod = await import('zod');
  const { z } = zod;
  const { choice, integer, list, mapping, number } = configFields(zod);
  const perRoute = (min: number, max: number) => {
    const what = `a number from ${min} to ${max}, or a list of 1 to 15 of them`;
    const one = z.number(what).min(min, what).max(max, what);
    return z.union([one, z.array(one, what).min(1, what).max(15, what)], what);
  };
  const schema = mapping({
    seconds: number(1, 100_000).default(120),
    warmUpSeconds: number(0, 100_000).default(30),
    seeds: list(integer(0, 2 ** 31 - 1), 'seeds').default([1]),
    queueBdp: number(0.01, 100).default(1),
    meanBytes: number(100, 1e12).default(500_000),
    grid: mapping({
      betas: list(
        mapping({
          equal: number(0, 1).default(0),
          conservative: number(0, 1).default(0),
          loss: number(0, 1).default(0),
        }),
        'weights',
      ).default([{ equal: 0.1, conservative: 0, loss: 0.9 }]),
      intervalSeconds: list(number(0.001, 3600), 'seconds').default([10]),
      routes: list(integer(2, 15), 'numbers of routes').default([3]),
      ratesBitsPerSec: list(perRoute(1000, 1e12), 'rates').default([25e6]),
      rttSeconds: list(perRoute(0.001, 10), 'round trips').default([0.1]),
      flows: list(integer(1, 10_000), 'numbers of flows').default([40]),
      pauseSeconds: list(number(0, 3600), 'seconds').default([0]),
      sizeShape: list(number(0.2, 10), 'shapes').default([0.5]),
      flowletGapSeconds: list(number(0.001, 3600), 'seconds').default([1]),
    }).prefault({}),
    heatMap: mapping({
      x: choice(AXES).optional(),
      y: choice(AXES).optional(),
      value: choice(FIGURES).default('spread'),
    }).prefault({}),
  });
  const { heatMap, ...sweep } = await parseConfigText(text, file, schema, checkSweep);
  const varying = AXES.filter((axis) => sweep.grid[axis].length > 1);
  const x = heatMap.x ?? varying.find((axis) => axis !== heatMap.y) ?? 'intervalSeconds';
  const y = heatMap.y ?? [...varying, ...AXES].find((axis) => axis !== x)!;
  return { ...sweep, heatMap: { x, y, value: heatMap.value } };
}

/** All problems between fields; what is not of the expected kind is the schema's business. */
function checkSweep(data: unknown): ConfigIssue[] {
  const root = record(data);
  const grid = record(root['grid']);
  const issues: ConfigIssue[] = [];
  for (const [i, entry] of list(grid['betas']).entries()) {
    const weights = ['equal', 'conservative', 'loss'].map((key) => record(entry)[key] ?? 0);
    if (!weights.every((weight) => typeof weight === 'number')) continue;
    const sum = weights.reduce((total, weight) => total + weight, 0);
    if (Math.abs(sum - 1) <= BETA_TOLERANCE) continue;
    issues.push({
      path: ['grid', 'betas', i],
      allowed: 'weights whose sum is 1',
      shown: `a sum of ${Number(sum.toFixed(12))}`,
    });
  }
  const seconds = numberOr(root['seconds'], 120);
  const warmUp = numberOr(root['warmUpSeconds'], 30);
  if (warmUp >= seconds) {
    issues.push({
      path: ['warmUpSeconds'],
      allowed: `less than the ${seconds} seconds of a point`,
      shown: String(warmUp),
    });
  }
  for (const [i, interval] of (grid['intervalSeconds'] === undefined
    ? [10]
    : list(grid['intervalSeconds'])
  ).entries()) {
    if (typeof interval !== 'number' || interval <= seconds - warmUp || warmUp >= seconds) continue;
    issues.push({
      path: ['grid', 'intervalSeconds', i],
      allowed: `at most the ${seconds - warmUp} seconds behind the warm-up`,
      shown: String(interval),
    });
  }
  const fewest = Math.min(...list(grid['routes'] ?? [3]).filter((count) => typeof count === 'number'));
  for (const axis of ['ratesBitsPerSec', 'rttSeconds'] as const) {
    for (const [i, entry] of list(grid[axis]).entries()) {
      if (!Array.isArray(entry) || entry.length <= fewest) continue;
      issues.push({
        path: ['grid', axis, i],
        allowed: `at most ${fewest} values, the least number of routes`,
        shown: `a list of ${entry.length}`,
      });
    }
  }
  const simulations = [...AXES.map((axis) => grid[axis]), root['seeds']].reduce(
    (product: number, values) => product * Math.max(1, list(values).length),
    1,
  );
  if (simulations > MAX_SIMULATIONS) {
    issues.push({
      path: ['grid'],
      allowed: `at most ${MAX_SIMULATIONS} simulations, points times seeds`,
      shown: `a grid of ${simulations}`,
    });
  }
  const { x, y } = record(root['heatMap']);
  if (x !== undefined && x === y) {
    issues.push({ path: ['heatMap', 'y'], allowed: 'another axis than heatMap.x' });
  }
  return issues;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

function numberOr(value: unknown, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}
