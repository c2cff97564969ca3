/**
 * The daemons as a service manager runs them (topology two-path): without root, with one capability; started by root and
 * becoming somebody else; watched over a notify socket.
 *
 *      host --- p0 [ gateway ] a ---\
 *                            b ---- router --- far
 */
import { once } from 'node:events';
import { chmodSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { listLinks, waitFor } from '../../lib/netns/index.ts';
import { askDaemon } from '../../lib/runtime/control/client.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { HostAgentStatus } from '../../lib/runtime/host-agent.ts';
import { PreflexProcess, statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { connectTcp, exchange, patternBytes, serveTcp } from '../support/in-netns.ts';
import { describeNetns, snapshot, useLab } from '../support/netns.ts';
import { NotifyReceiver } from '../support/notify-receiver.ts';
import type { TestTwoPath } from '../support/two-path-lab.ts';
import { prepareTwoPath, waitForAddresses } from '../support/two-path-lab.ts';

const PORT = 7000;
/** A user that every machine has. */
const NOBODY = 65_534;
const ONLY_NET_ADMIN = '0000000000001000';
const HOST = ['host', '--address', TWO_PATH.hostAddress, '--device', 'h0'];

/** Runs a command in sh, in the mount namespace that `ip netns exec` makes, and then what follows. */
const after = (script: string): string[] => ['sh', '-c', `set -e; ${script}; exec "$@"`, 'sh'];
/** As udev leaves it: everybody may open the device. In containers it is often root's alone. */
const TUN_FOR_ALL = 'mount -t tmpfs tun /dev/net && mknod -m 0666 /dev/net/tun c 10 200';
/** RuntimeDirectory=preflex of a unit. */
const runtimeDirectory = (uid: number): string =>
  `mkdir -p /run/preflex && mount -t tmpfs -o mode=0700,uid=${uid},gid=${uid} run /run/preflex`;
/** User=, AmbientCapabilities=, CapabilityBoundingSet= and NoNewPrivileges= of a unit. */
const AS_UNIT = [
  ...after(`${TUN_FOR_ALL} && ${runtimeDirectory(NOBODY)}`),
  ...['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--no-new-privs'],
  ...['--bounding-set=-all,+net_admin', '--inh-caps=-all,+net_admin', '--ambient-caps=+net_admin'],
];
/** Root as in a container: the device is root's alone, and nothing was prepared. */
const AS_ROOT = after(
  `mount -t tmpfs tun /dev/net && mknod -m 0600 /dev/net/tun c 10 200 && ${runtimeDirectory(0)}`,
);

describeNetns('as a service', () => {
  const lab = useLab();

  const prepare = async (): Promise<TestTwoPath> => {
    const topology = prepareTwoPath(lab);
    // The daemons are not root.
    chmodSync(lab.folder, 0o755);
    await Promise.all([topology.host, topology.gateway].map((netns) => waitForAddresses(netns)));
    return topology;
  };
  const stateOf = (netns: string): string[] => [
    ...listLinks({ netns }).map((link) => link.name),
    ...snapshot(netns, []),
  ];
  const gatewayArgs = (): string[] => ['gateway', '--config', join(lab.folder, 'gateway.yaml')];

  /** Starts both, sends bytes through them, and ends them; they must have worked and left nothing. */
  const expectService = async (before: readonly string[], more: readonly string[]): Promise<void> => {
    const topology = await prepare();
    const netnses = [topology.host, topology.gateway];
    const states = netnses.map(stateOf);
    const [agent, gateway] = await Promise.all([
      PreflexProcess.start(lab.scope, topology.host, [...HOST, ...more], before),
      PreflexProcess.start(lab.scope, topology.gateway, [...gatewayArgs(), ...more], before),
    ]);
    expect(netnses.map(stateOf)).not.toEqual(states);
    for (const daemon of [agent, gateway]) {
      const status = readFileSync(`/proc/${daemon.child.pid}/status`, 'utf8');
      const ids = Array.from({ length: 4 }, () => NOBODY).join('\t');
      expect(status).toContain(`\nUid:\t${ids}\nGid:\t${ids}\n`);
      for (const set of ['Prm', 'Eff', 'Bnd']) expect(status).toContain(`\nCap${set}:\t${ONLY_NET_ADMIN}\n`);
      expect(status).toContain('\nNoNewPrivs:\t1\n');
    }
    serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
    const data = patternBytes(300_000, 'service');
    const back = await exchange(await connectTcp(topology.host, TWO_PATH.farAddress, PORT), data);
    expect(back.equals(data)).toBe(true);
    // Asked through the socket that the user made, in the daemon's view of the file system.
    const folder = `/proc/${gateway.child.pid}/root/run/preflex`;
    const socket = readdirSync(folder).find((name) => name.endsWith('.sock'))!;
    expect(await askDaemon(join(folder, socket), 'hello')).toMatchObject({ pid: gateway.child.pid });
    gateway.child.kill('SIGHUP');
    expect(await gateway.waitFor('reload', 0)).toMatchObject({ ok: true });
    const marked = statusOf<HostAgentStatus>(await agent.stop());
    const routed = statusOf<GatewayDaemonStatus>(await gateway.stop());
    expect([agent.child.exitCode, gateway.child.exitCode]).toEqual([0, 0]);
    expect(marked.codepoints.lect.packets).toBeGreaterThan(10);
    expect(routed.reasons['outPathId']).toBeGreaterThan(10);
    expect(netnses.map(stateOf)).toEqual(states);
    expect([agent.stderr, gateway.stderr]).toEqual(['', '']);
  };

  it('a plain user with CAP_NET_ADMIN alone is enough: traffic flows, and all is taken back', () =>
    expectService(AS_UNIT, []));

  it('started by root with --user they keep CAP_NET_ADMIN alone: traffic flows, and all is taken back', () =>
    expectService(AS_ROOT, ['--user', 'nobody']));

  it('a user that does not exist, or is root, is refused before anything is changed', async () => {
    const topology = await prepare();
    const before = stateOf(topology.host);
    for (const [user, message] of [
      ['nobody-here', /user: there is no user nobody-here\. Make it: useradd/],
      ['root', /user: root is root/],
    ] as const) {
      const start = PreflexProcess.start(lab.scope, topology.host, [...HOST, '--user', user], AS_ROOT);
      await expect(start).rejects.toThrow(message);
    }
    expect(stateOf(topology.host)).toEqual(before);
  });

  it('the manager hears that the agent is ready, lives, and stops; a stopped process gives no sign of life', async () => {
    const topology = await prepare();
    const address = join(lab.folder, 'notify');
    const receiver = new NotifyReceiver(address);
    const agent = await PreflexProcess.start(
      lab.scope,
      topology.host,
      [...HOST, '--interval', '0.2'],
      ['env', `NOTIFY_SOCKET=${address}`, 'WATCHDOG_USEC=400000'],
    );
    expect(await receiver.waitFor('READY=1')).toBe(
      'READY=1\nSTATUS=serving 10.71.1.2 on h0 through lex0 and lex1, scheme pool2',
    );
    await receiver.waitFor('WATCHDOG=1');
    expect(await receiver.waitFor('STATUS=')).toMatch(/^STATUS=\d+ flows, LECT/);
    agent.child.kill('SIGSTOP');
    await waitFor('the process to be stopped', () =>
      /^State:\s+T/m.test(readFileSync(`/proc/${agent.child.pid}/status`, 'utf8')) ? true : undefined,
    );
    const count = receiver.receive();
    await expect(receiver.waitFor('', count, 1000)).rejects.toThrow(/in vain/);
    agent.child.kill('SIGCONT');
    await receiver.waitFor('WATCHDOG=1', count);
    const exit = once(agent.child, 'exit');
    agent.child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
    receiver.receive();
    expect(receiver.messages.at(-1)).toBe('STOPPING=1');
    receiver.close();
  });

  it('the manager hears when the gateway reads its file again', async () => {
    const topology = await prepare();
    const address = join(lab.folder, 'notify');
    const receiver = new NotifyReceiver(address);
    const gateway = await PreflexProcess.start(lab.scope, topology.gateway, gatewayArgs(), [
      'env',
      `NOTIFY_SOCKET=${address}`,
    ]);
    await receiver.waitFor('READY=1');
    const count = receiver.receive();
    gateway.child.kill('SIGHUP');
    await receiver.waitFor('READY=1', count);
    expect(receiver.messages[count]).toMatch(/^RELOADING=1\nMONOTONIC_USEC=\d+$/);
    // Who was not told of a watchdog feeds none.
    expect(receiver.messages.filter((message) => message.startsWith('WATCHDOG'))).toEqual([]);
    await gateway.stop();
    receiver.close();
  });
});
