/** An experiment's result as text. */
import { formatBytes, formatCount, formatPercent, formatRate, formatTable } from '../../lib/cli/table.ts';
import { describeEvent } from '../../lib/runtime/events.ts';
import type { ExperimentResult } from '../runs/experiment.ts';

/** What a person wants to know first. */
export function reportExperiment(result: ExperimentResult): string {
  const { summary, flows, scenario, meta, emulator } = result;
  const lines = [
    `${scenario.name}: ${scenario.seconds} s of traffic, mode ${scenario.mode}, interval ${scenario.intervalSeconds} s, seed ${String(meta['seed'])}` +
      (result.baseline === null ? `, datapath ${String(meta['datapath'])}` : ''),
    ...(result.baseline === null ? [] : [`Without PREFLEX: ${result.baseline}.`]),
    '',
    `Routes of the gateway after ${Number(summary.warmUpSeconds.toFixed(1))} s`,
    formatTable([
      [
        'route',
        'bytes',
        'LEx bytes',
        'link dropped',
        'loss ratio',
        'link drop ratio',
        'LEx / dropped',
        'utilisation',
        'mean ratio',
      ],
      ...summary.routes.map((route) => [
        route.name,
        formatBytes(route.bytes),
        route.lexBytes === null ? '–' : formatBytes(route.lexBytes),
        formatBytes(route.droppedBytes),
        formatPercent(route.lossRatio ?? NaN),
        formatPercent(route.trueDropRatio),
        formatNumber(route.lexToDropRatio),
        formatPercent(route.utilisation, 1),
        formatNumber(route.meanFlowletRatio, 3),
      ]),
    ]),
    `Spread of the loss ratios (max - min) / mean: ${formatNumber(summary.balance.spread)}, ` +
      `max / min ${formatNumber(summary.balance.maxOverMin)}; by the links' counters ` +
      `${formatNumber(summary.balance.trueSpread)} and ${formatNumber(summary.balance.trueMaxOverMin)}`,
    '',
    `Transfers: ${formatCount(flows.completed)} completed, ${formatCount(flows.failed)} failed, ` +
      `${formatCount(flows.unfinished)} running at the end; completion ${formatTimes(flows.completionTime)}; ` +
      `longest stall ${formatTimes(flows.stall)}`,
  ];
  for (const { pair, flows: count, bitsPerSec, retransmits } of result.iperf3) {
    lines.push(
      `iperf3 ${pair}: ${count} flows, ${formatRate(bitsPerSec)}, ${formatCount(retransmits)} segments sent again`,
    );
  }
  const { failure, recovery, retransmitted } = summary;
  if (failure !== undefined) {
    lines.push(
      `Failure of ${failure.route} from ${failure.from} to ${failure.to} s: ratio ${formatNumber(failure.ratioBefore, 3)} before, ` +
        `${describeWait('at most beta_E / N + 0.01', failure.intervalsToFloor, 'while it lasted')}, ` +
        `${describeWait('back', failure.intervalsToReturn, 'before the end')}; ` +
        `${formatPercent(failure.flowletShareWhileDown ?? NaN, 1)} of the new flowlets went there meanwhile`,
    );
  }
  if (recovery !== undefined) {
    lines.push(
      `Running connections: ${recovery.running}, ${recovery.affected} stood still, ${formatTimes(recovery.stall)}; lost ${recovery.lost}. ` +
        `New connections meanwhile: ${recovery.newConnections}, ${recovery.newOver3Seconds} took over 3 s, ${formatTimes(recovery.newCompletionTime)}`,
    );
  }
  for (const { decision, evidence, gateway, prefix, route, t } of result.decisions) {
    lines.push(
      `${formatNumber(t, 3)} s: ${gateway}: ${describeEvent({ kind: decision, prefix, route, evidence })}`,
    );
  }
  const { kernelBytes, lexPayloadBytes, excludedBytes, difference } = retransmitted;
  lines.push(
    lexPayloadBytes === null || excludedBytes === null || difference === null
      ? `Sent again behind the gateway: ${formatCount(kernelBytes)} bytes by the kernel`
      : `Sent again behind the agents: ${formatCount(kernelBytes)} bytes by the kernel, ` +
          `${formatCount(lexPayloadBytes)} marked LEx, ${formatCount(excludedBytes)} excluded by name, ` +
          `difference ${formatCount(difference)}`,
    '',
    `Emulator: late by ${emulator.lateness.p50Ms ?? '–'} ms (median), ${emulator.lateness.p99Ms ?? '–'} ms (p99)`,
    ...reportValidity(result),
  );
  return lines.join('\n');
}

/** After how many intervals a ratio was `what`; null where it was not. */
function describeWait(what: string, intervals: number | null, until: string): string {
  if (intervals === null) return `not ${what} ${until}`;
  return `${what} after ${intervals} ${intervals === 1 ? 'interval' : 'intervals'}`;
}

/** The verdict, what failed, and what could not be checked. */
export function reportValidity({ validity }: Pick<ExperimentResult, 'validity'>): string[] {
  const leftOut = validity.leftOut.map((name) => `  not checked without a PREFLEX gateway: ${name}`);
  if (validity.valid) return ['Valid: all checks passed.', ...leftOut];
  return [
    'INVALID: do not trust these figures.',
    ...leftOut,
    ...validity.checks
      .filter((check) => !check.isOk)
      .map((check) => `  not so: ${check.name} (${check.detail})`),
  ];
}

/** A number with digits behind the point; `–` for null. */
export function formatNumber(value: number | null, digits = 2): string {
  return value === null ? '–' : value.toFixed(digits);
}

function formatTimes(times: { p50: number | null; p90: number | null; max?: number | null }): string {
  return `median ${formatNumber(times.p50)} s, p90 ${formatNumber(times.p90)} s, max ${formatNumber(times.max ?? null)} s`;
}
