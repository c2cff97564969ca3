/**
 * Concurrent flows between the domains of Figure 1 over time: what Figure 2 of the paper shows. The paper's text gives
 * no numbers, so these are this project's own.
 *
 * ```
 *   seconds     0-150  150-300  300-450  450-900
 *   I1 > E1       15       20       10       15      over L1
 *   I1 > E2       15       20       10       15
 *   I2 > E1        5        3        8        5      over L3
 *   I2 > E2        5        2        7        5
 *   P  > E1       20       24       16       20      over any
 *   P  > E2       20       16       24       20
 * ```
 * About 40 flows from P, 30 from I1 and 10 from I2, so that L1 is loaded by others more than L3, and L2 by none. In the
 * second quarter that grows worse, in the third it nearly evens out, and around the failure (600 to 630 s) all is
 * steady.
 */
import type { FlowSchedule } from './schedule.ts';

const TIMES = [0, 150, 300, 450];

function steps(...flows: number[]): FlowSchedule {
  return flows.map((count, i) => ({ fromSeconds: TIMES[i], flows: count }));
}

/** Schedules by pair. */
export const PAPER_FLOWS: Readonly<Record<string, FlowSchedule>> = {
  'i1>e1': steps(15, 20, 10, 15),
  'i1>e2': steps(15, 20, 10, 15),
  'i2>e1': steps(5, 3, 8, 5),
  'i2>e2': steps(5, 2, 7, 5),
  'p>e1': steps(20, 24, 16, 20),
  'p>e2': steps(20, 16, 24, 20),
};

/**
 * The same with half as many flows from I1 and I2, so that others never have more than a third of all flows on a link,
 * which is its share where all lose alike: balance is possible at any time. With {@link PAPER_FLOWS} I1 alone has 40
 * flows on L1 in the second quarter, where a third of all is 28, and P can do no more than stay away.
 *
 * ```
 *   seconds     0-150  150-300  300-450  450-900
 *   I1 > E1        8        9        6        8      over L1
 *   I1 > E2        8        9        6        8
 *   I2 > E1        4        2        6        4      over L3
 *   I2 > E2        4        2        6        4
 * ```
 */
export const BALANCEABLE_FLOWS: Readonly<Record<string, FlowSchedule>> = {
  ...PAPER_FLOWS,
  'i1>e1': steps(8, 9, 6, 8),
  'i1>e2': steps(8, 9, 6, 8),
  'i2>e1': steps(4, 2, 6, 4),
  'i2>e2': steps(4, 2, 6, 4),
};

/** The same numbers of flows all the time. */
export function steadyFlows(flows: Readonly<Record<string, number>>): Record<string, FlowSchedule> {
  return Object.fromEntries(
    Object.entries(flows).map(([pair, count]) => [pair, [{ fromSeconds: 0, flows: count }]]),
  );
}
