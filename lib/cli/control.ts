/** `preflex status`, `preflex routes` and `preflex set`: asking and changing daemons that run on this machine. */
import type { Command } from 'commander';
import { PreflexError } from '../errors.ts';
import type { FoundDaemon } from '../runtime/control/client.ts';
import type { GatewayStatusAnswer, RoutesAnswer } from '../runtime/control/gateway-operations.ts';
import type { HostStatusAnswer } from '../runtime/control/host-operations.ts';
import type { ShareStatus } from '../runtime/share/gateway-share.ts';
import { parseBetas } from './balance.ts';
import { parseCount, parseSeconds } from './host.ts';
import { print, printJson, runCommand } from './output.ts';
import { formatBytes, formatCount, formatPercent, formatTable } from './table.ts';

interface CommonFlags {
  name?: string;
  directory?: string;
  json?: boolean;
}

interface SetFlags extends CommonFlags {
  strategy?: string;
  betas?: object;
  interval?: number;
  drain?: string;
  undrain?: string;
  logLevel?: string;
}

/** Adds the commands. */
export function addControlCommands(program: Command): void {
  const common = (command: Command): Command =>
    command
      .option('--name <name>', 'which daemon, where several run; "preflex status" lists them')
      .option('--directory <folder>', 'folder of the control sockets, default /run/preflex')
      .option('--json', 'print the answer as one JSON object');
  common(
    program.command('status').description('the daemons that run on this machine, and what they do'),
  ).action((flags: CommonFlags) => runCommand(() => runStatus(flags)));
  common(program.command('routes').description("a gateway's routes, in total and for each destination"))
    .option('--limit <count>', 'destinations to list, 1 to 1000', parseCount, 20)
    .action((flags: CommonFlags & { limit: number }) => runCommand(() => runRoutes(flags)));
  common(program.command('set').description('change a running daemon, until its next reload or restart'))
    .option('--strategy <name>', 'how flowlets are divided; without --betas it begins with its own')
    .option('--betas <equal,conservative,loss>', 'weights of the three splits, sum 1', parseBetas)
    .option('--interval <seconds>', 'update interval', parseSeconds)
    .option('--drain <route>', 'take a route out of use')
    .option('--undrain <route>', 'take it back into use')
    .option('--log-level <level>', 'how much is logged: error, warn, info or debug')
    .action((flags: SetFlags) => runCommand(() => runSet(flags)));
}

async function runStatus(flags: CommonFlags): Promise<void> {
  const { askDaemon } = await import('../runtime/control/client.ts');
  const daemons = await chosen(flags);
  const answers = await Promise.all(
    daemons.map(async (daemon) => ({ ...daemon, ...((await askDaemon(daemon.path, 'status')) as object) })),
  );
  if (flags.json) {
    printJson({ daemons: answers });
    return;
  }
  for (const answer of answers) {
    print(`${answer.name} (${answer.role}, pid ${answer.pid}, since ${answer.startedAt})`);
    if (answer.role === 'gateway') print(describeGateway(answer as unknown as GatewayStatusAnswer));
    else print(describeHost((answer as unknown as HostStatusAnswer).status));
  }
}

async function runRoutes(flags: CommonFlags & { limit: number }): Promise<void> {
  const { askDaemon } = await import('../runtime/control/client.ts');
  const { path } = await oneGateway(flags);
  const answer = (await askDaemon(path, 'routes', { limit: flags.limit })) as RoutesAnswer;
  if (flags.json) {
    printJson(answer);
    return;
  }
  print(
    formatTable([
      ['route', 'path', 'state', 'bytes', 'loss', 'flowlets', 'total'],
      ...answer.routes.map((route) => [
        route.name,
        String(route.pathId),
        answer.drained.includes(route.name) ? 'drained' : route.up ? 'up' : 'down',
        formatBytes(route.bytes),
        formatPercent(route.lossRatio),
        formatCount(route.flowlets),
        formatBytes(route.total.bytes),
      ]),
    ]),
  );
  print('');
  print(
    formatTable([
      ['destination', 'route', 'ratio', 'state', 'bytes', 'loss', 'flowlets'],
      ...answer.destinations.flatMap(({ prefixes, routes }) =>
        routes.map((route, i) => [
          i === 0 ? prefixes.slice(0, 2).join(' ') + (prefixes.length > 2 ? ' ...' : '') : '',
          route.name,
          route.flowletRatio.toFixed(3),
          route.suspended ? 'suspended' : route.up ? 'up' : 'down',
          formatBytes(route.bytes),
          formatPercent(route.lossRatio),
          formatCount(route.flowlets),
        ]),
      ),
    ]),
  );
  const rest = answer.destinationCount - answer.destinations.length;
  if (rest > 0) print(`and ${formatCount(rest)} destinations more: see --limit`);
}

async function runSet(flags: SetFlags): Promise<void> {
  const { askDaemon } = await import('../runtime/control/client.ts');
  const { strategy, betas, interval: intervalSeconds, drain, undrain, logLevel } = flags;
  const ofGateway = { strategy, betas, intervalSeconds, drain, undrain };
  const isLogOnly = logLevel !== undefined && Object.values(ofGateway).every((value) => value === undefined);
  const { path } = isLogOnly ? oneOf(await chosen(flags)) : await oneGateway(flags);
  const args = isLogOnly ? { logLevel } : { ...ofGateway, logLevel };
  const answer = (await askDaemon(path, 'set', args)) as { changed: readonly string[] };
  if (flags.json) printJson(answer);
  else print(`changed: ${answer.changed.join(', ') || 'nothing'}`);
}

/** The daemons that the flags mean; one sentence when there are none. */
async function chosen({ name, directory }: CommonFlags): Promise<FoundDaemon[]> {
  const { DEFAULT_CONTROL_DIRECTORY, findDaemons } = await import('../runtime/control/client.ts');
  const folder = directory ?? DEFAULT_CONTROL_DIRECTORY;
  const daemons = await findDaemons(folder);
  if (daemons.length === 0) {
    throw new PreflexError('ERR_SYSTEM', `No daemon runs here: no control socket in ${folder} answers.`);
  }
  const found = name === undefined ? daemons : daemons.filter((daemon) => daemon.name === name);
  if (found.length > 0) return found;
  throw new PreflexError('ERR_SYSTEM', `No daemon has the name ${name}; there are ${namesOf(daemons)}.`);
}

async function oneGateway(flags: CommonFlags): Promise<FoundDaemon> {
  const daemons = await chosen(flags);
  const gateways = daemons.filter((daemon) => daemon.role === 'gateway');
  if (gateways.length === 0)
    throw new PreflexError('ERR_SYSTEM', `No gateway is meant: ${namesOf(daemons)} is no gateway.`);
  return oneOf(gateways);
}

function oneOf(daemons: readonly FoundDaemon[]): FoundDaemon {
  const [daemon, another] = daemons;
  if (daemon !== undefined && another === undefined) return daemon;
  throw new PreflexError('ERR_SYSTEM', `Several daemons run: say which with --name: ${namesOf(daemons)}.`);
}

function namesOf(daemons: readonly FoundDaemon[]): string {
  return daemons.map((daemon) => daemon.name).join(', ');
}

function describeGateway(answer: GatewayStatusAnswer): string {
  const { betas, status } = answer;
  const weights = `betas ${betas.equal}, ${betas.conservative}, ${betas.loss}`;
  const seconds = Number((status.updateIntervalNs / 1e9).toPrecision(6));
  const interval = `interval ${seconds} s${answer.isIntervalPending ? `, then ${answer.intervalSeconds} s` : ''}`;
  const routes = status.routes.map((route) => {
    const state = answer.drained.includes(route.name) ? ' (drained)' : route.up ? '' : ' (down)';
    return `${route.name}${state} ${formatBytes(route.total.bytes)}`;
  });
  const lines = [
    `strategy ${answer.strategy}, ${weights}, ${interval}`,
    `${routes.join(', ')} since the start`,
    ...(status.share === null ? [] : describeShare(status.share)),
  ];
  return lines.map((line) => `  ${line}`).join('\n');
}

/** The domain of a gateway: its connection, and a line for each of the others. */
function describeShare(share: ShareStatus): string[] {
  const { connection, domain, messages, name, peers, refused } = share;
  const state = connection.isConnected
    ? `connected to ${connection.server} since ${connection.since}`
    : `not connected since ${connection.since}${connection.lastError === null ? '' : ` (${connection.lastError})`}`;
  const reasons = Object.entries(refused).flatMap(([reason, count]) =>
    count > 0 ? [`${formatCount(count)} ${reason}`] : [],
  );
  const bad = `${formatCount(messages.bad)} bad${reasons.length > 0 ? ` (${reasons.join(', ')})` : ''}`;
  const lines = [
    `domain ${domain} as ${name}: ${state}`,
    `  messages: ${formatCount(messages.out)} out, ${formatCount(messages.in)} in, ${bad}`,
  ];
  for (const peer of peers) {
    const age = `${peer.ageSeconds.toFixed(1)} s`;
    const routes = peer.routes.map(({ name: route, ownPathId, pathId, state: routeState }) => {
      if (ownPathId === null) return `${route} ${routeState} (not here)`;
      return `${route} ${routeState}${ownPathId === pathId ? '' : ` (path ${pathId} there, ${ownPathId} here)`}`;
    });
    lines.push(
      peer.isLive
        ? `  ${peer.name}: figures ${age} old, interval ${peer.intervalSeconds} s, ${routes.join(', ')}`
        : `  ${peer.name}: gone, last heard of ${age} ago`,
    );
  }
  return lines;
}

function describeHost(status: HostStatusAnswer['status']): string {
  const { lect, lex, fne } = status.codepoints;
  const counts = [lect, lex, fne].map(({ packets }) => formatCount(packets));
  return `  ${formatCount(status.flows.size)} flows, LECT ${counts[0]}, LEx ${counts[1]}, FNE ${counts[2]} packets`;
}
