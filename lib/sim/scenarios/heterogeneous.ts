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
  // With five flowlets an interval toward each destination, a route that has run empty is asked once in six intervals with
  // beta_E 0.1, and may stay unused for minutes: over seeds 1 to 24 max / min is 4.6 at most then, 2.2 with 0.2.
  mixedBetas: { equal: 0.2, conservative: 0.2, loss: 0.6 },
  ratesBitsPerSec: [10e6, 25e6, 40e6],
  changes: [],
  flows: steadyFlows({ 'i1>e1': 1, 'i1>e2': 1, 'i2>e1': 2, 'i2>e2': 2, 'p>e1': 20, 'p>e2': 20 }),
};
