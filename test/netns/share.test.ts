/**
 * Two gateways of one domain and a real NATS server (topology gateways), in one story: the server comes late, says
 * nonsense, loses a gateway, is cut off and comes back, while a connection through each gateway goes on.
 *
 *      ha --- ga ====\
 *              |      L1, L2, L3 ==== far
 *             bus    /
 *              |    /
 *      hb --- gb ===
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { listLinks, waitFor } from '../../lib/netns/index.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { ShareStatus } from '../../lib/runtime/share/gateway-share.ts';
import { DATAPATHS } from '../../namespaces-lab/processes/datapath.ts';
import { NATS_PORT } from '../../namespaces-lab/processes/nats-server.ts';
import { preflexArgv, statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import type { PreflexProcess } from '../../namespaces-lab/processes/preflex-process.ts';
import type { GatewaysLab } from '../../namespaces-lab/runs/gateways.ts';
import {
  gatewayFile,
  gatewaysConfig,
  sampleOf,
  startGateway,
  startGateways,
} from '../../namespaces-lab/runs/gateways.ts';
import { GATEWAYS, setBusLink } from '../../namespaces-lab/topologies/gateways.ts';
import { connectTcp, echo, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useSharedLab } from '../support/netns.ts';

const PORT = 7000;
const BYTES = 100_000;
const LIMIT = { timeoutMs: 40_000 };
const CONFIG = { strategy: 'loss', intervalSeconds: 0.5 };

const read = async (gateway: PreflexProcess): Promise<GatewayDaemonStatus> =>
  statusOf<GatewayDaemonStatus>(await gateway.counters());
const shareOf = async (gateway: PreflexProcess): Promise<ShareStatus> => (await read(gateway)).share!;
const carried = (status: GatewayDaemonStatus): number =>
  status.routes.reduce((sum, route) => sum + route.total.bytes, 0);

for (const datapath of DATAPATHS)
  describeNetns(`gateways that share their figures, datapath ${datapath}`, () => {
    let gateways: GatewaysLab;
    let gb: PreflexProcess;
    const connections: Socket[] = [];
    const lab = useSharedLab(async (shared) => {
      gateways = await startGateways(shared.scope, shared.folder, {
        config: CONFIG,
        hasServer: false,
        datapath,
      });
      gb = gateways.gb;
      const { namespaces } = gateways.topology;
      serveTcp(shared.scope, namespaces.far, PORT, (socket) => socket.pipe(socket));
      for (const role of ['ha', 'hb'] as const) {
        connections.push(await connectTcp(namespaces[role], GATEWAYS.far.address, PORT));
      }
    });
    /** Data goes through both gateways and comes back, and is counted. */
    const traffic = async (): Promise<void> => {
      const data = patternBytes(BYTES, 'share');
      const before = await Promise.all([gateways.ga, gb].map(read));
      for (const connection of connections) await echo(connection, data);
      const after = await Promise.all([gateways.ga, gb].map(read));
      for (const [i, status] of after.entries()) {
        expect(carried(status)).toBeGreaterThan(carried(before[i]) + BYTES);
        expect(status.intervals).toBeGreaterThanOrEqual(before[i].intervals);
      }
    };
    /** Waits until each of the two hears the other, or none does. */
    const hearing = (peers: number): Promise<true> =>
      waitFor(
        peers > 0 ? 'both gateways to hear each other' : 'figures that are too old',
        async () => {
          const samples = (await Promise.all([gateways.ga, gb].map(read))).map(sampleOf);
          return samples.every((sample) => sample.peers === peers) ? true : undefined;
        },
        LIMIT,
      );
    /** Waits until both have the same ratios, while there is traffic. */
    const agreement = (): Promise<true> =>
      waitFor(
        'the same ratios in both gateways',
        async () => {
          await traffic();
          const [a, b] = (await Promise.all([gateways.ga, gb].map(read))).map(sampleOf);
          return a.ratios.every((ratio, i) => Math.abs(ratio - b.ratios[i]) < 1e-9) ? true : undefined;
        },
        LIMIT,
      );

    it('work without a server, and find each other when it comes', async () => {
      await traffic();
      const { connection, peers } = await waitFor(
        'an attempt in vain',
        async () => {
          const share = await shareOf(gateways.ga);
          return share.connection.attempts > 0 ? share : undefined;
        },
        LIMIT,
      );
      expect([connection.isConnected, peers]).toEqual([false, []]);
      expect(connection.lastError).toMatch(
        /^nats:\/\/10\.77\.101\.1:4222: cannot be reached \(ECONNREFUSED\)$/,
      );
      await gateways.server.start();
      await hearing(1);
      await agreement();
      const readStatus = async (): Promise<string> => {
        const child = lab.scope.spawn(preflexArgv(['status', '--name', `lab-${process.pid}-ga`]), {
          netns: gateways.topology.namespaces.ga,
        });
        const chunks: string[] = [];
        child.stdout!.setEncoding('utf8').on('data', (text: string) => chunks.push(text));
        await once(child, 'close');
        return chunks.join('');
      };
      // An interval that ended late, on a busy machine, is told with its own length.
      const shown = await waitFor(
        'the figures of an interval that ended in time',
        async () => {
          const text = await readStatus();
          return / {4}gb: figures \d+\.\d s old, interval 0\.5 s, l1 up, l2 up, l3 up\n/.test(text)
            ? text
            : undefined;
        },
        LIMIT,
      );
      expect(shown).toMatch(/ {2}domain lab as ga: connected to 10\.77\.101\.1:4222 since 20\S+Z\n/);
    });

    it('count what is no message of theirs, and go on', async () => {
      const { namespaces } = gateways.topology;
      const before = await shareOf(gateways.ga);
      const socket = await connectTcp(namespaces.bus, `${GATEWAYS.sides[0].busNet}.1`, NATS_PORT);
      const publish = (name: string, kind: string, payload: string | Buffer): void => {
        const data = Buffer.from(payload);
        socket.write(`PUB preflex.v1.lab.${kind}.${name} ${data.length}\r\n`);
        socket.write(Buffer.concat([data, Buffer.from('\r\n')]));
      };
      const stranger = {
        ...{ version: 1, gateway: 'gc', incarnation: '00000000000000aa', sequence: 1, part: 0, parts: 1 },
        intervalSeconds: 3600,
        routes: [
          { name: 'l1', pathId: 2, state: 'up' },
          { name: 'satellite', pathId: 1, state: 'up' },
        ],
        destinations: [],
      };
      socket.write(`CONNECT ${JSON.stringify({ auth_token: gateways.server.token, verbose: false })}\r\n`);
      publish('gc', 'figures', 'no JSON');
      publish('gc', 'figures', Buffer.alloc(70_000, 0x20));
      publish('gc', 'figures', JSON.stringify({ ...stranger, version: 9 }));
      publish('gc', 'figures', JSON.stringify({ ...stranger, sequence: -1 }));
      publish('gd', 'figures', JSON.stringify(stranger));
      publish('ga', 'figures', JSON.stringify({ ...stranger, gateway: 'ga' }));
      publish('gc', 'figures', JSON.stringify(stranger));
      const share = await waitFor(
        'the stranger to be known',
        async () => {
          const now = await shareOf(gateways.ga);
          return now.peers.some(({ name }) => name === 'gc') ? now : undefined;
        },
        LIMIT,
      );
      const more = Object.fromEntries(
        Object.entries(share.refused).map(([reason, count]) => [
          reason,
          count - before.refused[reason as keyof typeof before.refused],
        ]),
      );
      expect(more).toMatchObject({
        notJson: 1,
        oversized: 1,
        version: 1,
        fields: 1,
        sender: 1,
        nameConflict: 1,
      });
      expect(share.peers.find(({ name }) => name === 'gc')?.routes).toMatchObject([
        { name: 'l1', pathId: 2, ownPathId: 1 },
        { name: 'satellite', pathId: 1, ownPathId: null },
      ]);
      publish('gc', 'bye', JSON.stringify({ version: 1, gateway: 'gc', incarnation: '00000000000000aa' }));
      const { incarnation } = await shareOf(gateways.ga);
      await waitFor(
        'gb to see that ga was not restarted',
        async () => {
          const { peers, refused } = await shareOf(gb);
          const isHeard = peers.some((peer) => peer.incarnation === incarnation);
          return refused.formerIncarnation > 0 && isHeard ? true : undefined;
        },
        LIMIT,
      );
      await hearing(1);
      await agreement();
      socket.destroy();
    });

    it('know a restarted one again, with other routes than before', async () => {
      const { topology, server } = gateways;
      const incarnationOf = async (): Promise<string | undefined> =>
        (await shareOf(gateways.ga)).peers.find(({ name }) => name === 'gb')?.incarnation;
      const before = await incarnationOf();
      const exit = once(gb.child, 'close');
      gb.child.kill('SIGKILL');
      await exit;
      const routes = ['l1', 'l2'].map((name) => ({ name, device: name }));
      writeFileSync(gatewayFile(lab.folder, 'gb'), gatewaysConfig('gb', server, { ...CONFIG, routes }));
      gb = await startGateway(lab.scope, topology, lab.folder, 'gb', datapath);
      await hearing(1);
      const share = await shareOf(gateways.ga);
      expect(share.peers[0]).toMatchObject({ name: 'gb', routes: [{ name: 'l1' }, { name: 'l2' }] });
      expect(await incarnationOf()).not.toBe(before);
      await traffic();
      expect((await read(gateways.ga)).destinations[0].routes.map(({ name }) => name)).toEqual([
        'l1',
        'l2',
        'l3',
      ]);
    });

    it('NATS cut and back: traffic goes on, counters are right afterwards', async () => {
      const connectionsBefore = (await shareOf(gateways.ga)).connection.connections;
      for (const role of ['ga', 'gb'] as const) setBusLink(gateways.topology, role, false);
      await hearing(0);
      await traffic();
      for (const role of ['ga', 'gb'] as const) setBusLink(gateways.topology, role, true);
      await hearing(1);
      await traffic();
      await gateways.server.stop();
      await hearing(0);
      await traffic();
      await gateways.server.start();
      await hearing(1);
      await traffic();
      const { connection, messages, refused } = await shareOf(gateways.ga);
      expect(connection.isConnected).toBe(true);
      expect(connection.connections).toBeGreaterThan(connectionsBefore);
      expect(messages.in).toBeGreaterThan(0);
      expect(refused.nameConflict).toBe(1);
    });

    it('leave the domain and come back on SIGHUP, and leave nothing behind at their end', async () => {
      const reload = async (config: object): Promise<unknown> => {
        writeFileSync(
          gatewayFile(lab.folder, 'ga'),
          gatewaysConfig('ga', gateways.server, { ...CONFIG, ...config }),
        );
        const from = gateways.ga.lines.length;
        gateways.ga.child.kill('SIGHUP');
        return gateways.ga.waitFor('reload', from, LIMIT.timeoutMs);
      };
      expect(await reload({ share: undefined })).toMatchObject({ ok: true, changed: ['share'] });
      expect((await read(gateways.ga)).share).toBeNull();
      await waitFor(
        'gb to be alone',
        async () => ((await shareOf(gb)).peers.length === 0 ? true : undefined),
        LIMIT,
      );
      const gone = { servers: ['nats://192.0.2.1'], domain: 'lab', name: 'ga', tokenFile: '/nowhere/token' };
      expect(await reload({ share: gone })).toMatchObject({
        ok: false,
        message: 'share.tokenFile: /nowhere/token cannot be read (ENOENT)',
      });
      expect(await reload({})).toMatchObject({ ok: true, changed: ['share'] });
      await hearing(1);
      await traffic();
      for (const connection of connections) connection.destroy();
      const { ga, agents, topology } = gateways;
      await Promise.all([ga.stop(), gb.stop(), agents.ha.stop(), agents.hb.stop()]);
      expect([ga.stderr, gb.stderr]).toEqual(['', '']);
      for (const role of ['ga', 'gb'] as const) {
        const links = listLinks({ netns: topology.namespaces[role] }).map(({ name }) => name);
        expect(links.filter((name) => name.startsWith('pref-'))).toEqual([]);
      }
    });
  });
