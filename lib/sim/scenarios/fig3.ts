/** The paper's Figure 3: loss ratios toward E1 with equal utilisation, and with loss balancing, where balance is possible. */
import { BALANCEABLE_FLOWS } from './paper-flows.ts';
import { PAPER_RATES } from './scenario.ts';
import type { Figure1Scenario } from './scenario.ts';

/** beta_E = 1. */
export const fig3Equal: Figure1Scenario = {
  name: 'fig3-equal',
  description: 'Figure 3 above: equal utilisation (beta_E = 1), interval 10 s',
  topology: 'figure1',
  seconds: 600,
  warmUpSeconds: 60,
  intervalSeconds: 10,
  mode: 'equal',
  ratesBitsPerSec: PAPER_RATES,
  changes: [],
  flows: BALANCEABLE_FLOWS,
};

/** beta_E = 0.1, beta_L = 0.9. */
export const fig3Loss: Figure1Scenario = {
  ...fig3Equal,
  name: 'fig3-loss',
  description: 'Figure 3 below: loss balancing (beta_E = 0.1, beta_L = 0.9), interval 10 s',
  mode: 'loss',
};
