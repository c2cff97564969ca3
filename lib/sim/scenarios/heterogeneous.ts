/** Routes of different rates: does the balance find them? Hardly any traffic but P's. */
import { steadyFlows } from './paper-flows.ts';
import type { Figure1Scenario } from './scenario.ts';

/** 10, 25 and 40 Mbit/s. */
export const heterogeneous: Figure1Scenario = {
  name: 'heterogeneous',
  description: 'links of 10, 25 and 40 Mbit/s, 40 flows from P and 6 others, interval 5 s',
  topology: 'figure1',
  seconds: 300,
  warmUpSeconds: 60,
  intervalSeconds: 5,
  mode: 'mixed',
  // There are five flowlets an interval toward each destination, so a route that has run empty is hardly asked. beta_C keeps
  // it empty, and beta_E fills the smallest link beyond its share. Over seeds 1 to 72 max / min is over 2 in one run with
  // these, in 16 with 0.2, 0.2, 0.6; over seeds 1 to 24 in none, and in 4 with 0.1, 0.3, 0.6.
  mixedBetas: { equal: 0.1, conservative: 0.1, loss: 0.8 },
  ratesBitsPerSec: [10e6, 25e6, 40e6],
  changes: [],
  flows: steadyFlows({ 'i1>e1': 1, 'i1>e2': 1, 'i2>e1': 2, 'i2>e2': 2, 'p>e1': 20, 'p>e2': 20 }),
};
