/**
 * What the gateways of a run decided about failed routes, and why: read from their logs when they have ended, so that a
 * result can tell afterwards what a decision rested on. Pure, but for reading the file.
 */
import { readFileSync } from 'node:fs';
import type { FailureDecision } from '../../lib/pref/failure-events.ts';
import { FAILURE_DECISIONS } from '../../lib/pref/failure-events.ts';
import type { DecisionEvidence } from '../../lib/runtime/events.ts';

/** A decision of one of the gateways. */
export interface RunDecision {
  /** Seconds after the start of the traffic, to a millisecond; below 0 before it. */
  readonly t: number;
  readonly gateway: string;
  readonly decision: FailureDecision;
  readonly prefix: string;
  readonly route: string;
  readonly evidence: DecisionEvidence;
}

interface LogLine {
  readonly msg?: unknown;
  readonly time: string;
  readonly prefix: string;
  readonly route: string;
  readonly evidence: DecisionEvidence;
}

/**
 * The decisions in a gateway's log, oldest first.
 *
 * @param log - lines of JSON; those of anything else are left out, and so is one that was cut short
 * @param startMs - start of the traffic by the wall clock, ms since 1970
 */
export function decisionsIn(log: string, gateway: string, startMs: number): RunDecision[] {
  return log.split('\n').flatMap((text) => {
    const line = parse(text);
    const decision = FAILURE_DECISIONS.find((name) => name === line?.msg);
    if (line === undefined || decision === undefined) return [];
    const { evidence, prefix, route, time } = line;
    return [{ t: (Date.parse(time) - startMs) / 1000, gateway, decision, prefix, route, evidence }];
  });
}

/** The decisions of all gateways by time. @param logs - paths of their logs by name */
export function readDecisions(logs: Readonly<Record<string, string>>, startMs: number): RunDecision[] {
  return Object.entries(logs)
    .flatMap(([gateway, path]) => decisionsIn(readFileSync(path, 'utf8'), gateway, startMs))
    .sort((a, b) => a.t - b.t);
}

function parse(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}
