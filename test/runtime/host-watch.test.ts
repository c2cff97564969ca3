/** What of a host agent's doing becomes an event. */
import { expect, it } from 'vitest';
import { EventLog } from '../../lib/runtime/events.ts';
import { HostWatch } from '../../lib/runtime/host-watch.ts';

it('tells how many flows gave up their path since the last look, once a second', () => {
  const counters = { moved: 0, unpinned: 0 };
  const log = new EventLog();
  const watch = new HostWatch(counters, log);
  watch.handleTimeout(1e9);
  expect([log.next, watch.pollTimeout()]).toEqual([0, 2e9]);
  counters.unpinned = 3;
  counters.moved = 1;
  watch.handleTimeout(2e9);
  watch.handleTimeout(3e9);
  expect(log.since()).toMatchObject([{ kind: 'pathsGivenUp', flows: 4 }]);
});
