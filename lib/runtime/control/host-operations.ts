/** What a host agent can be asked over its control socket. */
import type { HostAgent, HostAgentStatus } from '../host-agent.ts';
import { eventsOperation } from './events-operation.ts';
import type { ControlOperation } from './server.ts';

/** Answer of `status`. */
export interface HostStatusAnswer {
  readonly status: HostAgentStatus;
}

/** The operations `status` and `events`. */
export function hostOperations(agent: HostAgent): Record<'status' | 'events', ControlOperation> {
  return {
    status: (): HostStatusAnswer => ({ status: agent.status() }),
    events: eventsOperation(agent.events),
  };
}
