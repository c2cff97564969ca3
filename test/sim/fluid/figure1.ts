/**
 * The paper's Figure 1 in both modes of the simulator: three bottlenecks of 25 Mbit/s, 100 ms round trip, P balances over
 * all of them, I1 fills L1 and I2 a part of L3.
 *
 *      hp --- p (PREF) --+-- a1 == L1 ==+
 *                        +------ L2 ==+ |
 *      hi1 -- a1         +-- a3 == L3 == he
 *      hi2 -- a3
 */
import type { Balancer } from '../../../lib/pref/balancers/balancer.ts';
import { ClosedLoop } from '../../../lib/sim/apps/closed-loop.ts';
import { sink } from '../../../lib/sim/apps/transfer.ts';
import { FluidSimulation } from '../../../lib/sim/fluid/simulation.ts';
import { Network } from '../../../lib/sim/network.ts';
import type { LinkSpec, Topology } from '../../../lib/sim/topology.ts';

const MS = 1e6;
const PATHS = [1, 2, 3];
const INTERVAL_S = 10;
/** Concurrent transfers of P, I1 and I2 to E. */
const LOADS = [
  ['hp', 40],
  ['hi1', 30],
  ['hi2', 10],
] as const;

/** Means over the measured part of a run, one entry a route. */
export interface Figure1Result {
  /** Flowlet ratios at the ends of the update intervals. */
  readonly ratios: readonly number[];
  /** L_i / T_i that the gateway counted (packet mode), or lost bytes of sent ones (fluid mode). */
  readonly lossRatios: readonly number[];
  readonly utilisation: readonly number[];
  readonly completed: number;
}

/** The network, with a balancer for P. */
export function figure1(balancer: Balancer): Topology {
  const bottleneck = (i: number, from: string, delayNs: number): LinkSpec => ({
    name: `L${i}`,
    between: [from, 'he'],
    delayNs,
    rateBitsPerSec: 25e6,
    queuePackets: 100,
    back: { delayNs },
  });
  const toward = (link: string): { prefix: string; link: string } => ({ prefix: '10.9.0.0/16', link });
  const routes = (...back: [string, string][]): { prefix: string; link: string }[] =>
    back.map(([prefix, link]) => ({ prefix, link }));
  return {
    hosts: [
      { name: 'hp', address: '10.0.0.1', lex: true },
      { name: 'hi1', address: '10.1.0.1' },
      { name: 'hi2', address: '10.2.0.1' },
      {
        name: 'he',
        address: '10.9.0.1',
        routes: routes(['10.0.0.0/16', 'L2'], ['10.1.0.0/16', 'L1'], ['10.2.0.0/16', 'L3']),
      },
    ],
    routers: [
      { name: 'a1', routes: [toward('L1'), ...routes(['10.0.0.0/16', 'p-a1'], ['10.1.0.0/16', 'hi1-a1'])] },
      { name: 'a3', routes: [toward('L3'), ...routes(['10.0.0.0/16', 'p-a3'], ['10.2.0.0/16', 'hi2-a3'])] },
    ],
    gateways: [
      {
        name: 'p',
        egresses: ['p-a1', 'L2', 'p-a3'].map((link, i) => ({ pathId: i + 1, name: `L${i + 1}`, link })),
        destinations: [{ prefixes: ['10.9.0.0/16'], pathIds: PATHS }],
        routes: routes(['10.0.0.0/16', 'hp-p']),
        options: { balancer, updateIntervalNs: INTERVAL_S * 1e9 },
      },
    ],
    links: [
      { name: 'hp-p', between: ['hp', 'p'], delayNs: 10 * MS },
      { name: 'p-a1', between: ['p', 'a1'], delayNs: 10 * MS },
      { name: 'p-a3', between: ['p', 'a3'], delayNs: 10 * MS },
      { name: 'hi1-a1', between: ['hi1', 'a1'], delayNs: 20 * MS },
      { name: 'hi2-a3', between: ['hi2', 'a3'], delayNs: 20 * MS },
      bottleneck(1, 'a1', 30 * MS),
      bottleneck(2, 'p', 40 * MS),
      bottleneck(3, 'a3', 30 * MS),
    ],
    routing: 'listed',
  };
}

/** Runs the packets. */
export function packetFigure1(
  balancer: Balancer,
  fromS: number,
  untilS: number,
  seed: number,
): Figure1Result {
  const network = new Network(figure1(balancer), seed);
  const he = network.host('he');
  he.stack.listen(80, () => sink);
  const loops = LOADS.map(([name, flows]) => {
    const { stack } = network.host(name);
    const loop = new ClosedLoop(stack, he.addr, 80, network.randomStream(), (t, f) => network.at(t, f));
    loop.setConcurrency(flows);
    return loop;
  });
  const { gateway } = network.gateway('p');
  const totals = (): { bytes: number; lexBytes: number }[] =>
    gateway.destinationStatus(0).routes.map(({ total }) => total);
  const carried = (): number[] => PATHS.map((i) => network.link(`L${i}`)[0].link.forwardedBytes);
  const completed = (): number => loops.reduce((sum, { log }) => sum + log.completed, 0);
  network.run(fromS * 1e9);
  const before = { totals: totals(), carried: carried(), completed: completed() };
  const ratios = meanRatios(fromS, untilS, (t) => {
    network.run(t * 1e9);
    return PATHS.map((pathId) => gateway.flowletRatio(0, pathId));
  });
  const after = totals();
  return {
    ratios,
    lossRatios: after.map(
      ({ bytes, lexBytes }, i) => (lexBytes - before.totals[i].lexBytes) / (bytes - before.totals[i].bytes),
    ),
    utilisation: carried().map((bytes, i) => ((bytes - before.carried[i]) * 8) / (untilS - fromS) / 25e6),
    completed: completed() - before.completed,
  };
}

/** Runs the fluid. */
export function fluidFigure1(balancer: Balancer, fromS: number, untilS: number, seed: number): Figure1Result {
  const loads = LOADS.map(([from, concurrency]) => ({ from, to: 'he', concurrency }));
  const fluid = new FluidSimulation(figure1(balancer), loads, seed);
  fluid.run(fromS);
  fluid.beginMeasurement();
  const ratios = meanRatios(fromS, untilS, (t) => {
    fluid.run(t);
    return fluid
      .routes()
      .slice(0, PATHS.length)
      .map(({ flowletRatio }) => flowletRatio);
  });
  const report = fluid.report();
  return {
    ratios,
    lossRatios: fluid
      .routes()
      .slice(0, PATHS.length)
      .map(({ lossRatio }) => lossRatio),
    utilisation: PATHS.map((i) => report.links.find(({ name }) => name === `L${i}`)!.utilisation),
    completed: report.flows.completed,
  };
}

function meanRatios(fromS: number, untilS: number, at: (t: number) => number[]): number[] {
  const sums = PATHS.map(() => 0);
  let count = 0;
  for (let t = fromS + INTERVAL_S; t <= untilS; t += INTERVAL_S, count++) {
    // Just after the update.
    at(t + 0.1).forEach((ratio, i) => (sums[i] += ratio));
  }
  return sums.map((sum) => sum / count);
}

if (process.argv[1]?.endsWith('figure1.ts')) {
  const { equal } = await import('../../../lib/pref/balancers/equal.ts');
  const { loss } = await import('../../../lib/pref/balancers/loss.ts');
  const seconds = Number(process.argv[2] ?? 250);
  console.log(
    'balancer mode    seed  flowlet ratios       loss ratios, %       utilisation          completed',
  );
  for (const balancer of [equal(), loss()]) {
    for (const [mode, run] of [
      ['packet', packetFigure1],
      ['fluid', fluidFigure1],
    ] as const) {
      for (const seed of [1, 2, 3]) {
        const { completed, lossRatios, ratios, utilisation } = run(balancer, 50, seconds, seed);
        const three = (values: readonly number[], scale: number, digits: number): string =>
          values.map((value) => (value * scale).toFixed(digits).padStart(6)).join(' ');
        console.log(
          `${balancer.name.padEnd(8)} ${mode.padEnd(7)} ${String(seed).padStart(4)} ${three(ratios, 1, 3)} ${three(lossRatios, 100, 2)} ${three(utilisation, 1, 3)} ${String(completed).padStart(10)}`,
        );
      }
    }
  }
}
