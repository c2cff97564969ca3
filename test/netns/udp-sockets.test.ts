/**
 * Sockets of preflex/udp in network namespaces. With a gateway (topology two-path, no agent on the host):
 *
 *      host --- p0 [ gateway ] a ---\
 *                            b ---- router --- far (echoes)
 *
 * and over a slow link:
 *
 *      near: n0 (tbf) ---- f0 :far
 */
import type dgram from 'node:dgram';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { linkCounters, run, waitFor } from '../../lib/netns/index.ts';
import type { GatewayStatus } from '../../lib/pref/gateway-status.ts';
import type { UdpSocket, UdpSocketOptions } from '../../lib/sockets/udp.ts';
import { createSocket } from '../../lib/sockets/udp.ts';
import type { CapturedPacket } from '../support/capture.ts';
import { Capture } from '../support/capture.ts';
import { openUdp, withinNetns } from '../support/in-netns.ts';
import { connect, describeNetns, useLab } from '../support/netns.ts';
import { endsOf, prepareTwoPath, waitForAddresses, waitForTopology } from '../support/two-path-lab.ts';

const FLOWS = 6;
const PORT = 7100;
const HEADERS = { 4: 28, 6: 48 } as const;
const ECHO = 'echo';

describeNetns('sockets of preflex/udp', () => {
  const lab = useLab();

  /** A bound socket of a namespace. Its descriptor is made by bind(), which with such a look-up happens at once. */
  async function open(
    netns: string,
    address: string,
    options: Partial<UdpSocketOptions> = {},
    port = 0,
  ): Promise<UdpSocket> {
    const version = address.includes(':') ? 6 : 4;
    const lookup = (
      name: string,
      _: unknown,
      done: (error: null, address: string, family: number) => void,
    ) => {
      done(null, name, version);
    };
    const socket = createSocket({
      type: version === 4 ? 'udp4' : 'udp6',
      lookup: lookup as never,
      recvBufferSize: 1 << 20,
      ...options,
    });
    const listening = once(socket, 'listening');
    withinNetns(netns, () => socket.bind({ address, port, exclusive: true }));
    await listening;
    let isOpen = true;
    socket.once('close', () => (isOpen = false));
    lab.scope.defer(`UDP socket of ${netns}`, () => {
      if (isOpen) socket.close();
    });
    expect(socket.isMarking).toBe(true);
    return socket;
  }

  /** Sends and waits for the answer, again where the first got lost in the addresses' and neighbours' start. */
  async function ask(socket: UdpSocket, address: string): Promise<void> {
    const answered = once(socket, 'message');
    socket.send(ECHO, PORT, address);
    await answered;
  }

  for (const scheme of ['pool2', 'full'] as const) {
    for (const version of [4, 6] as const) {
      it(`are assigned a path and stay on it; LEx bytes are the gateway's L_i: scheme ${scheme}, IPv${version}`, async () => {
        const topology = prepareTwoPath(lab, { scheme });
        const gateway = await topology.startGateway();
        await waitForTopology(topology);
        const { host, far } = endsOf(version);
        const echo = await openUdp(lab.scope, topology.far, far, PORT);
        let arrived = 0;
        echo.on('message', (message, remote) => {
          arrived++;
          if (message.toString() === ECHO) echo.send(message, remote.port, remote.address);
        });
        const txPackets = (): number[] =>
          ['a', 'b'].map((name) => linkCounters(name, { netns: topology.gateway }).txPackets);
        const captures = await Promise.all(
          ['a', 'b'].map((name) => Capture.start(lab, topology.gateway, name)),
        );

        // On a busy machine a pause of a second would rightly begin another flowlet.
        const lex = { scheme, flowletGapNs: 60e9 };
        const sockets = await Promise.all(
          Array.from({ length: FLOWS }, () => open(topology.host, host, { lex })),
        );
        const peer = { address: far, port: PORT };
        const paths: number[] = [];
        for (const socket of sockets) {
          await ask(socket, far);
          paths.push(socket.peerStatistics(peer)!.pathId);
        }
        expect([...new Set(paths)].sort()).toEqual([1, 2]);

        const before = txPackets();
        const expected = [0, 0];
        arrived = 0;
        for (const [i, socket] of sockets.entries()) {
          const path = paths[i]!;
          // New data and repeats, in batches that are joined and one at a time.
          socket.sendBatch(
            Array.from({ length: 20 }, () => Buffer.alloc(1200)),
            peer,
          );
          socket.sendBatch(
            Array.from({ length: 10 + i }, () => Buffer.alloc(1000)),
            { ...peer, retransmission: true },
          );
          for (let k = 0; k < 5; k++) socket.send(Buffer.alloc(100 + k), PORT, far);
          socket.send(Buffer.alloc(333), PORT, far, { retransmission: true });
          expected[path - 1] += 36 + i;
        }
        const sent = expected[0]! + expected[1]!;
        await waitFor('all datagrams', () => (arrived === sent ? true : undefined));
        const after = txPackets();
        expect([after[0]! - before[0]!, after[1]! - before[1]!]).toEqual(expected);

        const [a, b] = await Promise.all(captures.map((capture) => capture.stop()));
        for (const [i, socket] of sockets.entries()) {
          const own = `:${socket.address().port}`;
          const isOwn = (packet: CapturedPacket): boolean => packet.src.endsWith(own);
          const byPath = [a!.filter(isOwn).length, b!.filter(isOwn).length];
          const path = paths[i]!;
          // The first one asked; where it went is the gateway's choice.
          expect(byPath[path - 1]! + byPath[2 - path]!, own).toBe(37 + i);
          expect(byPath[2 - path], own).toBeLessThanOrEqual(1);
        }

        const status = (await gateway.stop()) as unknown as GatewayStatus;
        const sum = (read: (socket: UdpSocket) => number): number =>
          sockets.reduce((total, socket) => total + read(socket), 0);
        const lexBytes = sum((socket) => socket.statistics().lexPacketBytes);
        const repeats = Array.from({ length: FLOWS }, (_, i) => 10 + i);
        expect(lexBytes).toBe(
          repeats.reduce(
            (total, count) => total + count * (1000 + HEADERS[version]) + 333 + HEADERS[version],
            0,
          ),
        );
        expect(status.routes.reduce((total, route) => total + route.total.lexBytes, 0)).toBe(lexBytes);
        expect(sum((socket) => socket.statistics().retransmittedBytes)).toBe(
          sum((socket) => socket.statistics().lexPayloadBytes),
        );
        expect(status.reasons['outUnknownPathId']).toBe(0);
        expect(status.reasons['outPathId']).toBe(sum((socket) => packetsOnPaths(socket)));
      });
    }
  }

  it('datagrams longer than the link takes arrive in fragments, also where equal ones are sent together', async () => {
    const near = lab.scope.namespace('near');
    const far = lab.scope.namespace('far');
    connect(
      { netns: near, name: 'n0', addresses: ['10.9.0.1/24', 'fd09::1/64'] },
      { netns: far, name: 'f0', addresses: ['10.9.0.2/24', 'fd09::2/64'] },
    );
    await Promise.all([waitForAddresses(near), waitForAddresses(far)]);
    for (const [from, to] of [
      ['10.9.0.1', '10.9.0.2'],
      ['fd09::1', 'fd09::2'],
    ] as const) {
      const receiver = await openUdp(lab.scope, far, to, PORT);
      const sizes: number[] = [];
      receiver.on('message', ({ length }) => sizes.push(length));
      const socket = await open(near, from);
      // Neighbours are found first: only a few packets would wait for that.
      socket.send('hello', PORT, to);
      await waitFor('the first datagram', () => (sizes.shift() === undefined ? undefined : true));
      const batch = [1400, 1400, 1400, 3000, 3000, 3000, 3000, 1400, 1400, 60_000].map((size) =>
        Buffer.alloc(size),
      );
      for (let round = 0; round < 3; round++) socket.sendBatch(batch, { address: to, port: PORT });
      await waitFor('all datagrams', () => (sizes.length === 3 * batch.length ? true : undefined));
      expect(sizes).toEqual([...batch, ...batch, ...batch].map(({ length }) => length));
      expect(socket.statistics()).toMatchObject({ sendErrors: 0, sentPackets: 3 * batch.length + 1 });
    }
  });

  it('what the kernel has no room for waits, in order, as in node:dgram', async () => {
    const near = lab.scope.namespace('near');
    const far = lab.scope.namespace('far');
    connect(
      { netns: near, name: 'n0', addresses: ['10.9.0.1/24'] },
      { netns: far, name: 'f0', addresses: ['10.9.0.2/24'] },
    );
    run([
      'ip',
      'netns',
      'exec',
      near,
      'tc',
      'qdisc',
      'add',
      'dev',
      'n0',
      'root',
      'tbf',
      'rate',
      '20mbit',
      'burst',
      '10kb',
      'limit',
      '10m',
    ]);
    const receiver = await openUdp(lab.scope, far, '10.9.0.2', PORT);
    const got: number[] = [];
    receiver.on('message', (message) => got.push(message.readUInt32BE(0)));
    const socket = await open(near, '10.9.0.1', { sendBufferSize: 20_000 });
    const plain = await openUdp(lab.scope, near, '10.9.0.1');
    plain.setSendBufferSize(20_000);
    const count = 800;
    const messages = Array.from({ length: count }, (_, i) => {
      const message = Buffer.alloc(i % 3 === 0 ? 1000 : 700 + (i % 100));
      message.writeUInt32BE(i);
      return message;
    });
    for (const sender of [plain, socket] as dgram.Socket[]) {
      got.length = 0;
      let called = 0;
      for (const message of messages) {
        sender.send(message, PORT, '10.9.0.2', (error, bytes) => {
          expect([error, bytes]).toEqual([null, message.length]);
          called++;
        });
      }
      await new Promise((resolve) => setImmediate(resolve));
      expect(sender.getSendQueueCount()).toBeGreaterThan(count / 2);
      expect(sender.getSendQueueSize()).toBeGreaterThan(count * 350);
      await waitFor('all callbacks', () => (called === count ? true : undefined));
      expect([sender.getSendQueueCount(), sender.getSendQueueSize()]).toEqual([0, 0]);
      await waitFor('all datagrams', () => (got.length === count ? true : undefined));
      expect(got).toEqual(messages.map((_, i) => i));
    }
    expect(socket.statistics()).toMatchObject({
      sentPackets: count,
      sendErrors: 0,
      waiting: { count: 0, bytes: 0 },
    });

    // Closing cancels what still waits.
    const last = await open(near, '10.9.0.1', { sendBufferSize: 20_000 });
    const outcomes: string[] = [];
    for (const message of messages) {
      last.send(message, PORT, '10.9.0.2', (error) =>
        outcomes.push((error as { code?: string } | null)?.code ?? 'sent'),
      );
    }
    await new Promise((resolve) => setImmediate(resolve));
    const sent = last.statistics().sentPackets - last.statistics().waiting.count;
    await new Promise<void>((resolve) => {
      last.close(resolve);
    });
    await waitFor('all callbacks', () => (outcomes.length === count ? true : undefined));
    expect(outcomes.filter((outcome) => outcome === 'sent').length).toBe(sent);
    expect(new Set(outcomes)).toEqual(new Set(['sent', 'ECANCELED']));
  });
});

/** Datagrams that carried a path ID. */
function packetsOnPaths(socket: UdpSocket): number {
  const { pathPackets } = socket.statistics();
  return Object.entries(pathPackets).reduce(
    (total, [pathId, count]) => total + (pathId === '0' ? 0 : count),
    0,
  );
}
