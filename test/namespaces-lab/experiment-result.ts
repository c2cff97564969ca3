/** A small experiment's result for the tests of what is made from it: three intervals of 10 s, L2 down in the second. */
import type { Interval, RunInterval } from '../../namespaces-lab/result.ts';
import type { ExperimentResult } from '../../namespaces-lab/runs/experiment.ts';
import { summariseBalance, summariseFlows, summariseRoutes } from '../../namespaces-lab/runs/summary.ts';
import { BETAS } from '../../lib/pref/balancers/strategies.ts';
import type { Figure1Scenario } from '../../namespaces-lab/scenarios/scenario.ts';
import type { FlowRecord } from '../../namespaces-lab/traffic/flow-class.ts';

/** The scenario of the sample. */
export const SAMPLE_SCENARIO: Figure1Scenario = {
  name: 'sample',
  description: 'for tests',
  topology: 'figure1',
  seconds: 30,
  warmUpSeconds: 0,
  intervalSeconds: 10,
  mode: 'loss',
  ratesBitsPerSec: [25e6, 25e6, 25e6],
  changes: [
    { atSeconds: 12, link: 'L2', direction: 'forward', isDown: true },
    { atSeconds: 18, link: 'L2', direction: 'forward', isDown: false },
  ],
  flows: {},
};

/** An interval with the ratios, loss ratios and flowlets of the three routes. */
export function sampleInterval(
  t: number,
  ratios: readonly number[],
  losses: readonly number[],
  flowlets: readonly number[] = [10, 10, 10],
): Interval {
  const routes = ratios.map((flowletRatio, i) => ({
    name: `l${i + 1}`,
    bytes: 1_000_000,
    lexBytes: 1_000_000 * losses[i],
    fneRepeatBytes: 0,
    lossRatio: losses[i],
    flowletRatio,
    flowlets: flowlets[i],
  }));
  return {
    t,
    routes: routes.map((route) => ({
      ...route,
      up: true,
      trueDropRatio: route.lossRatio * 0.9,
      utilisation: 0.5,
    })),
    destinations: [{ name: 'e1', routes }],
  };
}

/** The same interval without a PREFLEX gateway: what the links tell. */
export function withoutGateway(interval: Interval): RunInterval {
  return {
    t: interval.t,
    routes: interval.routes.map((route) => ({
      ...route,
      lexBytes: null,
      fneRepeatBytes: null,
      lossRatio: null,
      flowletRatio: null,
      flowlets: null,
    })),
  };
}

/** A transfer that completed. */
export function sampleFlow(
  name: string,
  start: number,
  end: number,
  change: Partial<FlowRecord> = {},
): FlowRecord {
  return {
    name,
    start,
    end,
    bytes: 1000,
    receivedBytes: 1000,
    outcome: 'completed',
    connectSeconds: 0.1,
    stallSeconds: 0.2,
    stallAt: start,
    ...change,
  };
}

/** What a run leaves, as far as reports and figures look at it. */
export function sampleResult(change: Partial<ExperimentResult> = {}): ExperimentResult {
  const intervals = [
    sampleInterval(10, [0.2, 0.5, 0.3], [0.04, 0.01, 0.02]),
    sampleInterval(20, [0.4, 0.033, 0.567], [0.05, 1, 0.03]),
    sampleInterval(30.1, [0.25, 0.45, 0.3], [0.03, 0.02, 0.02]),
  ];
  const transfers = [
    sampleFlow('i1>e1', 0, 8),
    sampleFlow('p>e1', 0.5, 12),
    sampleFlow('p>e1', 2, 30, { outcome: 'unfinished', stallSeconds: 1.5 }),
    sampleFlow('p>e2', 5, 25),
  ];
  const truth = { offeredBytes: 3_000_000, droppedBytes: 80_000 };
  const routes = summariseRoutes(intervals, 0, { l1: truth, l2: truth, l3: truth });
  const concurrent = [
    { fromSeconds: 0, flows: 2 },
    { fromSeconds: 15, flows: 1 },
  ];
  return {
    meta: { seed: 4 },
    scenario: SAMPLE_SCENARIO,
    betas: BETAS.loss,
    baseline: null,
    validity: { valid: true, checks: [], leftOut: [] },
    intervals,
    transfers,
    iperf3: [],
    decisions: [],
    classes: ['i1>e1', 'p>e1', 'p>e2'].map((name) => ({
      name,
      address: '',
      port: 1,
      size: { bytes: 1000 },
      concurrent,
    })),
    flows: summariseFlows(transfers),
    summary: {
      warmUpSeconds: 0,
      routes,
      balance: summariseBalance(routes),
      retransmitted: { kernelBytes: 12, lexPayloadBytes: 10, excludedBytes: 2, difference: 0 },
    },
    emulator: { lateness: { p50Ms: 0.03, p99Ms: 0.2 } },
    ...change,
  } as unknown as ExperimentResult;
}

/** What a run of the baseline `ecmp` leaves. */
export function sampleBaseline(): ExperimentResult {
  const balanced = sampleResult();
  const intervals = (balanced.intervals as readonly Interval[]).map(withoutGateway);
  const truth = { offeredBytes: 3_000_000, droppedBytes: 80_000 };
  const routes = summariseRoutes(intervals, 0, { l1: truth, l2: truth, l3: truth });
  return sampleResult({
    scenario: { ...SAMPLE_SCENARIO, mode: 'ecmp' },
    betas: null,
    baseline: 'a hash',
    validity: { valid: true, checks: [], leftOut: ['bytes of the gateway'] },
    intervals,
    summary: {
      warmUpSeconds: 0,
      routes,
      balance: summariseBalance(routes),
      retransmitted: { kernelBytes: 12, lexPayloadBytes: null, excludedBytes: null, difference: null },
    },
  });
}
