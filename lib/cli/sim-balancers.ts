/** `preflex sim balancers`: the self-tuning balancer against fixed betas, on a grid of saturated TCP. */
import type { Command } from 'commander';
import type { CellResult } from '../sim/balancing/grid.ts';
import type { PacketRun } from '../sim/balancing/packet-level.ts';
import { parseCount } from './host.ts';
import { note, print, printJson, runCommand } from './output.ts';
import { formatTable } from './table.ts';

interface BalancersFlags {
  packets: boolean;
  seed: number;
  json?: boolean;
}

/** Turnover of the packet-level runs, wanted, and how long they are. */
const PACKET_TURNOVERS = [0.3, 1, 3];
const PACKET_SECONDS = 400;

interface PacketResult {
  readonly balancer: string;
  readonly run: PacketRun;
}

/** Adds the command below `preflex sim`. */
export function addBalancersCommand(sim: Command): void {
  sim
    .command('balancers')
    .description('the self-tuning balancer against fixed betas, on a grid of saturated TCP')
    .option('--seed <number>', 'seed of what is drawn', parseCount, 1)
    .option('--no-packets', 'leave out the runs at packet level, which take half a minute')
    .option('--json', 'print all cells of the grid and all runs as one JSON object')
    .action((flags: BalancersFlags) => runCommand(() => runBalancers(flags)));
}

async function runBalancers({ packets, seed, json }: BalancersFlags): Promise<void> {
  const { gridCells, runCell } = await import('../sim/balancing/grid.ts');
  const cells = gridCells().map((cell) => runCell(cell, seed));
  const runs = packets ? await runAtPacketLevel(seed) : [];
  if (json === true) {
    printJson({ cells, packets: runs });
    return;
  }
  await showGrid(cells);
  if (packets) showPackets(runs);
}

async function runAtPacketLevel(seed: number): Promise<PacketResult[]> {
  const { runPackets } = await import('../sim/balancing/packet-level.ts');
  const { loss } = await import('../pref/balancers/loss.ts');
  const { selfTuning } = await import('../pref/balancers/self-tuning.ts');
  return PACKET_TURNOVERS.flatMap((turnover) =>
    [loss(), selfTuning()].map((balancer) => {
      note(`packets: ${balancer.name}, turnover ${turnover}`);
      return { balancer: balancer.name, run: runPackets(balancer, turnover, PACKET_SECONDS, seed) };
    }),
  );
}

async function showGrid(cells: readonly CellResult[]): Promise<void> {
  const grid = await import('../sim/balancing/grid.ts');
  const { INTERVALS_TO_CONVERGE, KINDS, LEX_PACKETS, SPREAD_FACTOR, SUSTAINED, TURNOVERS } = grid;
  const { isSpreadGood } = grid;
  const rows = KINDS.flatMap((kind) =>
    LEX_PACKETS.flatMap((lexPackets) =>
      TURNOVERS.map((turnover) => {
        const group = cells.filter(
          (cell) => cell.kind === kind && cell.lexPackets === lexPackets && cell.turnover === turnover,
        );
        const worst = (value: (cell: CellResult) => number): number => Math.max(...group.map(value));
        const count = (is: (cell: CellResult) => boolean): string => String(group.filter(is).length);
        return [
          kind,
          String(lexPackets),
          turnover.toFixed(2),
          count((cell) => cell.selfTuning.alternations >= SUSTAINED),
          count((cell) => cell.paper.alternations >= SUSTAINED),
          String(worst((cell) => cell.selfTuning.convergedAfter)),
          String(worst((cell) => cell.paper.convergedAfter)),
          worst((cell) => cell.selfTuning.spread).toFixed(2),
          worst((cell) => cell.paper.spread).toFixed(2),
          worst((cell) => cell.bestSpread).toFixed(2),
          count((cell) => !isSpreadGood(cell)),
          (group.reduce((sum, cell) => sum + cell.selfTuning.intervalLength, 0) / group.length).toFixed(2),
        ];
      }),
    ),
  );
  print(
    formatTable([
      [
        'turnover is',
        'LEx',
        'turnover',
        'oscillating',
        'paper',
        'converged',
        'paper',
        'spread',
        'paper',
        'best',
        'wider',
        'interval',
      ],
      ...rows,
    ]),
  );
  const total = (is: (cell: CellResult) => boolean): number => cells.filter(is).length;
  print(
    [
      '',
      `Each row: 18 cells of 2 to 7 routes with capacities 1 : 1, 3 : 1 and 9 : 1; the worst of them. LEx and turnover a`,
      `configured interval. Paper: betas 0.1, 0, 0.9. Oscillating: ${SUSTAINED} swings over 0.05 of alternating sign in a row.`,
      `Converged: own intervals. Spread: of the loss ratios as counted in a configured interval, over their mean, chance`,
      `included. Wider: than the best fixed setting times ${SPREAD_FACTOR}. Interval: mean, in configured intervals.`,
      `Of ${cells.length} cells, self-tuning: ${total((cell) => cell.selfTuning.alternations >= SUSTAINED)} oscillating, ` +
        `${total((cell) => cell.selfTuning.convergedAfter > INTERVALS_TO_CONVERGE)} not converged in ${INTERVALS_TO_CONVERGE} intervals, ` +
        `${total((cell) => !isSpreadGood(cell))} wider.`,
      `Paper's betas: ${total((cell) => cell.paper.alternations >= SUSTAINED)} oscillating, ` +
        `${total((cell) => cell.paper.convergedAfter > INTERVALS_TO_CONVERGE)} not converged, ` +
        `${total((cell) => cell.paper.spread > SPREAD_FACTOR * cell.bestSpread)} wider.`,
    ].join('\n'),
  );
}

function showPackets(runs: readonly PacketResult[]): void {
  print('');
  print(
    formatTable([
      ['packet level', 'turnover', 'swings', 'ratios', 'spread', 'interval', 'LEx an interval', 'throughput'],
      ...runs.map(({ balancer, run }) => [
        balancer,
        run.turnover.toFixed(2),
        String(run.alternations),
        run.ratios.map((ratio) => ratio.toFixed(3)).join(' '),
        run.spread.toFixed(2),
        `${run.intervalS.toFixed(1)} s`,
        run.lexPackets.toFixed(0),
        `${run.throughputMbit.toFixed(1)} Mbit/s`,
      ]),
    ]),
  );
  print('');
  print('Packet level: 80 transfers over 4, 12 and 36 Mbit/s; swings: alternating ones over 0.05 in a row.');
}
