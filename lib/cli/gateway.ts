/** `preflex gateway`: the gateway daemon. */
import type { Command } from 'commander';
import type { GatewayRouteConfig } from '../runtime/config.ts';
import type { GatewayDaemonStatus } from '../runtime/gateway-daemon.ts';
import type { GatewayFeed } from '../web/ui/gateway-feed.ts';
import type { ListenAddress } from '../runtime/listen-address.ts';
import type { ServiceConfig } from '../runtime/service-config.ts';
import { addServiceOptions, openControl, prepareService, runDaemon } from './daemon.ts';
import { requireNetAdmin, runCommand } from './output.ts';
import { formatBytes, formatPercent } from './table.ts';
import { METRICS_HELP, UI_HELP, openWeb, parseListen, readListen } from './web.ts';

interface GatewayFlags extends ServiceConfig {
  config: string;
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
    .requiredOption('--config <file>', 'YAML file; docs/samples/gateway.yaml shows every field')
    .option('--name <name>', 'name for "preflex status" and the like; default gateway-DEVICE of the inside')
    .option('--no-offload', 'read single segments instead of super-packets')
    .option('--metrics <address:port>', METRICS_HELP, parseListen)
    .option('--ui <address:port>', UI_HELP, parseListen)
    .option('--json', 'one JSON object a line');
  addServiceOptions(command).action((flags: GatewayFlags) => runCommand(() => runGateway(flags)));
}

async function runGateway(flags: GatewayFlags): Promise<void> {
  const { parseGatewayConfig } = await import('../runtime/config.ts');
  const { readConfigFile } = await import('../runtime/config-file.ts');
  const text = readConfigFile(flags.config);
  const config = await parseGatewayConfig(text, flags.config);
  requireNetAdmin('preflex gateway');
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
  const live = new LiveGatewayConfig(flags.config, text, config, daemon);
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
      ...daemon.datapath.recovered.map(
        (journal) => `took back what pid ${journal.pid} had left (${journal.changes} changes)`,
      ),
    ],
    warnings: daemon.datapath.warnings,
    isHealthy: () => daemon.isHealthy,
    checkTurning: () => daemon.checkTurning(),
    refresh: () => {
      daemon.refresh();
      page?.tick();
    },
    reload: () => service.reload(live),
    status: () => daemon.status(LISTED_DESTINATIONS),
    describe: describeGateway,
    stop: () => daemon.stop(),
  });
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
