/**
 * Simulated runs held against runs of the laboratory: `preflex sim figure1 --against DIR...`. Pure but for reading the
 * results.
 */
import { readResult } from '../../namespaces-lab/reports/compare.ts';
import type { Check } from '../../namespaces-lab/runs/validity.ts';
import { PreflexError } from '../errors.ts';
import { estimate } from '../sim/statistics.ts';
import type { Estimate } from '../sim/statistics.ts';
import type { SimResult } from './sim-result.ts';
import { formatTable } from './table.ts';

/** What a mean flowlet ratio may be off the laboratory's. */
export const RATIO_TOLERANCE = 0.05;
/** What a mean loss ratio may be off the laboratory's, of the latter. */
export const LOSS_TOLERANCE = 0.3;

/** A run of either kind, as far as it is compared. */
export interface ComparableRun {
  readonly scenario: { readonly name: string; readonly mode: string };
  readonly summary: Pick<SimResult['summary'], 'routes'>;
}

/** A figure of a route in the laboratory and in the simulator. */
export interface AgainstRow {
  readonly route: string;
  readonly figure: 'flowlet ratio' | 'loss ratio';
  readonly laboratory: Estimate;
  readonly simulator: Estimate;
  /** Simulator less laboratory; for loss ratios over the laboratory. */
  readonly difference: number;
}

/** The comparison. */
export interface Against {
  readonly folders: readonly string[];
  readonly rows: readonly AgainstRow[];
  readonly checks: readonly Check[];
}

/** Reads the laboratory's results. @throws PreflexError for a folder without one, or of another experiment */
export function readLaboratory(
  folders: readonly string[],
  { name, mode }: ComparableRun['scenario'],
): ComparableRun[] {
  return folders.map((folder) => {
    const result = readResult(folder);
    if (result.scenario.name === name && result.scenario.mode === mode) return result;
    const { scenario } = result;
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      `${folder}: is of ${scenario.name}, mode ${scenario.mode}, and not of ${name}, mode ${mode}`,
    );
  });
}

/** Means of both kinds of runs, route by route. */
export function compareWithLaboratory(
  folders: readonly string[],
  laboratory: readonly ComparableRun[],
  simulator: readonly ComparableRun[],
): Against {
  const rows = simulator[0].summary.routes.flatMap(({ name: route }) =>
    (['flowlet ratio', 'loss ratio'] as const).flatMap((figure) => {
      const of = (runs: readonly ComparableRun[]): Estimate | undefined =>
        estimate(
          runs.map(({ summary }) => {
            const found = summary.routes.find(({ name }) => name === route);
            return (figure === 'loss ratio' ? found?.lossRatio : found?.meanFlowletRatio) ?? null;
          }),
        );
      const [lab, sim] = [of(laboratory), of(simulator)];
      if (lab === undefined || sim === undefined) return [];
      const difference = sim.mean - lab.mean;
      return {
        route,
        figure,
        laboratory: lab,
        simulator: sim,
        difference: figure === 'loss ratio' ? difference / lab.mean : difference,
      };
    }),
  );
  return {
    folders,
    rows,
    checks: [
      check(rows, 'flowlet ratio', RATIO_TOLERANCE, `${RATIO_TOLERANCE}`),
      check(rows, 'loss ratio', LOSS_TOLERANCE, `${LOSS_TOLERANCE * 100} %`),
    ],
  };
}

/** A table and the verdicts, in lines. */
export function describeAgainst({ rows, checks, folders }: Against): string {
  return [
    `Against ${folders.length} runs of the laboratory:`,
    '',
    formatTable([
      ['route', 'figure', 'laboratory', 'simulator', 'difference'],
      ...rows.map(({ route, figure, laboratory, simulator, difference }) => [
        route,
        figure,
        withInterval(laboratory),
        withInterval(simulator),
        shown(figure, difference),
      ]),
    ]),
    '',
    ...checks.map(({ name, isOk, detail }) => `${isOk ? 'Yes' : 'NO'}: ${name} (${detail})`),
  ].join('\n');
}

function check(
  rows: readonly AgainstRow[],
  figure: AgainstRow['figure'],
  tolerance: number,
  allowed: string,
): Check {
  const of = rows.filter((row) => row.figure === figure);
  const worst = of.reduce<AgainstRow | undefined>(
    (most, row) => (most === undefined || Math.abs(row.difference) > Math.abs(most.difference) ? row : most),
    undefined,
  );
  return {
    name: `mean ${figure}s of the simulator are within ${allowed} of the laboratory's`,
    isOk: of.length > 0 && of.every(({ difference }) => Math.abs(difference) <= tolerance),
    detail:
      worst === undefined ? 'there are none' : `${shown(figure, worst.difference)} at most, ${worst.route}`,
  };
}

function shown(figure: AgainstRow['figure'], difference: number): string {
  const sign = difference < 0 ? '-' : '+';
  const size = Math.abs(difference);
  return figure === 'loss ratio' ? `${sign}${(size * 100).toFixed(0)} %` : `${sign}${size.toFixed(3)}`;
}

function withInterval({ mean, halfWidth }: Estimate): string {
  return halfWidth === null ? mean.toFixed(4) : `${mean.toFixed(4)} ± ${halfWidth.toFixed(4)}`;
}
