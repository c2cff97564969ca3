/** The run `bird` of the laboratory, short: traffic follows what two BGP neighbours announce, and connections survive. */
import { expect, it } from 'vitest';
import { run } from '../../lib/netns/index.ts';
import { reportBird } from '../../namespaces-lab/reports/bird.ts';
import { DATAPATHS } from '../../namespaces-lab/processes/datapath.ts';
import { birdProblems, runBird } from '../../namespaces-lab/runs/bird.ts';
import { describeNetns, useLab } from '../support/netns.ts';

const CONNECTIONS = 3;

describeNetns('lab bird', () => {
  const lab = useLab();

  it('the documented configuration of BIRD is one', () => {
    run(['bird', '-p', '-c', new URL('../../docs/samples/bird.conf', import.meta.url).pathname]);
  });

  it.each(DATAPATHS)(
    'traffic goes where the neighbours announce, and no connection breaks: %s',
    async (datapath) => {
      const result = await runBird(lab.scope, { seconds: 0.4, connections: CONNECTIONS, datapath });
      expect(birdProblems(result)).toEqual([]);
      expect(result.connections).toBe(2 * CONNECTIONS);
      expect(result.phases).toHaveLength(7);
      expect(result.gateway.tables).toMatchObject({
        tables: [
          { route: 'a', table: 101, entries: { ipv4: 2 } },
          { route: 'b', table: 102, entries: { ipv4: 2 } },
        ],
        badMessages: 0,
      });
      expect(reportBird(result)).toMatch(/^n1 withdraws X +0 B +[\d.]+ kB +[\d.]+ kB /m);
    },
  );
});
