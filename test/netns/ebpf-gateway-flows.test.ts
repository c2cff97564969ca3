/**
 * What host and gateway in the kernel make of real flows (topology two-path): that datagrams stay on the route they were
 * given, and that what the gateway counts as lost is what the host marked, to the byte, headers of segments included.
 *
 *      host --- p0 [ programs ] a ---\
 *                             b ---- router --- far
 */
import { expect, it } from 'vitest';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import { markingScheme, markPathId } from '../../lib/wire/marking/scheme.ts';
import { statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import type { HostStatus } from '../../namespaces-lab/result.ts';
import type { CapturedPacket } from '../support/capture.ts';
import { Capture, flowOf, groupBy } from '../support/capture.ts';
import { askUdp, connectTcp, exchange, openUdp, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import { endsOf, startTwoPathTest } from '../support/two-path-lab.ts';

const PORT = 7000;
const UDP_FLOWS = 6;
const ASKED = 20;
const PAYLOAD = 700;
const TCP_FLOWS = 6;
const BYTES = 1_000_000;
const UDP_HEADER = 8;

describeNetns('the gateway in the kernel with real flows', () => {
  const lab = useLab();
  const cases = ([4, 6] as const).flatMap((version) =>
    (['pool2', 'full'] as const).map((scheme) => ({ scheme, version })),
  );
  const start = ({ scheme }: (typeof cases)[number], loss = 0) =>
    startTwoPathTest(lab, {
      scheme,
      links: { loss: { forward: loss } },
      hostArgs: ['--flowlet-gap', '60'],
      hostDatapath: 'ebpf',
      gatewayDatapath: 'ebpf',
    });

  it.each(cases)(
    'keeps datagrams of a flow on its route, and counts each: scheme $scheme, IPv$version',
    async (one) => {
      const topology = await start(one);
      const { far, host } = endsOf(one.version);
      const server = await openUdp(lab.scope, topology.far, far, PORT);
      server.on('message', (message, { address, port }) => {
        server.send(message, port, address);
      });
      const captures = await Promise.all(
        ['p0', 'a', 'b'].map((device) => Capture.start(lab, topology.gateway, device)),
      );
      const clients = await Promise.all(
        Array.from({ length: UDP_FLOWS }, () => openUdp(lab.scope, topology.host, host)),
      );
      for (const client of clients)
        for (let i = 0; i < ASKED; i++) await askUdp(client, new Uint8Array(PAYLOAD), far, PORT);
      const [inside, a, b] = await Promise.all(captures.map((capture) => capture.stop()));

      const isOutbound = (packet: CapturedPacket): boolean => packet.dst.endsWith(`:${PORT}`);
      const asked = groupBy(inside.filter(isOutbound), flowOf);
      const got = [a, b].map((packets) => groupBy(packets.filter(isOutbound), flowOf));
      const { decodeTable } = markingScheme(one.scheme);
      expect(asked.size).toBe(UDP_FLOWS);
      const used = [...asked].map(([flow, packets]) => {
        const [first, ...rest] = packets.map((packet) => markPathId(decodeTable[packet.dscp]));
        const [path] = rest;
        expect([first, new Set(rest)], flow).toEqual([0, new Set([path])]);
        // The FNE packet went by the route whose path ID its answer brought.
        expect(got.map((packets) => packets.get(flow)?.length ?? 0)[path - 1], flow).toBe(ASKED);
        return path;
      });
      expect(used.filter((path) => path === 1)).toHaveLength(UDP_FLOWS / 2);
      expect(used.filter((path) => path === 2)).toHaveLength(UDP_FLOWS / 2);

      const status = statusOf<GatewayDaemonStatus>(await topology.gatewayDaemon.counters());
      const packet = (one.version === 4 ? 20 : 40) + UDP_HEADER + PAYLOAD;
      const each = (UDP_FLOWS / 2) * ASKED * packet;
      expect(status.routes.map(({ total }) => [total.bytes, total.lexBytes, total.flowlets])).toEqual([
        [each, 0, UDP_FLOWS / 2],
        [each, 0, UDP_FLOWS / 2],
      ]);
      expect(status.reasons).toMatchObject({
        ...{ outFneDrawn: UDP_FLOWS, outPathId: UDP_FLOWS * (ASKED - 1), inAssignedAnswer: UDP_FLOWS },
      });
    },
  );

  it.each(cases)(
    'counts as lost what the host marked LEx, and as carried what it sent: scheme $scheme, IPv$version',
    async (one) => {
      const topology = await start(one, 0.02);
      serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
      const data = patternBytes(BYTES, 'lost');
      const echoes = Array.from({ length: TCP_FLOWS }, async () => {
        const socket = await connectTcp(topology.host, endsOf(one.version).far, PORT);
        expect((await exchange(socket, data)).equals(data)).toBe(true);
      });
      await Promise.all(echoes);
      // The gateway first: whatever is sent again meanwhile is with the host alone.
      const hostBefore = statusOf<HostStatus>(await topology.agent.counters());
      const { routes } = statusOf<GatewayDaemonStatus>(await topology.gatewayDaemon.counters());
      const hostAfter = statusOf<HostStatus>(await topology.agent.counters());
      const lost = routes.reduce((sum, { total }) => sum + total.lexBytes, 0);
      expect(lost).toBeGreaterThan(10_000);
      expect(lost).toBeGreaterThanOrEqual(hostBefore.codepoints.lex.bytes);
      expect(lost).toBeLessThanOrEqual(hostAfter.codepoints.lex.bytes);
      const carried = routes.reduce((sum, { total }) => sum + total.bytes, 0);
      const sent = ({ codepoints: { fne, lect, lex } }: HostStatus): number =>
        fne.bytes + lect.bytes + lex.bytes;
      expect(carried).toBeGreaterThanOrEqual(sent(hostBefore));
      expect(carried).toBeLessThanOrEqual(sent(hostAfter));
    },
  );
});
