/** `preflex sim sweep`: every point of a grid of parameters, a table and a heat map. */
import { readConfigFile } from '../runtime/config-file.ts';
import type { ManyRoutesOptions, ManyRoutesRecord } from '../sim/scenarios/many-routes.ts';
import { estimate } from '../sim/statistics.ts';
import type { Estimate } from '../sim/statistics.ts';
import { note, print, printJson, tryFolder } from './output.ts';
import { formatValue, renderHeatMap } from './sim-heat-map.ts';
import { jsonText, runWithProgress, writeFiles } from './sim-output.ts';
import { AXES, FIGURES, parseSweep } from './sim-sweep-file.ts';
import type { Axis, Figure, Grid, Sweep } from './sim-sweep-file.ts';
import { formatTable } from './table.ts';

/** Options of the command. */
export interface SweepFlags {
  readonly workers?: number;
  readonly out?: string;
  readonly json?: boolean;
}

/** The parameters of a point. */
export type Parameters = { readonly [A in Axis]: Grid[A][number] };

/** A point with its figures over the seeds; a figure that is not there has no estimate. */
export interface PointRecord {
  readonly parameters: Parameters;
  readonly figures: Readonly<Partial<Record<Figure, Estimate>>>;
}

/** What the command prints with --json. */
export interface SweepReport extends Sweep {
  readonly points: readonly PointRecord[];
}

const AXIS_TITLES: Readonly<Record<Axis, string>> = {
  betas: 'beta_E, beta_C, beta_L',
  intervalSeconds: 'interval, s',
  routes: 'routes',
  ratesBitsPerSec: 'rates, Mbit/s',
  rttSeconds: 'round trip, ms',
  flows: 'flows',
  pauseSeconds: 'pause, s',
  sizeShape: 'size shape',
  flowletGapSeconds: 'flowlet gap, s',
};
const FIGURE_TITLES: Readonly<Record<Figure, string>> = {
  spread: 'spread (max - min) / mean of the loss ratios',
  lossRatio: 'loss ratio',
  utilisation: 'utilisation',
  ratioChange: 'mean change of a flowlet ratio in an interval',
  completionSeconds: 'median completion, s',
};
const FIGURE_HEADINGS: Readonly<Record<Figure, string>> = {
  spread: 'spread',
  lossRatio: 'loss ratio',
  utilisation: 'utilisation',
  ratioChange: 'ratio change',
  completionSeconds: 'completion, s',
};

/** Runs the command. */
export async function runSweepCommand(file: string, flags: SweepFlags): Promise<void> {
  const sweep = await parseSweep(readConfigFile(file), file);
  tryFolder(flags.out);
  const report = await runSweep(sweep, flags.workers);
  if (flags.json) printJson(report);
  else print(describeSweep(report));
  if (flags.out !== undefined) {
    const paths = writeFiles(flags.out, [
      { name: 'sweep.json', text: jsonText(report) },
      { name: 'heat-map.svg', text: renderHeatMap(heatMapOf(report)) },
    ]);
    for (const path of paths) note(`wrote ${path}`);
  }
}

/** Runs all points of a sweep. */
export async function runSweep(sweep: Sweep, workers?: number): Promise<SweepReport> {
  const points = pointsOf(sweep.grid);
  const tasks = points.flatMap((parameters) =>
    sweep.seeds.map((seed) => ({ kind: 'routes' as const, options: optionsOf(sweep, parameters, seed) })),
  );
  const records = await runWithProgress(tasks, workers);
  const { length } = sweep.seeds;
  return {
    ...sweep,
    points: points.map((parameters, i) => ({
      parameters,
      figures: figuresOf(records.slice(i * length, (i + 1) * length)),
    })),
  };
}

/** All points of a grid; the last axis goes fastest. */
export function pointsOf(grid: Grid): Parameters[] {
  return AXES.reduce<Partial<Parameters>[]>(
    (points, axis) => points.flatMap((point) => grid[axis].map((value) => ({ ...point, [axis]: value }))),
    [{}],
  ) as Parameters[];
}

/** What a point is run with. */
export function optionsOf(sweep: Sweep, parameters: Parameters, seed: number): ManyRoutesOptions {
  const { betas, intervalSeconds, flows, pauseSeconds, sizeShape, flowletGapSeconds } = parameters;
  const perRoute = (value: number | readonly number[]): number[] => {
    const values = typeof value === 'number' ? [value] : value;
    return Array.from({ length: parameters.routes }, (_, i) => values[i % values.length]);
  };
  return {
    betas,
    intervalSeconds,
    ratesBitsPerSec: perRoute(parameters.ratesBitsPerSec),
    rttSeconds: perRoute(parameters.rttSeconds),
    queueBdp: sweep.queueBdp,
    flows,
    pauseSeconds,
    sizeShape,
    meanBytes: sweep.meanBytes,
    flowletGapSeconds,
    seconds: sweep.seconds,
    warmUpSeconds: sweep.warmUpSeconds,
    seed,
  };
}

function figuresOf(records: readonly ManyRoutesRecord[]): PointRecord['figures'] {
  const found = FIGURES.map((figure) => [figure, estimate(records.map((record) => record[figure]))] as const);
  return Object.fromEntries(found.filter(([, value]) => value !== undefined));
}

/** The heat map of a sweep: cells are means over all axes that are not drawn. */
export function heatMapOf(report: SweepReport) {
  const { grid, points, seeds } = report;
  const { x, y, value } = report.heatMap;
  const others = AXES.filter((axis) => axis !== x && axis !== y && grid[axis].length > 1);
  const averaged = [...others.map((axis) => AXIS_TITLES[axis]), ...(seeds.length > 1 ? ['seeds'] : [])];
  return {
    title: FIGURE_TITLES[value],
    subtitle:
      `${report.seconds} s a point, ${report.warmUpSeconds} s of them not counted` +
      (averaged.length === 0 ? '' : `; means over ${averaged.join('; ')}`),
    xTitle: AXIS_TITLES[x],
    yTitle: AXIS_TITLES[y],
    xLabels: grid[x].map((entry) => label(x, entry)),
    yLabels: grid[y].map((entry) => label(y, entry)),
    rows: grid[y].map((row) =>
      grid[x].map((column) => {
        const cell = points.filter(({ parameters }) => parameters[x] === column && parameters[y] === row);
        return estimate(cell.map(({ figures }) => figures[value]?.mean ?? null))?.mean ?? null;
      }),
    ),
  };
}

function describeSweep(report: SweepReport): string {
  const varying = AXES.filter((axis) => report.grid[axis].length > 1);
  return formatTable([
    [...varying.map((axis) => AXIS_TITLES[axis]), ...FIGURES.map((figure) => FIGURE_HEADINGS[figure])],
    ...report.points.map(({ parameters, figures }) => [
      ...varying.map((axis) => label(axis, parameters[axis])),
      ...FIGURES.map((figure) => formatEstimate(figures[figure])),
    ]),
  ]);
}

function formatEstimate(value: Estimate | undefined): string {
  if (value === undefined) return '–';
  const { mean, halfWidth } = value;
  return halfWidth === null ? formatValue(mean) : `${formatValue(mean)} ± ${formatValue(halfWidth)}`;
}

/** A value of an axis as it is shown. */
function label(axis: Axis, value: Parameters[Axis]): string {
  if (typeof value === 'object' && 'equal' in value) {
    return `${value.equal}, ${value.conservative}, ${value.loss}`;
  }
  const scale = axis === 'ratesBitsPerSec' ? 1e-6 : axis === 'rttSeconds' ? 1000 : 1;
  return [value]
    .flat()
    .map((entry) => formatValue(Number(entry) * scale))
    .join(' / ');
}
