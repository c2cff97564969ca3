import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evenLoads } from '../../../lib/sim/fluid/even-loads.ts';
import { poisson } from '../../../lib/sim/fluid/poisson.ts';
import { FluidSimulation } from '../../../lib/sim/fluid/simulation.ts';
import type { FluidOptions } from '../../../lib/sim/fluid/simulation.ts';
import { generateNetwork } from '../../../lib/sim/generate.ts';
import { RandomStreams } from '../../../lib/sim/random.ts';
import type { LinkSpec, Topology } from '../../../lib/sim/topology.ts';
import { equal } from '../../../lib/pref/balancers/equal.ts';

/** Payload of the IP packets that carry it. */
const PAYLOAD = 1460 / 1500;

function oneLink(link: Partial<LinkSpec> = {}): Topology {
  return {
    hosts: [
      { name: 'a', address: '10.0.0.1' },
      { name: 'b', address: '10.0.1.1' },
    ],
    links: [
      {
        name: 'l',
        between: ['a', 'b'],
        delayNs: 50e6,
        rateBitsPerSec: 25e6,
        queuePackets: 100,
        back: { delayNs: 50e6 },
        ...link,
      },
    ],
    routing: 'listed',
  };
}

function run(
  flows: number,
  seconds: number,
  link: Partial<LinkSpec> = {},
  options: FluidOptions = {},
): FluidSimulation {
  const fluid = new FluidSimulation(oneLink(link), [{ from: 'a', to: 'b', concurrency: flows }], 1, options);
  fluid.run(seconds / 3);
  fluid.beginMeasurement();
  fluid.run(seconds);
  return fluid;
}

describe('conservation', () => {
  it('holds on random generated networks, in bytes, link by link and flow by flow', () => {
    const shapes = fc.record({
      domains: fc.integer({ min: 2, max: 8 }),
      maxRoutes: fc.integer({ min: 2, max: 15 }),
      regions: fc.integer({ min: 1, max: 2 }),
      rateBitsPerSec: fc.constantFrom(1e6, 25e6, 1e9),
      queueNs: fc.constantFrom(5e6, 100e6),
    });
    fc.assert(
      fc.property(shapes, fc.integer(), fc.integer({ min: 1, max: 2000 }), (options, seed, flows) => {
        const network = generateNetwork({ ...options, prefixesPerDomain: 1, hostsPerDomain: 1 }, seed);
        const fluid = new FluidSimulation(network.topology, evenLoads(network, flows), seed);
        fluid.run(25);
        const { conservation, flows: counts, links } = fluid.report();
        const { deliveredBytes, droppedBytes, sentBytes, worstLinkBytes } = conservation;
        expect(counts.running).toBe(flows);
        expect(counts.started - counts.completed).toBe(flows);
        expect(Math.abs(sentBytes - deliveredBytes - droppedBytes)).toBeLessThan(1e-9 * sentBytes + 1e-3);
        expect(worstLinkBytes).toBeLessThan(1e-9 * sentBytes + 1e-3);
        // What the flows got is what the links delivered.
        expect(fluid.deliveredPayloadBytes() / (deliveredBytes * PAYLOAD)).toBeCloseTo(1, 9);
        for (const { queueBytes, utilisation } of links) {
          expect(utilisation).toBeLessThan(1 + 1e-9);
          expect(queueBytes).toBeGreaterThanOrEqual(0);
        }
        const routes = fluid.routes();
        expect(routes.reduce((sum, { bytes }) => sum + bytes, 0) / sentBytes).toBeCloseTo(1, 9);
        expect(routes.reduce((sum, route) => sum + route.flows, 0)).toBe(flows);
      }),
      { numRuns: 15 },
    );
  });
});

describe('a fluid simulation', () => {
  it('is the same for the same seed to the last bit, however the time is cut', () => {
    const network = generateNetwork({ domains: 5, prefixesPerDomain: 1, hostsPerDomain: 1 }, 2);
    const make = (seed: number, cutS: number): string => {
      const fluid = new FluidSimulation(network.topology, evenLoads(network, 500), seed);
      for (let t = cutS; t < 30; t += cutS) fluid.run(t);
      fluid.run(30);
      return JSON.stringify([fluid.report(), fluid.routes()]);
    };
    expect(make(4, 30)).toBe(make(4, 0.7));
    expect(make(4, 30)).not.toBe(make(5, 30));
  });

  it('fills a bottleneck, and loses more the more flows there are', () => {
    const losses = [20, 40, 80].map((flows) => {
      const [link] = run(flows, 60).report().links;
      expect(link.utilisation).toBeGreaterThan(0.99);
      return link.lossRatio;
    });
    expect(losses[1]).toBeGreaterThan(2 * losses[0]);
    expect(losses[2]).toBeGreaterThan(2 * losses[1]);
  });

  it('completes in closed loop what Little has it: capacity over mean size', () => {
    const fluid = run(200, 300, { rateBitsPerSec: 200e6, queuePackets: 800 }, { scaleBytes: 1e5 });
    const { conservation, flows } = fluid.report();
    // Mean of a Weibull of shape 0.5: twice the scale. 40 s of flows tell the mean within 5 %: deviation 1.1 %.
    expect((flows.completed * 2e5) / (conservation.deliveredBytes * PAYLOAD)).toBeCloseTo(1, 1);
  });

  it('does not depend on the length of the step beyond a sixth', () => {
    const [fine, coarse] = [0.02, 0.1].map((stepS) => run(40, 90, {}, { stepS }).report().links[0].lossRatio);
    expect(coarse / fine).toBeGreaterThan(5 / 6);
    expect(coarse / fine).toBeLessThan(6 / 5);
  });

  it('gives a lossy link without congestion the loss ratio that it has', () => {
    const [link] = run(5, 60, { rateBitsPerSec: 1e9, queuePackets: 5000, loss: 0.01 }).report().links;
    expect(link.lossRatio).toBeCloseTo(0.01, 9);
    expect(link.utilisation).toBeLessThan(0.05);
  });

  it('lets flows arrive in open loop as often as asked', () => {
    const fluid = new FluidSimulation(oneLink(), [{ from: 'a', to: 'b', perSecond: 50 }], 1, {
      scaleBytes: 1e4,
    });
    fluid.run(100);
    const { running, started, completed } = fluid.report().flows;
    // Poisson: 5000 with a deviation of 71.
    expect(Math.abs(started - 5000)).toBeLessThan(4 * 71);
    expect(started - completed).toBe(running);
    expect(running).toBeLessThan(200);
  });

  it('spreads flows by the ratios of the gateway: evenly with the equal balancer', () => {
    const options = { domains: 2, minRoutes: 4, maxRoutes: 4, prefixesPerDomain: 1, hostsPerDomain: 1 };
    const network = generateNetwork({ ...options, gateway: { balancer: equal() } }, 1);
    const fluid = new FluidSimulation(network.topology, evenLoads(network, 400), 1);
    fluid.run(0.5);
    // No flow has ended yet that would have made room on a fast route: 200 flowlets by smooth round robin.
    for (const { flowletRatio, flows } of fluid.routes()) {
      expect(flowletRatio).toBe(0.25);
      expect(Math.abs(flows - 50)).toBeLessThan(10);
    }
  });

  it('has a million flows at 100 gateways, each in 21 bytes', () => {
    const network = generateNetwork(
      { domains: 100, prefixesPerDomain: 1, hostsPerDomain: 1, rateBitsPerSec: 20e9 },
      1,
    );
    const fluid = new FluidSimulation(network.topology, evenLoads(network, 1_000_000), 1);
    fluid.run(1);
    expect(fluid.runningFlows).toBe(1_000_000);
    expect(fluid.report().conservation.deliveredBytes).toBeGreaterThan(1e9);
  });

  it.each([
    [oneLink(), [{ from: 'a', to: 'c' }], {}, 'node'],
    [oneLink(), [{ from: 'a', to: 'a' }], {}, 'loads[0].to'],
    [oneLink(), [{ from: 'a', to: 'b', concurrency: -1 }], {}, 'loads[0].concurrency'],
    [oneLink(), [{ from: 'a', to: 'b', concurrency: 1, perSecond: 1 }], {}, 'loads[0]'],
    [oneLink(), [], { stepS: 2 }, 'fluid.stepS'],
    [oneLink(), [], { congestionControl: 'bbr' }, 'fluid.congestionControl'],
    [oneLink(), [], { steps: 2 }, 'fluid.steps'],
    [oneLink({ queuePackets: Infinity }), [], {}, 'l.queuePackets'],
    [oneLink({ red: { minPackets: 5, maxPackets: 15 } }), [], {}, 'l.red'],
    [{ ...oneLink(), routing: 'shortest' }, [], {}, 'topology.routing'],
  ])('refuses what it cannot do with the name of the field, case %#', (topology, loads, options, field) => {
    expect(() => new FluidSimulation(topology as Topology, loads, 1, options as FluidOptions)).toThrow(field);
  });
});

describe('Poisson numbers', () => {
  it.each([0.3, 7, 150, 2000])('have mean and variance %d', (mean) => {
    const random = new RandomStreams(1).next();
    const draws = Array.from({ length: 4000 }, () => poisson(mean, random));
    const average = draws.reduce((sum, n) => sum + n, 0) / draws.length;
    const variance = draws.reduce((sum, n) => sum + (n - average) ** 2, 0) / draws.length;
    expect(Math.abs(average - mean)).toBeLessThan(5 * Math.sqrt(mean / draws.length));
    expect(variance / mean).toBeGreaterThan(0.85);
    expect(variance / mean).toBeLessThan(1.15);
  });
});
