/**
 * SIGHUP to both daemons in the middle of traffic (topology two-path): connections and counters go on, what is wrong or
 * cannot change is refused as a whole.
 *
 *      host --- p0 [ gateway ] a ---\
 *                            b ---- router --- far
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { listRoutes, waitFor } from '../../lib/netns/index.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { HostAgentStatus } from '../../lib/runtime/host-agent.ts';
import type { DaemonLine } from '../../namespaces-lab/processes/preflex-process.ts';
import { PreflexProcess, statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { twoPathConfig } from '../../namespaces-lab/runs/two-path.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { connectTcp, echo, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import { prepareTwoPath } from '../support/two-path-lab.ts';

const PORT = 7000;
const BYTES = 200_000;
const OUTBOUND_TABLE = 7200;

async function reload(daemon: PreflexProcess): Promise<DaemonLine> {
  const from = daemon.lines.length;
  daemon.child.kill('SIGHUP');
  return daemon.waitFor('reload', from);
}

const lexMarkedBytes = (status: GatewayDaemonStatus): number =>
  status.routes.reduce((sum, route) => sum + route.total.bytes, 0);

describeNetns('reloading', () => {
  const lab = useLab();

  it('the gateway takes a changed file over, refuses a wrong one, and a connection and the counters go on', async () => {
    const topology = prepareTwoPath(lab);
    const file = join(lab.folder, 'gateway.yaml');
    const good = JSON.parse(twoPathConfig({ strategy: 'equal', intervalSeconds: 0.5 })) as object;
    const write = (changes: object): void => writeFileSync(file, JSON.stringify({ ...good, ...changes }));
    const [agent, gateway] = await Promise.all([topology.startAgent(), topology.startGateway()]);
    const read = async (): Promise<GatewayDaemonStatus> =>
      statusOf<GatewayDaemonStatus>(await gateway.counters());
    serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
    const socket = await connectTcp(topology.host, TWO_PATH.farAddress, PORT);
    const data = patternBytes(BYTES, 'reload');
    await echo(socket, data);
    const before = await read();
    expect(lexMarkedBytes(before)).toBeGreaterThan(BYTES);

    write({
      strategy: 'loss',
      intervalSeconds: 0.25,
      destinations: [{ prefixes: ['0.0.0.0/0', '::/0'] }, { prefixes: ['192.0.2.0/24'], routes: ['b'] }],
    });
    expect(await reload(gateway)).toMatchObject({
      ok: true,
      changed: expect.arrayContaining(['destinations', 'strategy', 'intervalSeconds']),
    });
    await echo(socket, data);
    const after = await read();
    expect([after.balancer, after.destinationCount, after.prefixCount]).toEqual(['loss', 3, 3]);
    expect(lexMarkedBytes(after)).toBeGreaterThan(lexMarkedBytes(before) + BYTES);
    expect(after.intervals).toBeGreaterThanOrEqual(before.intervals);
    const prefixes = listRoutes(4, OUTBOUND_TABLE, { netns: topology.gateway }).map((route) => route.prefix);
    expect(prefixes).toEqual(expect.arrayContaining(['default', '192.0.2.0/24']));
    await waitFor('the new interval', async () => {
      await echo(socket, data);
      return Math.abs((await read()).updateIntervalNs / 0.25e9 - 1) < 1e-6 ? true : undefined;
    });

    write({ strategy: 'fastest', colour: 'red' });
    const wrong = await reload(gateway);
    expect(wrong).toMatchObject({ ok: false });
    expect(wrong['message']).toMatch(/gateway\.yaml:1:\d+: strategy: "fastest" is not allowed/);
    write({ strategy: 'equal', scheme: 'full', inside: { device: 'p1', prefixes: ['10.71.1.0/24'] } });
    const fixed = await reload(gateway);
    expect(fixed).toMatchObject({ ok: false });
    expect(fixed['message']).toMatch(/^inside\.device cannot change from "p0" to "p1" while .*restart\.$/m);
    expect(fixed['message']).toMatch(/^scheme cannot change from "pool2" to "full" while .*restart\.$/m);
    await echo(socket, data);
    const last = await read();
    expect([last.balancer, last.destinationCount]).toEqual(['loss', 3]);
    expect(lexMarkedBytes(last)).toBeGreaterThan(lexMarkedBytes(after) + BYTES);
    // One connection, one flowlet on its way out: nothing was drawn again.
    expect([last.reasons['outDownPathId'], last.reasons['outUnknownPathId']]).toEqual([0, 0]);

    write({});
    expect(await reload(gateway)).toMatchObject({ ok: true });
    const restored = listRoutes(4, OUTBOUND_TABLE, { netns: topology.gateway }).map((route) => route.prefix);
    expect(restored).not.toContain('192.0.2.0/24');
    socket.end();
    await Promise.all([agent.stop(), gateway.stop()]);
    expect([agent.stderr, gateway.stderr]).toEqual(['', '']);
  });

  it('the agent reads its file again, refuses what cannot change, and forgets no flow', async () => {
    const topology = prepareTwoPath(lab);
    const file = join(lab.folder, 'host.yaml');
    const good = { addresses: [TWO_PATH.hostAddress], device: 'h0', intervalSeconds: 3600 };
    const write = (changes: object): void => writeFileSync(file, JSON.stringify({ ...good, ...changes }));
    write({});
    const agent = await PreflexProcess.start(lab.scope, topology.host, ['host', '--config', file]);
    const gateway = await topology.startGateway();
    serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
    const socket = await connectTcp(topology.host, TWO_PATH.farAddress, PORT);
    const data = patternBytes(BYTES, 'reload');
    await echo(socket, data);
    const before = statusOf<HostAgentStatus>(await agent.counters());
    expect(before.flows.size).toBe(1);

    const from = agent.lines.length;
    write({ intervalSeconds: 0.2 });
    expect(await reload(agent)).toMatchObject({ ok: true, changed: ['intervalSeconds'] });
    await agent.waitFor('status', from);
    write({ intervalSeconds: 3600, scheme: 'full' });
    expect(await reload(agent)).toMatchObject({
      ok: false,
      message: 'scheme cannot change from "pool2" to "full" while the daemon runs; it needs a restart.',
    });
    await agent.waitFor('status', agent.lines.length);
    await echo(socket, data);
    const after = statusOf<HostAgentStatus>(await agent.counters());
    expect(after.flows.size).toBe(1);
    expect(after.codepoints.lect.packets).toBeGreaterThan(before.codepoints.lect.packets);
    expect(after.out['fneSyn']).toBe(1);
    socket.end();
    await Promise.all([agent.stop(), gateway.stop()]);
    expect([agent.stderr, gateway.stderr]).toEqual(['', '']);
  });

  it('a daemon without a file ends on SIGHUP as on SIGTERM', async () => {
    const topology = prepareTwoPath(lab);
    const agent = await topology.startAgent();
    const exit = once(agent.child, 'close');
    agent.child.kill('SIGHUP');
    expect(await exit).toEqual([0, null]);
    expect(agent.lines.at(-1)?.event).toBe('exit');
  });
});
