import { expect, it } from 'vitest';
import { compareWithLaboratory, describeAgainst } from '../../lib/cli/sim-against.ts';
import type { ComparableRun } from '../../lib/cli/sim-against.ts';

/** A run with one route. */
function run(meanFlowletRatio: number | null, lossRatio: number | null): ComparableRun {
  const route = { name: 'l1', meanFlowletRatio, lossRatio };
  return {
    scenario: { name: 'heterogeneous', mode: 'mixed' },
    summary: { routes: [route as ComparableRun['summary']['routes'][number]] },
  };
}

it('holds the mean of the simulated runs against the mean of those of the laboratory', () => {
  const { rows } = compareWithLaboratory(['a', 'b'], [run(0.3, 0.02), run(0.5, 0.04)], [run(0.43, 0.036)]);
  expect(rows.map(({ figure }) => figure)).toEqual(['flowlet ratio', 'loss ratio']);
  expect(rows[0].difference).toBeCloseTo(0.03, 9);
  expect(rows[1].difference).toBeCloseTo(0.2, 9);
});

it('says which bound is kept and which is not, with the worst that was found', () => {
  const against = compareWithLaboratory(['a'], [run(0.3, 0.02)], [run(0.36, 0.015)]);
  expect(against.checks.map(({ isOk }) => isOk)).toEqual([false, true]);
  expect(describeAgainst(against)).toContain('NO: mean flowlet ratios');
  expect(describeAgainst(against)).toContain('-25 % at most, l1');
});

it('is not content when there is nothing to compare', () => {
  const { checks } = compareWithLaboratory(['a'], [run(null, null)], [run(0.3, 0.02)]);
  expect(checks.map(({ isOk }) => isOk)).toEqual([false, false]);
});
