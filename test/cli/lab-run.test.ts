/** What `preflex lab run` refuses before it builds anything. */
import { expect, it } from 'vitest';
import { requireInterval } from '../../lib/cli/lab-run.ts';
import { requireIperf3Pairs } from '../../namespaces-lab/runs/iperf3-sources.ts';

it('a run shorter than an update interval is refused, for it would be valid without having measured anything', () => {
  expect(() => requireInterval({ seconds: 0.5, intervalSeconds: 1 })).toThrow(
    'seconds: 0.5 s of traffic are less than an update interval of 1 s',
  );
  expect(() => requireInterval({ seconds: 1, intervalSeconds: 1 })).not.toThrow();
});

it.each(['x>e1', 'p>e9', 'e1>p'])('iperf3 is refused between ends that are none: %s', (pair) => {
  expect(() => requireIperf3Pairs([{ pair: 'p>e1' }, { pair }])).toThrow(
    `there is no pair "${pair}" here; it takes one of`,
  );
  expect(() => requireIperf3Pairs([{ pair: 'p>e1' }])).not.toThrow();
});
