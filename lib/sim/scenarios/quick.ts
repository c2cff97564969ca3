/** A minute for continuous integration: everything that the long experiments use, once. */
import { steadyFlows } from './paper-flows.ts';
import { PAPER_RATES } from './scenario.ts';
import type { Figure1Scenario } from './scenario.ts';

/** 50 s of traffic; with start and end about a minute. */
export const quick: Figure1Scenario = {
  name: 'quick',
  description: 'a minute: half the flows of Figure 2, L2 fails from 25 s to 31 s, interval 1 s',
  topology: 'figure1',
  seconds: 50,
  warmUpSeconds: 10,
  intervalSeconds: 1,
  mode: 'loss',
  ratesBitsPerSec: PAPER_RATES,
  changes: [
    { atSeconds: 25, link: 'L2', direction: 'forward', isDown: true },
    { atSeconds: 31, link: 'L2', direction: 'forward', isDown: false },
  ],
  flows: steadyFlows({ 'i1>e1': 8, 'i1>e2': 8, 'i2>e1': 3, 'i2>e2': 2, 'p>e1': 10, 'p>e2': 10 }),
};
