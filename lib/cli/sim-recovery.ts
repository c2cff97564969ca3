/** `preflex sim recovery`: running connections when one of three links becomes a black hole, over several seeds. */
import type { Strategy } from '../pref/balancers/strategies.ts';
import type { DeadDirections, RecoveryRecord } from '../sim/scenarios/recovery-run.ts';
import { quantiles } from '../sim/scenarios/records.ts';
import { print, printJson } from './output.ts';
import { runWithProgress } from './sim-output.ts';
import { formatTable } from './table.ts';

/** Options of the command. */
export interface RecoveryFlags {
  readonly mode: Strategy;
  readonly dead: DeadDirections;
  readonly seeds: readonly number[];
  readonly fneAfterTimeouts?: number;
  readonly exposed: boolean;
  readonly workers?: number;
  readonly json?: boolean;
}

/** Runs the command. */
export async function runRecoveryCommand(flags: RecoveryFlags): Promise<void> {
  const { dead, exposed, fneAfterTimeouts, mode, seeds } = flags;
  const records = await runWithProgress(
    seeds.map((seed) => ({
      kind: 'recovery' as const,
      options: {
        mode,
        dead,
        seed,
        isExposed: exposed,
        ...(fneAfterTimeouts === undefined ? {} : { fneAfterTimeouts }),
      },
    })),
    flags.workers,
  );
  const all = quantiles(records.flatMap(({ stalls }) => stalls));
  if (flags.json) printJson({ mode, dead, exposed, records, stall: all });
  else print(describeRecords(records, all));
}

function describeRecords(records: readonly RecoveryRecord[], all: RecoveryRecord['stall']): string {
  const sum = (value: (record: RecoveryRecord) => number): number =>
    records.reduce((total, record) => total + value(record), 0);
  const row = (name: string, stall: RecoveryRecord['stall'], lost: number, slow: number, fresh: number) => [
    name,
    String(stall.count),
    secondsOf(stall.p50),
    secondsOf(stall.p90),
    secondsOf(stall.max),
    String(lost),
    `${slow} of ${fresh}`,
  ];
  return formatTable([
    ['seed', 'stood still', 'median', '90 %', 'longest', 'lost', 'new ones over 3 s'],
    ...records.map((record) =>
      row(String(record.seed), record.stall, record.lost, record.newOver3Seconds, record.newConnections),
    ),
    row(
      'all',
      all,
      sum(({ lost }) => lost),
      sum(({ newOver3Seconds }) => newOver3Seconds),
      sum(({ newConnections }) => newConnections),
    ),
  ]);
}

function secondsOf(value: number | null): string {
  return value === null ? '–' : `${value.toFixed(2)} s`;
}
