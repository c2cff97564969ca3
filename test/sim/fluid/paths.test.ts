import { describe, expect, it } from 'vitest';
import { equal } from '../../../lib/pref/balancers/equal.ts';
import { delayS, WayFinder } from '../../../lib/sim/fluid/paths.ts';
import { generateNetwork } from '../../../lib/sim/generate.ts';
import type { Topology } from '../../../lib/sim/topology.ts';
import { figure1 } from './figure1.ts';

const namesOf = (topology: Topology, directions: readonly number[]): string[] =>
  directions.map((direction) => `${topology.links[direction >> 1].name}${direction & 1 ? '/back' : ''}`);

describe('the ways through a topology', () => {
  const topology = figure1(equal());
  const finder = new WayFinder(topology);

  it('are one for each route of the gateway on the way', () => {
    const { destination, gateway, ways } = finder.ways('hp', 'he');
    expect([gateway, destination]).toEqual(['p', 0]);
    expect(ways.map(({ pathId, directions }) => [pathId, ...namesOf(topology, directions)])).toEqual([
      [1, 'hp-p', 'p-a1', 'L1'],
      [2, 'hp-p', 'L2'],
      [3, 'hp-p', 'p-a3', 'L3'],
    ]);
    expect(ways.map(({ directions }) => delayS(topology, directions))).toEqual([0.05, 0.05, 0.05]);
  });

  it('are one by the routing tables where no gateway chooses, inbound ones included', () => {
    expect(finder.ways('hi1', 'he').ways.map(({ directions }) => namesOf(topology, directions))).toEqual([
      ['hi1-a1', 'L1'],
    ]);
    const back = finder.ways('he', 'hp');
    expect(back.gateway).toBeUndefined();
    expect(namesOf(topology, back.ways[0].directions)).toEqual(['L2/back', 'hp-p/back']);
  });

  it('lead from every domain of a generated network to every other by all routes', () => {
    const { domains, topology: generated } = generateNetwork({ domains: 6, hostsPerDomain: 2 }, 3);
    const generatedFinder = new WayFinder(generated);
    for (const from of domains) {
      for (const to of domains) {
        if (from === to) continue;
        const { gateway, ways } = generatedFinder.ways(from.hosts[0], to.hosts[1]);
        expect(gateway).toBe(from.gateway);
        expect(ways.map(({ pathId }) => pathId)).toEqual(from.pathIds);
        for (const { directions } of ways)
          expect(namesOf(generated, directions).at(-1)).toContain(to.hosts[1]);
      }
    }
  });

  it('are refused where routes are missing, go in circles or are not listed', () => {
    const hosts = [
      { name: 'a', address: '10.0.0.1' },
      { name: 'b', address: '10.0.1.1' },
    ];
    const links = [
      { name: 'a-r', between: ['a', 'r'] as const },
      { name: 'r-s', between: ['r', 's'] as const },
      { name: 's-b', between: ['s', 'b'] as const },
    ];
    const make = (toOfR: string, toOfS: string): WayFinder =>
      new WayFinder({
        hosts,
        links,
        routers: [
          { name: 'r', routes: [{ prefix: toOfR, link: 'r-s' }] },
          { name: 's', routes: [{ prefix: toOfS, link: 'r-s' }] },
        ],
        routing: 'listed',
      });
    expect(() => make('10.7.0.0/16', '10.0.1.0/24').ways('a', 'b')).toThrow('r.routes');
    expect(() => make('10.0.1.0/24', '10.0.1.0/24').ways('a', 'b')).toThrow('circles');
    expect(() => new WayFinder({ hosts, links: [] })).toThrow('topology.routing');
  });
});
