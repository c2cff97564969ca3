/**
 * From a simulated run to a result of the laboratory's shape, which reports, figures and `preflex lab compare` take as
 * it is; and the figures of a run that are averaged over seeds. Pure but for the commit in `meta`.
 */
import type { FigureSource } from '../../namespaces-lab/figures/figures.ts';
import { runMeta } from '../../namespaces-lab/result.ts';
import type { ExperimentResult } from '../../namespaces-lab/runs/experiment.ts';
import { summariseBalance, summariseFailure, summariseFlows } from '../../namespaces-lab/runs/summary.ts';
import { summariseRoutes } from '../../namespaces-lab/runs/summary.ts';
import type { Check } from '../../namespaces-lab/runs/validity.ts';
import type { Figure1Record } from '../sim/scenarios/figure1-run.ts';
import { failureOf } from '../sim/scenarios/scenario.ts';
import { estimate } from '../sim/statistics.ts';
import type { Estimate } from '../sim/statistics.ts';

/**
 * A result. `startedAt` is the zero of the simulated clock and `durationSeconds` is simulated, so that the same seed gives
 * the same bytes; the emulator's lateness is 0. Processes, devices and processors are not there.
 */
export interface SimResult extends FigureSource {
  readonly validity: { readonly valid: boolean; readonly checks: readonly Check[] };
  readonly flows: ReturnType<typeof summariseFlows> & Record<string, unknown>;
  readonly summary: ExperimentResult['summary'];
  readonly host: Figure1Record['host'];
  readonly gateway: Figure1Record['gateway'];
  readonly emulator: { readonly lateness: Readonly<Record<'p50Ms' | 'p99Ms' | 'maxMs' | 'packets', number>> };
}

const CLOCK = 'simulated seconds since the start of the traffic';

/** @param command - as it would be typed for this run alone */
export function simResult(record: Figure1Record, command: string): SimResult {
  const { scenario, betas, seed, intervals, transfers, classes, host, gateway } = record;
  const routes = summariseRoutes(intervals, scenario.warmUpSeconds, record.truths);
  const failure = failureOf(scenario);
  const failed = failure?.link.toLowerCase();
  const byClass = Object.fromEntries(
    classes.map(({ name }) => [name, summariseFlows(transfers.filter((flow) => flow.name === name))]),
  );
  const excludedBytes = Object.values(host.exclusions).reduce((sum, bytes) => sum + bytes, 0);
  const checks = checkRecord(record, excludedBytes);
  return {
    meta: {
      ...runMeta('figure1', new Date(0), scenario.seconds, CLOCK),
      command,
      kernel: 'simulated',
      scenario: scenario.name,
      mode: scenario.mode,
      seed,
    },
    scenario,
    betas,
    validity: { valid: checks.every(({ isOk }) => isOk), checks },
    intervals,
    flows: { ...summariseFlows(transfers), byClass },
    summary: {
      warmUpSeconds: scenario.warmUpSeconds,
      routes,
      balance: summariseBalance(routes),
      ...(failure === undefined || failed === undefined
        ? {}
        : {
            failure: summariseFailure(
              intervals,
              { route: failed, from: failure.from, to: failure.to },
              scenario.warmUpSeconds,
              betas.equal / routes.length,
            ),
          }),
      retransmitted: {
        kernelBytes: record.retransmittedBytes,
        lexPayloadBytes: host.lexPayloadBytes,
        excludedBytes,
        difference: record.retransmittedBytes - host.lexPayloadBytes - excludedBytes,
      },
    },
    host,
    gateway,
    emulator: { lateness: { p50Ms: 0, p99Ms: 0, maxMs: 0, packets: 0 } },
    classes,
    transfers,
  };
}

/** What must be so in every run. */
function checkRecord(record: Figure1Record, excludedBytes: number): Check[] {
  const { sent, delivered, dropped, inFlight } = record.conservation;
  const difference = record.retransmittedBytes - record.host.lexPayloadBytes - excludedBytes;
  return [
    {
      name: 'packets conserved',
      isOk: sent === delivered + dropped + inFlight,
      detail: `${sent} sent, ${delivered} delivered, ${dropped} dropped, ${inFlight} under way`,
    },
    {
      name: 'no packet dropped but by a link',
      isOk: record.nodeDrops === 0,
      detail: `${record.nodeDrops} packets`,
    },
    {
      name: 'bytes marked LEx or excluded by name = bytes that TCP sent again',
      isOk: difference === 0,
      detail: `difference ${difference}`,
    },
  ];
}

/** The figures of a run that are averaged over seeds, by name. */
export function figuresOf({ summary, flows }: SimResult): Record<string, number | null> {
  const { balance, failure } = summary;
  return {
    ...Object.fromEntries(
      summary.routes.flatMap((route) => [
        [`${route.name} loss ratio`, route.lossRatio],
        [`${route.name} link drop ratio`, route.trueDropRatio],
        [`${route.name} utilisation`, route.utilisation],
        [`${route.name} mean flowlet ratio`, route.meanFlowletRatio],
      ]),
    ),
    'spread of the loss ratios': balance.spread,
    'max / min of the loss ratios': balance.maxOverMin,
    'transfers completed': flows.completed,
    'transfers failed': flows.failed,
    'completion p50, s': flows.completionTime.p50,
    'completion p90, s': flows.completionTime.p90,
    'completion p99, s': flows.completionTime.p99,
    'stall p50, s': flows.stall.p50,
    'stall max, s': flows.stall.max,
    ...(failure === undefined
      ? {}
      : {
          'ratio before the failure': failure.ratioBefore,
          'intervals to beta_E / N': failure.intervalsToFloor,
          'intervals to return': failure.intervalsToReturn,
          'share of flowlets into the hole': failure.flowletShareWhileDown,
        }),
  };
}

/** Means and confidence intervals of the figures of several runs; a figure that no run has is left out. */
export function statisticsOf(results: readonly SimResult[]): Record<string, Estimate> {
  const runs = results.map(figuresOf);
  const estimates = Object.keys(runs[0] ?? {}).map(
    (name) => [name, estimate(runs.map((run) => run[name] ?? null))] as const,
  );
  return Object.fromEntries(estimates.filter((entry): entry is [string, Estimate] => entry[1] !== undefined));
}
