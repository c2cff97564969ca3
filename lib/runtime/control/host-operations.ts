/** What a host agent can be asked over its control socket. */
import { invalidOption, PreflexError, rejectUnknownKeys, requireInteger } from '../../errors.ts';
import type { FlowEnd, FlowReport, FlowSort } from '../../lex/flow-listing.ts';
import { FLOW_SORTS } from '../../lex/flow-listing.ts';
import { nowNs } from '../../sys/clock.ts';
import type { DaemonEvent } from '../events.ts';
import type { EbpfHostStatus } from '../ebpf-host-agent.ts';
import type { FlowWalkResult } from '../flow-walk.ts';
import { FlowWalk } from '../flow-walk.ts';
import type { HostAgent, HostAgentStatus } from '../host-agent.ts';
import type { LiveHostConfig } from '../host-live.ts';
import type { ConfigEdit } from '../live-config.ts';
import type { DaemonLog } from '../daemon-log.ts';
import { eventsOperation, recentEvents } from './events-operation.ts';
import type { FlowTarget, TargetEnd } from './explain-target.ts';
import { parseTarget } from './explain-target.ts';
import { changeLogLevel } from './log-level.ts';
import type { ControlOperation } from './server.ts';

/** Answer of `status`. */
export interface HostStatusAnswer {
  readonly file: string | undefined;
  readonly flowletGapSeconds: number;
  readonly fneAfterTimeouts: number;
  readonly keepPath: boolean;
  readonly hostDriven: boolean;
  readonly status: HostAgentStatus;
}

/** Answer of `flows`: some of the flows of the table, in the order asked for. */
export interface HostFlowsAnswer extends FlowWalkResult {
  readonly sort: FlowSort;
  /** Flows in the table. */
  readonly size: number;
}

/** Answer of `explain`: the flows that are meant, the last heard of first. */
export interface HostExplainAnswer {
  readonly target: string;
  readonly matched: number;
  readonly flows: readonly FlowReport[];
  /** The last events of the agent, the newest first. */
  readonly changes: readonly DaemonEvent[];
  /** Now, on the clock of the changes. */
  readonly nowNs: number;
}

/** Flows in a list unless more are asked for, and the most that may be: 600 bytes each, so 0.6 MB. */
const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 1000;
const EXPLAINED_FLOWS = 20;
const SET_KEYS = ['flowletGapSeconds', 'fneAfterTimeouts', 'keepPath', 'hostDriven'] as const;

/** Answer of `status` of an agent whose datapath is in the kernel. */
export interface EbpfStatusAnswer {
  readonly status: EbpfHostStatus;
}

/**
 * The operations of an agent whose flows are in the kernel: `status`, `events`, and `set`, which sets the level of the log
 * only. `flows` and `explain` say why they are refused.
 */
export function ebpfHostOperations(
  agent: Pick<HostAgent, 'events'> & { readonly status: () => EbpfHostStatus },
  log: Pick<DaemonLog, 'level'>,
): Record<'status' | 'flows' | 'explain' | 'events' | 'set', ControlOperation> {
  const refuse = (): never => {
    throw new PreflexError(
      'ERR_MISSING_REQUIREMENT',
      'the flows of an agent with datapath ebpf are in the kernel, and cannot be asked for; "preflex status --json" counts them',
    );
  };
  return {
    flows: refuse,
    explain: refuse,
    status: (): EbpfStatusAnswer => ({ status: agent.status() }),
    events: eventsOperation(agent.events),
    set: (args) => {
      rejectUnknownKeys('set', args, ['logLevel']);
      return changeLogLevel(log, args['logLevel']);
    },
  };
}

/** The operations `status`, `flows`, `explain`, `events` and `set`. */
export function hostOperations(
  agent: HostAgent,
  live: LiveHostConfig,
  log: Pick<DaemonLog, 'level'>,
): Record<'status' | 'flows' | 'explain' | 'events' | 'set', ControlOperation> {
  const walk = new FlowWalk(agent.lex);
  return {
    status: (): HostStatusAnswer => {
      const { fneAfterTimeouts, flowletGapSeconds, hostDriven, keepPath } = live.config;
      const rules = { fneAfterTimeouts, flowletGapSeconds, hostDriven, keepPath };
      return { file: live.file, ...rules, status: agent.status() };
    },
    flows: async (args): Promise<HostFlowsAnswer> => {
      rejectUnknownKeys('args', args, ['limit', 'sort']);
      const limit = requireInteger('limit', (args['limit'] ?? DEFAULT_LIMIT) as number, 1, MAX_LIMIT);
      const wanted = args['sort'] ?? 'bytes';
      const sort = FLOW_SORTS.find((name) => name === wanted);
      if (sort === undefined) throw invalidOption('sort', wanted, `one of ${FLOW_SORTS.join(', ')}`);
      return { sort, size: agent.lex.flows.size, ...(await walk.list({ sort, limit })) };
    },
    explain: async (args): Promise<HostExplainAnswer> => {
      rejectUnknownKeys('args', args, ['target']);
      const target = parseTarget(args['target']);
      if (target.kind !== 'flow') {
        const allowed =
          'a flow: a host knows the paths of its flows; routes to prefixes are the gateway\u2019s';
        throw invalidOption('target', args['target'], allowed);
      }
      const query = { sort: 'recent', limit: EXPLAINED_FLOWS, match: matchOf(target) } as const;
      const { flows, matched } = await walk.list(query);
      const changes = recentEvents(agent.events, () => true);
      return { target: args['target'] as string, matched, flows, changes, nowNs: nowNs() };
    },
    events: eventsOperation(agent.events),
    set: async (args) => {
      rejectUnknownKeys('set', args, [...SET_KEYS, 'logLevel']);
      const edits = SET_KEYS.filter((key) => args[key] !== undefined).map((key): ConfigEdit => [
        [key],
        args[key],
      ]);
      const { logLevel } = args;
      if ((logLevel === undefined) === (edits.length === 0))
        throw invalidOption('set', args, `logLevel, or one or more of ${SET_KEYS.join(', ')}`);
      return logLevel === undefined ? { changed: await live.edit(edits) } : changeLogLevel(log, logLevel);
    },
  };
}

function matchOf({ ends, protocol }: FlowTarget) {
  const version = ends[0].address.length === 4 ? 4 : 6;
  return { protocol, version, ends: [keyEnd(ends[0]), keyEnd(ends[1])] } as const;
}

function keyEnd({ address, port }: TargetEnd): FlowEnd {
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
  const words = new Int32Array(4);
  for (let i = 0; i < address.length; i += 4) words[i >> 2] = view.getInt32(i);
  return { address: words, port };
}
