/** `preflex gateway`: the gateway daemon. */
import type { Command } from 'commander';
import { Option } from 'commander';
import { PreflexError } from '../errors.ts';
import type { GatewayConfig, GatewayRouteConfig } from '../runtime/config.ts';
import type { GatewayDaemonStatus } from '../runtime/gateway-daemon.ts';
import type { KernelDatapathStatus } from '../runtime/gateway-datapath.ts';
import type { GatewayFeed } from '../web/ui/gateway-feed.ts';
import type { ListenAddress } from '../runtime/listen-address.ts';
import type { ServiceConfig } from '../runtime/service-config.ts';
import { addServiceOptions, openControl, prepareService, runDaemon } from './daemon.ts';
import { print, printJson, requireNetAdmin, runCommand } from './output.ts';
import { formatBytes, formatPercent } from './table.ts';
import { METRICS_HELP, UI_HELP, openWeb, parseListen, readListen } from './web.ts';

interface GatewayFlags extends ServiceConfig {
  config?: string;
  datapath?: 'tun' | 'ebpf';
  detach?: boolean;
  device?: string;
  name?: string;
  offload: boolean;
  metrics?: ListenAddress;
  ui?: ListenAddress;
  json?: boolean;
}

/** Destinations that a status line in JSON lists at most. */
const LISTED_DESTINATIONS = 100;

/** Adds the command. */
export function addGatewayCommand(program: Command): void {
  const command = program
    .command('gateway')
    .description('assign paths to flowlets, and balance the losses that hosts expose over the routes')
    .option('--config <file>', 'YAML file; docs/samples/gateway.yaml shows every field')
    .addOption(
      new Option(
        '--datapath <name>',
        'packets through this process, or in the kernel; default as the file says, else tun',
      ).choices(['tun', 'ebpf']),
    )
    .option('--detach', 'take what --datapath ebpf left in the kernel away, and end')
    .option('--device <name>', 'the inside device to detach, in the place of --config')
    .option('--name <name>', 'name for "preflex status" and the like; default gateway-DEVICE of the inside')
    .option('--no-offload', 'read single segments instead of super-packets')
    .option('--metrics <address:port>', METRICS_HELP, parseListen)
    .option('--ui <address:port>', UI_HELP, parseListen)
    .option('--json', 'one JSON object a line');
  addServiceOptions(command).action((flags: GatewayFlags) => runCommand(() => runGateway(flags)));
}

async function runGateway(flags: GatewayFlags): Promise<void> {
  const { file, device } = readPlace(flags);
  if (flags.detach === true) {
    await detachGateway(device ?? (await readGatewayFile(file ?? '', flags)).config.inside.device, flags);
    return;
  }
  if (file === undefined) throw new PreflexError('ERR_INVALID_OPTION', '--config is missing');
  const { config, text } = await readGatewayFile(file, flags);
  requireNetAdmin('preflex gateway');
  if (config.datapath === 'ebpf') rejectTunFlags(flags);
  const { gatewayDaemonOptions } = await import('../runtime/config-options.ts');
  const { GatewayDaemon } = await import('../runtime/gateway-daemon.ts');
  const { gatewayOperations } = await import('../runtime/control/gateway-operations.ts');
  const { LiveGatewayConfig } = await import('../runtime/gateway-live.ts');
  const service = await prepareService(flags, config);
  const { log } = service;
  let showStatus: () => void = () => undefined;
  let page: GatewayFeed | undefined;
  const daemon = GatewayDaemon.start({
    ...gatewayDaemonOptions(config),
    offload: flags.offload,
    onDevicesOpen: service.onDevicesOpen,
    onInterval: () => {
      showStatus();
      page?.addInterval(Date.now() / 1000);
    },
  });
  const live = new LiveGatewayConfig(file, text, config, daemon, flags.datapath);
  const control = await openControl(
    {
      name: flags.name,
      standard: `gateway-${config.inside.device}`,
      role: 'gateway',
      operations: gatewayOperations(daemon, live, log),
    },
    () => daemon.stop(),
  );
  const web = await openWeb(
    {
      metrics: {
        at: flags.metrics ?? readListen(config.metrics),
        families: async () => {
          const { gatewayFamilies } = await import('../web/metrics/gateway-metrics.ts');
          return gatewayFamilies(daemon, () => live.config);
        },
      },
      ui: {
        at: flags.ui ?? readListen(config.ui),
        feed: async () => {
          const { GatewayFeed } = await import('../web/ui/gateway-feed.ts');
          page = new GatewayFeed(daemon, control.name, () => live.config, Date.now() / 1000);
          return page.feed;
        },
      },
    },
    () => {
      control.close();
      daemon.stop();
    },
  );
  showStatus = runDaemon({
    control,
    web,
    json: flags.json ?? false,
    log,
    events: daemon.events,
    setUp: [
      `inside ${config.inside.device} (${config.inside.prefixes.join(', ')}), routes ` +
        config.routes.map(describeRoute).join(', ') +
        `, scheme ${config.scheme}, strategy ${config.strategy}, interval ${config.intervalSeconds} s`,
      ...describeKernel(daemon.datapath.kernelStatus, config.inside.device),
      ...daemon.datapath.recovered.map(
        (journal) => `took back what pid ${journal.pid} had left (${journal.changes} changes)`,
      ),
    ],
    warnings: daemon.datapath.warnings,
    isHealthy: () => daemon.isHealthy,
    ...(config.datapath === 'ebpf' ? { lost: 'the programs of this gateway were taken off; it ends' } : {}),
    checkTurning: () => daemon.checkTurning(),
    refresh: () => {
      daemon.refresh();
    },
    tick: () => page?.tick(),
    reload: () => service.reload(live),
    status: () => daemon.status(LISTED_DESTINATIONS),
    describe: describeGateway,
    stop: () => daemon.stop(),
  });
}

/** What to run on, or to detach. */
function readPlace({ config, device, detach }: GatewayFlags): {
  readonly file: string | undefined;
  readonly device: string | undefined;
} {
  if (device !== undefined && (detach !== true || config !== undefined)) {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      '--device goes with --detach, in the place of --config; a gateway that runs has it in its file.',
    );
  }
  if (detach === true && device === undefined && config === undefined) {
    throw new PreflexError(
      'ERR_INVALID_OPTION',
      '--config or --device is missing: --detach has to know which gateway.',
    );
  }
  return { file: config, device };
}

async function readGatewayFile(
  file: string,
  { datapath }: GatewayFlags,
): Promise<{ readonly config: GatewayConfig; readonly text: string }> {
  const { parseGatewayConfig } = await import('../runtime/config.ts');
  const { readConfigFile } = await import('../runtime/config-file.ts');
  const text = readConfigFile(file);
  return { config: await parseGatewayConfig(text, file, datapath), text };
}

/** What the datapath in this process alone has must not be asked of the other. */
function rejectTunFlags({ offload, user }: GatewayFlags): void {
  const flag = !offload ? '--no-offload' : user !== undefined ? '--user' : undefined;
  if (flag === undefined) return;
  throw new PreflexError(
    'ERR_INVALID_OPTION',
    `${flag} and --datapath ebpf exclude each other: it is of the TUN datapath.`,
  );
}

/** Takes programs, rules and tables of a gateway away. */
async function detachGateway(device: string, flags: GatewayFlags): Promise<void> {
  requireNetAdmin('preflex gateway');
  const { EbpfGatewayDatapath } = await import('../runtime/gateway-ebpf-datapath.ts');
  const detached = EbpfGatewayDatapath.detach(device);
  if (flags.json === true) printJson({ device, detached });
  else print(detached ? `took the gateway behind ${device} away` : `there was no gateway behind ${device}`);
}

function describeKernel(status: KernelDatapathStatus | undefined, device: string): string[] {
  if (status === undefined) return [];
  return [
    `packets stay in the kernel (${status.attachment})`,
    describeForwarding(status),
    ...(status.isTakenOver ? ['took over counters, ratios and memory of the programs that were there'] : []),
    `programs, rules and tables go on when this gateway ends; preflex gateway --detach --device ${device} takes them away`,
  ];
}

function describeForwarding({ forwarding, forwardingBy, forwardingReason }: KernelDatapathStatus): string {
  if (forwarding === 'kernel') return 'the kernel forwards what goes out (forwarding: kernel)';
  if (forwarding === 'redirect')
    return 'what goes out is sent past netfilter and connection tracking (forwarding: redirect)';
  if (forwardingBy === 'kernel')
    return `the kernel forwards what goes out (forwarding: auto): ${forwardingReason}`;
  return 'what goes out is sent past netfilter, as long as nobody there wants to see it (forwarding: auto)';
}

function describeRoute({ name, pathId, device, table, nat }: GatewayRouteConfig): string {
  const more = [...(table === undefined ? [] : [`table ${table}`]), ...(nat ? ['nat'] : [])];
  return `${name} (${[`path ${pathId}`, device, ...more].join(', ')})`;
}

/** A line for the last update interval: each route's bytes, loss ratio, and the ratios of the first destination. */
function describeGateway(status: GatewayDaemonStatus): string {
  const ratios = status.destinations[0]?.routes ?? [];
  const routes = status.routes.map((route) => {
    const ratio = ratios.find((candidate) => candidate.pathId === route.pathId)?.flowletRatio ?? 0;
    return (
      `${route.name}${route.up ? '' : ' (down)'}: ${formatBytes(route.bytes)}, loss ${formatPercent(route.lossRatio)}, ` +
      `${route.flowlets} flowlets, ratio ${ratio.toFixed(3)}`
    );
  });
  return routes.join(' | ');
}
