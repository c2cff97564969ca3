/**
 * What passes agent and gateway arrives as it was sent, but for the DSCP (topology two-path):
 *
 *      host h0 --- p0 [ gateway ] a,b --- a,b [ router ] r0 --- f0 far
 *
 * Checksums are looked at where they are final. A sender with checksum offload leaves them to its device, so a capture
 * on h0 (out) or f0 (out) holds unfinished ones, which tcpdump rightly calls incorrect. The devices `a` and `b` are TUNs
 * without offload: the kernel finishes the checksum, and cuts super-packets, before it gives them a packet or takes one
 * from them. What comes in on h0 and f0 is final too, because it has passed such a device.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { inNamespace, run, waitFor, writeSysctl } from '../../lib/netns/index.ts';
import { writeTrafficClass } from '../../lib/sys/socket-options.ts';
import { fillHeaderChecksum } from '../../lib/wire/ipv4.ts';
import { FRAGMENT_LATER, FRAGMENT_NONE, TCP_CWR, TCP_ECE } from '../../lib/wire/packet-view.ts';
import { runIperf3 } from '../../namespaces-lab/traffic/iperf3.ts';
import type { CapturedPacket } from '../support/capture.ts';
import { addressOf, Capture, rightChecksums, tally, wrongPackets } from '../support/capture.ts';
import { pingOnce } from '../support/icmp-echo.ts';
import {
  askUdp,
  connectTcp,
  exchange,
  openUdp,
  patternBytes,
  serveTcp,
  udpFd,
  withinNetns,
} from '../support/in-netns.ts';
import { describeNetns, useLab, useSharedLab } from '../support/netns.ts';
import { endsOf, startTwoPathTest } from '../support/two-path-lab.ts';

const ECT1 = 1;
const ECT0 = 2;
const CE = 3;
const ECHO_PORT = 7000;
const SINK_PORT = 7001;
const HTTP_PORT = 8080;
const MTU = 1500;

type Lab = Awaited<ReturnType<typeof startTwoPathTest>>;

/** Every so many packets of a link is marked CE, if its transport allows. */
const CE_EVERY = 40;

for (const version of [4, 6] as const) {
  const { host, far } = endsOf(version);
  const headers = version === 4 ? 28 : 48; // IP and UDP
  const toHost = `dst host ${host}`;
  const toFar = `dst host ${far}`;

  describeNetns(`transparency over IPv${version}`, () => {
    let topology: Lab;
    const lab = useSharedLab(async (shared) => {
      topology = await startTwoPathTest(shared, { links: { alter: congestionMarker() } });
      for (const netns of [topology.host, topology.far]) writeSysctl('net/ipv4/tcp_ecn', 1, { netns });
      for (const [netns, address] of [
        [topology.host, host],
        [topology.far, far],
      ] as const) {
        const echo = await openUdp(shared.scope, netns, address, ECHO_PORT);
        echo.on('message', (message, from) => {
          // Answers with the ECN value that the first byte asks for.
          writeTrafficClass(udpFd(echo), message[0] ?? 0, version);
          echo.send(message, from.port, from.address);
        });
      }
    });

    const capture = async (
      body: () => Promise<void>,
      maxBytesHost: 2048 | 262_144 = 2048,
    ): Promise<Captured> => {
      const captures = await Promise.all([
        Capture.start(lab, topology.gateway, 'a'),
        Capture.start(lab, topology.gateway, 'b'),
        Capture.start(lab, topology.host, 'h0', maxBytesHost),
        Capture.start(lab, topology.far, 'f0', maxBytesHost),
      ]);
      await body();
      for (const netns of [topology.host, topology.far]) await waitForQuietTcp(netns);
      const [a, b, h0, f0] = await Promise.all(captures.map((running) => running.stop()));
      const [pathA, pathB, pathH, pathF] = captures.map((running) => running.path);
      for (const [path, filter] of [
        [pathA, ''],
        [pathB, ''],
        [pathH, toHost],
        [pathF, toFar],
      ]) {
        expect(wrongPackets(path, filter)).toEqual([]);
      }
      const checksums = [pathA, pathB].reduce((sum, path) => sum + rightChecksums(path), 0);
      const isOut = (packet: CapturedPacket) => addressOf(packet.src) === host;
      const isIn = (packet: CapturedPacket) => addressOf(packet.dst) === host;
      const routes = [...a, ...b];
      // No mark leaves: nobody is to be shown any.
      expect(routes.filter((packet) => isOut(packet) && packet.dscp !== 0)).toEqual([]);
      return {
        checksums,
        out: { host: h0.filter(isOut), routes: routes.filter(isOut), far: f0.filter(isOut) },
        in: { host: h0.filter(isIn), routes: routes.filter(isIn), far: f0.filter(isIn) },
      };
    };

    it('TCP of iperf3 and curl arrives whole, with right checksums, and ECN works end to end', async () => {
      const body = patternBytes(3_000_000, 'page');
      const server = createServer((request, response) => {
        if (request.method === 'GET') response.end(body);
        else request.pipe(response);
      });
      withinNetns(topology.far, () => server.listen(HTTP_PORT));
      lab.scope.defer('web server', () => {
        server.close();
      });
      const url = `http://${version === 4 ? far : `[${far}]`}:${HTTP_PORT}/`;
      const file = (name: string): string => join(lab.folder, name);
      const curl = (...words: string[]) =>
        promisify(execFile)(
          'ip',
          inNamespace(['curl', '-sS', '-g', '--fail', '-m', '30', ...words, url], {
            netns: topology.host,
          }).slice(1),
        );
      writeFileSync(file('up'), body);
      const got = await capture(async () => {
        await curl('-o', file('page'));
        await curl('--data-binary', `@${file('up')}`, '-o', file('echo'));
        for (const reverse of [false, true]) {
          const traffic = { clientNetns: topology.host, serverNetns: topology.far, address: far, flows: 2 };
          // iperf3 stops when all is sent, not when all has arrived.
          const { sentBytes } = await runIperf3(lab.scope, { ...traffic, bytes: 3_000_000, reverse });
          expect(sentBytes).toBeGreaterThanOrEqual(3_000_000);
        }
      }, 262_144);
      expect(readFileSync(file('page')).equals(body)).toBe(true);
      expect(readFileSync(file('echo')).equals(body)).toBe(true);

      expect(got.checksums).toBeGreaterThan(8000);
      expect(Math.max(...got.out.routes.map((packet) => packet.length))).toBe(MTU);
      // Outbound: as many bytes with each ECN value on the routes as the host has sent.
      expect(payloadByEcn(got.out.routes)).toEqual(payloadByEcn(got.out.host));
      expect(payloadByEcn(got.out.routes)[ECT0]).toBeGreaterThan(5_000_000);
      // Inbound: the same packets with each ECN value on the routes as at the host.
      const data = (packets: readonly CapturedPacket[]) =>
        packets.filter((packet) => packet.payload.length > 0);
      expect(tally(data(got.in.host).map((packet) => packet.ecn))).toEqual(
        tally(data(got.in.routes).map((packet) => packet.ecn)),
      );
      // Congestion is marked on the way, echoed, and answered, in both directions.
      for (const way of [
        { marked: got.out.far, echoed: got.in, answered: got.out },
        { marked: got.in.host, echoed: got.out, answered: got.in },
      ]) {
        expect(way.marked.filter((packet) => packet.ecn === CE).length).toBeGreaterThan(0);
        for (const place of ['host', 'routes', 'far'] as const) {
          expect(withFlag(way.echoed[place], TCP_ECE), `ECE at ${place}`).toBeGreaterThan(0);
          expect(withFlag(way.answered[place], TCP_CWR), `CWR at ${place}`).toBeGreaterThan(0);
        }
      }
    });

    it('UDP datagrams up to the MTU arrive as they were sent, with each ECN value, both ways', async () => {
      const sizes = [1, 2, 1000, MTU - headers];
      const ecns = [0, ECT1, ECT0, CE];
      const got = await capture(async () => {
        for (const [netns, own, peer] of [
          [topology.host, host, far],
          [topology.far, far, host],
        ] as const) {
          const socket = await openUdp(lab.scope, netns, own);
          for (const size of sizes) {
            for (const ecn of ecns) {
              const payload = patternBytes(size, `${size} ${ecn}`);
              payload[0] = ecn;
              writeTrafficClass(udpFd(socket), ecn, version);
              const answer = await askUdp(socket, payload, peer, ECHO_PORT);
              expect(answer.equals(payload)).toBe(true);
            }
          }
        }
      });
      const perWay = 2 * sizes.length * ecns.length;
      expect(got.checksums).toBeGreaterThanOrEqual(2 * perWay);
      for (const all of [...Object.values(got.out), ...Object.values(got.in)] as CapturedPacket[][]) {
        const packets = all.filter((packet) => packet.protocol === 17);
        expect(packets.length).toBe(perWay);
        expect(packets.every((packet) => packet.ecn === packet.payload[0])).toBe(true);
      }
      expect(tally(got.out.routes.map((packet) => packet.length))[MTU]).toBe(2 * ecns.length);
    });

    it('fragments arrive: datagrams of 4,000 to 60,000 bytes, both ways', async () => {
      const sizes = [4000, 20_000, 60_000];
      const got = await capture(async () => {
        for (const [netns, own, peer] of [
          [topology.host, host, far],
          [topology.far, far, host],
        ] as const) {
          const socket = await openUdp(lab.scope, netns, own);
          for (const size of sizes) {
            const payload = patternBytes(size, `fragments ${size}`);
            payload[0] = 0;
            const answer = await askUdp(socket, payload, peer, ECHO_PORT);
            expect(answer.equals(payload)).toBe(true);
          }
        }
      });
      const perFragment = version === 4 ? 1480 : 1448;
      const fragments = 2 * sizes.reduce((sum, size) => sum + Math.ceil((size + 8) / perFragment), 0);
      for (const packets of [got.out.routes, got.in.routes]) {
        expect(packets.length).toBe(fragments);
        expect(packets.filter((packet) => packet.fragment === FRAGMENT_NONE)).toEqual([]);
        expect(packets.filter((packet) => packet.fragment === FRAGMENT_LATER).length).toBe(
          fragments - 2 * sizes.length,
        );
      }
    });

    it('ICMP passes: echo requests, whole and in fragments, and the error for a closed port', async () => {
      const icmp = version === 4 ? 1 : 58;
      const got = await capture(async () => {
        for (const [netns, peer] of [
          [topology.host, far],
          [topology.far, host],
        ] as const) {
          for (const size of [0, 56, MTU - headers, 5000]) {
            const payload = patternBytes(size, `echo ${size}`);
            expect((await pingOnce(netns, peer, payload)).equals(payload)).toBe(true);
          }
        }
        const socket = await openUdp(lab.scope, topology.host, host);
        const connected = once(socket, 'connect');
        socket.connect(9, far);
        await connected;
        const error = once(socket, 'error');
        socket.send('anybody there?');
        expect((await error)[0]).toMatchObject({ code: 'ECONNREFUSED' });
      });
      expect(got.out.routes.filter((packet) => packet.protocol === icmp).length).toBeGreaterThanOrEqual(8);
      // Destination unreachable.
      expect(
        got.in.host.filter(
          (packet) => packet.protocol === icmp && packet.firstByte === (version === 4 ? 3 : 1),
        ).length,
      ).toBe(1);
    });

    it('path IDs that come from outside are cleared and counted, codepoint and ECN are kept', async () => {
      const before = (await topology.gatewayDaemon.counters())['pathIdsCleared'] as number;
      const assignedBefore = (await topology.agent.counters())['assignments'];
      const pathIds = [1, 2, 3, 4, 5, 6];
      const sink = await openUdp(lab.scope, topology.host, host, SINK_PORT);
      const got = await capture(async () => {
        const socket = await openUdp(lab.scope, topology.far, far);
        for (const pathId of pathIds) {
          writeTrafficClass(udpFd(socket), ((8 * pathId + 3) << 2) | ECT1, version);
          const arrived = once(sink, 'message', { signal: AbortSignal.timeout(5000) });
          socket.send(Buffer.of(pathId), SINK_PORT, host);
          expect((await arrived)[0]).toEqual(Buffer.of(pathId));
        }
      });
      const isOurs = (packet: CapturedPacket) => packet.dst.endsWith(`:${SINK_PORT}`);
      const [outside, inside] = [got.in.routes.filter(isOurs), got.in.host.filter(isOurs)];
      expect(outside.map((packet) => packet.dscp)).toEqual(pathIds.map((pathId) => 8 * pathId + 3));
      expect(inside.map((packet) => packet.dscp)).toEqual(pathIds.map(() => 3));
      expect(inside.map((packet) => packet.ecn)).toEqual(pathIds.map(() => ECT1));
      expect((await topology.gatewayDaemon.counters())['pathIdsCleared']).toBe(before + pathIds.length);
      expect((await topology.agent.counters())['assignments']).toEqual(assignedBefore);
    });
  });
}

describeNetns('marks beyond the gateway', () => {
  const lab = useLab();

  it('codepoints, but no path ID, leave by the route whose neighbour takes them, and by no other', async () => {
    const topology = await startTwoPathTest(lab, { exposeTo: ['a'], links: { loss: { forward: 0.03 } } });
    serveTcp(lab.scope, topology.far, ECHO_PORT, (socket) => socket.pipe(socket));
    const captures = await Promise.all(
      ['a', 'b'].map((device) => Capture.start(lab, topology.gateway, device)),
    );
    const data = patternBytes(400_000, 'exposed');
    const echoes = [4, 6].flatMap((version) =>
      Array.from({ length: 6 }, async () =>
        exchange(await connectTcp(topology.host, endsOf(version as 4 | 6).far, ECHO_PORT), data),
      ),
    );
    for (const echo of await Promise.all(echoes)) expect(echo.equals(data)).toBe(true);
    const [a, b] = await Promise.all(captures.map((capture) => capture.stop()));
    for (const capture of captures) expect(wrongPackets(capture.path)).toEqual([]);
    const out = (packets: readonly CapturedPacket[]) =>
      packets.filter((packet) => packet.dst.endsWith(`:${ECHO_PORT}`));
    expect(Object.keys(tally(out(b).map((packet) => packet.dscp)))).toEqual(['0']);
    // LECT, FNE and LEx without a path.
    expect(Object.keys(tally(out(a).map((packet) => packet.dscp)))).toEqual(['3', '7', '63']);
  });
});

interface Places {
  readonly host: readonly CapturedPacket[];
  readonly routes: readonly CapturedPacket[];
  readonly far: readonly CapturedPacket[];
}

interface Captured {
  /** Checksums of transports on the routes that tcpdump has found right. */
  readonly checksums: number;
  readonly out: Places;
  readonly in: Places;
}

/** Waits until no TCP connection of a namespace has anything left to send. */
async function waitForQuietTcp(netns: string): Promise<void> {
  const states = ['established', 'fin-wait-1', 'close-wait', 'last-ack', 'closing'];
  const argv = ['ss', '-tHn', ...states.flatMap((state) => ['state', state])];
  await waitFor('the end of all connections', () =>
    run(inNamespace(argv, { netns })).trim() === '' ? true : undefined,
  );
}

/** A network that is about to be congested: marks some packets of TCP data CE where ECT(0) allows it. */
function congestionMarker(): (view: DataView, at: number, length: number) => void {
  let seen = 0;
  return (view, at, length) => {
    const isIpv4 = view.getUint8(at) >>> 4 === 4;
    const protocol = view.getUint8(at + (isIpv4 ? 9 : 6));
    const ecn = (view.getUint8(at + 1) >>> (isIpv4 ? 0 : 4)) & 3;
    if (protocol !== 6 || length < 500 || ecn !== ECT0 || ++seen % CE_EVERY !== 0) return;
    view.setUint8(at + 1, view.getUint8(at + 1) | (isIpv4 ? CE : CE << 4));
    if (isIpv4) fillHeaderChecksum(view, at);
  };
}

function payloadByEcn(packets: readonly CapturedPacket[]): Record<number, number> {
  const bytes: Record<number, number> = {};
  for (const packet of packets) {
    if (packet.payload.length > 0) bytes[packet.ecn] = (bytes[packet.ecn] ?? 0) + packet.payload.length;
  }
  return bytes;
}

function withFlag(packets: readonly CapturedPacket[], flag: number): number {
  // In a SYN the two flags negotiate; only what follows echoes and answers.
  return packets.filter((packet) => (packet.tcpFlags & 2) === 0 && (packet.tcpFlags & flag) !== 0).length;
}
