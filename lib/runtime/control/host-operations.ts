/** What a host agent can be asked over its control socket. */
import { rejectUnknownKeys } from '../../errors.ts';
import type { EbpfHostStatus } from '../ebpf-host-agent.ts';
import type { HostAgent, HostAgentStatus } from '../host-agent.ts';
import type { DaemonLog } from '../daemon-log.ts';
import { eventsOperation } from './events-operation.ts';
import { changeLogLevel } from './log-level.ts';
import type { ControlOperation } from './server.ts';

/** Answer of `status`. */
export interface HostStatusAnswer {
  readonly status: HostAgentStatus | EbpfHostStatus;
}

/** The operations `status`, `events` and `set`, which sets the level of the log only. */
export function hostOperations(
  agent: Pick<HostAgent, 'events'> & { readonly status: () => HostStatusAnswer['status'] },
  log: Pick<DaemonLog, 'level'>,
): Record<'status' | 'events' | 'set', ControlOperation> {
  return {
    status: (): HostStatusAnswer => ({ status: agent.status() }),
    events: eventsOperation(agent.events),
    set: (args) => {
      rejectUnknownKeys('set', args, ['logLevel']);
      return changeLogLevel(log, args['logLevel']);
    },
  };
}
