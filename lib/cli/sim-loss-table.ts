/** `preflex sim loss-table`: how NewReno and CUBIC load one bottleneck. */
import type { BulkFlowsRecord } from '../sim/scenarios/bulk-flows.ts';
import { estimate } from '../sim/statistics.ts';
import { print, printJson } from './output.ts';
import { runWithProgress } from './sim-output.ts';
import { formatPercent, formatTable } from './table.ts';

/** Options of the command. */
export interface LossTableFlags {
  readonly flows: readonly number[];
  readonly seconds: number;
  readonly seeds: readonly number[];
  readonly workers?: number;
  readonly json?: boolean;
}

/** A row: means over the seeds. */
interface Row extends BulkFlowsRecord {
  readonly congestionControl: 'newreno' | 'cubic';
}

const ALGORITHMS = ['newreno', 'cubic'] as const;

/** Runs the command. */
export async function runLossTableCommand(flags: LossTableFlags): Promise<void> {
  const points = ALGORITHMS.flatMap((congestionControl) =>
    flags.flows.map((flows) => ({ congestionControl, flows })),
  );
  const tasks = points.flatMap(({ congestionControl, flows }) =>
    flags.seeds.map((seed) => ({
      kind: 'bulk' as const,
      options: {
        flows,
        seconds: flags.seconds,
        seed,
        tcp: { congestionControl, hystart: congestionControl === 'cubic' && ('linux' as const) },
      },
    })),
  );
  const records = await runWithProgress(tasks, flags.workers);
  const rows = points.map(({ congestionControl }, i): Row => ({
    congestionControl,
    ...meanOf(records.slice(i * flags.seeds.length, (i + 1) * flags.seeds.length)),
  }));
  if (flags.json) printJson({ seconds: flags.seconds, seeds: flags.seeds, rows });
  else print(describeRows(rows));
}

function meanOf(records: readonly BulkFlowsRecord[]): BulkFlowsRecord {
  const mean = (value: (record: BulkFlowsRecord) => number): number =>
    estimate(records.map(value))?.mean ?? NaN;
  return {
    flows: records[0].flows,
    lossRatio: mean((record) => record.lossRatio),
    retransmittedRatio: mean((record) => record.retransmittedRatio),
    mathisRatio: mean((record) => record.mathisRatio),
    utilisation: mean((record) => record.utilisation),
    meanQueueSeconds: mean((record) => record.meanQueueSeconds),
    timeouts: mean((record) => record.timeouts),
    fairness: mean((record) => record.fairness),
  };
}

function describeRows(rows: readonly Row[]): string {
  return formatTable([
    [
      'algorithm',
      'flows',
      'loss ratio',
      'sent again',
      'Mathis',
      'utilisation',
      'mean queue',
      'timeouts',
      'Jain',
    ],
    ...rows.map((row) => [
      row.congestionControl,
      String(row.flows),
      formatPercent(row.lossRatio, 3),
      formatPercent(row.retransmittedRatio, 3),
      formatPercent(row.mathisRatio, 3),
      formatPercent(row.utilisation, 1),
      `${(row.meanQueueSeconds * 1000).toFixed(1)} ms`,
      row.timeouts.toFixed(0),
      row.fairness.toFixed(3),
    ]),
  ]);
}
