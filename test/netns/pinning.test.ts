/**
 * Pinning, counted on the devices of the routes (topology two-path, links that carry single packets):
 *
 *      host --- p0 [ gateway ] a ---\
 *                            b ---- router --- far
 *
 * What the host asks for stands in the DSCP of its packets on p0; the packets on `a` and `b` are what it got.
 */
import { expect, it } from 'vitest';
import { writeSysctl } from '../../lib/netns/index.ts';
import { markingScheme, markPathId } from '../../lib/wire/marking/scheme.ts';
import { TCP_FIN, TCP_RST } from '../../lib/wire/packet-view.ts';
import { DATAPATHS } from '../../namespaces-lab/processes/datapath.ts';
import { runIperf3 } from '../../namespaces-lab/traffic/iperf3.ts';
import type { CapturedPacket } from '../support/capture.ts';
import { Capture, flowOf, groupBy } from '../support/capture.ts';
import { connectTcp, exchange, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import { endsOf, prepareTwoPath, startTwoPathTest } from '../support/two-path-lab.ts';

const FLOWS = 8;
const BYTES = 300_000;
const PORT = 7000;

describeNetns('pinning', () => {
  const lab = useLab();
  const startCaptures = (netns: string): Promise<Capture[]> =>
    Promise.all([
      Capture.start(lab, netns, 'p0', 262_144),
      Capture.start(lab, netns, 'a'),
      Capture.start(lab, netns, 'b'),
    ]);

  const cases = DATAPATHS.flatMap((datapath) =>
    (['pool2', 'full'] as const).flatMap((scheme) =>
      ([4, 6] as const).map((version) => ({ datapath, scheme, version })),
    ),
  );
  it.each(cases)(
    'every packet of a pinned flow leaves by its route: datapath $datapath, scheme $scheme, IPv$version',
    async ({ datapath, scheme, version }) => {
      // On a busy machine a pause of a second, or two timeouts in a row, would rightly begin another flowlet.
      const hostArgs = ['--flowlet-gap', '60', '--fne-after-timeouts', '15'];
      const topology = await startTwoPathTest(lab, {
        ...{ scheme, hostArgs, hostDatapath: datapath, gatewayDatapath: datapath },
      });
      serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
      const captures = await startCaptures(topology.gateway);
      const data = patternBytes(BYTES, 'pinning');
      const echoes = Array.from({ length: FLOWS }, async () =>
        exchange(await connectTcp(topology.host, endsOf(version).far, PORT), data),
      );
      for (const echo of await Promise.all(echoes)) expect(echo.equals(data)).toBe(true);
      const [inside, a, b] = await Promise.all(captures.map((capture) => capture.stop()));

      const isOutbound = (packet: CapturedPacket): boolean => packet.dst.endsWith(`:${PORT}`);
      const asked = groupBy(inside.filter(isOutbound), flowOf);
      const got = [a, b].map((packets) => groupBy(packets.filter(isOutbound), flowOf));
      expect(asked.size).toBe(FLOWS);
      const { out } = (await topology.agent.counters()) as unknown as { out: Record<string, number> };
      expect(Object.keys(out).filter((reason) => /^fne(?!Syn)/.test(reason))).toEqual([]);
      const { decodeTable } = markingScheme(scheme);
      const pathsUsed = new Set<number>();
      for (const [flow, packets] of asked) {
        const paths = packets.map((packet) => markPathId(decodeTable[packet.dscp]));
        const first = paths.findIndex((path) => path !== 0);
        // Once assigned it is never without a path again, and never on another.
        expect(new Set(paths.slice(first)).size, flow).toBe(1);
        const path = paths[first];
        pathsUsed.add(path);
        const own = got[path - 1].get(flow) ?? [];
        const other = got[2 - path].get(flow) ?? [];
        expect(other.length, `${flow} away from route ${path}`).toBeLessThanOrEqual(first);
        expect(payloadBytes(own) + payloadBytes(other), flow).toBe(payloadBytes(packets));
        expect(payloadBytes(other), flow).toBe(0);
        expect(payloadBytes(own), flow).toBeGreaterThanOrEqual(BYTES);
      }
      expect([...pathsUsed].sort()).toEqual([1, 2]);
      const { reasons } = (await topology.gatewayDaemon.stop()) as unknown as {
        reasons: Record<string, number>;
      };
      expect([reasons['outUnknownPathId'], reasons['outDownPathId'], reasons['outFneRepeated']]).toEqual([
        0, 0, 0,
      ]);
    },
  );

  for (const version of [4, 6] as const) {
    it(`a stock host with tcp_reflect_tos=1 stays on its assigned route without an agent: IPv${version}`, async () => {
      const topology = prepareTwoPath(lab);
      writeSysctl('net/ipv4/tcp_reflect_tos', 1, { netns: topology.host });
      const gateway = await topology.startGateway();
      const captures = await startCaptures(topology.gateway);
      const bytes = 6_000_000;
      const { receivedBytes } = await runIperf3(lab.scope, {
        clientNetns: topology.far,
        serverNetns: topology.host,
        address: endsOf(version).host,
        reverse: true,
        flows: 4,
        bytes,
      });
      expect(receivedBytes).toBeGreaterThanOrEqual(bytes);
      const [inside, a, b] = await Promise.all(captures.map((capture) => capture.stop()));

      // A reset for a connection that is closed already belongs to no socket, and to no DSCP.
      const isOutbound = (packet: CapturedPacket): boolean =>
        packet.src.endsWith(':5201') && (packet.tcpFlags & TCP_RST) === 0;
      const { decodeTable } = markingScheme('pool2');
      const asked = groupBy(inside.filter(isOutbound), flowOf);
      const got = [a, b].map((packets) => groupBy(packets.filter(isOutbound), flowOf));
      expect(asked.size).toBe(5); // the control connection too
      const pathsUsed = new Set<number>();
      for (const [flow, packets] of asked) {
        // What TIME_WAIT acknowledges after the last FIN comes from no socket, and Linux gives it no DSCP over IPv4.
        const end =
          packets.findLastIndex((packet) => (packet.tcpFlags & TCP_FIN) !== 0) + 1 || packets.length;
        const paths = new Set(packets.slice(0, end).map((packet) => markPathId(decodeTable[packet.dscp])));
        expect(paths.size, flow).toBe(1);
        const [path] = paths;
        pathsUsed.add(path);
        expect([1, 2], flow).toContain(path);
        const other = got[2 - path].get(flow) ?? [];
        expect(other.length, flow).toBeLessThanOrEqual(packets.length - end);
        expect(payloadBytes(packets.slice(end)) + payloadBytes(other), flow).toBe(0);
        expect(payloadBytes(got[path - 1].get(flow) ?? []), flow).toBe(payloadBytes(packets));
      }
      expect([...pathsUsed].sort()).toEqual([1, 2]);
      const sent = [a, b].flatMap((packets) => packets.filter(isOutbound));
      expect(payloadBytes(sent)).toBeGreaterThanOrEqual(bytes);
      const { reasons } = (await gateway.stop()) as unknown as { reasons: Record<string, number> };
      expect(reasons['inAssignedSyn']).toBe(5);
    });
  }
});

function payloadBytes(packets: readonly CapturedPacket[]): number {
  return packets.reduce((sum, packet) => sum + packet.payload.length, 0);
}
