/** Running connections on a route that becomes a black hole: how long do they stand still, and is one lost? */
import { PAPER_RATES } from './scenario.ts';
import type { Balance, DomainsScenario } from './scenario.ts';

/** L2 swallows what goes toward the clients for 30 s. */
export const recovery: DomainsScenario & { readonly mode: Balance } = {
  name: 'recovery',
  description: 'two PREFLEX domains, 60 running connections, 10 new ones a second, L2 forward dead for 30 s',
  topology: 'domains',
  seconds: 75,
  warmUpSeconds: 10,
  intervalSeconds: 10,
  mode: 'loss',
  ratesBitsPerSec: PAPER_RATES,
  changes: [
    { atSeconds: 25, link: 'L2', direction: 'forward', isDown: true },
    { atSeconds: 55, link: 'L2', direction: 'forward', isDown: false },
  ],
  running: { connections: 60, bytesPerSec: 50_000 },
  arriving: { perSecond: 10, bytes: 20_000 },
};

/** L2 swallows everything, both ways. */
export const recoveryBoth: typeof recovery = {
  ...recovery,
  name: 'recovery-both',
  description: 'as recovery, L2 dead in both directions',
  changes: recovery.changes.map((change) => ({ ...change, direction: 'both' })),
};
