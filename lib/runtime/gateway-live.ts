/** The configuration of a running gateway, and what of it can change. */
import { PreflexError } from '../errors.ts';
import { configDifferences } from './config-difference.ts';
import { gatewayDaemonOptions } from './config-options.ts';
import type { DatapathName } from './config-schema.ts';
import type { GatewayConfig } from './config.ts';
import { parseGatewayConfig } from './config.ts';
import type { GatewayDaemon } from './gateway-daemon.ts';
import { LiveConfig } from './live-config.ts';

export type { ConfigEdit } from './live-config.ts';

/** Fields that a running gateway can take over. */
export const LIVE_GATEWAY_FIELDS = [
  'strategy',
  'betas',
  'intervalSeconds',
  'shortestIntervalSeconds',
  'longestIntervalSeconds',
  'destinations',
  'share',
  'logLevel',
  'exposeTo',
  'fne.perPrefixPerSecond',
  'fne.totalPerSecond',
  'failures.infer',
  'failures.windowSeconds',
  'failures.share',
] as const;

/** Keeps the configuration in force. */
export class LiveGatewayConfig extends LiveConfig<GatewayConfig> {
  /**
   * @param text - what `config` was read from
   * @param given - the datapath, if it was not the file that said it
   */
  constructor(
    file: string,
    text: string,
    config: GatewayConfig,
    daemon: Pick<GatewayDaemon, 'events' | 'reconfigure'>,
    given?: DatapathName,
  ) {
    super({
      file,
      text,
      config,
      fields: LIVE_GATEWAY_FIELDS,
      // What the command said stays.
      parse: (next, name) => parseGatewayConfig(next, name, given),
      apply: (next, before) => {
        requireSameVersions(before, next);
        // The level of the log is the caller's affair.
        if (configDifferences(before, next).some(({ field }) => field !== 'logLevel'))
          daemon.reconfigure(gatewayDaemonOptions(next));
      },
      events: daemon.events,
    });
  }
}

/** Policy rules are made for each IP version at the start, so destinations of another one need a restart. */
function requireSameVersions(before: GatewayConfig, after: GatewayConfig): void {
  for (const version of [4, 6] as const) {
    const has = (config: GatewayConfig): boolean =>
      config.destinations.some(({ prefixes }) =>
        prefixes.some((prefix) => prefix.includes(':') === (version === 6)),
      );
    if (has(before) === has(after)) continue;
    const what = has(after)
      ? `has IPv${version} prefixes now, and had none`
      : `has no IPv${version} prefix any more`;
    throw new PreflexError(
      'ERR_INVALID_CONFIG',
      `destinations ${what}; which IP versions are diverted cannot change while the daemon runs; it needs a restart.`,
    );
  }
}
