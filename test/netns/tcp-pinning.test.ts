/**
 * preflex/tcp inside a domain whose hosts run no agent (topology two-path, links that carry single packets):
 *
 *      host: examples/http-server --- p0 [ gateway ] a ---\
 *      or examples/http-client                        b ---- router --- far
 *
 * What the sockets ask for stands in the DSCP of the packets on p0; the packets on `a` and `b` are what they got.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, it } from 'vitest';
import { pool2 } from '../../lib/wire/marking/pool2.ts';
import { CODEPOINT_FNE, CODEPOINT_LECT, markCodepoint, markPathId } from '../../lib/wire/marking/scheme.ts';
import { TCP_RST, TCP_SYN } from '../../lib/wire/packet-view.ts';
import type { CapturedPacket } from '../support/capture.ts';
import { Capture, flowOf, groupBy } from '../support/capture.ts';
import { exampleArgv, projectRoot, RunningExample } from '../support/examples.ts';
import { connectTcp, withinNetns } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import type { TestTwoPath } from '../support/two-path-lab.ts';
import { endsOf, prepareTwoPath, waitForTopology } from '../support/two-path-lab.ts';

const PORT = 7080;
const FLOWS = 6;
const BYTES = 300_000;

describeNetns('preflex/tcp', () => {
  const lab = useLab();

  async function startHttpServer(topology: TestTwoPath): Promise<RunningExample> {
    const child = lab.scope.spawn(exampleArgv('http-server', [String(PORT)]), {
      netns: topology.host,
      cwd: projectRoot,
    });
    const server = new RunningExample(child);
    expect(await server.line()).toContain(`port: ${PORT}`);
    return server;
  }

  const startCaptures = (netns: string): Promise<Capture[]> =>
    Promise.all(['p0', 'a', 'b'].map((device) => Capture.start(lab, netns, device, 262_144)));

  /** GET from far. Calls back with the path that the server says, as soon as the first bytes are there. */
  async function request(
    topology: TestTwoPath,
    version: 4 | 6,
    bytes: number,
    onPath: (pathId: number) => void = () => undefined,
  ): Promise<{ pathId: number; bytes: number }> {
    const socket = await connectTcp(topology.far, endsOf(version).host, PORT);
    socket.write(`GET /${bytes} HTTP/1.0\r\n\r\n`);
    let pathId = -1;
    let received = 0;
    socket.on('data', (data: Buffer) => {
      received += data.length;
      if (pathId >= 0) return;
      const head = data.toString('latin1');
      pathId = Number(/x-path-id: (\d)/i.exec(head)?.[1]);
      received -= head.indexOf('\r\n\r\n') + 4;
      onPath(pathId);
    });
    socket.once('end', () => socket.end());
    await once(socket, 'close');
    return { pathId, bytes: received };
  }

  for (const version of [4, 6] as const) {
    it(`keeps each connection of an HTTP server on its assigned route: IPv${version}`, async () => {
      const topology = prepareTwoPath(lab);
      const gateway = await topology.startGateway();
      await waitForTopology(topology);
      const server = await startHttpServer(topology);
      const captures = await startCaptures(topology.gateway);
      const answers = await Promise.all(
        Array.from({ length: FLOWS }, () => request(topology, version, BYTES)),
      );
      expect(answers.map((answer) => answer.bytes)).toEqual(Array.from({ length: FLOWS }, () => BYTES));
      const [inside, a, b] = await Promise.all(captures.map((capture) => capture.stop()));

      // A reset for a connection that is closed already belongs to no socket, and to no DSCP.
      const isOutbound = (packet: CapturedPacket): boolean =>
        packet.src.endsWith(`:${PORT}`) && (packet.tcpFlags & TCP_RST) === 0;
      const asked = groupBy(inside.filter(isOutbound), flowOf);
      const got = [a, b].map((packets) => groupBy(packets.filter(isOutbound), flowOf));
      expect(asked.size).toBe(FLOWS);
      for (const [flow, packets] of asked) {
        // The SYN-ACK and what the kernel acknowledges before node accepts carry no path; all that follows does.
        const withData = packets.filter((packet) => packet.payload.length > 0);
        const paths = new Set(withData.map((packet) => markPathId(pool2.decodeTable[packet.dscp]!)));
        expect(paths.size, flow).toBe(1);
        const [path = 0] = paths;
        expect([1, 2], flow).toContain(path);
        expect(payloadBytes(got[2 - path]!.get(flow) ?? []), flow).toBe(0);
        expect(payloadBytes(got[path - 1]!.get(flow) ?? []), flow).toBe(payloadBytes(packets));
      }
      expect([...new Set(answers.map((answer) => answer.pathId))].sort()).toEqual([1, 2]);
      const { lines } = await server.stop();
      expect(lines.at(-1)).toMatch(/bytes sent, \d+ of them again/);
      const { reasons } = (await gateway.stop()) as unknown as { reasons: Record<string, number> };
      expect([reasons['inAssignedSyn'], reasons['outUnknownPathId'], reasons['outFneDrawn']]).toEqual([
        FLOWS,
        0,
        0,
      ]);
    });

    it(`moves a connection of an HTTP server away from a route that died: IPv${version}`, async () => {
      const topology = prepareTwoPath(lab);
      await topology.startGateway();
      await waitForTopology(topology);
      await startHttpServer(topology);
      // Over IPv4 a connection can only go to paths that others were assigned.
      const before = [await request(topology, version, 10), await request(topology, version, 10)];
      expect(before.map((answer) => answer.pathId).sort()).toEqual([1, 2]);
      const bytes = 20_000_000;
      const answer = await request(topology, version, bytes, (pathId) => {
        (pathId === 1 ? topology.links.a : topology.links.b).forward.isBlackhole = true;
      });
      expect(answer.bytes).toBe(bytes);
      const dead = answer.pathId === 1 ? topology.links.a : topology.links.b;
      expect(dead.forward.droppedPackets[0]).toBeGreaterThan(0);
    });
  }

  it('keeps the connection of an HTTP client on the route of its SYN: IPv6', async () => {
    const topology = prepareTwoPath(lab);
    const gateway = await topology.startGateway();
    await waitForTopology(topology);
    const server = createServer((_request, response) => response.end(Buffer.alloc(BYTES)));
    withinNetns(topology.far, () => server.listen(PORT));
    lab.scope.defer('HTTP server', () => void server.close());
    const captures = await startCaptures(topology.gateway);
    const pathIds: number[] = [];
    for (let i = 0; i < 4; i++) {
      const url = `http://[${endsOf(6).far}]:${PORT}/`;
      const child = lab.scope.spawn(exampleArgv('http-client', [url]), {
        netns: topology.host,
        cwd: projectRoot,
      });
      const { bytes, pathId } = JSON.parse(await new RunningExample(child).line()) as Record<string, number>;
      expect(bytes).toBe(BYTES);
      pathIds.push(pathId!);
    }
    const [inside, a, b] = await Promise.all(captures.map((capture) => capture.stop()));
    expect([...new Set(pathIds)].sort()).toEqual([1, 2]);
    const isOutbound = (packet: CapturedPacket): boolean =>
      packet.dst.endsWith(`:${PORT}`) && (packet.tcpFlags & TCP_RST) === 0;
    const asked = [...groupBy(inside.filter(isOutbound), flowOf)];
    const got = [a, b].map((packets) => groupBy(packets.filter(isOutbound), flowOf));
    expect(asked).toHaveLength(pathIds.length);
    for (const [i, [flow, packets]] of asked.entries()) {
      const [syn, ...rest] = packets;
      expect(syn!.tcpFlags & TCP_SYN).not.toBe(0);
      expect(markCodepoint(pool2.decodeTable[syn!.dscp]!)).toBe(CODEPOINT_FNE);
      // A client that does not run for 200 ms after the SYN-ACK has its kernel acknowledge that without a path.
      const pathOf = (packet: CapturedPacket): number => markPathId(pool2.decodeTable[packet.dscp]!);
      const isEarly = rest[0]!.payload.length === 0 && pathOf(rest[0]!) === 0;
      const early = isEarly ? rest.slice(0, 1) : [];
      for (const packet of early) {
        expect(markCodepoint(pool2.decodeTable[packet.dscp]!), flow).toBe(CODEPOINT_LECT);
      }
      expect(new Set(rest.slice(early.length).map(pathOf)), flow).toEqual(new Set([pathIds[i]]));
      const onOther = got[2 - pathIds[i]!]!.get(flow) ?? [];
      expect(onOther.length, flow).toBeLessThanOrEqual(early.length);
      expect(got[pathIds[i]! - 1]!.get(flow), flow).toHaveLength(packets.length - onOther.length);
    }
    const { reasons } = (await gateway.stop()) as unknown as { reasons: Record<string, number> };
    expect([reasons['outFneDrawn'], reasons['inAssignedAnswer']]).toEqual([4, 4]);
  });
});

function payloadBytes(packets: readonly CapturedPacket[]): number {
  return packets.reduce((sum, packet) => sum + packet.payload.length, 0);
}
