/**
 * The fluid mode beside the packet mode on one bottleneck: 25 Mbit/s, 100 ms round trip, a drop-tail queue of 100
 * packets, then others; closed loop of Weibull sizes and endless flows. Run with
 * `npx tsx test/sim/fluid/calibration.ts [seconds] [newreno|cubic]`. What docs/fluid.md says of calibration comes from it.
 */
import { ClosedLoop } from '../../../lib/sim/apps/closed-loop.ts';
import { sink, startTransfer } from '../../../lib/sim/apps/transfer.ts';
import { FluidSimulation } from '../../../lib/sim/fluid/simulation.ts';
import { Network } from '../../../lib/sim/network.ts';
import type { Topology } from '../../../lib/sim/topology.ts';

/** The bottleneck: rate in bit/s, round trip in ns, queue in packets. */
export interface Bottleneck {
  readonly rate: number;
  readonly rttNs: number;
  readonly queue: number;
}

/** The one that the constants were chosen on, and others to see whether they hold. */
const REFERENCE: Bottleneck = { rate: 25e6, rttNs: 100e6, queue: 100 };
const OTHERS: readonly (readonly [Bottleneck, number])[] = [
  [{ rate: 25e6, rttNs: 40e6, queue: 100 }, 40],
  [{ rate: 25e6, rttNs: 300e6, queue: 100 }, 40],
  [{ rate: 25e6, rttNs: 100e6, queue: 400 }, 40],
  [{ rate: 250e6, rttNs: 100e6, queue: 1000 }, 400],
];
/** Sizes that never end within a run. */
const ENDLESS_BYTES = 1e12;

/** What one run gave. */
export interface CalibrationRow {
  readonly lossRatio: number;
  readonly utilisation: number;
  readonly completed: number;
  readonly medianS: number;
}

function bottleneck(tcp: { congestionControl: 'cubic' | 'newreno' }, link: Bottleneck): Topology {
  return {
    hosts: [
      { name: 'a', address: '10.0.0.1', tcp },
      { name: 'b', address: '10.0.1.1', tcp },
    ],
    links: [
      {
        name: 'l',
        between: ['a', 'b'],
        delayNs: link.rttNs / 2,
        rateBitsPerSec: link.rate,
        queuePackets: link.queue,
        back: { delayNs: link.rttNs / 2 },
      },
    ],
    routing: 'listed',
  };
}

/** Packet mode, from a third of the run on. */
export function packetRow(
  flows: number,
  isEndless: boolean,
  seconds: number,
  congestionControl: 'cubic' | 'newreno',
  link = REFERENCE,
): CalibrationRow {
  const network = new Network(bottleneck({ congestionControl }, link), 1);
  const a = network.host('a');
  const b = network.host('b');
  b.stack.listen(80, () => sink);
  const random = network.randomStream();
  const loop = new ClosedLoop(a.stack, b.addr, 80, random, (t, f) => network.at(t, f));
  if (isEndless) {
    for (let i = 0; i < flows; i++) {
      network.at(random.uniform() * 2e9, () => startTransfer(a.stack, b.addr, 80, Infinity));
    }
  } else loop.setConcurrency(flows);
  const [forward] = network.link('l');
  network.run((seconds / 3) * 1e9);
  const { forwardedPackets } = forward.link;
  const dropped = forward.droppedPackets;
  const { completed } = loop.log;
  network.run(seconds * 1e9);
  const packets = forward.link.forwardedPackets - forwardedPackets;
  const lost = forward.droppedPackets - dropped;
  return {
    lossRatio: lost / (lost + packets),
    utilisation: (packets * 12_000) / ((seconds * 2) / 3) / link.rate,
    completed: loop.log.completed - completed,
    medianS: loop.log.report().completionTime.p50,
  };
}

/** Fluid mode, from a third of the run on. */
export function fluidRow(
  flows: number,
  isEndless: boolean,
  seconds: number,
  congestionControl: 'cubic' | 'newreno',
  link = REFERENCE,
): CalibrationRow {
  const sizes = isEndless ? { scaleBytes: ENDLESS_BYTES, shape: 100 } : {};
  const loads = [{ from: 'a', to: 'b', concurrency: flows }];
  const fluid = new FluidSimulation(bottleneck({ congestionControl }, link), loads, 1, {
    congestionControl,
    ...sizes,
  });
  fluid.run(seconds / 3);
  fluid.beginMeasurement();
  fluid.run(seconds);
  const { links, flows: counts } = fluid.report();
  return {
    lossRatio: links[0].lossRatio,
    utilisation: links[0].utilisation,
    completed: counts.completed,
    medianS: counts.completionTime.p50,
  };
}

if (process.argv[1]?.endsWith('calibration.ts')) {
  const seconds = Number(process.argv[2] ?? 150);
  const congestionControl = process.argv[3] === 'newreno' ? 'newreno' : 'cubic';
  console.log(`${congestionControl}, ${seconds} s, figures of the last two thirds: packet mode, fluid mode`);
  console.log('sizes    flows      loss %       utilisation %   completed    median s');
  const show = (isEndless: boolean, flows: number, link: Bottleneck): void => {
    const rows = [packetRow, fluidRow].map((run) => run(flows, isEndless, seconds, congestionControl, link));
    const pair = (pick: (row: CalibrationRow) => number, digits: number, width: number): string =>
      rows.map((row) => pick(row).toFixed(digits).padStart(width)).join(' ');
    console.log(
      `${isEndless ? 'endless' : 'Weibull'} ${String(flows).padStart(6)}  ${pair((row) => row.lossRatio * 100, 2, 6)}  ` +
        `${pair((row) => row.utilisation * 100, 1, 6)}    ${pair((row) => row.completed, 0, 5)}  ${pair((row) => row.medianS, 2, 6)}`,
    );
  };
  for (const isEndless of [true, false]) {
    for (const flows of [5, 10, 20, 40, 80, 160]) show(isEndless, flows, REFERENCE);
  }
  for (const [link, flows] of OTHERS) {
    console.log(`${link.rate / 1e6} Mbit/s, ${link.rttNs / 1e6} ms, ${link.queue} packets:`);
    for (const isEndless of [true, false]) show(isEndless, flows, link);
  }
}
