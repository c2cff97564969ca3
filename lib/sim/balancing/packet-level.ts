/**
 * A balancer at packet level, to confirm what the closed model says: real TCP, the daemons' own host and gateway,
 * drop-tail queues, losses in bursts, transfers of different lengths.
 *
 *      a (LEX) --- p (PREF) ==== L1 4, L2 12, L3 36 Mbit/s, 40 ms ==== r --- b
 *
 * Every queue holds 50 ms. Eighty transfers at a time; their mean size sets the turnover: the mean size over the capacity
 * is the time in which one transfer is replaced by another.
 */
import type { Balancer } from '../../pref/balancers/balancer.ts';
import { ClosedLoop } from '../apps/closed-loop.ts';
import { sink } from '../apps/transfer.ts';
import { Network } from '../network.ts';
import { LINUX_TCP } from '../scenarios/figure1-topology.ts';
import type { Topology } from '../topology.ts';
import { alternations } from './grid.ts';

const RATES_MBIT = [4, 12, 36];
const PATH_IDS = [1, 2, 3];
const TRANSFERS = 80;
const CONFIGURED_S = 10;
const NS_PER_S = 1e9;
/** Exponential sizes, as the closed model has them; with the paper's 0.5 their mean would be twice the scale. */
const SHAPE = 1;

/** What to run: {@link runPackets}, as data. */
export interface PacketRunOptions {
  readonly strategy: 'loss' | 'self-tuning';
  readonly turnover: number;
  readonly seconds: number;
  readonly seed: number;
}

/** How a balancer did. */
export interface PacketRun {
  /** Transfers begun in a configured interval over transfers running, as they were. */
  readonly turnover: number;
  /** Longest row of swings over 0.05 with alternating sign, in the second half. */
  readonly alternations: number;
  /** Ratios at the end, by route. */
  readonly ratios: readonly number[];
  /** Largest loss ratio less the smallest, over their mean, of the second half as a whole. */
  readonly spread: number;
  /** Mean update interval of the second half, s. */
  readonly intervalS: number;
  /** LEx packets in a mean interval of the second half. */
  readonly lexPackets: number;
  /** Mean throughput of the second half, Mbit/s. */
  readonly throughputMbit: number;
}

/**
 * Runs a balancer for so many seconds of virtual time.
 *
 * @param turnover - wanted: transfers begun in 10 s over transfers running
 */
export function runPackets(balancer: Balancer, turnover: number, seconds: number, seed = 1): PacketRun {
  const network = new Network(topology(balancer), seed);
  const { addr, stack } = network.host('b');
  stack.listen(80, () => sink);
  const capacityBytes = (RATES_MBIT.reduce((sum, rate) => sum + rate, 0) * 1e6) / 8;
  const loop = new ClosedLoop(
    network.host('a').stack,
    addr,
    80,
    network.randomStream(),
    (timeNs, action) => network.at(timeNs, action),
    { shape: SHAPE, scaleBytes: (capacityBytes * CONFIGURED_S) / TRANSFERS / turnover, spreadNs: 2e9 },
  );
  loop.setConcurrency(TRANSFERS);
  network.run((seconds / 2) * NS_PER_S);
  const { gateway } = network.gateway('p');
  const half = snapshot();
  const ratios: number[][] = [];
  let seen = gateway.intervals;
  for (let s = Math.floor(seconds / 2); s < seconds; s += 0.5) {
    network.run((s + 0.5) * NS_PER_S);
    if (gateway.intervals === seen) continue;
    seen = gateway.intervals;
    ratios.push(PATH_IDS.map((pathId) => gateway.flowletRatio(0, pathId)));
  }
  const end = snapshot();
  const losses = PATH_IDS.map(
    (_, i) => (end.lost[i] - half.lost[i]) / Math.max(1, end.bytes[i] - half.bytes[i]),
  );
  const intervals = Math.max(1, end.intervals - half.intervals);
  const lostBytes = end.lost.reduce((sum, bytes, i) => sum + bytes - half.lost[i], 0);
  const sentBytes = end.bytes.reduce((sum, bytes, i) => sum + bytes - half.bytes[i], 0);
  const mean = losses.reduce((sum, ratio) => sum + ratio, 0) / losses.length;
  return {
    turnover: (end.started - half.started) / (seconds / 2 / CONFIGURED_S) / TRANSFERS,
    alternations: Math.max(...PATH_IDS.map((_, i) => alternations(ratios.map((row) => row[i])))),
    ratios: PATH_IDS.map((pathId) => gateway.flowletRatio(0, pathId)),
    spread: (Math.max(...losses) - Math.min(...losses)) / mean,
    intervalS: seconds / 2 / intervals,
    lexPackets: lostBytes / 1500 / intervals,
    throughputMbit: (sentBytes * 8) / (seconds / 2) / 1e6,
  };

  function snapshot(): { lost: number[]; bytes: number[]; intervals: number; started: number } {
    const { routes } = gateway.destinationStatus(0);
    return {
      lost: routes.map(({ total }) => total.lexBytes + total.fneRepeatBytes),
      bytes: routes.map(({ total }) => total.bytes),
      intervals: gateway.intervals,
      started: loop.log.started,
    };
  }
}

function topology(balancer: Balancer): Topology {
  return {
    hosts: [
      { name: 'a', address: '10.0.0.1', lex: true, tcp: LINUX_TCP },
      { name: 'b', address: '10.9.0.1' },
    ],
    routers: [{ name: 'r' }],
    gateways: [
      {
        name: 'p',
        egresses: PATH_IDS.map((pathId) => ({ pathId, name: `L${pathId}`, link: `L${pathId}` })),
        destinations: [{ prefixes: ['10.9.0.0/16'], pathIds: PATH_IDS }],
        // The balancer alone: a suspended route would be told by nothing in the ratios.
        options: { balancer, updateIntervalNs: CONFIGURED_S * NS_PER_S, inferFailures: false },
      },
    ],
    links: [
      { name: 'a-p', between: ['a', 'p'], delayNs: 5e6 },
      ...PATH_IDS.map((pathId, i) => ({
        name: `L${pathId}`,
        between: ['p', 'r'] as const,
        delayNs: 40e6,
        rateBitsPerSec: RATES_MBIT[i] * 1e6,
        queueBytes: Math.round((RATES_MBIT[i] * 1e6 * 0.05) / 8),
        // Acknowledgements come back without loss.
        back: { delayNs: 40e6 },
      })),
      { name: 'r-b', between: ['r', 'b'], delayNs: 5e6 },
    ],
  };
}
