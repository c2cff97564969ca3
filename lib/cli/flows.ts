/** `preflex flows`: the flows of a host agent, and what a gateway can say about flows. */
import type { Command } from 'commander';
import { Option } from 'commander';
import type { FlowReport, FlowSort } from '../lex/flow-listing.ts';
import { FLOW_SORTS } from '../lex/flow-listing.ts';
import type { GatewayFlowsAnswer } from '../runtime/control/gateway-operations.ts';
import type { HostFlowsAnswer } from '../runtime/control/host-operations.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/protocol-numbers.ts';
import type { CommonFlags } from './control-flags.ts';
import { askAll, chosenDaemons, withCommonFlags } from './control-flags.ts';
import { parseCount } from './number-flags.ts';
import { print, printJson, runCommand } from './output.ts';
import { formatBytes, formatCount, formatSeconds, formatTable } from './table.ts';

interface FlowsFlags extends CommonFlags {
  limit: number;
  sort: FlowSort;
}

/** Adds the command. */
export function addFlowsCommand(program: Command): void {
  withCommonFlags(
    program.command('flows').description('the flows of a host, and the sampled flows of a gateway'),
  )
    .option('--limit <count>', 'flows to list, 1 to 1000', parseCount, 20)
    .addOption(
      new Option('--sort <order>', 'most bytes, most LEx bytes, longest silent, or last heard of first')
        .choices(FLOW_SORTS)
        .default('bytes'),
    )
    .action((flags: FlowsFlags) => runCommand(() => runFlows(flags)));
}

async function runFlows(flags: FlowsFlags): Promise<void> {
  const { limit, sort } = flags;
  const daemons = await chosenDaemons(flags);
  const answers = await askAll<HostFlowsAnswer | GatewayFlowsAnswer>(daemons, 'flows', ({ role }) =>
    role === 'host' ? { limit, sort } : { limit },
  );
  if (flags.json) {
    printJson({ daemons: answers.map(({ daemon, answer }) => ({ ...daemon, ...answer })) });
    return;
  }
  for (const { daemon, answer } of answers) {
    if ('flows' in answer) {
      const listed = answer.flows.length;
      print(
        `${daemon.name}: ${formatCount(answer.size)} flows${listed < answer.size ? `, ${listed} listed` : ''}`,
      );
      if (listed > 0) print(formatFlows(answer.flows));
    } else {
      print(`${daemon.name}: ${describeSample(answer)}`);
      if (answer.sampled.length > 0) print(formatSample(answer));
    }
  }
}

/** A table of flows. */
export function formatFlows(flows: readonly FlowReport[]): string {
  return formatTable([
    ['flow', 'path', 'state', 'sent', 'packets', 'LEx', 'silent'],
    ...flows.map((flow) => [
      flowText(flow),
      flow.pathId === 0 ? '-' : String(flow.pathId),
      flow.state + (flow.timeouts > 0 ? ` (${flow.timeouts} timeouts)` : ''),
      formatBytes(flow.history?.outBytes ?? NaN),
      formatCount(flow.history?.outPackets ?? NaN),
      formatBytes(flow.history?.lexBytes ?? NaN),
      formatSeconds(flow.idleNs / 1e9),
    ]),
  ]);
}

/** A flow as `preflex explain` takes it: `tcp 192.0.2.1:40000 198.51.100.7:443`. */
export function flowText(
  flow: Pick<FlowReport, 'protocol' | 'local' | 'localPort' | 'remote' | 'remotePort'>,
): string {
  const names: Record<number, string> = { [PROTOCOL_TCP]: 'tcp', [PROTOCOL_UDP]: 'udp' };
  const end = (address: string, port: number): string =>
    address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  const protocol = names[flow.protocol] ?? `protocol ${flow.protocol}`;
  return `${protocol} ${end(flow.local, flow.localPort)} ${end(flow.remote, flow.remotePort)}`;
}

function describeSample({ sampledFlows, sampledRoutes }: GatewayFlowsAnswer): string {
  const sample =
    sampledFlows === 0
      ? 'none is sampled now'
      : `${formatCount(sampledFlows)} now, by route and destination (${formatCount(sampledRoutes)})`;
  return `a gateway keeps no flows; for inferring failures it samples hashes of TCP flows: ${sample}`;
}

function formatSample({ sampled }: GatewayFlowsAnswer): string {
  return formatTable([
    ['destination', 'route', 'sampled', 'answered', 'exposing loss', 'probes'],
    ...sampled.map(({ answered, exposing, flows, prefix, probes, route }) => [
      prefix,
      route,
      ...[flows, answered, exposing, probes].map(String),
    ]),
  ]);
}
