import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClosedLoop } from '../../lib/sim/apps/closed-loop.ts';
import { OnOff } from '../../lib/sim/apps/on-off.ts';
import { sink, startTransfer } from '../../lib/sim/apps/transfer.ts';
import { Network } from '../../lib/sim/network.ts';
import { NODE_DROP_NO_ROUTE, NODE_DROP_TTL_EXPIRED } from '../../lib/sim/node.ts';
import type { LinkSpec, Topology } from '../../lib/sim/topology.ts';
import { REASON_FNE_IDLE_GAP } from '../../lib/lex/reasons.ts';
import { ttl } from '../../lib/wire/ipv4.ts';

/** Everything that was ever sent is somewhere, in packets and in bytes, and nowhere else. */
function expectConservation(network: Network): void {
  const { sent, delivered, dropped, inFlight, sentBytes, deliveredBytes, droppedBytes, inFlightBytes } =
    network.conservation();
  expect(delivered + dropped + inFlight).toBe(sent);
  expect(deliveredBytes + droppedBytes + inFlightBytes).toBe(sentBytes);
  expect(network.pool.used).toBe(inFlight);
}

/** Hosts on a random tree of routers with some more links, all with random rates, delays, queues and losses. */
const randomTopology = fc
  .record({
    routers: fc.integer({ min: 1, max: 5 }),
    hosts: fc.integer({ min: 2, max: 5 }),
    chords: fc.array(fc.tuple(fc.nat(4), fc.nat(4)), { maxLength: 3 }),
    parents: fc.array(fc.nat(100), { minLength: 10, maxLength: 10 }),
    links: fc.array(
      fc.record({
        // Neither too near nor too fast: the endless transfers would fill any network.
        delayNs: fc.integer({ min: 1e6, max: 30e6 }),
        rateBitsPerSec: fc.constantFrom(1e6, 5e6, 20e6),
        queuePackets: fc.constantFrom(3, 20, 100),
        loss: fc.constantFrom(0, 0, 0.01, 0.1),
      }),
      { minLength: 13, maxLength: 13 },
    ),
    redOn: fc.boolean(),
  })
  .map(({ routers, hosts, chords, parents, links, redOn }): Topology => {
    const between: [string, string][] = [];
    for (let i = 1; i < routers; i++) between.push([`r${i}`, `r${parents[i] % i}`]);
    for (let i = 0; i < hosts; i++) between.push([`h${i}`, `r${parents[5 + i] % routers}`]);
    for (const [from, to] of chords) {
      if (from !== to && from < routers && to < routers) between.push([`r${from}`, `r${to}`]);
    }
    return {
      hosts: Array.from({ length: hosts }, (_, i) => ({
        name: `h${i}`,
        address: `10.0.${i}.1`,
        lex: i % 2 === 0,
      })),
      routers: Array.from({ length: routers }, (_, i) => ({ name: `r${i}` })),
      links: between.map((ends, i): LinkSpec => ({
        name: `l${i}`,
        between: ends,
        ...links[i],
        ...(redOn && links[i].rateBitsPerSec !== Infinity ? { red: { minPackets: 2, maxPackets: 10 } } : {}),
      })),
    };
  });

/** Transfers between all hosts of a topology, some of them endless. */
function busyNetwork(topology: Topology, seed: number): Network {
  const network = new Network(topology, seed);
  const hosts = topology.hosts.map(({ name }) => network.host(name));
  for (const host of hosts) host.stack.listen(80, () => sink);
  hosts.forEach((host, i) => {
    const peer = hosts[(i + 1) % hosts.length];
    const loop = new ClosedLoop(
      host.stack,
      peer.addr,
      80,
      network.randomStream(),
      (t, f) => network.at(t, f),
      {
        scaleBytes: 20_000,
      },
    );
    loop.setConcurrency(3);
    startTransfer(host.stack, hosts[(i + 2) % hosts.length].addr, 80, Infinity);
  });
  return network;
}

describe('conservation', () => {
  it('holds at any time on random topologies with losses, full queues and blackholes', () => {
    fc.assert(
      fc.property(randomTopology, fc.integer(), (topology, seed) => {
        const network = busyNetwork(topology, seed);
        network.at(1e9, () => network.setBlackhole('l0', true));
        network.at(2e9, () => network.setBlackhole('l0', false));
        for (const untilMs of [17, 333, 1500, 3001]) {
          network.run(untilMs * 1e6);
          expectConservation(network);
        }
        for (const host of network.conservation().sent > 0 ? topology.hosts : []) {
          const { lex, stack } = network.host(host.name);
          if (lex === undefined) continue;
          const excluded = lex.counters.excludedBytes.reduce((sum, bytes) => sum + bytes, 0);
          expect(lex.counters.lexPayloadBytes + excluded).toBe(stack.totals.retransmittedBytes);
        }
      }),
      { numRuns: 12 },
    );
  });
});

describe('determinism', () => {
  const topology: Topology = {
    hosts: [
      { name: 'a', address: '10.0.0.1', lex: true },
      { name: 'b', address: '10.0.1.1' },
    ],
    links: [
      { name: 'l', between: ['a', 'b'], delayNs: 20e6, rateBitsPerSec: 10e6, queuePackets: 30, loss: 0.01 },
    ],
  };
  const run = (seed: number): string => {
    const network = busyNetwork(topology, seed);
    network.run(10e9);
    return JSON.stringify(network.report());
  };

  it('gives the same bytes of JSON for the same seed', () => {
    expect(run(5)).toBe(run(5));
  });

  it('gives another run for another seed', () => {
    expect(run(5)).not.toBe(run(6));
  });

  it('does not depend on how the time is cut into calls of run', () => {
    const network = busyNetwork(topology, 5);
    for (let t = 0; t <= 10e9; t += 13e6) network.run(t);
    network.run(10e9);
    expect(JSON.stringify(network.report())).toBe(run(5));
  });
});

describe('routing', () => {
  const chain: Topology = {
    hosts: [
      { name: 'a', address: '10.0.0.1' },
      { name: 'b', address: '10.0.1.1' },
    ],
    routers: [{ name: 'r' }, { name: 's' }, { name: 't' }],
    links: [
      { name: 'a-r', between: ['a', 'r'], delayNs: 1e6 },
      { name: 'slow', between: ['r', 't'], delayNs: 50e6 },
      { name: 'r-s', between: ['r', 's'], delayNs: 1e6 },
      { name: 's-t', between: ['s', 't'], delayNs: 1e6 },
      { name: 't-b', between: ['t', 'b'], delayNs: 1e6 },
    ],
  };

  it('takes the way of least delay and counts the hops', () => {
    const network = new Network(chain, 1);
    network.host('b').stack.listen(80, () => sink);
    const hops: number[] = [];
    network.link('t-b')[0].filter = (view, at) => {
      hops.push(64 - ttl(view, at));
      return false;
    };
    startTransfer(network.host('a').stack, network.host('b').addr, 80, 1000);
    network.run(1e9);
    expect(hops.length).toBeGreaterThan(1);
    expect(new Set(hops)).toEqual(new Set([3]));
    expect(network.link('slow')[0].link.forwardedPackets).toBe(0);
  });

  it('prefers the longest prefix', () => {
    const network = new Network(
      {
        ...chain,
        routing: 'listed',
        routers: [
          {
            name: 'r',
            routes: [
              { prefix: '10.0.0.0/16', link: 'slow' },
              { prefix: '10.0.1.0/24', link: 'r-s' },
              { prefix: '10.0.0.0/24', link: 'a-r' },
            ],
          },
          { name: 's', routes: [{ prefix: '0.0.0.0/0', link: 's-t' }] },
          {
            name: 't',
            routes: [
              { prefix: '10.0.1.1/32', link: 't-b' },
              { prefix: '0.0.0.0/0', link: 'slow' },
            ],
          },
        ],
      },
      1,
    );
    network.host('b').stack.listen(80, () => sink);
    startTransfer(network.host('a').stack, network.host('b').addr, 80, 1000);
    network.run(1e9);
    expect(network.host('b').stack.totals.finished).toBe(1);
    expect(network.link('slow').map(({ link }) => link.forwardedPackets > 0)).toEqual([false, true]);
  });

  it('counts what has no route, and what goes in circles', () => {
    const network = new Network(
      {
        hosts: [{ name: 'a', address: '10.0.0.1' }],
        routers: [
          { name: 'r', routes: [{ prefix: '10.9.0.0/16', link: 'r-s' }] },
          { name: 's', routes: [{ prefix: '10.9.0.0/16', link: 'r-s' }] },
        ],
        links: [
          { name: 'a-r', between: ['a', 'r'], delayNs: 1e6 },
          { name: 'r-s', between: ['r', 's'], delayNs: 1e6 },
        ],
      },
      1,
    );
    const { stack } = network.host('a');
    stack.connect(0x0a090001, 80, {});
    stack.connect(0x0a080001, 80, {});
    network.run(0.5e9);
    const drops = (name: string, reason: number): number => network.node(name).droppedPackets[reason];
    expect(drops('r', NODE_DROP_NO_ROUTE)).toBe(1);
    expect(drops('r', NODE_DROP_TTL_EXPIRED) + drops('s', NODE_DROP_TTL_EXPIRED)).toBe(1);
    expectConservation(network);
  });
});

describe('a topology', () => {
  const hosts = [
    { name: 'a', address: '10.0.0.1' },
    { name: 'b', address: '10.0.1.1' },
  ];
  it.each([
    [{ hosts, links: [{ name: 'l', between: ['a', 'c'] }] }, 'links.l.between'],
    [{ hosts: [...hosts, hosts[0]], links: [] }, 'hosts.name'],
    [{ hosts: [{ name: 'a', address: '10.0.0' }], links: [] }, 'a.address'],
    [{ hosts: [{ name: 'a', address: '10.0.0.1', tcp: { mss: 1 } }], links: [] }, 'tcp.mss'],
    [{ hosts: [{ name: 'a', address: '10.0.0.1', lexx: true }], links: [] }, 'hosts.a.lexx'],
    [{ hosts, links: [{ name: 'l', between: ['a', 'b'], delay: 1 }] }, 'link.delay'],
    [{ hosts, links: [], routing: 'best' }, 'topology.routing'],
  ])('is refused with the name of the field when %j', (topology, field) => {
    expect(() => new Network(topology as unknown as Topology, 1)).toThrow(field);
  });
});

describe('on-off traffic', () => {
  it('begins a flowlet with every burst after a gap', () => {
    const network = new Network(
      {
        hosts: [
          { name: 'a', address: '10.0.0.1', lex: true },
          { name: 'b', address: '10.0.1.1', lex: true },
        ],
        links: [{ name: 'l', between: ['a', 'b'], delayNs: 20e6 }],
      },
      1,
    );
    network.host('b').stack.listen(80, () => sink);
    const app = new OnOff({ burstBytes: () => 100_000, gapNs: () => 1.5e9, count: 8 });
    const { stack, lex } = network.host('a');
    stack.connect(network.host('b').addr, 80, app);
    network.run(30e9);
    expect(app.done).toBe(8);
    // 7 gaps, each with one FNE on both sides: the burst's first packet, and the acknowledgement that comes back.
    expect(lex!.counters.outPackets[REASON_FNE_IDLE_GAP]).toBe(7);
    expect(network.host('b').lex!.counters.outPackets[REASON_FNE_IDLE_GAP]).toBe(7);
  });
});
