/** What the experiments are about, computed from a result's rows and transfers. Pure. */
import type { Quantiles, RunInterval } from '../result.ts';
import { quantiles } from '../result.ts';
import type { FlowRecord } from '../traffic/flow-class.ts';

/** Sums of a route after the warm-up; null is what only a PREFLEX gateway could have told. */
export interface RouteSummary {
  readonly name: string;
  readonly bytes: number;
  readonly lexBytes: number | null;
  readonly fneRepeatBytes: number | null;
  /** (LEx and repeated FNE bytes) / bytes, over the time. */
  readonly lossRatio: number | null;
  /** The link's own: bytes of P that it dropped, of those offered. */
  readonly trueDropRatio: number;
  readonly droppedBytes: number;
  /** LEx bytes over dropped bytes; null without drops, too. */
  readonly lexToDropRatio: number | null;
  /** Mean of the intervals. */
  readonly utilisation: number;
  readonly meanFlowletRatio: number | null;
}

/** How even the losses of the routes are. */
export interface BalanceSummary {
  /** (max - min) / mean of the loss ratios; null without loss, and without loss ratios. */
  readonly spread: number | null;
  /** max / min; null when a route had no loss. */
  readonly maxOverMin: number | null;
  /** The same two by the links' own counters. */
  readonly trueSpread: number | null;
  readonly trueMaxOverMin: number | null;
}

/** What a failure did to the failed route's flowlet ratio, toward the first destination. */
export interface FailureSummary {
  readonly route: string;
  readonly from: number;
  readonly to: number;
  /** Mean ratio over the intervals between warm-up and failure. */
  readonly ratioBefore: number | null;
  /** beta_E / N. */
  readonly floor: number;
  /** Complete intervals after the failure until the ratio was at most floor + 0.01; null: never. */
  readonly intervalsToFloor: number | null;
  /** Complete intervals after the repair until the ratio was within 25 % of that before; null: never. */
  readonly intervalsToReturn: number | null;
  /** Share of the new flowlets that were given the failed route while it was down. */
  readonly flowletShareWhileDown: number | null;
}

/** Transfers as the format of results has them. */
export interface FlowSummary {
  readonly started: number;
  readonly completed: number;
  readonly failed: number;
  /** Running when the time was over. */
  readonly unfinished: number;
  /** Of completed transfers, seconds. */
  readonly completionTime: Quantiles;
  /** Longest time without progress of each transfer, seconds; `count` are those of a second and more. */
  readonly stall: Quantiles;
  readonly receivedBytes: number;
}

/** What happened to connections around a failure. */
export interface RecoverySummary {
  /** Running connections at the failure. */
  readonly running: number;
  /** Those that stood still for more than 0.3 s then. */
  readonly affected: number;
  /** Their gaps, seconds. */
  readonly stall: Quantiles;
  /** Connections that ended without all their data. */
  readonly lost: number;
  /** New connections that began during the failure, and those of them that took over 3 s. */
  readonly newConnections: number;
  readonly newOver3Seconds: number;
  readonly newCompletionTime: Quantiles;
}

/** A stall is what lasts so long, seconds. */
const STALL_SECONDS = 1;
/** A gap is due to the failure from here on, seconds: three round trips. */
const AFFECTED_SECONDS = 0.3;
const SLOW_SECONDS = 3;

/**
 * Sums the rows that end after `fromSeconds`.
 *
 * @param truths - offered and dropped bytes of each route in the same time, by name
 */
export function summariseRoutes(
  intervals: readonly RunInterval[],
  fromSeconds: number,
  truths: Readonly<Record<string, { readonly offeredBytes: number; readonly droppedBytes: number }>>,
): RouteSummary[] {
  const counted = intervals.filter((interval) => interval.t > fromSeconds);
  return Object.entries(truths).map(([name, { offeredBytes, droppedBytes }]) => {
    const rows = counted.flatMap((interval) => interval.routes.filter((route) => route.name === name));
    const sum = (value: (row: (typeof rows)[number]) => number): number =>
      rows.reduce((total, row) => total + value(row), 0);
    const sumIfKnown = (value: (row: (typeof rows)[number]) => number | null): number | null =>
      rows.some((row) => value(row) === null) ? null : sum((row) => value(row) ?? 0);
    const bytes = sum((row) => row.bytes);
    const lexBytes = sumIfKnown((row) => row.lexBytes);
    const fneRepeatBytes = sumIfKnown((row) => row.fneRepeatBytes);
    const exposed = sumIfKnown(({ lexBytes: lex, fneRepeatBytes: fne }) =>
      lex === null || fne === null ? null : lex + fne,
    );
    const flowletRatios = sumIfKnown((row) => row.flowletRatio);
    return {
      name,
      bytes,
      lexBytes,
      fneRepeatBytes,
      lossRatio: exposed === null ? null : bytes === 0 ? 0 : exposed / bytes,
      trueDropRatio: offeredBytes === 0 ? 0 : droppedBytes / offeredBytes,
      droppedBytes,
      lexToDropRatio: lexBytes === null || droppedBytes === 0 ? null : lexBytes / droppedBytes,
      utilisation: rows.length === 0 ? 0 : sum((row) => row.utilisation ?? 0) / rows.length,
      meanFlowletRatio: flowletRatios === null ? null : rows.length === 0 ? 0 : flowletRatios / rows.length,
    };
  });
}

/** How even the routes' losses are. */
export function summariseBalance(routes: readonly RouteSummary[]): BalanceSummary {
  const ratios = routes.map((route) => route.lossRatio);
  const truths = routes.map((route) => route.trueDropRatio);
  return {
    spread: spreadOf(ratios),
    maxOverMin: maxOverMinOf(ratios),
    trueSpread: spreadOf(truths),
    trueMaxOverMin: maxOverMinOf(truths),
  };
}

/** See {@link FailureSummary}. */
export function summariseFailure(
  intervals: readonly RunInterval[],
  failure: { readonly route: string; readonly from: number; readonly to: number },
  warmUpSeconds: number,
  floor: number,
): FailureSummary {
  const { route: name, from, to } = failure;
  const ratioOf = (interval: RunInterval): number =>
    (interval.destinations?.[0]?.routes ?? interval.routes).find((route) => route.name === name)
      ?.flowletRatio ?? 0;
  const before = intervals.filter(({ t }) => t > warmUpSeconds && t <= from).map(ratioOf);
  const ratioBefore =
    before.length === 0 ? null : before.reduce((sum, ratio) => sum + ratio, 0) / before.length;
  // The interval in which the change falls is not complete: it is not counted, but its ratio may be the first.
  const countUntil = (start: number, end: number, isReached: (ratio: number) => boolean): number | null => {
    let complete = 0;
    let startOfInterval = 0;
    for (const interval of intervals) {
      if (interval.t > start && interval.t <= end) {
        if (startOfInterval >= start) complete++;
        if (isReached(ratioOf(interval))) return complete;
      }
      startOfInterval = interval.t;
    }
    return null;
  };
  let flowlets = 0;
  let intoFailed = 0;
  for (const interval of intervals) {
    if (interval.t <= from || interval.t > to) continue;
    for (const route of interval.routes) {
      flowlets += route.flowlets ?? 0;
      if (route.name === name) intoFailed += route.flowlets ?? 0;
    }
  }
  return {
    route: name,
    from,
    to,
    ratioBefore,
    floor,
    intervalsToFloor: countUntil(from, to, (ratio) => ratio <= floor + 0.01),
    intervalsToReturn:
      ratioBefore === null
        ? null
        : countUntil(to, Infinity, (ratio) => Math.abs(ratio - ratioBefore) <= 0.25 * ratioBefore),
    flowletShareWhileDown: flowlets === 0 ? null : intoFailed / flowlets,
  };
}

/** Counts and times of transfers. */
export function summariseFlows(flows: readonly FlowRecord[]): FlowSummary {
  const completed = flows.filter((flow) => flow.outcome === 'completed');
  const stalls = flows.map((flow) => flow.stallSeconds);
  return {
    started: flows.length,
    completed: completed.length,
    failed: flows.filter((flow) => flow.outcome === 'failed').length,
    unfinished: flows.filter((flow) => flow.outcome === 'unfinished').length,
    completionTime: quantiles(completed.map((flow) => flow.end - flow.start)),
    stall: { ...quantiles(stalls), count: stalls.filter((seconds) => seconds >= STALL_SECONDS).length },
    receivedBytes: flows.reduce((sum, flow) => sum + flow.receivedBytes, 0),
  };
}

/** See {@link RecoverySummary}. Running connections are the class `running`, new ones the class `new`. */
export function summariseRecovery(
  flows: readonly FlowRecord[],
  failure: { readonly from: number; readonly to: number },
): RecoverySummary {
  const running = flows.filter(
    (flow) => flow.name === 'running' && flow.start < failure.from && flow.end > failure.from,
  );
  // A connection can stand still again after it had gone on.
  const gaps = running
    .map((flow) => {
      const isLater = flow.stallAt >= failure.from && flow.stallAt < failure.to;
      return Math.max(flow.probeGaps?.[0] ?? 0, isLater ? flow.stallSeconds : 0);
    })
    .filter((gap) => gap > AFFECTED_SECONDS);
  const fresh = flows.filter(
    (flow) => flow.name === 'new' && flow.start >= failure.from && flow.start < failure.to,
  );
  const times = fresh.filter((flow) => flow.outcome === 'completed').map((flow) => flow.end - flow.start);
  const over = fresh.filter(
    (flow) => flow.end - flow.start > SLOW_SECONDS || flow.outcome === 'failed',
  ).length;
  return {
    running: running.length,
    affected: gaps.length,
    stall: quantiles(gaps),
    lost: flows.filter((flow) => flow.outcome === 'failed').length,
    newConnections: fresh.length,
    newOver3Seconds: over,
    newCompletionTime: quantiles(times),
  };
}

/** Concurrent transfers of a class at a moment. */
export function runningAt(flows: readonly FlowRecord[], name: string, seconds: number): number {
  return flows.filter((flow) => flow.name === name && flow.start <= seconds && seconds < flow.end).length;
}

function spreadOf(ratios: readonly (number | null)[]): number | null {
  if (!areKnown(ratios)) return null;
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  return mean > 0 ? (Math.max(...ratios) - Math.min(...ratios)) / mean : null;
}

function maxOverMinOf(ratios: readonly (number | null)[]): number | null {
  if (!areKnown(ratios)) return null;
  const min = Math.min(...ratios);
  return min > 0 ? Math.max(...ratios) / min : null;
}

function areKnown(ratios: readonly (number | null)[]): ratios is readonly number[] {
  return !ratios.includes(null);
}
