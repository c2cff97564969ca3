/** What a run of the laboratory leaves behind: result.json, of one shape for every topology. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { PreflexError } from '../lib/errors.ts';
import type { GatewayDaemonStatus } from '../lib/runtime/gateway-daemon.ts';
import type { HostAgentStatus } from '../lib/runtime/host-agent.ts';

/** Where a result comes from. */
export interface ResultMeta {
  readonly command: string;
  readonly topology: string;
  readonly startedAt: string;
  readonly durationSeconds: number;
  readonly kernel: string;
  readonly node: string;
  /** Commit of the checkout, or the version of the package. */
  readonly commit: string;
  /** What the times of the intervals count from. */
  readonly clock: 'seconds since the gateway was ready';
  readonly [key: string]: unknown;
}

/** A route in one update interval; bytes of IP packets, ratios 0..1. */
export interface IntervalRoute {
  readonly name: string;
  readonly up: boolean;
  readonly bytes: number;
  readonly lexBytes: number;
  readonly fneRepeatBytes: number;
  readonly lossRatio: number;
  /** Share of the gateway's packets that the link itself dropped; null where no emulated link can tell. */
  readonly trueDropRatio: number | null;
  readonly flowletRatio: number;
  readonly flowlets: number;
  /** Share of the link's rate that was used; null where the link has no rate. */
  readonly utilisation: number | null;
}

/** One update interval. */
export interface Interval {
  /** End of the interval, seconds. */
  readonly t: number;
  readonly routes: readonly IntervalRoute[];
}

/** A result as it is written. */
export interface LabResult {
  readonly meta: ResultMeta;
  readonly intervals: readonly Interval[];
  readonly flows: Record<string, unknown>;
  readonly host: HostAgentStatus;
  readonly gateway: GatewayDaemonStatus;
  readonly [key: string]: unknown;
}

/** The fields of the meta block that every run has. */
export function runMeta(topology: string, startedAt: Date, durationSeconds: number): ResultMeta {
  return {
    command: ['preflex', ...process.argv.slice(2)].join(' '),
    topology,
    startedAt: startedAt.toISOString(),
    durationSeconds,
    kernel: release(),
    node: process.version,
    commit: currentCommit(),
    clock: 'seconds since the gateway was ready',
  };
}

/** Writes `result.json` into a folder, which is made. Returns the path. @throws PreflexError when it cannot be written */
export function writeResult(directory: string, result: LabResult): string {
  const path = join(directory, 'result.json');
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
  } catch (cause) {
    throw new PreflexError('ERR_SYSTEM', `${path}: cannot write the result: ${(cause as Error).message}`, {
      cause,
    });
  }
  return path;
}

function currentCommit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], {
      cwd: new URL('.', import.meta.url),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    // Installed as a package: there is no checkout.
    return 'unknown';
  }
}
