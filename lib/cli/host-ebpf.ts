/** `preflex host --datapath ebpf`: the agent whose packets stay in the kernel; and `--detach`. */
import { PreflexError } from '../errors.ts';
import type { EbpfHostStatus } from '../runtime/ebpf-host-agent.ts';
import type { HostConfig } from '../runtime/host-config.ts';
import { lexOptions } from '../runtime/host-config.ts';
import { LiveHostConfig } from '../runtime/host-live.ts';
import type { ServiceConfig } from '../runtime/service-config.ts';
import { openControl, prepareService, runDaemon } from './daemon.ts';
import { print, printJson } from './output.ts';

/** What the command says beside the configuration. */
export interface EbpfHostFlags extends ServiceConfig {
  readonly config?: string;
  readonly name?: string;
  readonly json?: boolean;
}

/**
 * Runs the agent.
 *
 * @param text - what the configuration was read from
 * @param describe - the status in one line
 */
export async function runEbpfHost(
  flags: EbpfHostFlags,
  config: HostConfig,
  text: string,
  describe: (status: EbpfHostStatus) => string,
): Promise<void> {
  const { EbpfHostAgent } = await import('../runtime/ebpf-host-agent.ts');
  const { ebpfHostOperations } = await import('../runtime/control/host-operations.ts');
  const service = await prepareService(flags, config);
  const { log } = service;
  const agent = new EbpfHostAgent({
    device: config.device,
    addresses: config.addresses,
    lex: lexOptions(config),
  });
  service.onDevicesOpen();
  const live = new LiveHostConfig(flags.config, text, config, agent);
  const control = await openControl(
    {
      name: flags.name,
      standard: `host-${config.addresses[0]}`,
      role: 'host',
      operations: ebpfHostOperations(agent, log),
    },
    () => agent.stop(),
  );
  const { attachment, isTakenOver } = agent.status();
  runDaemon({
    control,
    // Metrics are refused: they read the TUN agent's core.
    web: { setUp: [], close: () => undefined },
    json: flags.json ?? false,
    log,
    events: agent.events,
    intervalSeconds: () => live.config.intervalSeconds,
    reload: flags.config === undefined ? undefined : () => service.reload(live),
    setUp: [
      `serving ${config.addresses.join(' and ')} on ${config.device} in the kernel (${attachment}), scheme ${config.scheme}`,
      ...(isTakenOver ? ['took over the flows and counters of the programs that were there'] : []),
      `the programs go on when this agent ends; preflex host --detach --device ${config.device} removes them`,
    ],
    warnings: agent.warnings,
    isHealthy: () => agent.isHealthy,
    lost: 'the programs of this agent were taken off; it ends',
    // Nothing here moves packets.
    checkTurning: () => true,
    refresh: () => {
      agent.refresh();
    },
    status: () => agent.status(),
    describe,
    stop: () => agent.stop(),
  });
}

/** Takes programs, flows and counters off a device. */
export async function detachHost(device: string | undefined, isJson: boolean): Promise<void> {
  if (device === undefined) {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      '--device is missing: --detach has to know from which device.',
    );
  }
  const { HostDatapath } = await import('../ebpf/host-datapath.ts');
  const detached = HostDatapath.detach(device);
  if (isJson) printJson({ device, detached });
  else print(detached ? `took the programs off ${device}` : `there were no programs on ${device}`);
}
