/**
 * The metrics of real daemons with traffic (topology two-path): what Prometheus' own checker says of them, and that they
 * are what the daemons count. Asked from inside the namespace, since they are shown on loopback alone.
 */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { inNamespace, waitFor } from '../../lib/netns/index.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import { DATAPATHS } from '../../namespaces-lab/processes/datapath.ts';
import type { PreflexProcess } from '../../namespaces-lab/processes/preflex-process.ts';
import { statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { connectTcp, exchange, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import { prepareTwoPath } from '../support/two-path-lab.ts';

const PORT = 7000;

/** The address that a daemon says it shows its metrics at. */
function urlOf(daemon: PreflexProcess): string {
  const lines = daemon.lines[0]['setUp'] as string[];
  const url = lines.map((line) => /^metrics at (\S+)$/.exec(line)?.[1]).find((found) => found !== undefined);
  if (url === undefined) throw new Error(`no metrics in ${lines.join('; ')}`);
  return url;
}

function curl(netns: string, url: string): { readonly code: number | null; readonly text: string } {
  const [program = '', ...args] = inNamespace(['curl', '-sS', '--max-time', '20', url], { netns });
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' });
  return { code: status, text: stdout };
}

/** What `promtool check metrics` says; empty when all is well. */
function promtool(text: string): string {
  const { status, stdout, stderr, error } = spawnSync('promtool', ['check', 'metrics'], {
    encoding: 'utf8',
    input: text,
  });
  if (error !== undefined)
    throw new Error('promtool is missing: sh namespaces-lab/setup.sh', { cause: error });
  return `${stdout}${stderr}${status === 0 ? '' : `exit code ${status}`}`;
}

/** Sum of the series of a metric. */
function sumOf(text: string, name: string): number {
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

describeNetns('metrics', () => {
  const lab = useLab();

  // The agent's are of its TUN datapath; in the kernel it has none.
  it.each(DATAPATHS)(
    'of both daemons pass promtool, and are what they count; other addresses have none: gateway on %s',
    async (datapath) => {
      const topology = prepareTwoPath(lab, {
        gatewayDatapath: datapath,
        hostArgs: ['--metrics', '0'],
        gatewayArgs: ['--metrics', '127.0.0.1:0'],
      });
      const [gateway, agent] = await Promise.all([topology.startGateway(), topology.startAgent()]);
      serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
      const data = patternBytes(200_000, 'metrics');
      const socket = await connectTcp(topology.host, TWO_PATH.farAddress, PORT);
      expect((await exchange(socket, data)).equals(data)).toBe(true);

      const routeBytes = async (): Promise<number> =>
        statusOf<GatewayDaemonStatus>(await gateway.counters()).routes.reduce(
          (sum, route) => sum + route.total.bytes,
          0,
        );
      // The last acknowledgement may come late: what is compared is of a moment in which nothing was counted.
      const { bytes, ofGateway } = await waitFor('a moment without packets', async () => {
        const before = await routeBytes();
        const text = curl(topology.gateway, urlOf(gateway)).text;
        return (await routeBytes()) === before ? { bytes: before, ofGateway: text } : undefined;
      });
      const ofHost = curl(topology.host, urlOf(agent)).text;
      expect([promtool(ofGateway), promtool(ofHost)]).toEqual(['', '']);
      expect(bytes).toBeGreaterThan(data.length);
      expect(sumOf(ofGateway, 'preflex_gateway_route_bytes_total')).toBe(bytes);
      expect(sumOf(ofGateway, 'preflex_gateway_packets_total')).toBeGreaterThan(100);
      // There is no packet loop where packets stay in the kernel.
      if (datapath === 'tun')
        expect(sumOf(ofGateway, 'preflex_loop_batch_seconds_count')).toBeGreaterThan(10);
      expect(sumOf(ofHost, 'preflex_host_sent_bytes_total')).toBeGreaterThan(data.length);

      const { port } = new URL(urlOf(agent));
      expect(curl(topology.host, `http://${TWO_PATH.hostAddress}:${port}/metrics`).code).toBe(7);
      await Promise.all([agent.stop(), gateway.stop()]);
      expect([agent.stderr, gateway.stderr]).toEqual(['', '']);
    },
  );
});
