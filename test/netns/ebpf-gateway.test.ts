/**
 * The gateway whose packets stay in the kernel, on topology two-path:
 *
 *      host --- p0 [ programs ] a ---\
 *                             b ---- router --- far
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { PinFolder } from '../../lib/ebpf/pins.ts';
import { CommandError, inNamespace, listRules, run, waitFor } from '../../lib/netns/index.ts';
import type {
  GatewayDaemonOptions,
  GatewayDaemonStatus,
  GatewayDestination,
} from '../../lib/runtime/gateway-daemon.ts';
import { GatewayDaemon } from '../../lib/runtime/gateway-daemon.ts';
import { EbpfGatewayDatapath } from '../../lib/runtime/gateway-ebpf-datapath.ts';
import { nowNs } from '../../lib/sys/clock.ts';
import { preflexArgv, PreflexProcess, statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { twoPathConfig } from '../../namespaces-lab/runs/two-path.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import {
  askUdp,
  connectTcp,
  echo,
  openUdp,
  patternBytes,
  serveTcp,
  withinNetns,
} from '../support/in-netns.ts';
import { connect, describeNetns, snapshot, useLab } from '../support/netns.ts';
import type { TestTwoPath } from '../support/two-path-lab.ts';
import { prepareTwoPath, waitForAddresses } from '../support/two-path-lab.ts';

const PORT = 7000;
const BYTES = 100_000;
const CONNECTIONS = 8;
/** Outages until one is found. */
const ATTEMPTS = 8;
/** After that the flows have left a dead route, and nothing is decided any more. */
const DECIDED_MS = 5000;
/** More than are read from the kernel in one call, of each IP version. */
const MANY = 9000;
/** Prefixes of each IP version that there is always room for. */
const ROOM = 1024;

describeNetns('the gateway in the kernel', () => {
  const lab = useLab();

  /** The topology with an agent, and an echo server far away; the gateway is started by the test. */
  async function prepare(options: Parameters<typeof twoPathConfig>[0] = {}) {
    // A gap so long that a slow machine makes no flowlets.
    const topology = prepareTwoPath(lab, { hostArgs: ['--flowlet-gap', '600'] });
    await waitForAddresses(topology.gateway);
    const file = join(lab.folder, 'kernel.yaml');
    writeFileSync(file, twoPathConfig({ strategy: 'equal', intervalSeconds: 0.5, ...options }));
    const startGateway = (netns = topology.gateway) =>
      PreflexProcess.start(lab.scope, netns, ['gateway', '--datapath', 'ebpf', '--config', file]);
    serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
    return { ...topology, file, startGateway };
  }

  const connections = (topology: TestTwoPath, count: number) =>
    Promise.all(Array.from({ length: count }, () => connectTcp(topology.host, TWO_PATH.farAddress, PORT)));
  const read = async (gateway: PreflexProcess): Promise<GatewayDaemonStatus> =>
    statusOf<GatewayDaemonStatus>(await gateway.counters());
  const bytesOf = (status: GatewayDaemonStatus): number[] => status.routes.map(({ total }) => total.bytes);
  const detach = (netns: string): unknown =>
    JSON.parse(
      run(inNamespace([...preflexArgv(['gateway', '--detach', '--device', 'p0']), '--json'], { netns })),
    );

  /** A namespace with the devices of a gateway that nothing goes through. */
  const makeDevices = (namespace: string): string => {
    const netns = lab.scope.namespace(namespace);
    for (const name of ['p0', 'w1', 'w2']) connect({ netns, name }, { netns, name: `${name}-far` });
    return netns;
  };
  /** Starts a gateway in this process, between them. */
  const startIdle = (
    destinations: readonly GatewayDestination[],
    kernel: NonNullable<GatewayDaemonOptions['kernel']>,
    insidePrefixes: readonly string[] = ['10.0.0.0/24', 'fd00::/64'],
  ): GatewayDaemon =>
    GatewayDaemon.start({
      plumbing: {
        insideDevice: 'p0',
        insidePrefixes,
        routes: [
          { name: 'a', device: 'w1' },
          { name: 'b', device: 'w2' },
        ],
        destinations: ['0.0.0.0/0', '::/0'],
        journalDirectory: lab.folder,
      },
      gateway: {
        routes: [
          { name: 'a', pathId: 1 },
          { name: 'b', pathId: 2 },
        ],
      },
      kernel,
      destinations,
    });

  it('is killed and started again in the middle of traffic: nothing is lost, flows stay, counters go on; detached it leaves nothing', async () => {
    const topology = await prepare();
    const before = snapshot(topology.gateway, []);
    const [agent, first] = await Promise.all([topology.startAgent(), topology.startGateway()]);
    const sockets = await connections(topology, CONNECTIONS);
    const data = patternBytes(BYTES, 'kill');
    await Promise.all(sockets.map((socket) => echo(socket, data)));
    const then = await read(first);
    expect(then).toMatchObject({
      datapath: 'ebpf',
      kernel: { isTakenOver: false, reportsLost: 0, leftOutDestinations: 0 },
      reasons: { outFneDrawn: CONNECTIONS, inAssignedAnswer: CONNECTIONS },
    });
    // The assignments reached the host, and its flows keep to them.
    expect(then.routes.map(({ total }) => total.flowlets)).toEqual([CONNECTIONS / 2, CONNECTIONS / 2]);
    expect(bytesOf(then).every((bytes) => bytes > (BYTES * CONNECTIONS) / 2)).toBe(true);

    // One datagram after the other, each answered, while the gateway dies and another starts; none is sent again.
    const server = await openUdp(lab.scope, topology.far, TWO_PATH.farAddress, PORT);
    server.on('message', (message, { address, port }) => {
      server.send(message, port, address);
    });
    const client = await openUdp(lab.scope, topology.host, TWO_PATH.hostAddress);
    let isOver = false;
    let asked = 0;
    const asking = (async () => {
      for (; !isOver; asked++) await askUdp(client, new Uint8Array([1]), TWO_PATH.farAddress, PORT);
    })();
    let rounds = 0;
    const echoing = (async () => {
      for (; !isOver; rounds++) await Promise.all(sockets.map((socket) => echo(socket, data)));
    })();
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const second = await topology.startGateway();
    isOver = true;
    await Promise.all([echoing, asking]);
    expect(asked).toBeGreaterThan(10);
    const now = await read(second);
    expect(rounds).toBeGreaterThan(1);
    expect(now.kernel).toMatchObject({ isTakenOver: true });
    const carried = now.reasons['outPathId'];
    expect(carried).toBeGreaterThan(then.reasons['outPathId'] + asked - 1);
    expect(now.reasons['outFneDrawn']).toBe(CONNECTIONS + 1);
    expect(now.outboundPackets).toBe(carried + CONNECTIONS + 1);
    for (const [i, bytes] of bytesOf(now).entries())
      expect(bytes - bytesOf(then)[i]).toBeGreaterThan((BYTES * CONNECTIONS * rounds) / 2);
    // No flowlet began but that of the datagrams, none was without its route.
    expect(now.routes.reduce((sum, { total }) => sum + total.flowlets, 0)).toBe(CONNECTIONS + 1);
    expect(now.destinations.map(({ routes }) => routes.map(({ flowletRatio }) => flowletRatio))).toEqual([
      [0.5, 0.5],
      [0.5, 0.5],
    ]);

    // One ends in an orderly way: the programs go on as well. A second gateway is refused while one runs.
    await expect(topology.startGateway()).rejects.toThrow(/already running/);
    await second.stop();
    await Promise.all(sockets.map((socket) => echo(socket, data)));
    for (const socket of sockets) socket.end();
    expect(detach(topology.gateway)).toEqual({ device: 'p0', detached: true });
    expect(detach(topology.gateway)).toEqual({ device: 'p0', detached: false });
    expect(snapshot(topology.gateway, [])).toEqual(before);
    expect(withinNetns(topology.gateway, () => new PinFolder('gateway:p0').names())).toEqual([]);
    const bpf = run(
      inNamespace(['tc', 'filter', 'show', 'dev', 'p0', 'ingress'], { netns: topology.gateway }),
    );
    expect(bpf).toBe('');
    await agent.stop();
    expect([agent.stderr, first.stderr, second.stderr]).toEqual(['', '', '']);
  });

  it('moves the flows of a route that is drained, reloads its file, and is refused what it does not have', async () => {
    const topology = await prepare();
    const [agent, gateway] = await Promise.all([topology.startAgent(), topology.startGateway()]);
    const sockets = await connections(topology, CONNECTIONS);
    const data = patternBytes(BYTES, 'drain');
    const echoAll = () => Promise.all(sockets.map((socket) => echo(socket, data)));
    await echoAll();
    const name = gateway.lines[0]['name'] as string;
    const control = (args: readonly string[]): unknown =>
      JSON.parse(run([...preflexArgv(args), '--name', name, '--json']));
    // What is explained is what the kernel remembers: an unanswered datagram would go the same way again.
    await openUdp(lab.scope, topology.far, TWO_PATH.farAddress, PORT);
    const client = await openUdp(lab.scope, topology.host, TWO_PATH.hostAddress);
    client.send('unanswered', PORT, TWO_PATH.farAddress);
    await waitFor('the datagram', async () =>
      (await read(gateway)).reasons['outFneDrawn'] === CONNECTIONS + 1 ? true : undefined,
    );
    const flow = `${TWO_PATH.hostAddress}:${client.address().port}`;
    const explained = control(['explain', 'udp', flow, `${TWO_PATH.farAddress}:${PORT}`]);
    expect(JSON.stringify(explained)).toMatch(
      /"codepoint":"FNE","carries":0,"pathId":[12],"reason":"outFneRepeatedDatagram"/,
    );
    const start = await read(gateway);
    expect(bytesOf(start).every((bytes) => bytes > BYTES)).toBe(true);
    control(['set', '--drain', 'b']);
    const before = bytesOf(await read(gateway));
    await echoAll();
    const after = await read(gateway);
    expect(bytesOf(after)[1]).toBe(before[1]);
    expect(bytesOf(after)[0] - before[0]).toBeGreaterThan(CONNECTIONS * BYTES);
    expect(after.reasons['outDownPathId']).toBeGreaterThan(0);
    control(['set', '--undrain', 'b']);
    await echoAll();
    expect(bytesOf(await read(gateway))[1]).toBeGreaterThan(before[1]);

    const config = JSON.parse(twoPathConfig({ strategy: 'loss', intervalSeconds: 0.25 })) as object;
    const destinations = [{ prefixes: ['0.0.0.0/0', '::/0'] }, { prefixes: ['10.71.9.0/24'], routes: ['b'] }];
    writeFileSync(topology.file, JSON.stringify({ ...config, destinations }));
    const from = gateway.lines.length;
    gateway.child.kill('SIGHUP');
    expect(await gateway.waitFor('reload', from)).toMatchObject({ ok: true });
    const reloaded = bytesOf(await read(gateway));
    await waitFor('the new destination and its figures', async () => {
      await echoAll();
      const status = await read(gateway);
      const route = status.destinations.find(({ prefixes }) => prefixes[0] === '10.71.9.0/24')?.routes[0];
      return route !== undefined && route.bytes > 0 && status.balancer === 'loss' ? true : undefined;
    });
    expect(bytesOf(await read(gateway))[0]).toBe(reloaded[0]);
    for (const socket of sockets) socket.end();
    await Promise.all([agent.stop(), gateway.stop()]);
    expect([agent.stderr, gateway.stderr]).toEqual(['', '']);

    const refusal = (args: readonly string[]): string => {
      try {
        run(inNamespace(preflexArgv(['gateway', ...args]), { netns: topology.gateway }));
        return 'not refused';
      } catch (error) {
        return error instanceof CommandError ? error.stderr : String(error);
      }
    };
    // Without --datapath ebpf: the programs are still there.
    expect(refusal(['--config', topology.file])).toMatch(/goes on in the kernel.*--detach --device p0/s);
    const routes = (config as { routes: object[] }).routes.map((route) => ({ ...route, nat: true }));
    writeFileSync(topology.file, JSON.stringify({ ...config, routes, user: 'nobody' }));
    const refused = refusal(['--datapath', 'ebpf', '--config', topology.file]);
    expect(refused).toMatch(/nat: true is not allowed; it takes false with datapath ebpf/);
    expect(refused).toMatch(/user: "nobody" is not allowed/);
    expect(detach(topology.gateway)).toEqual({ device: 'p0', detached: true });
    expect(listRules(4, { netns: topology.gateway })).toHaveLength(3);
  });

  it('suspends a route that died by what the programs report, keeps that over a restart, and brings it back', async () => {
    const topology = await prepare();
    const [agent, first] = await Promise.all([topology.startAgent(), topology.startGateway()]);
    const data = patternBytes(200, 'fail');
    const isSuspended = (status: GatewayDaemonStatus): boolean =>
      status.destinations.some(({ routes }) => routes[1].suspended);
    /** Route b dies under traffic of its own. Ends the traffic when every connection has found its way around. */
    const failRoute = async (): Promise<() => Promise<void>> => {
      const before = bytesOf(await read(first));
      const sockets = await connections(topology, 40);
      let isOver = false;
      const echoing = Promise.all(
        sockets.map(async (socket) => {
          while (!isOver) {
            await echo(socket, data);
            // So many a second that this process, which is the links as well, has time for all.
            await delay(25);
          }
          socket.end();
        }),
      );
      await waitFor('traffic on both routes', async () => {
        const bytes = bytesOf(await read(first));
        return bytes.every((count, i) => count > before[i] + 40_000) ? true : undefined;
      });
      topology.links.b.forward.isBlackhole = true;
      return async () => {
        isOver = true;
        await echoing;
      };
    };
    // Of a route that is new more evidence is asked for 20 to 40 s than so few flows can give, and a machine that stalls
    // for a moment looks like all routes failing: then there is another attempt.
    let endTraffic: () => Promise<void> = () => Promise.resolve();
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      endTraffic = await failRoute();
      try {
        const suspended = async () => (isSuspended(await read(first)) ? true : undefined);
        await waitFor('the suspension', suspended, { timeoutMs: DECIDED_MS });
        break;
      } catch (error) {
        await endTraffic();
        topology.links.b.forward.isBlackhole = false;
        if (attempt === ATTEMPTS) throw error;
      }
    }
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const second = await topology.startGateway();
    expect(isSuspended(await read(second))).toBe(true);
    await endTraffic();
    topology.links.b.forward.isBlackhole = false;
    await waitFor('the return of the route', async () => {
      const probe = await connectTcp(topology.host, TWO_PATH.farAddress, PORT);
      await echo(probe, data);
      probe.end();
      return isSuspended(await read(second)) ? undefined : true;
    });
    await Promise.all([agent.stop(), second.stop()]);
    expect([agent.stderr, first.stderr, second.stderr]).toEqual(['', '', '']);
    expect(detach(topology.gateway)).toEqual({ device: 'p0', detached: true });
  });

  it('goes on without the prefixes that the kernel has no room for, says so, and takes them in when others go', () => {
    const prefixes = Array.from({ length: ROOM + 76 }, (_, i) => `32.${i >> 8}.${i & 255}.0/24`);
    withinNetns(makeDevices('full'), () => {
      const daemon = startIdle([{ prefixes, pathIds: [1, 2] }], { destinations: 4 });
      expect(daemon.datapath.kernelStatus).toMatchObject({ leftOutDestinations: 0, leftOutPrefixes: 76 });
      const { destinationTable } = daemon.datapath as EbpfGatewayDatapath;
      for (const prefix of prefixes.slice(0, 100)) destinationTable.removePrefix(prefix);
      destinationTable.flush();
      destinationTable.flush();
      expect(daemon.datapath.kernelStatus).toMatchObject({ leftOutPrefixes: 0 });
      daemon.stop();
      expect(EbpfGatewayDatapath.detach('p0', lab.folder)).toBe(true);
    });
  });

  it('leaves nothing behind when its start fails in the middle, and reads no reports any more', async () => {
    const netns = makeDevices('fails');
    const before = snapshot(netns, []);
    const inside = Array.from(
      { length: 67_000 },
      (_, i) => `10.${i >> 15}.${(i >> 7) & 255}.${(2 * i) & 255}/32`,
    );
    withinNetns(netns, () => {
      const all = [{ prefixes: ['0.0.0.0/0'], pathIds: [1, 2] }];
      expect(() => startIdle(all, { destinations: 4 }, inside)).toThrow(/ENOSPC/);
      expect(new PinFolder('gateway:p0').names()).toEqual([]);
    });
    expect(snapshot(netns, [])).toEqual(before);
    // A descriptor that is closed under its poll, or comes to be another file's, ends the process when that is polled.
    for (let port = PORT; port < PORT + 20; port++) await openUdp(lab.scope, netns, '127.0.0.1', port);
  });

  it('knows thousands of destinations again, gives their places to others when they go, and has room for no more', () => {
    const netns = makeDevices('many');
    const startWith = (destinations: readonly GatewayDestination[]): GatewayDaemon =>
      startIdle(destinations, { destinations: MANY });
    const many = Array.from({ length: MANY }, (_, i) => ({
      prefixes: [i % 2 === 0 ? `32.${i >> 8}.${i & 255}.0/24` : `2001:db8:${i.toString(16)}::/48`],
      pathIds: [1, 2],
    }));
    const others = many.slice(0, 10).map((_, i) => ({ prefixes: [`100.64.${i}.0/24`], pathIds: [1] }));
    withinNetns(netns, () => {
      const places = (daemon: GatewayDaemon): (readonly [string, number])[] => {
        const table = (daemon.datapath as EbpfGatewayDatapath).destinationTable;
        return daemon.destinations.entries.map(({ index, prefixes }) => [prefixes[0], table.indexOf(index)]);
      };
      const first = startWith(many);
      const before = places(first);
      expect(new Set(before.map(([, place]) => place)).size).toBe(MANY);
      expect(first.gateway.occupancy(nowNs())).toMatchObject({
        destinations: MANY,
        fneMemory: { size: 0, capacity: 65_536 },
      });
      first.stop();
      // In another order, without the last ten, and with ten others in their places.
      const second = startWith([...many.slice(0, -10).reverse(), ...others]);
      expect(second.status(0).kernel).toMatchObject({ isTakenOver: true, leftOutDestinations: 0 });
      const kept = new Map(places(second));
      for (const [prefix, place] of before.slice(0, -10)) expect(kept.get(prefix)).toBe(place);
      second.stop();
      const third = startWith([...many, ...others]);
      expect(third.status(0).kernel).toMatchObject({ leftOutDestinations: 10 });
      const { destinationTable } = third.datapath as EbpfGatewayDatapath;
      for (const { index } of third.destinations.entries.slice(0, 10))
        destinationTable.removeDestination(index);
      destinationTable.flush();
      expect(third.datapath.kernelStatus).toMatchObject({ leftOutDestinations: 0 });
      const left = places(third).slice(10);
      expect(new Set(left.map(([, place]) => place)).size).toBe(MANY);
      third.stop();
      expect(EbpfGatewayDatapath.detach('p0', lab.folder)).toBe(true);
    });
  });
});
