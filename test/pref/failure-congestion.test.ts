import { describe, expect, test } from 'vitest';
import { gatewayWithRoutes } from './gateway-fixture.ts';
import { TcpModel, burstLoss, randomLoss } from './tcp-model.ts';
import type { ModelLoss, ModelRoute } from './tcp-model.ts';

/** 5 minutes each; one simulated hour together. */
const REGIMES: [string, number, number, boolean, Partial<ModelRoute>][] = [
  ['0.1 % at random', 20, 100, true, { loss: randomLoss(0.001) }],
  ['1 % at random', 20, 100, true, { loss: randomLoss(0.01) }],
  ['5 % at random', 20, 100, true, { loss: randomLoss(0.05) }],
  ['8 % at random', 20, 100, false, { loss: randomLoss(0.08) }],
  ['8 % at random, RTT 10 ms', 8, 10, false, { loss: randomLoss(0.08) }],
  ['8 % at random, RTT 300 ms', 60, 300, false, { loss: randomLoss(0.08) }],
  ['8 % at random in each direction', 10, 100, false, { loss: randomLoss(0.08), lossBack: 0.08 }],
  ['2 % in bursts of 5', 20, 100, true, { loss: burstLoss(0.02, 5) }],
  ['5 % in bursts of 3', 20, 100, true, { loss: burstLoss(0.05, 3) }],
  ['8 % in bursts of 5', 20, 100, true, { loss: burstLoss(0.08, 5) }],
  ['bad times with 50 % loss', 20, 100, true, { loss: gilbertElliott(0.01, 0.1, 0.005, 0.5) }],
  ['a full queue', 30, 50, true, { rate: 300, queue: 30 }],
];

function gilbertElliott(
  goodToBad: number,
  badToGood: number,
  lossInGood: number,
  lossInBad: number,
): ModelLoss {
  return { goodToBad, badToGood, lossInGood, lossInBad };
}

describe('congestion never suspends a route', () => {
  test.each(REGIMES)(
    '%s, %d flows a route, RTT %d ms, RACK and TLP %s',
    (_, flows, rttMs, isModern, route) => {
      const gateway = gatewayWithRoutes();
      const model = new TcpModel(
        gateway,
        [1, 2, 3].map((pathId) => ({ pathId, rttMs, rate: 400, queue: 60, ...route })),
        { seed: flows, isModern, maxWindow: 16 },
      );
      for (let i = 0; i < flows * 3; i++) model.open(1000 + i);
      let port = 20_000;
      model.run(300_000, (nowMs) => {
        if (nowMs % 200 === 0) model.open(20_000 + (port++ % 20_000), 20);
      });
      expect(model.lost / model.packets).toBeGreaterThan(0.0005);
      expect(gateway.failureEvents()).toEqual([]);
    },
  );
});
