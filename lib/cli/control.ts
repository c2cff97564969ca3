/** `preflex status` and `preflex routes`: asking the daemons that run on this machine. */
import type { Command } from 'commander';
import type { GatewayStatusAnswer, RoutesAnswer } from '../runtime/control/gateway-operations.ts';
import type { KernelDatapathStatus } from '../runtime/gateway-datapath.ts';
import type { HostStatusAnswer } from '../runtime/control/host-operations.ts';
import type { ShareStatus } from '../runtime/share/gateway-share.ts';
import type { CommonFlags } from './control-flags.ts';
import { ask, chosenDaemons, oneGateway, withCommonFlags } from './control-flags.ts';
import { parseCount } from './number-flags.ts';
import { print, printJson, runCommand } from './output.ts';
import { formatBytes, formatCount, formatPercent, formatTable } from './table.ts';

/** Adds the commands. */
export function addControlCommands(program: Command): void {
  withCommonFlags(
    program.command('status').description('the daemons that run on this machine, and what they do'),
  ).action((flags: CommonFlags) => runCommand(() => runStatus(flags)));
  withCommonFlags(
    program.command('routes').description("a gateway's routes, in total and for each destination"),
  )
    .option('--limit <count>', 'destinations to list, 1 to 1000', parseCount, 20)
    .action((flags: CommonFlags & { limit: number }) => runCommand(() => runRoutes(flags)));
}

async function runStatus(flags: CommonFlags): Promise<void> {
  const daemons = await chosenDaemons(flags);
  const answers = await Promise.all(
    daemons.map(async (daemon) => ({ ...daemon, ...(await ask<object>(daemon, 'status')) })),
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
  const answer = await ask<RoutesAnswer>(await oneGateway(flags), 'routes', { limit: flags.limit });
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
    ...(status.kernel === null ? [] : [describeKernel(status.kernel)]),
    ...(status.share === null ? [] : describeShare(status.share)),
  ];
  return lines.map((line) => `  ${line}`).join('\n');
}

function describeKernel({
  attachment,
  forwarding,
  forwardingBy,
  forwardingReason,
}: KernelDatapathStatus): string {
  const now =
    forwarding === 'auto'
      ? ` (${forwardingBy}${forwardingReason === null ? '' : `: ${forwardingReason}`})`
      : '';
  return `in the kernel (${attachment}), forwarding: ${forwarding}${now}`;
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
        ? `  ${peer.name}: figures ${age} old, interval ${Number(peer.intervalSeconds.toFixed(3))} s, ${routes.join(', ')}`
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
