/** Runs side by side. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { comparedRun, readResult, reportComparison } from '../../../namespaces-lab/reports/compare.ts';
import { reportExperiment } from '../../../namespaces-lab/reports/experiment.ts';
import { sampleBaseline, sampleResult } from '../experiment-result.ts';

const folder = mkdtempSync(join(tmpdir(), 'preflex-compare-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const invalid = {
  valid: false,
  checks: [{ name: 'enough processor time', isOk: false, detail: 'idle 0.0 %' }],
  leftOut: [],
};

describe('a comparison', () => {
  it('has a column a run and says which run is not to be trusted', () => {
    const table = reportComparison([
      comparedRun('/x/first', sampleResult()),
      comparedRun('/x/second/', sampleResult({ validity: invalid })),
    ]);
    const rows = table.split('\n').map((line) => line.split(/ {2,}/));
    expect(rows[0]).toEqual(['', 'first', 'second']);
    expect(rows.find(([title]) => title === 'verdict')).toEqual(['verdict', 'valid', 'INVALID']);
    expect(rows.find(([title]) => title === 'l1 loss ratio')).toEqual(['l1 loss ratio', '4.00 %', '4.00 %']);
    expect(table).not.toContain('intervals to return');
  });

  it('shows what only some of the runs have', () => {
    const withFailure = sampleResult();
    const summary = {
      ...withFailure.summary,
      failure: {
        route: 'l2',
        from: 1,
        to: 2,
        ratioBefore: 0.5,
        floor: 0.033,
        intervalsToFloor: 2,
        intervalsToReturn: null,
        flowletShareWhileDown: 0.3,
      },
    };
    const table = reportComparison([
      comparedRun('a', sampleResult()),
      comparedRun('b', sampleResult({ summary })),
    ]);
    expect(table).toMatch(/intervals to beta_E \/ N +– +2$/m);
    expect(table).toMatch(/intervals to return +– +never$/m);
    expect(table).toMatch(/new flowlets into the hole +– +30\.0 %$/m);
  });

  it('takes a run without PREFLEX beside one with it', () => {
    const table = reportComparison([comparedRun('a', sampleResult()), comparedRun('b', sampleBaseline())]);
    expect(table).toMatch(/^mode +loss +ecmp$/m);
    expect(table).toMatch(/^l1 loss ratio +4\.00 % +–$/m);
    expect(table).toMatch(/^l1 link drop ratio +2\.67 % +2\.67 %$/m);
  });

  it('refuses what is not the result of an experiment, and says what', () => {
    expect(() => readResult(folder)).toThrow(/result\.json: cannot be read/);
    writeFileSync(join(folder, 'result.json'), '{}');
    expect(() => readResult(folder)).toThrow(/is not the result of "preflex lab run"/);
    writeFileSync(join(folder, 'result.json'), JSON.stringify(sampleResult()));
    expect(readResult(folder).scenario.name).toBe('sample');
  });
});

describe('the report of a run', () => {
  it('shows what nobody knows without PREFLEX as a dash, and says what was not checked', () => {
    const report = reportExperiment(sampleBaseline());
    expect(report).toContain('Without PREFLEX: a hash.');
    expect(report).toMatch(/^l1 +3\.00 MB +– +80\.0 kB +– +2\.67 % +– +50\.0 % +–$/m);
    expect(report).toContain('Sent again behind the gateway: 12 bytes by the kernel');
    expect(report).toMatch(/ {2}not checked without a PREFLEX gateway: bytes of the gateway$/);
    expect(report).not.toMatch(/NaN|null/);
  });

  it('says of a ratio that never came back that it did not', () => {
    const { summary } = sampleResult();
    const failure = {
      ...{ route: 'l2', from: 1, to: 2, ratioBefore: 0.5, floor: 0.033, flowletShareWhileDown: 0.3 },
      ...{ intervalsToFloor: 1, intervalsToReturn: null },
    };
    const report = reportExperiment(sampleResult({ summary: { ...summary, failure } }));
    expect(report).toContain('at most beta_E / N + 0.01 after 1 interval, not back before the end; 30.0 %');
  });

  it('ends with the verdict', () => {
    expect(reportExperiment(sampleResult())).toMatch(/Valid: all checks passed\.$/);
    expect(reportExperiment(sampleResult({ validity: invalid }))).toMatch(
      /INVALID: .*\n {2}not so: enough processor time \(idle 0\.0 %\)$/,
    );
  });
});
