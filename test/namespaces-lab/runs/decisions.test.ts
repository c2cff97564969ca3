/** Decisions about failed routes, out of the logs of a run's gateways. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { reportExperiment } from '../../../namespaces-lab/reports/experiment.ts';
import { decisionsIn, readDecisions } from '../../../namespaces-lab/runs/decisions.ts';
import type { RunDecision } from '../../../namespaces-lab/runs/decisions.ts';
import { sampleResult } from '../experiment-result.ts';

const START_MS = Date.parse('2026-03-01T12:00:00.000Z');
const EVIDENCE: RunDecision['evidence'] = {
  by: 'repeats',
  sampleFlows: 30,
  failingFlows: 9,
  overdueFlows: 0,
  answeredFlows: 1,
  exposures: 12,
  silenceNs: 250e6,
  probeAnswers: 0,
  usualFailingShare: 0.01,
};

function logLine(msg: string, time: string, route: string): string {
  return JSON.stringify({
    level: 'warn',
    // When it was written; `time` of the event comes after it and counts.
    pid: 7,
    time,
    timeNs: 1,
    prefix: '10.76.2.0/24',
    route,
    evidence: EVIDENCE,
    sequence: 0,
    msg,
  });
}

describe('decisions of a run', () => {
  it('are read with their evidence, in seconds after the start of the traffic', () => {
    expect(decisionsIn(logLine('suspended', '2026-03-01T12:00:25.714Z', 'l2'), 'pc', START_MS)).toEqual([
      {
        t: 25.714,
        gateway: 'pc',
        decision: 'suspended',
        prefix: '10.76.2.0/24',
        route: 'l2',
        evidence: EVIDENCE,
      },
    ]);
  });

  it('are told from other lines, and from one that was cut short', () => {
    const log = [
      logLine('ratioMoved', '2026-03-01T12:00:10.000Z', 'l1'),
      logLine('returned', '2026-03-01T12:01:00.000Z', 'l2'),
      '{"level":"info","msg":"susp',
      '',
    ].join('\n');
    expect(decisionsIn(log, 'ps', START_MS)).toMatchObject([{ t: 60, decision: 'returned' }]);
  });

  it('of several gateways stand by their time', () => {
    const folder = mkdtempSync(join(tmpdir(), 'preflex-test-'));
    try {
      const logs = { ps: join(folder, 'ps.log'), pc: join(folder, 'pc.log') };
      const at = (seconds: string): string => `2026-03-01T12:00:${seconds}.000Z`;
      writeFileSync(
        logs.ps,
        `${logLine('suspended', at('25'), 'l2')}\n${logLine('returned', at('58'), 'l2')}\n`,
      );
      writeFileSync(logs.pc, `${logLine('suspended', at('26'), 'l2')}\n`);
      expect(readDecisions(logs, START_MS).map(({ gateway, t }) => [gateway, t])).toEqual([
        ['ps', 25],
        ['pc', 26],
        ['ps', 58],
      ]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are told in the report, a line each', () => {
    const decisions = decisionsIn(logLine('suspended', '2026-03-01T12:00:25.714Z', 'l2'), 'pc', START_MS);
    expect(reportExperiment(sampleResult({ decisions }))).toContain(
      '25.714 s: pc: route l2 suspended for 10.76.2.0/24: what was acknowledged over it came again, 12 times in 9 of 30',
    );
  });
});
