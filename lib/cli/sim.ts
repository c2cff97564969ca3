/** `preflex sim`: networks in virtual time, on any operating system and without privileges. */
import { Option } from 'commander';
import type { Command } from 'commander';
import { parseBetas, parseStrategy } from './balance.ts';
import { parseCount, parseSeconds } from './number-flags.ts';
import { runCommand } from './output.ts';
import { addBalancersCommand } from './sim-balancers.ts';
import type { CongestionFlags } from './sim-congestion.ts';
import type { Figure1Flags } from './sim-figure1.ts';
import { addFluidCommand } from './sim-fluid.ts';
import type { LossTableFlags } from './sim-loss-table.ts';
import { parseNumbers, parseWorkers } from './sim-output.ts';
import type { RecoveryFlags } from './sim-recovery.ts';
import type { SweepFlags } from './sim-sweep.ts';

/** What of L2 can die. */
const DEAD = ['forward', 'backward', 'both'];

/** Adds the command and its simulations. */
export function addSimCommand(program: Command): void {
  const sim = program.command('sim').description('networks in virtual time: the same cores, no root needed');
  sim
    .command('figure1')
    .description("the paper's Figure 1 with the laboratory's own scenarios, over several seeds")
    .option('--scenario <name>', 'quick, fig3-equal, fig3-loss, fig4, fig4-fast or heterogeneous', 'fig4')
    .option(
      '--mode <name>',
      'how P divides its traffic: equal, conservative, loss, mixed or self-tuning',
      parseStrategy,
    )
    .option('--betas <equal,conservative,loss>', 'weights of equation 3, sum 1 (mode mixed)', parseBetas)
    .option('--seeds <list>', 'seeds of sizes and chance, such as 1..30 or 1,4,7', parseNumbers, [1])
    .option('--seconds <count>', 'seconds of traffic; every other time is scaled with it', parseSeconds)
    .option('--interval <seconds>', 'update interval of the gateway', parseSeconds)
    .option('--workers <count>', 'threads; default one for each processor', parseWorkers)
    .option('--against <folder...>', "folders of the laboratory's runs of the same scenario to compare with")
    .option('--out <folder>', 'write result.json and the figures there')
    .option('--json', 'print the result as one JSON object')
    .action((flags: Figure1Flags) =>
      runCommand(async () => {
        const { runFigure1Command } = await import('./sim-figure1.ts');
        await runFigure1Command(flags);
      }),
    );
  sim
    .command('sweep')
    .description('a grid of parameters from a YAML file; see docs/samples/sweep.yaml')
    .argument('<file>', 'the grid')
    .option('--workers <count>', 'threads; default one for each processor', parseWorkers)
    .option('--out <folder>', 'write sweep.json and heat-map.svg there')
    .option('--json', 'print the result as one JSON object')
    .action((file: string, flags: SweepFlags) =>
      runCommand(async () => {
        const { runSweepCommand } = await import('./sim-sweep.ts');
        await runSweepCommand(file, flags);
      }),
    );
  sim
    .command('loss-table')
    .description('loss ratio over the number of bulk flows: 25 Mbit/s, 100 ms, a queue of one BDP')
    .option('--flows <list>', 'numbers of flows', parseNumbers, [1, 2, 5, 10, 20, 50, 100])
    .option('--seconds <count>', 'simulated seconds a row, the first fifth not counted', parseSeconds, 200)
    .option('--seeds <list>', 'seeds; the rows have their mean', parseNumbers, [1])
    .option('--workers <count>', 'threads; default one for each processor', parseWorkers)
    .option('--json', 'print the result as one JSON object')
    .action((flags: LossTableFlags) =>
      runCommand(async () => {
        const { runLossTableCommand } = await import('./sim-loss-table.ts');
        await runLossTableCommand(flags);
      }),
    );
  sim
    .command('recovery')
    .description(
      'two PREFLEX domains, 60 running connections, L2 dead for 30 s: how long do they stand still',
    )
    .option(
      '--mode <name>',
      'how both gateways divide their traffic; equal infers no failures',
      parseStrategy,
      'loss',
    )
    .addOption(
      new Option('--dead <directions>', 'of L2: forward is that of the data')
        .choices(DEAD)
        .default('forward'),
    )
    .option('--seeds <list>', 'seeds of chance', parseNumbers, [1, 2, 3])
    .option('--fne-after-timeouts <count>', 'timeouts after which a host gives up a path', parseCount)
    .option('--no-exposed', 'the gateways do not show each other the marks')
    .option('--workers <count>', 'threads; default one for each processor', parseWorkers)
    .option('--json', 'print the result as one JSON object')
    .action((flags: RecoveryFlags) =>
      runCommand(async () => {
        const { runRecoveryCommand } = await import('./sim-recovery.ts');
        await runRecoveryCommand(flags);
      }),
    );
  sim
    .command('congestion')
    .description('losses of 0.1 to 8 %, bursts and full queues, nothing fails: no route may be suspended')
    .option('--seconds <count>', 'simulated seconds of each kind of congestion', parseSeconds, 3600)
    .option('--seeds <list>', 'seeds of chance', parseNumbers, [1])
    .option('--workers <count>', 'threads; default one for each processor', parseWorkers)
    .option('--json', 'print the result as one JSON object')
    .action((flags: CongestionFlags) =>
      runCommand(async () => {
        const { runCongestionCommand } = await import('./sim-congestion.ts');
        await runCongestionCommand(flags);
      }),
    );
  addFluidCommand(sim);
  addBalancersCommand(sim);
}
