/**
 * Speed of the simulator: the paper's Figure 1 with three bottlenecks of 25 Mbit/s and about 80 closed-loop transfers.
 * Run with `npx tsx test/bench/sim-figure1.ts [seconds] [hops: 5 or 3]`.
 */
import { ClosedLoop } from '../../lib/sim/apps/closed-loop.ts';
import { sink } from '../../lib/sim/apps/transfer.ts';
import { Network } from '../../lib/sim/network.ts';
import type { LinkSpec, Topology } from '../../lib/sim/topology.ts';

/** Figure 1 with links of 10 ms: five between hosts, or the same delay in three. */
export function figure1(isFolded: boolean): Topology {
  const ms = 1e6;
  const bottleneck = (i: number): LinkSpec => ({
    name: `L${i}`,
    between: [`a${i}`, 'e'],
    rateBitsPerSec: 25e6,
    delayNs: (isFolded ? 30 : 10) * ms,
    queuePackets: 100,
  });
  return {
    hosts: [
      { name: 'hp', address: '10.0.0.1', lex: true },
      { name: 'hi1', address: '10.1.0.1' },
      { name: 'hi2', address: '10.2.0.1' },
      { name: 'he', address: '10.9.0.1' },
    ],
    routers: [{ name: 'a1' }, { name: 'a2' }, { name: 'a3' }, { name: 'e' }, { name: 'i1' }, { name: 'i2' }],
    gateways: [
      {
        name: 'p',
        egresses: [1, 2, 3].map((pathId) => ({ pathId, name: `L${pathId}`, link: `p-a${pathId}` })),
        destinations: [{ prefixes: ['10.9.0.0/16'], pathIds: [1, 2, 3] }],
      },
    ],
    links: [
      { name: 'hp-p', between: ['hp', 'p'], delayNs: 10 * ms },
      ...[1, 2, 3].map((i) => ({ name: `p-a${i}`, between: ['p', `a${i}`] as const, delayNs: 10 * ms })),
      bottleneck(1),
      bottleneck(2),
      bottleneck(3),
      { name: 'hi1-i1', between: ['hi1', 'i1'], delayNs: 10 * ms },
      { name: 'i1-a1', between: ['i1', 'a1'], delayNs: 10 * ms },
      { name: 'hi2-i2', between: ['hi2', 'i2'], delayNs: 10 * ms },
      { name: 'i2-a3', between: ['i2', 'a3'], delayNs: 10 * ms },
      { name: 'e-he', between: ['e', 'he'], delayNs: (isFolded ? 0 : 20) * ms },
    ],
  };
}

const seconds = Number(process.argv[2] ?? 100);
const network = new Network(figure1(process.argv[3] === '3'), 1);
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
const gateway = network.gateway('p').gateway;
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
console.log([1, 2, 3].map((i) => gateway.flowletRatio(0, i).toFixed(3)));
console.log(
  network.host('hp').stack.totals,
  network.host('hp').lex!.counters.lexPayloadBytes,
  network.host('hp').lex!.counters.excludedBytes,
);
console.log('rss', Math.round(process.memoryUsage().rss / 1e6), gateway.counters.byName());
