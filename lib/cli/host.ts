/** `preflex host`: the end-host agent. */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { HostAgentStatus } from '../runtime/host-agent.ts';
import { requireRoot, runCommand } from './output.ts';
import { runDaemon } from './daemon.ts';
import { formatBytes, formatCount } from './table.ts';

interface HostFlags {
  address: string[];
  device: string;
  scheme: 'pool2' | 'full';
  flows: number;
  flowletGap: number;
  fneAfterTimeouts: number;
  keepPath: boolean;
  offload: boolean;
  appSide: string;
  netSide: string;
  interval: number;
  json?: boolean;
}

/** Adds the command. */
export function addHostCommand(program: Command): void {
  program
    .command('host')
    .description(
      'mark the TCP and UDP traffic of an address of this host, and pin it to the paths that come back',
    )
    .requiredOption('--address <address...>', 'an IPv4 and/or an IPv6 address of the device')
    .requiredOption('--device <name>', 'the device that has the address')
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
    .option('--no-offload', 'read single segments instead of super-packets')
    .option('--app-side <name>', 'name of the TUN that faces the applications', 'lex0')
    .option('--net-side <name>', 'name of the TUN that faces the network', 'lex1')
    .option('--interval <seconds>', 'time between two status lines', parseSeconds, 10)
    .option('--json', 'one JSON object a line')
    .action((flags: HostFlags) => runCommand(() => runHost(flags)));
}

async function runHost(flags: HostFlags): Promise<void> {
  requireRoot('preflex host');
  const { HostAgent } = await import('../runtime/host-agent.ts');
  const agent = HostAgent.start({
    plumbing: {
      addresses: flags.address,
      device: flags.device,
      appSide: flags.appSide,
      netSide: flags.netSide,
    },
    lex: {
      scheme: flags.scheme,
      flowCapacity: flags.flows,
      flowletGapNs: flags.flowletGap * 1e9,
      fneAfterTimeouts: flags.fneAfterTimeouts,
      keepPathWithoutAnswer: flags.keepPath,
    },
    offload: flags.offload,
  });
  runDaemon({
    json: flags.json ?? false,
    intervalSeconds: flags.interval,
    setUp: [
      `serving ${flags.address.join(' and ')} on ${flags.device} through ${flags.appSide} and ${flags.netSide}, scheme ${flags.scheme}`,
      ...agent.plumbing.recovered.map(
        (journal) => `took back what pid ${journal.pid} had left (${journal.changes} changes)`,
      ),
      ...agent.plumbing.warnings,
    ],
    isHealthy: () => agent.isHealthy,
    refresh: () => {
      agent.plumbing.refresh();
    },
    status: () => agent.status(),
    describe: describeHost,
    stop: () => agent.stop(),
  });
}

function describeHost(status: HostAgentStatus): string {
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
  ].join(', ');
}

/** A whole number from the command line. */
export function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('It takes a whole number.');
  return value;
}

/** A time in seconds from the command line, fractions allowed. */
export function parseSeconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < 1e6)) throw new InvalidArgumentError('It takes a number of seconds above 0.');
  return value;
}
