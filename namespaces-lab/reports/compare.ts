/** Runs side by side. */
import { readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { formatPercent, formatTable } from '../../lib/cli/table.ts';
import { PreflexError } from '../../lib/errors.ts';
import type { ExperimentResult } from '../runs/experiment.ts';
import { formatNumber } from './experiment.ts';

/** A run as it is compared. */
export interface ComparedRun {
  /** Name of its folder. */
  readonly name: string;
  readonly scenario: string;
  readonly mode: string;
  /** Null in a baseline, which has none. */
  readonly datapath: string | null;
  readonly seed: number;
  readonly valid: boolean;
  readonly summary: ExperimentResult['summary'];
  readonly flows: Pick<
    ExperimentResult['flows'],
    'started' | 'completed' | 'failed' | 'unfinished' | 'completionTime' | 'stall'
  >;
  readonly lateness: ExperimentResult['emulator']['lateness'];
}

/** Reads the result.json of a folder. @throws PreflexError when there is none, or not of an experiment */
export function readResult(directory: string): ExperimentResult {
  const path = join(directory, 'result.json');
  let result: ExperimentResult;
  try {
    result = JSON.parse(readFileSync(path, 'utf8')) as ExperimentResult;
  } catch (cause) {
    throw new PreflexError('ERR_SYSTEM', `${path}: cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (result.summary === undefined || result.scenario === undefined) {
    throw new PreflexError('ERR_INVALID_OPTION', `${path}: is not the result of "preflex lab run"`);
  }
  return result;
}

/** What of a result is compared. */
export function comparedRun(directory: string, result: ExperimentResult): ComparedRun {
  const { started, completed, failed, unfinished, completionTime, stall } = result.flows;
  return {
    name: basename(resolve(directory)),
    scenario: result.scenario.name,
    mode: result.scenario.mode,
    datapath: datapathOf(result),
    seed: Number(result.meta['seed']),
    valid: result.validity.valid,
    summary: result.summary,
    flows: { started, completed, failed, unfinished, completionTime, stall },
    lateness: result.emulator.lateness,
  };
}

/** Runs of before there was a choice had the only one. */
function datapathOf({ meta, baseline }: ExperimentResult): string | null {
  if (baseline !== null) return null;
  const datapath = meta['datapath'];
  return typeof datapath === 'string' ? datapath : 'tun';
}

/** A table with a column for each run. */
export function reportComparison(runs: readonly ComparedRun[]): string {
  const rows: string[][] = [['', ...runs.map((run) => run.name)]];
  const add = (title: string, value: (run: ComparedRun) => string): void => {
    rows.push([title, ...runs.map(value)]);
  };
  const addIfAny = (title: string, value: (run: ComparedRun) => string | undefined): void => {
    if (runs.some((run) => value(run) !== undefined)) add(title, (run) => value(run) ?? '–');
  };
  add('scenario', (run) => run.scenario);
  add('mode', (run) => run.mode);
  add('datapath', (run) => run.datapath ?? '–');
  add('seed', (run) => String(run.seed));
  add('verdict', (run) => (run.valid ? 'valid' : 'INVALID'));
  for (const [i, { name }] of (runs[0]?.summary.routes ?? []).entries()) {
    add(`${name} loss ratio`, (run) => formatPercent(run.summary.routes[i]?.lossRatio ?? NaN));
    add(`${name} link drop ratio`, (run) => formatPercent(run.summary.routes[i]?.trueDropRatio ?? NaN));
    add(`${name} LEx / dropped`, (run) => formatNumber(run.summary.routes[i]?.lexToDropRatio ?? null));
    add(`${name} utilisation`, (run) => formatPercent(run.summary.routes[i]?.utilisation ?? NaN, 1));
    add(`${name} mean ratio`, (run) => formatNumber(run.summary.routes[i]?.meanFlowletRatio ?? null, 3));
  }
  add('spread (max - min) / mean', (run) => formatNumber(run.summary.balance.spread));
  add('max / min', (run) => formatNumber(run.summary.balance.maxOverMin));
  add('spread by the links', (run) => formatNumber(run.summary.balance.trueSpread));
  add('transfers completed', (run) => String(run.flows.completed));
  add('transfers failed', (run) => String(run.flows.failed));
  add('completion p50 / p90, s', (run) => pair(run.flows.completionTime.p50, run.flows.completionTime.p90));
  add('stall p50 / max, s', (run) => pair(run.flows.stall.p50, run.flows.stall.max));
  addIfAny('intervals to beta_E / N', (run) =>
    count(run.summary.failure, (failure) => failure.intervalsToFloor ?? 'never'),
  );
  addIfAny('intervals to return', (run) =>
    count(run.summary.failure, (failure) => failure.intervalsToReturn ?? 'never'),
  );
  addIfAny(
    'new flowlets into the hole',
    (run) => run.summary.failure && formatPercent(run.summary.failure.flowletShareWhileDown ?? NaN, 1),
  );
  addIfAny('connections that stood still', (run) => count(run.summary.recovery, (found) => found.affected));
  addIfAny(
    'their stall p50 / max, s',
    (run) => run.summary.recovery && pair(run.summary.recovery.stall.p50, run.summary.recovery.stall.max),
  );
  addIfAny('connections lost', (run) => count(run.summary.recovery, (found) => found.lost));
  addIfAny(
    'new ones over 3 s',
    (run) =>
      run.summary.recovery &&
      `${run.summary.recovery.newOver3Seconds} of ${run.summary.recovery.newConnections}`,
  );
  add('emulator late p50 / p99, ms', (run) => pair(run.lateness.p50Ms, run.lateness.p99Ms, 3));
  return formatTable(rows);
}

function pair(a: number | null, b: number | null, digits = 2): string {
  return `${formatNumber(a, digits)} / ${formatNumber(b, digits)}`;
}

function count<T>(from: T | undefined, value: (from: T) => number | 'never'): string | undefined {
  return from === undefined ? undefined : String(value(from));
}
