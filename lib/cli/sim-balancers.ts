/** `preflex sim balancers`: the self-tuning balancer against fixed betas, on a grid of saturated TCP. */
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { CellResult } from '../sim/balancing/grid.ts';
import type { PacketRun } from '../sim/balancing/packet-level.ts';
import { estimate } from '../sim/statistics.ts';
import { parseCount } from './number-flags.ts';
import { print, printJson, runCommand } from './output.ts';
import { parseNumbers, parseWorkers, runWithProgress } from './sim-output.ts';
import { formatTable } from './table.ts';

interface BalancersFlags {
  grid: boolean;
  packets: boolean;
  seed: number;
  runs: number;
  seeds: number[];
  workers?: number;
  json?: boolean;
}

/** Turnover of the packet-level runs, wanted, and how long they are. */
const PACKET_TURNOVERS = [0.3, 1, 3];
const PACKET_SECONDS = 400;
const PACKET_STRATEGIES = ['loss', 'self-tuning'] as const;
/** Runs of a cell: as many as lib/sim/balancing/grid.ts has by itself. */
const RUNS = 16;
const MAX_RUNS = 10_000;

/** The runs of one strategy at one turnover, one for each seed. */
interface PacketResult {
  readonly balancer: (typeof PACKET_STRATEGIES)[number];
  readonly turnover: number;
  readonly seeds: readonly number[];
  readonly runs: readonly PacketRun[];
}

/** Adds the command below `preflex sim`. */
export function addBalancersCommand(sim: Command): void {
  sim
    .command('balancers')
    .description('the self-tuning balancer against fixed betas, on a grid of saturated TCP')
    .option('--seed <number>', 'first seed of the grid', parseCount, 1)
    .option('--runs <count>', 'runs of each cell and balancer, with successive seeds', parseRuns, RUNS)
    .option('--no-grid', 'leave out the grid')
    .option('--no-packets', 'leave out the runs at packet level')
    .option('--seeds <list>', 'seeds of the runs at packet level, such as 1..16', parseNumbers, [1])
    .option('--workers <count>', 'threads; default one for each processor', parseWorkers)
    .option('--json', 'print all cells of the grid and all runs as one JSON object')
    .action((flags: BalancersFlags) => runCommand(() => runBalancers(flags)));
}

function parseRuns(text: string): number {
  const runs = Number(text);
  if (Number.isInteger(runs) && runs >= 1 && runs <= MAX_RUNS) return runs;
  throw new InvalidArgumentError(`It takes a whole number from 1 to ${MAX_RUNS}.`);
}

async function runBalancers(flags: BalancersFlags): Promise<void> {
  const { gridCells } = await import('../sim/balancing/grid.ts');
  const { seed, runs, workers } = flags;
  const cells = flags.grid
    ? await runWithProgress(
        gridCells().map((cell) => ({ kind: 'cell' as const, options: { cell, seed, runs } })),
        workers,
      )
    : [];
  const packets = flags.packets ? await runAtPacketLevel(flags.seeds, workers) : [];
  if (flags.json === true) {
    printJson({ cells, packets });
    return;
  }
  if (flags.grid) await showGrid(cells);
  if (flags.packets) showPackets(packets);
}

async function runAtPacketLevel(
  seeds: readonly number[],
  workers: number | undefined,
): Promise<PacketResult[]> {
  const groups = PACKET_TURNOVERS.flatMap((turnover) =>
    PACKET_STRATEGIES.map((balancer) => ({ balancer, turnover, seeds })),
  );
  const tasks = groups.flatMap(({ balancer: strategy, turnover }) =>
    seeds.map((seed) => ({
      kind: 'packets' as const,
      options: { strategy, turnover, seconds: PACKET_SECONDS, seed },
    })),
  );
  const runs = await runWithProgress(tasks, workers);
  return groups.map((group, i) => ({
    ...group,
    runs: runs.slice(i * seeds.length, (i + 1) * seeds.length),
  }));
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

function showPackets(results: readonly PacketResult[]): void {
  const mean = ({ runs }: PacketResult, value: (run: PacketRun) => number): number =>
    runs.reduce((sum, run) => sum + value(run), 0) / runs.length;
  print('');
  print(
    formatTable([
      [
        'packet level',
        'turnover',
        'runs',
        'swings',
        'mean ratios',
        'spread',
        'interval',
        'LEx an interval',
        'throughput',
      ],
      ...results.map((result) => [
        result.balancer,
        mean(result, (run) => run.turnover).toFixed(2),
        String(result.runs.length),
        String(Math.max(...result.runs.map((run) => run.alternations))),
        result.runs[0].ratios.map((_, i) => mean(result, (run) => run.ratios[i]).toFixed(3)).join(' '),
        withInterval(result.runs.map((run) => run.spread)),
        `${mean(result, (run) => run.intervalS).toFixed(1)} s`,
        mean(result, (run) => run.lexPackets).toFixed(0),
        `${mean(result, (run) => run.throughputMbit).toFixed(1)} Mbit/s`,
      ]),
    ]),
  );
  print('');
  print(
    'Packet level: 80 transfers over 4, 12 and 36 Mbit/s, means of the runs; swings: most alternating ones over 0.05',
  );
  print('in a row of any run; spread: of the loss ratios of 200 s, with its 95 % interval over the runs.');
  for (const line of compareSpreads(results)) print(line);
}

/** How much wider self-tuning is than the loss balancer, with the interval of the difference seed by seed. */
function compareSpreads(results: readonly PacketResult[]): string[] {
  const spreads = (balancer: PacketResult['balancer'], turnover?: number): number[] =>
    results
      .filter((result) => result.balancer === balancer && (turnover ?? result.turnover) === result.turnover)
      .flatMap(({ runs }) => runs.map(({ spread }) => spread));
  const describe = (label: string, turnover?: number): string => {
    const [fixed, tuned] = [spreads('loss', turnover), spreads('self-tuning', turnover)];
    const base = estimate(fixed)!.mean;
    const percent = tuned.map((spread, i) => ((spread - fixed[i]) / base) * 100);
    return `Self-tuning against loss, ${label}: ${withInterval(percent, 0)} % wider (negative: narrower).`;
  };
  return [
    ...PACKET_TURNOVERS.map((turnover) => describe(`turnover ${turnover}`, turnover)),
    describe('all runs'),
  ];
}

function withInterval(values: readonly number[], digits = 2): string {
  const { mean, halfWidth } = estimate(values)!;
  return halfWidth === null ? mean.toFixed(digits) : `${mean.toFixed(digits)} ± ${halfWidth.toFixed(digits)}`;
}
