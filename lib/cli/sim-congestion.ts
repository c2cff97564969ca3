/** `preflex sim congestion`: hours of losses without a failure; no route may be suspended. */
import type { CongestionRecord } from '../sim/scenarios/congestion-run.ts';
import { CONGESTION_REGIMES } from '../sim/scenarios/congestion-run.ts';
import { EXIT_INVALID } from './lab-run.ts';
import { note, print, printJson } from './output.ts';
import { runWithProgress } from './sim-output.ts';
import { formatPercent, formatTable } from './table.ts';

/** Options of the command. */
export interface CongestionFlags {
  readonly seconds: number;
  readonly seeds: readonly number[];
  readonly workers?: number;
  readonly json?: boolean;
}

/** Runs the command. */
export async function runCongestionCommand(flags: CongestionFlags): Promise<void> {
  const { seconds, seeds } = flags;
  const tasks = CONGESTION_REGIMES.flatMap((regime) =>
    seeds.map((seed) => ({ kind: 'congestion' as const, options: { regime, seconds, seed } })),
  );
  const records = await runWithProgress(tasks, flags.workers);
  const suspensions = records.flatMap((record) => record.suspensions.map((event) => ({ record, event })));
  if (flags.json) printJson({ seconds, seeds, suspensions: suspensions.length, records });
  else print(describeRecords(records, suspensions.length));
  for (const { event, record } of suspensions) {
    note(
      `${record.regime}, seed ${record.seed}: ${event.gateway} suspended route ${event.pathId} at ` +
        `${(event.timeNs / 1e9).toFixed(1)} s by ${event.by}: ${event.failingFlows} of ${event.sampleFlows} flows, ` +
        `${event.exposures} exposures, ${event.answeredFlows} answered`,
    );
  }
  if (suspensions.length > 0) process.exitCode = EXIT_INVALID;
}

function describeRecords(records: readonly CongestionRecord[], suspensions: number): string {
  const hours = records.reduce((sum, { seconds }) => sum + seconds, 0) / 3600;
  return [
    'Two domains over three congested links; nothing fails. For each gateway (ps sends the data, pc receives it) the',
    'exposures of its sampled flows, and how near a route came to being suspended for them (100 %: it was).',
    '',
    formatTable([
      [
        'links',
        'seed',
        'dropped',
        'back',
        'ps losses',
        'nearest',
        'pc losses',
        'nearest',
        'pc repeats',
        'nearest',
        'suspended',
      ],
      ...records.map((record) => {
        const [ps, pc] = record.gateways.map(({ evidence }) => evidence);
        return [
          record.regime,
          String(record.seed),
          formatPercent(record.dropRatio, 2),
          formatPercent(record.dropRatioBack, 2),
          ...[ps.losses, pc.losses, pc.repeats].flatMap(({ exposures, closest }) => [
            String(exposures),
            formatPercent(closest, 0),
          ]),
          String(record.suspensions.length),
        ];
      }),
    ]),
    '',
    `${hours.toFixed(1)} hours simulated, ${suspensions} suspensions${suspensions === 0 ? '.' : ': FALSE ALARMS.'}`,
  ].join('\n');
}
