/** `preflex sim figure1`: a scenario of Figure 1 over several seeds. */
import { figureFiles } from '../../namespaces-lab/figures/figures.ts';
import { PreflexError } from '../errors.ts';
import { findFigure1Scenario } from '../sim/scenarios/figure1-scenarios.ts';
import type { Betas } from '../pref/balancers/strategies.ts';
import { betasOf } from '../sim/scenarios/scenario.ts';
import type { Figure1Scenario, Mode } from '../sim/scenarios/scenario.ts';
import type { Estimate } from '../sim/statistics.ts';
import type { Check } from '../../namespaces-lab/runs/validity.ts';
import { EXIT_INVALID, requireInterval } from './lab-run.ts';
import { note, print, printJson, tryFolder } from './output.ts';
import { compareWithLaboratory, describeAgainst, readLaboratory } from './sim-against.ts';
import type { Against } from './sim-against.ts';
import { checksOf } from './sim-checks.ts';
import { jsonText, runWithProgress, writeFiles } from './sim-output.ts';
import { simResult, statisticsOf } from './sim-result.ts';
import type { SimResult } from './sim-result.ts';
import { formatTable } from './table.ts';

/** Options of the command. */
export interface Figure1Flags {
  readonly scenario: string;
  readonly mode?: Mode;
  readonly betas?: Betas;
  readonly seeds: readonly number[];
  readonly seconds?: number;
  readonly interval?: number;
  readonly workers?: number;
  /** Folders of the laboratory's runs to hold the simulated ones against. */
  readonly against?: readonly string[];
  readonly out?: string;
  readonly json?: boolean;
}

const CONFIDENCE = 0.95;

/** The result of the command: the first seed's run in full, and what all runs have in common. */
export interface Figure1Report extends SimResult {
  /** Sums of each run. */
  readonly runs: readonly (Pick<SimResult, 'summary' | 'flows'> & {
    readonly seed: number;
    readonly valid: boolean;
  })[];
  /** What the flowlet ratios must be in every seed. */
  readonly checks: readonly Check[];
  /** With --against: the means beside those of the laboratory. */
  readonly against?: Against;
  /** Means over the seeds with their confidence intervals, by name. */
  readonly statistics: { readonly confidence: number; readonly figures: Readonly<Record<string, Estimate>> };
}

/** Runs the command. */
export async function runFigure1Command(flags: Figure1Flags): Promise<void> {
  const scenario = findFigure1Scenario(flags.scenario, {
    mode: flags.mode,
    seconds: flags.seconds,
    intervalSeconds: flags.interval,
  });
  if (flags.betas !== undefined && scenario.mode !== 'mixed') {
    throw new PreflexError('ERR_INVALID_OPTION', '--betas goes with --mode mixed');
  }
  requireInterval(scenario);
  const betas = flags.betas ?? betasOf(scenario);
  const laboratory = readLaboratory(flags.against ?? [], scenario);
  tryFolder(flags.out);
  const records = await runWithProgress(
    flags.seeds.map((seed) => ({ kind: 'figure1' as const, options: { scenario, seed, betas } })),
    flags.workers,
  );
  const results = records.map((record) => simResult(record, commandOf(scenario, betas, String(record.seed))));
  const against =
    flags.against === undefined ? undefined : compareWithLaboratory(flags.against, laboratory, results);
  const report = {
    ...reportOf(results, checksOf(records), commandOf(scenario, betas, flags.seeds.join(','))),
    ...(against === undefined ? {} : { against }),
  };
  if (flags.json) printJson(report);
  else print(describeReport(report, flags.seeds));
  if (against !== undefined && !flags.json) print(`\n${describeAgainst(against)}`);
  if (flags.out !== undefined) {
    const perSeed = results.length === 1 ? [] : results;
    const paths = writeFiles(flags.out, [
      { name: 'result.json', text: jsonText(report) },
      ...figureFiles(results[0]).map(({ name, svg }) => ({ name, text: svg })),
      ...perSeed.map((result, i) => ({
        name: `seed-${flags.seeds[i]}/result.json`,
        text: jsonText(result),
      })),
    ]);
    for (const path of paths) note(`wrote ${path}`);
  }
  if ([...report.checks, ...(against?.checks ?? [])].some(({ isOk }) => !isOk))
    process.exitCode = EXIT_INVALID;
  if (report.runs.every(({ valid }) => valid)) return;
  for (const [i, { validity }] of results.entries()) {
    for (const check of validity.checks.filter(({ isOk }) => !isOk)) {
      note(`seed ${flags.seeds[i]}: not so: ${check.name} (${check.detail})`);
    }
  }
  process.exitCode = EXIT_INVALID;
}

/** The command that gives this result, whatever the number of workers and the folder. */
function commandOf(scenario: Figure1Scenario, betas: Betas, seeds: string): string {
  const { name, mode, seconds, intervalSeconds } = scenario;
  const weights = `${betas.equal},${betas.conservative},${betas.loss}`;
  return (
    `preflex sim figure1 --scenario ${name} --mode ${mode}${mode === 'mixed' ? ` --betas ${weights}` : ''} ` +
    `--seconds ${seconds} --interval ${intervalSeconds} --seeds ${seeds}`
  );
}

function reportOf(results: readonly SimResult[], checks: readonly Check[], command: string): Figure1Report {
  const [first] = results;
  return {
    ...first,
    meta: { ...first.meta, command },
    runs: results.map(({ meta, validity, summary, flows }) => ({
      seed: Number(meta['seed']),
      valid: validity.valid,
      summary,
      flows,
    })),
    checks,
    statistics: { confidence: CONFIDENCE, figures: statisticsOf(results) },
  };
}

function describeReport(report: Figure1Report, seeds: readonly number[]): string {
  const { scenario, statistics, runs } = report;
  const invalid = runs.filter(({ valid }) => !valid).length;
  return [
    `${scenario.name}: ${scenario.seconds} s of traffic, mode ${scenario.mode}, interval ${scenario.intervalSeconds} s, ` +
      `${seeds.length === 1 ? `seed ${seeds[0]}` : `${seeds.length} seeds`}`,
    '',
    formatTable([
      ['figure', 'mean', '95 % interval', 'least', 'most', 'runs'],
      ...Object.entries(statistics.figures).map(([name, { mean, halfWidth, min, max, count }]) => [
        name,
        digits(mean),
        halfWidth === null ? '–' : `± ${digits(halfWidth)}`,
        digits(min),
        digits(max),
        String(count),
      ]),
    ]),
    '',
    ...report.checks.map(({ name, isOk, detail }) => `${isOk ? 'Yes' : 'NO'}: ${name} (${detail})`),
    invalid === 0 ? 'Valid: all checks passed.' : `INVALID: ${invalid} of ${runs.length} runs.`,
  ].join('\n');
}

/** Four digits. */
function digits(value: number): string {
  return Number(value.toPrecision(4)).toString();
}
