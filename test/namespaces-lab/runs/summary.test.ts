/** What the experiments are about, from rows and transfers. */
import { describe, expect, it } from 'vitest';
import {
  runningAt,
  summariseBalance,
  summariseFailure,
  summariseFlows,
  summariseRecovery,
  summariseRoutes,
} from '../../../namespaces-lab/runs/summary.ts';
import { sampleFlow, sampleInterval, withoutGateway } from '../experiment-result.ts';

const TRUTH = { offeredBytes: 1_000_000, droppedBytes: 20_000 };

describe('routes', () => {
  const intervals = [
    sampleInterval(10, [0.2, 0.5, 0.3], [0.5, 0.5, 0.5]),
    sampleInterval(20, [0.2, 0.5, 0.3], [0.03, 0.02, 0]),
    sampleInterval(30, [0.4, 0.3, 0.3], [0.01, 0.02, 0]),
  ];
  const routes = summariseRoutes(intervals, 10, {
    l1: TRUTH,
    l2: TRUTH,
    l3: { offeredBytes: 0, droppedBytes: 0 },
  });

  it('are summed after the warm-up only', () => {
    expect(routes[0]).toMatchObject({
      bytes: 2_000_000,
      lexBytes: 40_000,
      lossRatio: 0.02,
      trueDropRatio: 0.02,
    });
    expect(routes[0].meanFlowletRatio).toBeCloseTo(0.3);
  });

  it('compare marks with drops', () => {
    expect(routes.map((route) => route.lexToDropRatio)).toEqual([2, 2, null]);
  });

  it('have only what the links tell without a PREFLEX gateway', () => {
    const alone = summariseRoutes(intervals.map(withoutGateway), 10, { l1: TRUTH, l2: TRUTH });
    expect(alone[0]).toEqual({
      name: 'l1',
      bytes: 2_000_000,
      lexBytes: null,
      fneRepeatBytes: null,
      lossRatio: null,
      trueDropRatio: 0.02,
      droppedBytes: 20_000,
      lexToDropRatio: null,
      utilisation: 0.5,
      meanFlowletRatio: null,
    });
    expect(summariseBalance(alone)).toEqual({
      spread: null,
      maxOverMin: null,
      trueSpread: 0,
      trueMaxOverMin: 1,
    });
  });

  it('are balanced when their loss ratios are near each other', () => {
    expect(summariseBalance(routes.slice(0, 2))).toMatchObject({ spread: 0, maxOverMin: 1 });
    expect(summariseBalance(routes).spread).toBeCloseTo(0.02 / (0.04 / 3));
    expect(summariseBalance(routes).maxOverMin).toBeNull();
  });
});

describe('a failure', () => {
  const row = (t: number, ratio: number, flowlets = [10, 10, 10]) =>
    sampleInterval(t, [(1 - ratio) / 2, ratio, (1 - ratio) / 2], [0, 0, 0], flowlets);
  const intervals = [
    row(10, 0.6),
    row(20, 0.4),
    row(30, 0.4),
    row(40, 0.2, [5, 10, 5]),
    row(50, 0.034, [10, 0, 10]),
    row(60, 0.1),
    row(70, 0.35),
  ];
  const failure = summariseFailure(intervals, { route: 'l2', from: 30, to: 50 }, 10, 0.033);

  it('is told by the ratio before it, after the warm-up', () => {
    expect(failure.ratioBefore).toBeCloseTo(0.4);
  });

  it('takes some intervals to be found and some to be forgotten', () => {
    expect(failure).toMatchObject({ intervalsToFloor: 2, intervalsToReturn: 2 });
  });

  it('does not count the interval in which it begins, which is not complete', () => {
    const late = summariseFailure(intervals, { route: 'l2', from: 32, to: 52 }, 10, 0.033);
    expect(late).toMatchObject({ intervalsToFloor: 1, intervalsToReturn: 1 });
  });

  it('counts the flowlets that were sent into it', () => {
    expect(failure.flowletShareWhileDown).toBeCloseTo(10 / 40);
  });

  it('may never be found', () => {
    const blind = summariseFailure(intervals, { route: 'l1', from: 30, to: 50 }, 10, 0.033);
    expect(blind.intervalsToFloor).toBeNull();
  });
});

describe('transfers', () => {
  const flows = [
    sampleFlow('a', 0, 2),
    sampleFlow('a', 1, 5, { stallSeconds: 1.5 }),
    sampleFlow('b', 2, 3, { outcome: 'failed' }),
    sampleFlow('b', 4, 9, { outcome: 'unfinished', stallSeconds: 3 }),
  ];

  it('are counted by how they ended, and timed when completed', () => {
    expect(summariseFlows(flows)).toMatchObject({ started: 4, completed: 2, failed: 1, unfinished: 1 });
    expect(summariseFlows(flows).completionTime).toMatchObject({ p50: 2, max: 4, count: 2 });
  });

  it('stall when nothing comes for a second', () => {
    expect(summariseFlows(flows).stall).toMatchObject({ max: 3, count: 2 });
  });

  it('run from their start to before their end', () => {
    expect([0.5, 1, 2, 5].map((at) => runningAt(flows, 'a', at))).toEqual([1, 2, 1, 0]);
  });
});

describe('recovery', () => {
  it('looks at the connections that ran when the link failed, and at those that began while it was down', () => {
    const recovery = summariseRecovery(
      [
        sampleFlow('running', 0, 60, { outcome: 'unfinished', probeGaps: [1.2] }),
        sampleFlow('running', 0, 60, { outcome: 'unfinished', probeGaps: [0.1] }),
        sampleFlow('running', 0, 60, { outcome: 'unfinished', probeGaps: [null] }),
        sampleFlow('running', 0, 60, { probeGaps: [0.4], stallSeconds: 1.1, stallAt: 21 }),
        sampleFlow('running', 0, 60, { probeGaps: [0.1], stallSeconds: 9, stallAt: 51 }),
        sampleFlow('running', 0, 5),
        sampleFlow('new', 21, 21.4, { probeGaps: [null] }),
        sampleFlow('new', 22, 26),
        sampleFlow('new', 55, 56),
      ],
      { from: 20, to: 50 },
    );
    expect(recovery).toMatchObject({
      running: 5,
      affected: 2,
      lost: 0,
      newConnections: 2,
      newOver3Seconds: 1,
    });
    expect([recovery.stall.p50, recovery.stall.max]).toEqual([1.1, 1.2]);
  });
});
