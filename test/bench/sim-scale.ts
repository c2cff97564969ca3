/**
 * How time and memory of the simulator grow with the number of connections: each one sends 10 kB every 5 s from a
 * PREFLEX host through a gateway. Run with `npx tsx test/bench/sim-scale.ts [connections ...]`; for memory one at a time.
 */
import { OnOff } from '../../lib/sim/apps/on-off.ts';
import { sink } from '../../lib/sim/apps/transfer.ts';
import { Network } from '../../lib/sim/network.ts';

const SECONDS = 15;
const PORTS = 4;

/** Runs so many connections and returns the processor time of the last 10 s and the memory. */
export function scaleRow(connections: number): { events: number; cpuS: number; rssMb: number } {
  const network = new Network(
    {
      hosts: [
        { name: 'a', address: '10.0.0.1', lex: { flowCapacity: Math.max(1024, 2 * connections) } },
        { name: 'b', address: '10.9.0.1' },
      ],
      gateways: [
        {
          name: 'p',
          egresses: [1, 2].map((pathId) => ({ pathId, name: `L${pathId}`, link: `L${pathId}` })),
          destinations: [{ prefixes: ['10.9.0.0/16'], pathIds: [1, 2] }],
        },
      ],
      routers: [{ name: 'r' }],
      links: [
        { name: 'a-p', between: ['a', 'p'], delayNs: 5e6 },
        { name: 'L1', between: ['p', 'r'], delayNs: 40e6, rateBitsPerSec: connections * 100e3 },
        { name: 'L2', between: ['p', 'r'], delayNs: 40e6, rateBitsPerSec: connections * 100e3 },
        { name: 'r-b', between: ['r', 'b'], delayNs: 5e6 },
      ],
    },
    1,
  );
  const b = network.host('b');
  for (let port = 0; port < PORTS; port++) b.stack.listen(port, () => sink);
  const { stack } = network.host('a');
  const random = network.randomStream();
  const app = new OnOff({ burstBytes: () => 10_000, gapNs: () => 5e9, count: Infinity });
  for (let i = 0; i < connections; i++) {
    network.at(random.uniform() * 5e9, () => stack.connect(b.addr, i % PORTS, app));
  }
  network.run((SECONDS - 10) * 1e9);
  const before = network.queue.taken;
  const cpu = process.cpuUsage();
  network.run(SECONDS * 1e9);
  const cpuS = process.cpuUsage(cpu).user / 1e6;
  return { events: network.queue.taken - before, cpuS, rssMb: process.memoryUsage().rss / 1e6 };
}

if (process.argv[1]?.endsWith('sim-scale.ts')) {
  const counts = process.argv.slice(2).map(Number);
  for (const connections of counts.length > 0 ? counts : [10, 100, 1000, 10_000, 100_000]) {
    const { events, cpuS, rssMb } = scaleRow(connections);
    console.log(
      `${connections} connections: ${events} events in ${cpuS.toFixed(2)} s, ${(events / cpuS / 1e6).toFixed(2)} M events/s, rss ${rssMb.toFixed(0)} MB`,
    );
  }
}
