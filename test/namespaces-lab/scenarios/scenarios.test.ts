/** The experiments as they are defined. */
import { describe, expect, it } from 'vitest';
import { findScenario, SCENARIOS } from '../../../namespaces-lab/scenarios/index.ts';
import { BETAS } from '../../../lib/pref/balancers/strategies.ts';
import { failureOf, isBaseline, MODES } from '../../../namespaces-lab/scenarios/scenario.ts';
import { figure1Plan } from '../../../namespaces-lab/topologies/figure1.ts';
import { domainsPlan } from '../../../namespaces-lab/topologies/domains.ts';
import { resolvePaths } from '../../../namespaces-lab/links/fabric-plan.ts';
import { requireSchedule, wantedFlows } from '../../../namespaces-lab/traffic/schedule.ts';

describe('scenarios', () => {
  it('have names of their own', () => {
    expect(new Set(SCENARIOS.map(({ name }) => name)).size).toBe(SCENARIOS.length);
  });

  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    '%s holds together',
    (_, scenario) => {
      expect(scenario.warmUpSeconds).toBeLessThan(scenario.seconds);
      expect(scenario.intervalSeconds).toBeLessThan(scenario.seconds / 10 + 5);
      for (const change of scenario.changes) expect(change.atSeconds).toBeLessThan(scenario.seconds);
      if (scenario.topology === 'figure1') {
        for (const [pair, schedule] of Object.entries(scenario.flows)) requireSchedule(pair, schedule);
      }
    },
  );

  it('fig4-fast is fig4 in a tenth of the time', () => {
    expect(failureOf(findScenario('fig4'))).toEqual({ link: 'L2', from: 600, to: 630 });
    expect(failureOf(findScenario('fig4-fast'))).toEqual({ link: 'L2', from: 60, to: 63 });
  });

  it("has the paper's flows: about 40 from P, 30 over L1 from I1, 10 over L3 from I2", () => {
    const scenario = findScenario('fig4');
    if (scenario.topology !== 'figure1') throw new Error('not Figure 1');
    const sum = (ingress: string, at: number): number =>
      Object.entries(scenario.flows)
        .filter(([pair]) => pair.startsWith(`${ingress}>`))
        .reduce((total, [, schedule]) => total + wantedFlows(schedule, at), 0);
    expect(['p', 'i1', 'i2'].map((ingress) => sum(ingress, 600))).toEqual([40, 30, 10]);
    for (const at of [0, 150, 300, 450]) expect(sum('p', at)).toBe(40);
  });

  it('can be changed in mode, interval and time', () => {
    const scenario = findScenario('quick', { mode: 'equal', seconds: 25, intervalSeconds: 2 });
    expect(scenario).toMatchObject({ mode: 'equal', seconds: 25, warmUpSeconds: 5, intervalSeconds: 2 });
    expect(failureOf(scenario)).toEqual({ link: 'L2', from: 12.5, to: 15.5 });
  });

  it('are listed when the name is wrong', () => {
    expect(() => findScenario('fig9')).toThrow(/"fig9" is not known; there are quick, fig4-fast/);
  });

  it('run without PREFLEX in every topology, with MPTCP only between domains', () => {
    for (const { name } of SCENARIOS) {
      for (const mode of ['ecmp', 'resilient', 'single'] as const) {
        expect(findScenario(name, { mode }).mode).toBe(mode);
      }
    }
    expect(findScenario('recovery', { mode: 'mptcp' }).mode).toBe('mptcp');
    expect(() => findScenario('fig4', { mode: 'mptcp' })).toThrow(
      /^mode mptcp: hosts of the topology figure1 have one address each, so "fig4" has no subflow/,
    );
  });

  it('weigh the three splits so that they sum to 1', () => {
    for (const mode of MODES.filter((name) => !isBaseline(name))) {
      const { equal, conservative, loss } = BETAS[mode];
      expect(equal + conservative + loss).toBeCloseTo(1, 12);
    }
  });
});

describe('topologies', () => {
  it('figure1 lets I1 share L1 with P, I2 share L3, and sends all answers for P over the reverse of L1', () => {
    const names = { i1: 'a', i2: 'b', src: 'c', p: 'd', e1: 'e', e2: 'f', fabric: 'g' };
    const plan = figure1Plan(names, { ratesBitsPerSec: [1e6, 2e6, 3e6] });
    expect(resolvePaths(plan)).toHaveLength(16);
    const sharing = (link: string): string[] => [
      ...new Set(
        plan.paths
          .filter((path) => path.link === link && path.direction === 'forward')
          .map((path) => path.from),
      ),
    ];
    expect(['L1', 'L2', 'L3'].map(sharing)).toEqual([['i1', 'l1'], ['l2'], ['i2', 'l3']]);
    const answers = plan.paths.filter((path) => path.prefix === '10.74.3.0/24');
    expect(answers.map(({ link, direction, to }) => [link, direction, to])).toEqual([
      ['L1', 'backward', 'l1'],
      ['L1', 'backward', 'l1'],
    ]);
    expect(plan.links.map((link) => link.forward?.rateBitsPerSec)).toEqual([1e6, 2e6, 3e6]);
    expect(plan.links.map((link) => (link.forward?.delayMs ?? 0) + (link.backward?.delayMs ?? 0))).toEqual([
      100, 100, 100,
    ]);
  });

  it('domains joins each route to the one of the same name on the other side', () => {
    const plan = domainsPlan({ s: 'a', ps: 'b', pc: 'c', c: 'd', fabric: 'e' });
    expect(resolvePaths(plan)).toHaveLength(6);
    for (const path of plan.paths) expect(path.from.slice(2)).toBe(path.to.slice(2));
  });
});
