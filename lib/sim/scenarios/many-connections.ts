/**
 * So many connections at the same time, each of which sends 10 kB every 5 s from a PREFLEX host through a gateway with
 * two routes: how the simulator grows.
 *
 *      a (LEX) --- p (PREF) ==== L1, L2 ==== r --- b
 */
import { requireInteger } from '../../errors.ts';
import { OnOff } from '../apps/on-off.ts';
import { sink } from '../apps/transfer.ts';
import { Network } from '../network.ts';

/** Ports of b: each takes up to 64,512 connections of a. */
const PORTS = 4;
const BURST_BYTES = 10_000;
const GAP_NS = 5e9;
/** Rate of each link for each connection: well above what they send. */
const RATE_EACH = 100e3;

/**
 * The network with its traffic, not yet run; after 5 simulated seconds every connection is there.
 *
 * @param connections - 1 to 200,000
 * @throws PreflexError for any other number
 */
export function manyConnections(connections: number): Network {
  requireInteger('connections', connections, 1, 200_000);
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
        { name: 'L1', between: ['p', 'r'], delayNs: 40e6, rateBitsPerSec: connections * RATE_EACH },
        { name: 'L2', between: ['p', 'r'], delayNs: 40e6, rateBitsPerSec: connections * RATE_EACH },
        { name: 'r-b', between: ['r', 'b'], delayNs: 5e6 },
      ],
    },
    1,
  );
  const b = network.host('b');
  for (let port = 1; port <= PORTS; port++) b.stack.listen(port, () => sink);
  const { stack } = network.host('a');
  const random = network.randomStream();
  const app = new OnOff({ burstBytes: () => BURST_BYTES, gapNs: () => GAP_NS, count: Infinity });
  for (let i = 0; i < connections; i++) {
    network.at(random.uniform() * GAP_NS, () => stack.connect(b.addr, 1 + (i % PORTS), app));
  }
  return network;
}
