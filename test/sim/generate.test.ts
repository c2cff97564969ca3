import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClosedLoop } from '../../lib/sim/apps/closed-loop.ts';
import { sink } from '../../lib/sim/apps/transfer.ts';
import { generateNetwork } from '../../lib/sim/generate.ts';
import type { GeneratedNetwork, GenerateOptions } from '../../lib/sim/generate.ts';
import { Network } from '../../lib/sim/network.ts';

/** A network whose hosts all send to a host of the next domain and of the one after it. */
function busyNetwork({ domains, topology }: GeneratedNetwork, seed: number, scaleBytes = 20_000): Network {
  const network = new Network(topology, seed);
  for (const { hosts } of domains) for (const name of hosts) network.host(name).stack.listen(80, () => sink);
  domains.forEach(({ hosts }, d) => {
    hosts.forEach((name, i) => {
      const { stack } = network.host(name);
      for (const distance of domains.length > 2 ? [1, 2] : [1]) {
        const peers = domains[(d + distance) % domains.length].hosts;
        const { addr } = network.host(peers[i % peers.length]);
        const random = network.randomStream();
        const loop = new ClosedLoop(stack, addr, 80, random, (t, f) => network.at(t, f), { scaleBytes });
        loop.setConcurrency(2);
      }
    });
  });
  return network;
}

const smallOptions = fc.record({
  domains: fc.integer({ min: 2, max: 4 }),
  minRoutes: fc.integer({ min: 2, max: 3 }),
  maxRoutes: fc.integer({ min: 3, max: 5 }),
  prefixesPerDomain: fc.integer({ min: 1, max: 3 }),
  hostsPerDomain: fc.integer({ min: 1, max: 3 }),
  regions: fc.integer({ min: 1, max: 2 }),
  rateBitsPerSec: fc.constantFrom(1e6, 4e6),
  queueNs: fc.constantFrom(10e6, 80e6),
});

describe('a generated network', () => {
  it('loses no packet and no byte out of the books, whatever its shape', () => {
    fc.assert(
      fc.property(smallOptions, fc.integer(), (options, seed) => {
        const network = busyNetwork(generateNetwork(options, seed), seed);
        network.at(1e9, () => network.setBlackhole('core0.0', true));
        for (const untilMs of [90, 800, 2000]) {
          network.run(untilMs * 1e6);
          const books = network.conservation();
          expect(books.delivered + books.dropped + books.inFlight).toBe(books.sent);
          expect(books.deliveredBytes + books.droppedBytes + books.inFlightBytes).toBe(books.sentBytes);
          expect(network.pool.used).toBe(books.inFlight);
        }
        expect(network.conservation().delivered).toBeGreaterThan(0);
        // The reasons add up to what was dropped: nothing is lost for want of a route, or in circles.
        const { links, nodes } = network.report();
        const byReason = [...links, ...nodes].flatMap(({ dropped }) => Object.values(dropped));
        expect(byReason.reduce((sum, count) => sum + count, 0)).toBe(network.conservation().dropped);
        expect(nodes.flatMap(({ dropped }) => Object.values(dropped)).every((count) => count === 0)).toBe(
          true,
        );
      }),
      { numRuns: 10 },
    );
  });

  it('carries every flowlet by a route that its gateway picked, over all of its routes', () => {
    const generated = generateNetwork({ domains: 4, maxRoutes: 6, rateBitsPerSec: 4e6 }, 5);
    const network = busyNetwork(generated, 5);
    network.run(6e9);
    for (const { gateway, pathIds } of generated.domains) {
      const { gateway: pref } = network.gateway(gateway);
      const reasons = pref.counters.byName();
      expect(reasons.outUnassigned + reasons.outUnknownPathId).toBe(0);
      expect(reasons.outPathId).toBeGreaterThan(0);
      const used = pathIds.filter((pathId) => {
        const egress = generated.topology.gateways!.find(({ name }) => name === gateway)!.egresses[
          pathId - 1
        ];
        return network.link(egress.link)[0].link.forwardedPackets > 0;
      });
      expect(used).toEqual(pathIds);
    }
  });

  it('has between 2 and 15 routes a gateway and a destination for each prefix of the others', () => {
    const { bottlenecks, domains, topology } = generateNetwork({ domains: 60, prefixesPerDomain: 20 }, 7);
    const counts = domains.map(({ pathIds }) => pathIds.length);
    expect([Math.min(...counts), Math.max(...counts)]).toEqual([2, 15]);
    for (const { destinations } of topology.gateways!) expect(destinations.length).toBe(59 * 20);
    expect(bottlenecks.length).toBe(14 * 3 + 60);
    const prefixes = domains.flatMap((domain) => domain.prefixes);
    expect(new Set(prefixes).size).toBe(60 * 20);
  });

  it('makes one destination of a domain whose prefixes share their ratios', () => {
    const { topology } = generateNetwork({ domains: 3, prefixesPerDomain: 5, shareRatios: true }, 1);
    for (const { destinations } of topology.gateways!) {
      expect(destinations.map(({ prefixes }) => prefixes.length)).toEqual([5, 5]);
    }
  });

  it('is the same for the same seed, and another for another', () => {
    const make = (seed: number): string => JSON.stringify(generateNetwork({ domains: 5 }, seed));
    expect(make(3)).toBe(make(3));
    expect(make(3)).not.toBe(make(4));
  });

  it.each([
    [{ domains: 1 }, 'generate.domains'],
    [{ domains: 5, minRoutes: 1 }, 'generate.minRoutes'],
    [{ domains: 5, minRoutes: 4, maxRoutes: 3 }, 'generate.maxRoutes'],
    [{ domains: 5, maxRoutes: 10, providers: 8 }, 'generate.providers'],
    [{ domains: 2, regions: 3 }, 'generate.regions'],
    [{ domains: 5, prefixesPerDomain: 300 }, 'generate.prefixesPerDomain'],
    [{ domains: 5, prefixesPerDomain: 1, hostsPerDomain: 251 }, 'generate.hostsPerDomain'],
    [{ domains: 5, hosts: 3 }, 'generate.hosts'],
    [{ domains: 5, gateway: { scheme: 'pool2' } }, 'generate.gateway'],
  ])('is refused with the name of the option for %j', (options, field) => {
    expect(() => generateNetwork(options as GenerateOptions, 1)).toThrow(field);
  });
});
