/** `preflex lab`: the laboratory of network namespaces. */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { Datapath } from '../../namespaces-lab/processes/datapath.ts';
import type { Strategy } from '../pref/balancers/strategies.ts';
import { parseStrategy } from './balance.ts';
import { addExperimentCommands, datapathOption, EXIT_INVALID } from './lab-run.ts';
import { countFrom, parseCount, parseSeconds } from './number-flags.ts';
import { note, print, printJson, requireRoot, runCommand, tryFolder } from './output.ts';

interface TwoPathFlags {
  seconds: number;
  flows: number;
  lossA: number;
  lossB: number;
  strategy: string;
  scheme: string;
  interval: number;
  seed: number;
  datapath: Datapath;
  out?: string;
  json?: boolean;
}

interface GatewaysFlags {
  seconds: number;
  interval: number;
  strategy: Strategy;
  seed: number;
  datapath: Datapath;
  out?: string;
  json?: boolean;
}

interface OracleFlags {
  transfers: number;
  bytes: number;
  seed: number;
  datapath: Datapath;
  json?: boolean;
}

interface BirdFlags {
  seconds: number;
  connections: number;
  datapath: Datapath;
  json?: boolean;
}

/** Adds the command and its runs. */
export function addLabCommand(program: Command): void {
  const lab = program
    .command('lab')
    .description('real traffic in network namespaces that the command makes and removes');
  lab
    .command('two-path')
    .description('a host with the agent, a gateway with two routes, iperf3 both ways, and what came of it')
    .option('--seconds <count>', 'seconds of traffic each way', parseSeconds, 8)
    .option('--flows <count>', 'parallel flows', countFrom(1), 8)
    .option('--loss-a <ratio>', 'loss ratio of link A, 0..1', parseRatio, 0)
    .option('--loss-b <ratio>', 'loss ratio of link B, 0..1', parseRatio, 0.01)
    .option('--strategy <name>', 'strategy of the gateway', parseStrategy, 'loss')
    .addOption(new Option('--scheme <name>', 'marking scheme').choices(['pool2', 'full']).default('pool2'))
    .option('--interval <seconds>', 'update interval of the gateway', parseSeconds, 1)
    .option('--seed <number>', 'seed of the losses', parseCount, 1)
    .addOption(datapathOption().default('tun'))
    .option('--out <folder>', 'write result.json there')
    .option('--json', 'print the result as one JSON object')
    .action((flags: TwoPathFlags) => runCommand(() => runTwoPathCommand(flags)));
  lab
    .command('oracle')
    .description("compare the bytes marked LEx with the kernel's own count of retransmitted bytes")
    .option(
      '--transfers <count>',
      'transfers for each loss ratio, congestion control and offload setting',
      countFrom(1),
      12,
    )
    .option('--bytes <count>', 'bytes a transfer', countFrom(1), 1_000_000)
    .option('--seed <number>', 'seed of the losses', parseCount, 1)
    .addOption(datapathOption('the agent handles').default('tun'))
    .option('--json', 'print the result as one JSON object')
    .action((flags: OracleFlags) => runCommand(() => runOracleCommand(flags)));
  lab
    .command('bird')
    .description(
      'a gateway that follows the tables of BIRD: two BGP neighbours announce and withdraw networks',
    )
    .option('--seconds <count>', 'seconds of each of the seven phases', parseSeconds, 3)
    .option('--connections <count>', 'connections to each network', countFrom(1), 8)
    .addOption(datapathOption().default('tun'))
    .option('--json', 'print the result as one JSON object')
    .action((flags: BirdFlags) => runCommand(() => runBirdCommand(flags)));
  lab
    .command('gateways')
    .description(
      'two gateways of one domain that share their figures through NATS, cut off from it, and back',
    )
    .option(
      '--seconds <count>',
      'seconds of traffic: a third with the server, without, and with it',
      parseSeconds,
      72,
    )
    .option('--interval <seconds>', 'update interval of both gateways', parseSeconds, 4)
    .option('--strategy <name>', 'strategy of both gateways', parseStrategy, 'loss')
    .option('--seed <number>', 'seed of the transfers', parseCount, 1)
    .addOption(datapathOption().default('tun'))
    .option('--out <folder>', 'write result.json there')
    .option('--json', 'print the result as one JSON object')
    .action((flags: GatewaysFlags) => runCommand(() => runGatewaysCommand(flags)));
  addExperimentCommands(lab);
}

async function runTwoPathCommand(flags: TwoPathFlags): Promise<void> {
  requireRoot('preflex lab');
  tryFolder(flags.out);
  const { withLabScope } = await import('../netns/lab-scope.ts');
  const { runTwoPath } = await import('../../namespaces-lab/runs/two-path.ts');
  const { reportTwoPath } = await import('../../namespaces-lab/reports/two-path.ts');
  const { writeResult } = await import('../../namespaces-lab/result.ts');
  const result = await withLabScope((scope) =>
    runTwoPath(scope, { ...flags, intervalSeconds: flags.interval, onProgress: note }),
  );
  if (flags.out !== undefined) note(`wrote ${writeResult(flags.out, result)}`);
  if (flags.json) printJson(result);
  else print(reportTwoPath(result));
}

async function runGatewaysCommand(flags: GatewaysFlags): Promise<void> {
  requireRoot('preflex lab');
  tryFolder(flags.out);
  const { withLabScope } = await import('../netns/lab-scope.ts');
  const { haveAgreed, runGateways } = await import('../../namespaces-lab/runs/gateways.ts');
  const { reportGateways } = await import('../../namespaces-lab/reports/gateways.ts');
  const { writeResult } = await import('../../namespaces-lab/result.ts');
  const { datapath, interval: intervalSeconds, seconds, seed, strategy } = flags;
  const result = await withLabScope((scope) =>
    runGateways(scope, { seconds, intervalSeconds, seed, strategy, datapath, onProgress: note }),
  );
  if (flags.out !== undefined) note(`wrote ${writeResult(flags.out, result)}`);
  if (flags.json) printJson(result);
  else print(reportGateways(result));
  if (!haveAgreed(result.phases)) process.exitCode = EXIT_INVALID;
}

async function runOracleCommand(flags: OracleFlags): Promise<void> {
  requireRoot('preflex lab');
  const { runOracle } = await import('../../namespaces-lab/runs/oracle.ts');
  const { reportOracle } = await import('../../namespaces-lab/reports/oracle.ts');
  const result = await runOracle({ ...flags, onProgress: note });
  if (flags.json) printJson(result);
  else print(reportOracle(result));
  if (result.difference !== 0 || result.quietLexPackets !== 0) process.exitCode = 1;
}

async function runBirdCommand(flags: BirdFlags): Promise<void> {
  requireRoot('preflex lab');
  const { withLabScope } = await import('../netns/lab-scope.ts');
  const { birdProblems, runBird } = await import('../../namespaces-lab/runs/bird.ts');
  const { reportBird } = await import('../../namespaces-lab/reports/bird.ts');
  const result = await withLabScope((scope) => runBird(scope, { ...flags, onProgress: note }));
  if (flags.json) printJson(result);
  else print(reportBird(result));
  if (birdProblems(result).length > 0) process.exitCode = 1;
}

function parseRatio(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError('It takes a ratio from 0 to 1.');
  return value;
}
