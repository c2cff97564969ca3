/**
 * Speed of the simulator: the paper's Figure 1 with three bottlenecks of 25 Mbit/s and about 80 closed-loop transfers.
 * Run with `npx tsx test/bench/sim-figure1.ts [seconds] [folded]`.
 */
import { ClosedLoop } from '../../lib/sim/apps/closed-loop.ts';
import { sink } from '../../lib/sim/apps/transfer.ts';
import { Network } from '../../lib/sim/network.ts';
import type { GatewaySpec, LinkSpec, Topology } from '../../lib/sim/topology.ts';

const MS = 1e6;

/** Figure 1 as drawn: five links of 10 ms between hosts, every router there. */
export function figure1(): Topology {
  return {
    hosts: HOSTS,
    routers: ['a1', 'a2', 'a3', 'e', 'i1', 'i2'].map((name) => ({ name })),
    gateways: [gateway(['p-a1', 'p-a2', 'p-a3'])],
    links: [
      { name: 'hp-p', between: ['hp', 'p'], delayNs: 10 * MS },
      ...[1, 2, 3].map((i) => ({ name: `p-a${i}`, between: ['p', `a${i}`] as const, delayNs: 10 * MS })),
      ...[1, 2, 3].map((i) => bottleneck(i, [`a${i}`, 'e'], 10 * MS)),
      { name: 'hi1-i1', between: ['hi1', 'i1'], delayNs: 10 * MS },
      { name: 'i1-a1', between: ['i1', 'a1'], delayNs: 10 * MS },
      { name: 'hi2-i2', between: ['hi2', 'i2'], delayNs: 10 * MS },
      { name: 'i2-a3', between: ['i2', 'a3'], delayNs: 10 * MS },
      { name: 'e-he', between: ['e', 'he'], delayNs: 20 * MS },
    ],
  };
}

/** The same delays and queues with links in series made one, as in the laboratory. */
export function foldedFigure1(): Topology {
  return {
    hosts: HOSTS,
    routers: ['a1', 'a3'].map((name) => ({ name })),
    gateways: [gateway(['p-a1', 'L2', 'p-a3'])],
    links: [
      { name: 'hp-p', between: ['hp', 'p'], delayNs: 10 * MS },
      ...[1, 3].map((i) => ({ name: `p-a${i}`, between: ['p', `a${i}`] as const, delayNs: 10 * MS })),
      bottleneck(1, ['a1', 'he'], 30 * MS),
      bottleneck(2, ['p', 'he'], 40 * MS),
      bottleneck(3, ['a3', 'he'], 30 * MS),
      { name: 'hi1-a1', between: ['hi1', 'a1'], delayNs: 20 * MS },
      { name: 'hi2-a3', between: ['hi2', 'a3'], delayNs: 20 * MS },
    ],
  };
}

const HOSTS = [
  { name: 'hp', address: '10.0.0.1', lex: true },
  { name: 'hi1', address: '10.1.0.1' },
  { name: 'hi2', address: '10.2.0.1' },
  { name: 'he', address: '10.9.0.1' },
];

function gateway(egressLinks: readonly string[]): GatewaySpec {
  return {
    name: 'p',
    egresses: egressLinks.map((link, i) => ({ pathId: i + 1, name: `L${i + 1}`, link })),
    destinations: [{ prefixes: ['10.9.0.0/16'], pathIds: [1, 2, 3] }],
  };
}

function bottleneck(i: number, between: readonly [string, string], delayNs: number): LinkSpec {
  return { name: `L${i}`, between, rateBitsPerSec: 25e6, delayNs, queuePackets: 100 };
}

const seconds = Number(process.argv[2] ?? 100);
const network = new Network(process.argv[3] === 'folded' ? foldedFigure1() : figure1(), 1);
const he = network.host('he');
he.stack.listen(80, () => sink);
const loops = (
  [
    ['hp', 40],
    ['hi1', 30],
    ['hi2', 10],
  ] as const
).map(([name, flows]) => {
  const loop = new ClosedLoop(network.host(name).stack, he.addr, 80, network.randomStream(), (t, f) =>
    network.at(t, f),
  );
  loop.setConcurrency(flows);
  return loop;
});
const began = performance.now();
const cpuBegan = process.cpuUsage();
network.run(seconds * 1e9);
const took = (performance.now() - began) / 1000;
const cpu = process.cpuUsage(cpuBegan).user / 1e6;
const pref = network.gateway('p').gateway;
console.log(
  `${(seconds / took).toFixed(0)} simulated s/s, ${(network.queue.taken / took / 1e6).toFixed(2)} M events/s; by cpu time ${(seconds / cpu).toFixed(0)} s/s, ${(network.queue.taken / cpu / 1e6).toFixed(2)} M events/s`,
);
console.log(network.conservation());
console.log(loops.map((loop) => JSON.stringify(loop.log.report())).join('\n'));
for (const name of ['L1', 'L2', 'L3']) {
  const [forward] = network.link(name);
  const dropped = forward.droppedPackets;
  console.log(
    name,
    ((forward.link.forwardedBytes * 8) / seconds / 25e6).toFixed(3),
    ((100 * dropped) / (dropped + forward.link.forwardedPackets)).toFixed(2),
  );
}
console.log([1, 2, 3].map((i) => pref.flowletRatio(0, i).toFixed(3)));
console.log(
  network.host('hp').stack.totals,
  network.host('hp').lex!.counters.lexPayloadBytes,
  network.host('hp').lex!.counters.excludedBytes,
);
console.log('rss', Math.round(process.memoryUsage().rss / 1e6), pref.counters.byName());
