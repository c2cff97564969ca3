/** The paper's Figure 4: the path over L2 fails at 600 s toward the clients and comes back at 630 s. */
import { PAPER_FLOWS } from './paper-flows.ts';
import { PAPER_RATES, scaleTime } from './scenario.ts';
import type { Figure1Scenario } from './scenario.ts';

/** 900 s, interval 10 s. */
export const fig4: Figure1Scenario = {
  name: 'fig4',
  description: 'Figure 4: L2 fails from 600 s to 630 s, loss balancing, interval 10 s',
  topology: 'figure1',
  seconds: 900,
  warmUpSeconds: 60,
  intervalSeconds: 10,
  mode: 'loss',
  ratesBitsPerSec: PAPER_RATES,
  changes: [
    { atSeconds: 600, link: 'L2', direction: 'forward', isDown: true },
    { atSeconds: 630, link: 'L2', direction: 'forward', isDown: false },
  ],
  flows: PAPER_FLOWS,
};

/**
 * The same shape in a tenth of the time: transfers are a tenth as long as well, so that as many flowlets as in Figure 4
 * begin in an interval.
 *
 * Some ten flowlets begin in an interval toward each egress domain. With beta_E = 0.1 a failed route would be probed by
 * one of them in three intervals, and the loss ratio of a second is that of a few packets: so the weights are those that
 * probe in every interval and lean less on losses.
 */
export const fig4Fast: Figure1Scenario = {
  ...scaleTime(fig4, 0.1),
  name: 'fig4-fast',
  description: 'Figure 4 in a tenth of the time: L2 fails from 60 s to 63 s, mixed balancing, interval 1 s',
  intervalSeconds: 1,
  mode: 'mixed',
  mixedBetas: { equal: 0.4, conservative: 0.2, loss: 0.4 },
  sizes: { weibull: { shape: 0.5, scaleBytes: 1e5 } },
};
