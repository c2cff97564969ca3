/** What a run of the laboratory leaves behind: result.json, of one shape for every topology. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { PreflexError } from '../lib/errors.ts';
import type { GatewayDaemonStatus } from '../lib/runtime/gateway-daemon.ts';
import type { EbpfHostStatus } from '../lib/runtime/ebpf-host-agent.ts';
import type { HostAgentStatus } from '../lib/runtime/host-agent.ts';
import type { Interval, IntervalRoute } from '../lib/sim/scenarios/records.ts';

export { quantile, quantiles } from '../lib/sim/scenarios/records.ts';
export type { DestinationRoute, Interval, IntervalRoute, Quantiles } from '../lib/sim/scenarios/records.ts';

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
  readonly clock: string;
  readonly [key: string]: unknown;
}

/** The ratio of a route toward the destination that had most bytes in the interval. */
export function busiestRatio(status: Pick<GatewayDaemonStatus, 'destinations'>, name: string): number {
  let bytes = -1;
  let ratio = 0;
  for (const { routes } of status.destinations) {
    const sum = routes.reduce((total, route) => total + route.bytes, 0);
    if (sum <= bytes) continue;
    bytes = sum;
    ratio = routes.find((route) => route.name === name)?.flowletRatio ?? 0;
  }
  return ratio;
}

/** What an agent says, with either datapath. */
export type HostStatus = HostAgentStatus | EbpfHostStatus;

/** What of a route only a PREFLEX gateway knows. */
type OnlyGateway = 'lexBytes' | 'fneRepeatBytes' | 'lossRatio' | 'flowletRatio' | 'flowlets';

/**
 * A route in one interval of any run. Without a PREFLEX gateway `bytes` are those that the route's port offered to its
 * link, `up` says no more than that the device was, and what only the gateway knows is null.
 */
export type RunRoute = Omit<IntervalRoute, OnlyGateway> & {
  readonly [Field in OnlyGateway]: number | null;
};

/** One interval of any run; without a PREFLEX gateway it has no `destinations`. */
export interface RunInterval extends Omit<Interval, 'routes'> {
  readonly routes: readonly RunRoute[];
}

/** A result as it is written. */
export interface RunResult {
  readonly meta: ResultMeta;
  readonly intervals: readonly RunInterval[];
  readonly flows: Record<string, unknown>;
  /** The agent of the reported host; null where hosts have none. */
  readonly host: HostStatus | null;
  /** The reported gateway; null where it is the kernel. */
  readonly gateway: GatewayDaemonStatus | null;
  readonly [key: string]: unknown;
}

/** A result of a run with agents and PREFLEX gateways. */
export interface LabResult extends RunResult {
  readonly intervals: readonly Interval[];
  readonly host: HostStatus;
  readonly gateway: GatewayDaemonStatus;
}

/** The fields of the meta block that every run has. */
export function runMeta(
  topology: string,
  startedAt: Date,
  durationSeconds: number,
  clock = 'seconds since the gateway was ready',
): ResultMeta {
  return {
    command: ['preflex', ...process.argv.slice(2)].join(' '),
    topology,
    startedAt: startedAt.toISOString(),
    durationSeconds,
    kernel: release(),
    node: process.version,
    commit: currentCommit(),
    clock,
  };
}

/** Writes `result.json` into a folder, which is made. Returns the path. @throws PreflexError when it cannot be written */
export function writeResult(directory: string, result: RunResult): string {
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

/** Writes figures into a folder, which is made. Returns their paths. @throws PreflexError when they cannot be written */
export function writeFigures(
  directory: string,
  figures: readonly { readonly name: string; readonly svg: string }[],
): string[] {
  return figures.map(({ name, svg }) => {
    const path = join(directory, name);
    try {
      mkdirSync(directory, { recursive: true });
      writeFileSync(path, svg);
    } catch (cause) {
      throw new PreflexError('ERR_SYSTEM', `${path}: cannot write the figure: ${(cause as Error).message}`, {
        cause,
      });
    }
    return path;
  });
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
