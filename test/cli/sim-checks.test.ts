import { describe, expect, it } from 'vitest';
import { checksOf } from '../../lib/cli/sim-checks.ts';
import { findFigure1Scenario } from '../../lib/sim/scenarios/figure1-scenarios.ts';
import type { Interval } from '../../lib/sim/scenarios/records.ts';

const scenario = findFigure1Scenario('fig4');
const betas = { equal: 0.1, conservative: 0, loss: 0.9 };

/** A run whose only interval, ending at `t`, has these ratios toward e2 and a third each toward e1. */
function run(t: number, ratios: readonly number[], lossRatio = 0.01) {
  const routes = (values: readonly number[]) =>
    values.map((flowletRatio, i) => ({
      name: `l${i + 1}`,
      bytes: 1,
      lexBytes: 0,
      fneRepeatBytes: 0,
      lossRatio,
      flowletRatio,
      flowlets: 0,
    }));
  const interval: Interval = {
    t,
    routes: [],
    destinations: [
      { name: 'e1', routes: routes([0.96, 0.04, 0]) },
      { name: 'e2', routes: routes(ratios) },
    ],
  };
  return { seed: 7, scenario, betas, intervals: [interval] };
}

const verdicts = (...runs: ReturnType<typeof run>[]): boolean[] => checksOf(runs).map(({ isOk }) => isOk);

describe('the checks of figure1', () => {
  it('are two before the second interval after the failure, and three from then on', () => {
    expect(verdicts(run(610, [0.5, 0.25, 0.25]))).toEqual([true, true]);
    expect(verdicts(run(620, [0.5, 0.04, 0.46]))).toEqual([true, true, true]);
    expect(verdicts(run(640, [0.5, 0.25, 0.25]))).toEqual([true, true]);
  });

  it('name the run and the destination in which the ratio of the failed route is too large', () => {
    const check = checksOf([run(620, [0.5, 0.04, 0.46]), run(630, [0.5, 0.1, 0.4])])[2];
    expect(check.isOk).toBe(false);
    expect(check.detail).toBe('beta_E / N + 0.0667 at most, seed 7, 630 s, toward e2');
  });

  it('refuse ratios that do not sum to 1, and what is no number', () => {
    expect(verdicts(run(300, [0.5, 0.25, 0.25 + 1e-9]))).toEqual([true, false]);
    expect(verdicts(run(300, [0.5, 0.5, NaN]))).toEqual([false, false]);
    expect(verdicts(run(300, [0.5, 0.25, 0.25], NaN))).toEqual([false, true]);
  });
});
