/** `preflex host`: the end-host agent. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { PreflexError } from '../errors.ts';
import type { EbpfHostStatus } from '../runtime/ebpf-host-agent.ts';
import type { HostAgentStatus } from '../runtime/host-agent.ts';
import type { HostConfig } from '../runtime/host-config.ts';
import type { HostFeed } from '../web/ui/host-feed.ts';
import type { ListenAddress } from '../runtime/listen-address.ts';
import type { ServiceConfig } from '../runtime/service-config.ts';
import { requireNetAdmin, runCommand } from './output.ts';
import { addServiceOptions, openControl, prepareService, runDaemon } from './daemon.ts';
import { parseCount, parseSeconds } from './number-flags.ts';
import { formatBytes, formatCount } from './table.ts';
import { METRICS_HELP, UI_HELP, openWeb, parseListen, readListen } from './web.ts';

interface HostFlags extends ServiceConfig {
  config?: string;
  name?: string;
  address?: string[];
  device?: string;
  datapath: 'tun' | 'ebpf';
  detach?: boolean;
  scheme: 'pool2' | 'full';
  flows: number;
  flowletGap: number;
  fneAfterTimeouts: number;
  keepPath: boolean;
  hostDriven?: boolean;
  offload: boolean;
  appSide: string;
  netSide: string;
  interval: number;
  metrics?: ListenAddress;
  ui?: ListenAddress;
  json?: boolean;
}

/** Flows on the page. */
const FLOWS_SHOWN = 20;

/** Adds the command. */
export function addHostCommand(program: Command): void {
  const command = program
    .command('host')
    .description(
      'mark the TCP and UDP traffic of an address of this host, and pin it to the paths that come back',
    )
    .option(
      '--config <file>',
      'YAML file instead of the options below; docs/samples/host.yaml shows every field',
    )
    .option('--name <name>', 'name for "preflex status"; default host-ADDRESS')
    .option('--address <address...>', 'an IPv4 and/or an IPv6 address of the device')
    .option('--device <name>', 'the device that has the address')
    .addOption(
      new Option('--datapath <name>', 'mark in this process, or in the kernel')
        .choices(['tun', 'ebpf'])
        .default('tun'),
    )
    .option('--detach', 'take what --datapath ebpf left in the kernel off --device, and end')
    .option('--scheme <name>', 'marking scheme: pool2 or full', 'pool2')
    .option('--flows <count>', 'flows remembered at the same time', parseCount, 65_536)
    .option('--flowlet-gap <seconds>', 'idle gap that begins a new flowlet', parseSeconds, 1)
    .option(
      '--fne-after-timeouts <count>',
      'successive timeouts after which a path is given up',
      parseCount,
      2,
    )
    .option('--no-keep-path', 'a new flowlet without an assignment does not go back to the earlier path')
    .option('--host-driven', 'after timeouts, move TCP flows to another learnt path before asking for one')
    .option('--no-offload', 'read single segments instead of super-packets')
    .option('--app-side <name>', 'name of the TUN that faces the applications', 'lex0')
    .option('--net-side <name>', 'name of the TUN that faces the network', 'lex1')
    .option('--interval <seconds>', 'time between two status lines', parseSeconds, 10)
    .option('--metrics <address:port>', METRICS_HELP, parseListen)
    .option('--ui <address:port>', UI_HELP, parseListen)
    .option('--json', 'one JSON object a line');
  addServiceOptions(command).action((flags: HostFlags) => runCommand(() => runHost(flags, command)));
}

/** Options that go with a configuration file; the file has all others. */
const BESIDE_CONFIG = ['config', 'name', 'json', 'metrics', 'ui', 'user', 'logLevel', 'logFile'];

async function runHost(flags: HostFlags, command: Command): Promise<void> {
  if (flags.detach === true) {
    requireNetAdmin('preflex host');
    const { detachHost } = await import('./host-ebpf.ts');
    await detachHost(flags.device, flags.json ?? false);
    return;
  }
  const { config, text } =
    flags.config === undefined ? configOfFlags(flags) : await readConfig(flags.config, command);
  requireNetAdmin('preflex host');
  if (config.datapath === 'ebpf') {
    await rejectTunOptions(command);
    const { runEbpfHost } = await import('./host-ebpf.ts');
    await runEbpfHost(flags, config, text, describeHost);
    return;
  }
  const { HostAgent } = await import('../runtime/host-agent.ts');
  const { hostAgentOptions } = await import('../runtime/host-config.ts');
  const { LiveHostConfig } = await import('../runtime/host-live.ts');
  const { hostOperations } = await import('../runtime/control/host-operations.ts');
  const service = await prepareService(flags, config);
  const { log } = service;
  const agent = HostAgent.start({ ...hostAgentOptions(config), onDevicesOpen: service.onDevicesOpen });
  const live = new LiveHostConfig(flags.config, text, config, agent);
  const control = await openControl(
    {
      name: flags.name,
      standard: `host-${config.addresses[0]}`,
      role: 'host',
      operations: hostOperations(agent, live, log),
    },
    () => agent.stop(),
  );
  let page: HostFeed | undefined;
  const web = await openWeb(
    {
      metrics: {
        at: flags.metrics ?? readListen(config.metrics),
        families: async () => {
          const { hostFamilies } = await import('../web/metrics/host-metrics.ts');
          return hostFamilies(agent);
        },
      },
      ui: {
        at: flags.ui ?? readListen(config.ui),
        feed: async () => {
          const { HostFeed } = await import('../web/ui/host-feed.ts');
          const { FlowWalk } = await import('../runtime/flow-walk.ts');
          const { flowText } = await import('./flows.ts');
          const walk = new FlowWalk(agent.lex);
          page = new HostFeed(agent, control.name, Date.now() / 1000, async () =>
            (await walk.list({ sort: 'bytes', limit: FLOWS_SHOWN })).flows.map((flow) => ({
              name: flowText(flow),
              state: flow.state,
              pathId: flow.pathId,
              bytes: flow.history?.outBytes ?? 0,
              lexBytes: flow.history?.lexBytes ?? 0,
            })),
          );
          return page.feed;
        },
      },
    },
    () => {
      control.close();
      agent.stop();
    },
  );
  runDaemon({
    control,
    web,
    json: flags.json ?? false,
    log,
    events: agent.events,
    intervalSeconds: () => live.config.intervalSeconds,
    reload: flags.config === undefined ? undefined : () => service.reload(live),
    setUp: [
      `serving ${config.addresses.join(' and ')} on ${config.device} through ${config.appSide} and ${config.netSide}, ` +
        `scheme ${config.scheme}`,
      ...agent.plumbing.recovered.map(
        (journal) => `took back what pid ${journal.pid} had left (${journal.changes} changes)`,
      ),
    ],
    warnings: agent.plumbing.warnings,
    isHealthy: () => agent.isHealthy,
    checkTurning: () => agent.checkTurning(),
    refresh: () => {
      agent.plumbing.refresh();
    },
    tick: () => page?.tick(Date.now() / 1000),
    status: () => agent.status(),
    describe: describeHost,
    stop: () => agent.stop(),
  });
}

/** What the TUN datapath alone has must not be asked of the other. */
async function rejectTunOptions(command: Command): Promise<void> {
  const { TUN_ONLY_FIELDS } = await import('../runtime/host-config.ts');
  const fields: readonly string[] = TUN_ONLY_FIELDS;
  for (const option of command.options) {
    const name = option.attributeName();
    if (!fields.includes(name) || command.getOptionValueSource(name) !== 'cli') continue;
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      `${option.long} and --datapath ebpf exclude each other: it is of the TUN datapath.`,
    );
  }
}

/** A configuration, and the text that says the same. */
interface ReadConfig {
  readonly config: HostConfig;
  readonly text: string;
}

/** Reads the file; beside it only what is not about addresses and rules makes sense. */
async function readConfig(file: string, command: Command): Promise<ReadConfig> {
  for (const option of command.options) {
    const name = option.attributeName();
    if (BESIDE_CONFIG.includes(name) || command.getOptionValueSource(name) !== 'cli') continue;
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      `${option.long} and --config exclude each other: write it into ${file}.`,
    );
  }
  const { readConfigFile } = await import('../runtime/config-file.ts');
  const { parseHostConfig } = await import('../runtime/host-config.ts');
  const text = readConfigFile(file);
  return { config: await parseHostConfig(text, file), text };
}

function configOfFlags(flags: HostFlags): ReadConfig {
  const { address, device } = flags;
  if (address === undefined || device === undefined) {
    const missing = address === undefined ? '--address' : '--device';
    throw new PreflexError('ERR_INVALID_OPTION', `${missing} is missing; without --config it must be given.`);
  }
  const config: HostConfig = {
    addresses: address,
    device,
    datapath: flags.datapath,
    scheme: flags.scheme,
    flows: flags.flows,
    flowletGapSeconds: flags.flowletGap,
    fneAfterTimeouts: flags.fneAfterTimeouts,
    keepPath: flags.keepPath,
    hostDriven: flags.hostDriven ?? false,
    offload: flags.offload,
    appSide: flags.appSide,
    netSide: flags.netSide,
    intervalSeconds: flags.interval,
  };
  return { config, text: JSON.stringify(config) };
}

function describeHost(status: HostAgentStatus | EbpfHostStatus): string {
  const { codepoints } = status;
  const assigned = Object.values(status.assignments).reduce((sum, count) => sum + count, 0);
  return [
    `${formatCount(status.flows.size)} flows`,
    `LECT ${formatCount(codepoints.lect.packets)}`,
    `LEx ${formatCount(codepoints.lex.packets)} (${formatBytes(status.lexPayloadBytes)})`,
    `FNE ${formatCount(codepoints.fne.packets)}`,
    `Not-LECT ${formatCount(codepoints.notLect.packets)}`,
    `assigned ${formatCount(assigned)}`,
    `unpinned ${formatCount(status.unpinned)}`,
    ...(status.moved > 0 ? [`moved ${formatCount(status.moved)}`] : []),
  ].join(', ');
}
