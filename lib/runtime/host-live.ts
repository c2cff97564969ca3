/** The configuration of a running host agent, and what of it can change. */
import type { HostAgent } from './host-agent.ts';
import type { HostConfig } from './host-config.ts';
import { parseHostConfig } from './host-config.ts';
import { LiveConfig } from './live-config.ts';

/** Fields that a running agent can take over. */
export const LIVE_HOST_FIELDS = ['intervalSeconds', 'logLevel'] as const;

/** Keeps the configuration in force. */
export class LiveHostConfig extends LiveConfig<HostConfig, string | undefined> {
  /**
   * @param file - undefined for an agent that was started with options
   * @param text - what `config` was read from; without a file its JSON will do, which is YAML too
   */
  constructor(file: string | undefined, text: string, config: HostConfig, agent: Pick<HostAgent, 'events'>) {
    super({
      file,
      text,
      config,
      fields: LIVE_HOST_FIELDS,
      parse: parseHostConfig,
      // The time between status lines is read from here, the level of the log too.
      apply: () => undefined,
      events: agent.events,
    });
  }
}
