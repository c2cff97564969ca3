import { describe, expect, it } from 'vitest';
import { loss } from '../../../lib/pref/balancers/loss.ts';
import {
  alternations,
  gridCells,
  INTERVALS_TO_CONVERGE,
  isSpreadGood,
  runBalancer,
  runCell,
  SPREAD_FACTOR,
  SUSTAINED,
} from '../../../lib/sim/balancing/grid.ts';
import { SaturatedTcp } from '../../../lib/sim/balancing/saturated-tcp.ts';

describe('the closed model of saturated TCP', () => {
  const make = (turnover: number, kind: 'gradual' | 'frozen') =>
    new SaturatedTcp({ capacities: [1, 3], turnover, lexPackets: 1000, kind });

  it('has equal losses, and as many as asked for, when flows are as capacities', () => {
    const model = make(1, 'gradual');
    for (let i = 0; i < 40; i++) model.run(Float64Array.of(0.25, 0.75), 1);
    expect(model.spreads).toHaveLength(1);
    expect(model.spreads[0]).toBeLessThan(1e-9);
    const lost = model.lostBytes[0] + model.lostBytes[1];
    expect(lost / 1500).toBeCloseTo(1000 / 1.01, 3);
  });

  it('tells the spread of each configured interval, whatever the update intervals are', () => {
    const counts = [0.25, 0.5, 0.5, 2, 0.75].map((length) => {
      const model = make(0.3, 'gradual');
      model.run(Float64Array.of(0.5, 0.5), length);
      return model.spreads.length;
    });
    expect(counts).toEqual([0, 0, 0, 2, 0]);
    const model = make(0.3, 'frozen');
    const seen = [0.25, 0.5, 0.5, 2, 0.75].map((length) => {
      model.run(Float64Array.of(0.5, 0.5), length);
      return model.spreads.length;
    });
    expect(seen).toEqual([0, 0, 1, 2, 1]);
  });

  it('carries what the routes hold, whatever the ratios', () => {
    const model = make(0.3, 'frozen');
    model.run(Float64Array.of(0.9, 0.1), 2);
    expect(model.bytes[1] / model.bytes[0]).toBeCloseTo(3, 9);
    expect(model.lossRatios[0] / model.lossRatios[1]).toBeGreaterThan(10);
  });

  it('measures the turnover that it has', () => {
    for (const turnover of [0.05, 0.3, 1]) {
      const model = make(turnover, 'gradual');
      for (let i = 0; i < 100; i++) model.run(Float64Array.of(0.25, 0.75), 1);
      expect(model.turnover / turnover).toBeGreaterThan(0.9);
      expect(model.turnover / turnover).toBeLessThan(1.15);
    }
  });

  it('makes fixed betas oscillate where the condition says so, and only there', () => {
    // 2 / (1 + 2 * 0.9) = 0.714
    const cell = { kind: 'frozen', lexPackets: 2000, capacityRatio: 3, routeCount: 3 } as const;
    expect(runBalancer(loss(), { ...cell, turnover: 0.64 }, 1).convergedAfter).toBeLessThan(20);
    expect(runBalancer(loss(), { ...cell, turnover: 0.79 }, 1).convergedAfter).toBe(60);
  });
});

it('counts swings of alternating sign in a row', () => {
  expect(alternations([0, 0, 0.1, 0.2, 0.3])).toBe(1);
  expect(alternations([0.1, 0.2, 0.1, 0.2, 0.2, 0.1])).toBe(3);
  expect(alternations([0.1, 0.14, 0.1, 0.14])).toBe(0);
});

describe('the self-tuning balancer on the grid', () => {
  const cells = gridCells().map((cell) => runCell(cell));

  it('does not oscillate: chance alone makes four swings in a row in one cell of a hundred at most', () => {
    const oscillating = cells.filter((cell) => cell.selfTuning.alternations >= SUSTAINED);
    expect(oscillating.length).toBeLessThanOrEqual(cells.length / 100);
    for (const cell of oscillating) expect(cell.selfTuning.alternations).toBe(SUSTAINED);
    expect(cells.filter((cell) => cell.paper.alternations >= SUSTAINED).length).toBeGreaterThan(100);
  });

  it('converges within 10 of its intervals in every cell', () => {
    expect(Math.max(...cells.map((cell) => cell.selfTuning.convergedAfter))).toBeLessThanOrEqual(
      INTERVALS_TO_CONVERGE,
    );
  });

  it('spreads losses as little as the best fixed setting plus a fifth in every cell', () => {
    expect(cells.filter((cell) => !isSpreadGood(cell))).toEqual([]);
    const isPaperWider = ({ bestSpread, paper }: (typeof cells)[number]): boolean =>
      paper.spread > SPREAD_FACTOR * bestSpread;
    expect(cells.filter(isPaperWider).length).toBeGreaterThan(100);
  });
});
