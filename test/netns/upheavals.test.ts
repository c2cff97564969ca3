/**
 * What happens to machines that run for months, each in the middle of a connection (topology two-path): it goes on, the
 * counters add up afterwards, and at the end nothing is left. Reloads are in reload.test.ts, kill -9 in fail-open.test.ts.
 *
 *      host --- p0 [ gateway ] a ---\
 *                            b ---- router --- far
 */
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { ipBatch, linkCounters, listLinks, listRoutes, waitFor } from '../../lib/netns/index.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { HostAgentStatus } from '../../lib/runtime/host-agent.ts';
import { PreflexProcess, statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { twoPathConfig } from '../../namespaces-lab/runs/two-path.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { connectTcp, echo, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, snapshot, useLab } from '../support/netns.ts';
import type { TestTwoPath } from '../support/two-path-lab.ts';
import { prepareTwoPath, waitForAddresses } from '../support/two-path-lab.ts';

const PORT = 7000;
const DATA = patternBytes(60_000, 'upheaval');
/** Tables of the gateway's routes a and b. */
const ROUTE_TABLES = [7210, 7211];

/** The topology, one connection through it that stays open, and daemons that have their say every quarter second. */
interface Scene extends TestTwoPath {
  readonly socket: Socket;
  startBoth(before?: readonly string[], more?: readonly string[]): Promise<Both>;
  /** Ends the daemons, and expects their machines as they were before. */
  finish(both: Both): Promise<void>;
}

interface Both {
  readonly agent: PreflexProcess;
  readonly gateway: PreflexProcess;
}

describeNetns('upheavals', () => {
  const lab = useLab();

  const prepare = async (): Promise<Scene> => {
    const topology = prepareTwoPath(lab);
    const config = join(lab.folder, 'gateway.yaml');
    writeFileSync(config, twoPathConfig({ strategy: 'equal', intervalSeconds: 0.25 }));
    const netnses = [topology.host, topology.gateway];
    await Promise.all([...netnses, topology.far, topology.router].map((netns) => waitForAddresses(netns)));
    const before = netnses.map(stateOf);
    serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
    // Single packets, so that bytes of a TUN are bytes of a route.
    const agentArgs = [
      '--address',
      TWO_PATH.hostAddress,
      '--device',
      'h0',
      '--no-offload',
      '--interval',
      '0.25',
    ];
    const startAgent = (how: readonly string[] = [], more: readonly string[] = []): Promise<PreflexProcess> =>
      PreflexProcess.start(lab.scope, topology.host, ['host', ...agentArgs, ...more], how);
    const startGateway = (
      how: readonly string[] = [],
      more: readonly string[] = [],
    ): Promise<PreflexProcess> => {
      const args = ['gateway', '--config', config, '--no-offload', ...more];
      return PreflexProcess.start(lab.scope, topology.gateway, args, how);
    };
    return {
      ...topology,
      socket: await connectTcp(topology.host, TWO_PATH.farAddress, PORT),
      startAgent,
      startGateway,
      startBoth: async (how, more) => {
        const [agent, gateway] = await Promise.all([startAgent(how, more), startGateway(how, more)]);
        return { agent, gateway };
      },
      finish: async ({ agent, gateway }) => {
        await Promise.all([agent.stop(), gateway.stop()]);
        expect([agent.child.exitCode, gateway.child.exitCode]).toEqual([0, 0]);
        expect(netnses.map(stateOf)).toEqual(before);
      },
    };
  };

  it('restarts of both daemons: the connection goes on, and each start begins to mark and route it again', async () => {
    const scene = await prepare();
    const { agent, gateway } = await scene.startBoth();
    await echo(scene.socket, DATA);
    await expectExactCounters(scene, { agent, gateway });
    await Promise.all([gateway.stop(), echo(scene.socket, DATA)]);
    await echo(scene.socket, DATA);
    const secondGateway = await scene.startGateway();
    await echo(scene.socket, DATA);
    await Promise.all([agent.stop(), echo(scene.socket, DATA)]);
    await echo(scene.socket, DATA);
    const secondAgent = await scene.startAgent();
    await echo(scene.socket, DATA);
    const both = { agent: secondAgent, gateway: secondGateway };
    await expectExactCounters(scene, both);
    const marked = statusOf<HostAgentStatus>(await secondAgent.counters());
    expect(marked.codepoints.lect.packets).toBeGreaterThan(20);
    const routed = statusOf<GatewayDaemonStatus>(await secondGateway.counters());
    expect(routed.reasons['outPathId']).toBeGreaterThan(20);
    await scene.finish(both);
    await echo(scene.socket, DATA);
  });

  it('a route that flaps 100 times: the connection goes on, and the route is used again afterwards', async () => {
    const scene = await prepare();
    const both = await scene.startBoth();
    await echo(scene.socket, DATA);
    const flaps = Array.from({ length: 10 }, () => [
      ['link', 'set', 'dev', 'a', 'down'],
      ['link', 'set', 'dev', 'a', 'up'],
    ]).flat();
    for (let round = 0; round < 10; round++) {
      ipBatch(flaps, { netns: scene.gateway });
      await echo(scene.socket, DATA);
    }
    const read = async (): Promise<GatewayDaemonStatus> =>
      statusOf<GatewayDaemonStatus>(await both.gateway.counters());
    await waitFor(
      'both routes to be up, with a default route each',
      async () => {
        const { routes } = await read();
        const hasDefaults = ROUTE_TABLES.every(
          (table) => listRoutes(4, table, { netns: scene.gateway }).length > 0,
        );
        return hasDefaults && routes.every((route) => route.up) ? true : undefined;
      },
      { timeoutMs: 20_000 },
    );
    const before = await read();
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        const socket = await connectTcp(scene.host, TWO_PATH.farAddress, PORT);
        await echo(socket, DATA);
        socket.end();
      }),
    );
    const after = await read();
    for (const [i, route] of after.routes.entries())
      expect(route.total.bytes - before.routes[i].total.bytes).toBeGreaterThan(DATA.length / 2);
    await expectExactCounters(scene, both);
    await Promise.all([both.agent.stop(), both.gateway.stop()]);
    // What hung on the device the kernel itself forgot. Of ours nothing is there.
    expect(stateOf(scene.gateway).filter((line) => /^pref-|(lookup|table) 72\d\d/.test(line))).toEqual([]);
  });

  it('a full disk: the connection goes on, the log counts what it lost and says it when there is room', async () => {
    const scene = await prepare();
    // A disk of their own, in their view of the file system, with no room at all.
    const disk = 'mount -t tmpfs -o size=64k disk /mnt && head -c 65536 /dev/zero >/mnt/fill && exec "$@"';
    const both = await scene.startBoth(
      ['sh', '-c', disk, 'sh'],
      ['--log-file', '/mnt/log', '--log-level', 'debug'],
    );
    const folderOf = (daemon: PreflexProcess): string => `/proc/${daemon.child.pid}/root/mnt`;
    for (let round = 0; round < 3; round++) {
      await echo(scene.socket, DATA);
      // Each comes with a line of the log.
      for (const daemon of [both.agent, both.gateway]) await daemon.waitFor('status', daemon.lines.length);
    }
    await expectExactCounters(scene, both);
    for (const daemon of [both.agent, both.gateway]) {
      expect(readFileSync(join(folderOf(daemon), 'log'), 'utf8')).toBe('');
      rmSync(join(folderOf(daemon), 'fill'));
      const lines = await waitFor('lines in the log', () => {
        const text = readFileSync(join(folderOf(daemon), 'log'), 'utf8');
        return text.split('\n').length > 2 ? text.trimEnd().split('\n') : undefined;
      });
      const [first, ...rest] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(first).toMatchObject({ level: 'warn', msg: expect.stringContaining('lost') });
      // The set-up, and the status lines since.
      expect(first['lost']).toBeGreaterThan(3);
      for (const line of rest) expect(line).toMatchObject({ level: 'debug', pid: daemon.child.pid });
    }
    await echo(scene.socket, DATA);
    await scene.finish(both);
    expect([both.agent.stderr, both.gateway.stderr]).toEqual(['', '']);
  });

  it('jumps of the clock: the connection, the intervals and the timers go on as if nothing had happened', async () => {
    const scene = await prepare();
    const offset = join(lab.folder, 'offset');
    writeFileSync(offset, '+0\n');
    const fake = [
      'env',
      `LD_PRELOAD=${fakeTimeLibrary()}`,
      `FAKETIME_TIMESTAMP_FILE=${offset}`,
      'FAKETIME_NO_CACHE=1',
      'DONT_FAKE_MONOTONIC=1',
    ];
    const both = await scene.startBoth(fake);
    await echo(scene.socket, DATA);
    for (const days of [1, -2, 400]) {
      const before = statusOf<GatewayDaemonStatus>(await both.gateway.counters());
      const from = both.gateway.lines.length;
      const startMs = performance.now();
      writeFileSync(offset, `${days < 0 ? '' : '+'}${days}d\n`);
      await both.gateway.waitFor('status', from);
      for (const daemon of [both.agent, both.gateway]) {
        const { time } = await daemon.counters();
        const jumpDays = (Date.parse(String(time)) - Date.now()) / 86_400_000;
        expect(Math.abs(jumpDays - days)).toBeLessThan(0.1); // it did jump
      }
      await echo(scene.socket, DATA);
      const after = statusOf<GatewayDaemonStatus>(await both.gateway.counters());
      const passed = (performance.now() - startMs) / 250;
      // The intervals are those of the time that passed, not of the days.
      expect(after.intervals).toBeGreaterThan(before.intervals);
      expect(after.intervals - before.intervals).toBeLessThanOrEqual(Math.ceil(passed) + 1);
    }
    await expectExactCounters(scene, both);
    await scene.finish(both);
  });
});

/**
 * Expects of both daemons, once the connection is quiet, that every packet read was counted under one reason and written,
 * and that the bytes of each route are those that the kernel took from its TUN.
 */
async function expectExactCounters(scene: Scene, { agent, gateway }: Both): Promise<void> {
  const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
  await waitFor('counters that add up', async () => {
    const routed = statusOf<GatewayDaemonStatus>(await gateway.counters());
    const tunBytes = routed.routes.map(
      (route) => linkCounters(`pref-${route.name}`, { netns: scene.gateway }).rxBytes,
    );
    const marked = statusOf<HostAgentStatus>(await agent.counters());
    const isExact =
      sum(Object.values(routed.reasons)) === routed.loop.packets &&
      routed.outboundPackets + routed.inboundPackets === routed.loop.packets &&
      routed.routes.every((route, i) => route.total.bytes + route.notLectBytes === tunBytes[i]) &&
      sum(Object.values(marked.out)) + sum(Object.values(marked.in)) === marked.loop.packets;
    for (const { devices, loop } of [routed, marked]) {
      const reports = Object.values(devices);
      if (sum(reports.map((report) => report.packetsWritten)) !== loop.packets) return undefined;
      if (sum(reports.map((report) => report.kernelDropped)) !== 0) return undefined;
    }
    return isExact ? true : undefined;
  });
}

function stateOf(netns: string): string[] {
  return [...listLinks({ netns }).map((link) => link.name), ...snapshot(netns, [])];
}

/** Where Debian puts libfaketime, whatever the machine. */
function fakeTimeLibrary(): string {
  const [found] = readdirSync('/usr/lib')
    .map((folder) => `/usr/lib/${folder}/faketime/libfaketime.so.1`)
    .filter((path) => {
      try {
        return readFileSync(path).length > 0;
      } catch {
        return false;
      }
    });
  if (found === undefined) throw new Error('libfaketime is missing: apt-get install faketime');
  return found;
}
