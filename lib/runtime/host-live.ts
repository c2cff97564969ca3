/** The configuration of a running host agent, and what of it can change. */
import type { HostAgent } from './host-agent.ts';
import type { HostConfig } from './host-config.ts';
import { hostAgentOptions, parseHostConfig } from './host-config.ts';
import { LiveConfig } from './live-config.ts';

/** Fields that a running agent can take over. */
export const LIVE_HOST_FIELDS = [
  'intervalSeconds',
  'flowletGapSeconds',
  'fneAfterTimeouts',
  'keepPath',
  'hostDriven',
  'logLevel',
] as const;

/** Those of them that the agent takes over whose rules are in the kernel. */
export const LIVE_EBPF_HOST_FIELDS = ['intervalSeconds', 'logLevel'] as const;

/** Keeps the configuration in force. */
export class LiveHostConfig extends LiveConfig<HostConfig, string | undefined> {
  /**
   * @param file - undefined for an agent that was started with options
   * @param agent - one without `reconfigure` cannot change its rules
   * @param text - what `config` was read from; without a file its JSON will do, which is YAML too
   */
  constructor(
    file: string | undefined,
    text: string,
    config: HostConfig,
    agent: Pick<HostAgent, 'events'> & Partial<Pick<HostAgent, 'reconfigure'>>,
  ) {
    super({
      file,
      text,
      config,
      fields: agent.reconfigure === undefined ? LIVE_EBPF_HOST_FIELDS : LIVE_HOST_FIELDS,
      parse: parseHostConfig,
      // The time between status lines and the level of the log are the caller's affair.
      apply: (next) => {
        agent.reconfigure?.(hostAgentOptions(next));
      },
      events: agent.events,
    });
  }
}
