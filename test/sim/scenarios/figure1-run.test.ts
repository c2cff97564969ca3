/** The laboratory's scenarios of Figure 1 in the simulator. */
import { describe, expect, it } from 'vitest';
import { RandomStreams } from '../../../lib/sim/random.ts';
import { figure1Topology } from '../../../lib/sim/scenarios/figure1-topology.ts';
import { Network } from '../../../lib/sim/network.ts';
import { runFigure1 } from '../../../lib/sim/scenarios/figure1-run.ts';
import { FIGURE1_SCENARIOS, findFigure1Scenario } from '../../../lib/sim/scenarios/figure1-scenarios.ts';
import { drawSize } from '../../../lib/sim/scenarios/sizes.ts';
import { SCENARIOS } from '../../../namespaces-lab/scenarios/index.ts';
import { sink, startTransfer } from '../../../lib/sim/apps/transfer.ts';

/** `quick` in 20 s: L2 fails from 10 s to 12.4 s. */
const scenario = findFigure1Scenario('quick', { seconds: 20 });
const record = runFigure1(scenario, { seed: 3 });

describe('the scenarios', () => {
  it("are the laboratory's own, every one in Figure 1's network", () => {
    expect(SCENARIOS.filter(({ topology }) => topology === 'figure1')).toEqual(FIGURE1_SCENARIOS);
  });

  it('are listed when the name is wrong', () => {
    expect(() => findFigure1Scenario('fig9')).toThrow(/"fig9" is not known; there are quick, fig4-fast/);
  });
});

describe('the network', () => {
  it('takes 100 ms for a round trip over each route, and what comes back to P comes by L1', () => {
    const network = new Network(figure1Topology({ ratesBitsPerSec: [25e6, 25e6, 25e6] }), 1);
    const e1 = network.host('e1');
    e1.stack.listen(80, () => sink);
    const rtts: number[] = [];
    for (const name of ['i1', 'i2', 'src']) {
      const c = startTransfer(network.host(name).stack, e1.addr, 80, 1);
      network.run(network.nowNs + 0.5e9);
      rtts.push(Math.round(c.srttNs / 1e6));
    }
    expect(rtts).toEqual([100, 100, 100]);
    const back = ['L1', 'L2', 'L3'].map((name) => network.link(name)[1].link.forwardedPackets > 0);
    expect(back).toEqual([true, false, true]);
  });
});

describe('a run', () => {
  it('has a row for each update interval, of the routes by name', () => {
    expect(record.intervals.map(({ t }) => t)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    for (const { routes, destinations } of record.intervals) {
      expect(routes.map(({ name }) => name)).toEqual(['l1', 'l2', 'l3']);
      expect(destinations?.map(({ name }) => name)).toEqual(['e1', 'e2']);
    }
  });

  it('has ratios that sum to 1 toward each destination', () => {
    for (const { destinations } of record.intervals) {
      for (const { routes } of destinations!) {
        expect(routes.reduce((sum, { flowletRatio }) => sum + flowletRatio, 0)).toBeCloseTo(1, 9);
      }
    }
  });

  it('conserves packets, and exposes exactly the bytes that TCP sent again', () => {
    const { sent, delivered, dropped, inFlight } = record.conservation;
    expect(delivered + dropped + inFlight).toBe(sent);
    expect(record.nodeDrops).toBe(0);
    const excluded = Object.values(record.host.exclusions).reduce((sum, bytes) => sum + bytes, 0);
    expect(record.retransmittedBytes).toBeGreaterThan(0);
    expect(record.host.lexPayloadBytes + excluded).toBe(record.retransmittedBytes);
  });

  it('draws the sizes that the laboratory draws for the seed', () => {
    const streams = new RandomStreams(3);
    for (const { name, size } of record.classes) {
      const random = streams.next();
      const flows = record.transfers.filter((flow) => flow.name === name);
      const drawn = Array.from({ length: flows.length }, () => drawSize(size, random));
      expect(flows.map(({ bytes }) => bytes).sort((a, b) => a - b)).toEqual(drawn.sort((a, b) => a - b));
    }
  });

  it('keeps as many transfers running as the schedule wants', () => {
    for (const { name, concurrent } of record.classes) {
      const running = record.transfers.filter(
        (flow) => flow.name === name && flow.start <= 8 && 8 < flow.end,
      );
      expect(running).toHaveLength(concurrent[0].flows);
    }
  });

  it('gives whole transfers all their bytes, and none to the dead route while it is down', () => {
    for (const { outcome, bytes, receivedBytes } of record.transfers) {
      if (outcome === 'completed') expect(receivedBytes).toBe(bytes);
    }
    const during = record.intervals.find(({ t }) => t === 12)!;
    const l2 = during.routes.find(({ name }) => name === 'l2')!;
    expect(l2.utilisation).toBe(0);
    if (l2.bytes > 0) expect(l2.trueDropRatio).toBe(1);
  });

  it('tells what the links dropped of what P sent after the warm-up', () => {
    for (const { offeredBytes, droppedBytes } of Object.values(record.truths)) {
      expect(offeredBytes).toBeGreaterThan(droppedBytes);
    }
    const dropped = Object.values(record.truths).reduce((sum, truth) => sum + truth.droppedBytes, 0);
    expect(dropped).toBeGreaterThan(0);
    expect(dropped).toBeLessThanOrEqual(record.conservation.droppedBytes);
  });

  it('is another one with another seed', () => {
    const short = findFigure1Scenario('quick', { seconds: 2 });
    const [a, b] = [1, 2].map((seed) => runFigure1(short, { seed }));
    expect(a.transfers).not.toEqual(b.transfers);
  });

  it('infers no failure in mode equal, which learns nothing', () => {
    const equal = runFigure1(findFigure1Scenario('quick', { seconds: 20, mode: 'equal' }), { seed: 1 });
    expect(equal.gateway.failureDecisions).toBe(0);
    for (const { routes } of equal.intervals) {
      for (const { flowletRatio } of routes) expect(flowletRatio).toBeCloseTo(1 / 3, 9);
    }
  });
});
