/**
 * Who forwards with `forwarding: auto`, on topology two-path:
 *
 *      host --- p0 [ programs ] a ---\       nft on the gateway counts what the kernel forwards
 *                             b ---- router --- far
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { inNamespace, run, waitFor } from '../../lib/netns/index.ts';
import { askDaemon, DEFAULT_CONTROL_DIRECTORY } from '../../lib/runtime/control/client.ts';
import { SOCKET_SUFFIX } from '../../lib/runtime/control/protocol.ts';
import type { DaemonEvent } from '../../lib/runtime/events.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import type { KernelDatapathStatus } from '../../lib/runtime/gateway-datapath.ts';
import { preflexArgv, PreflexProcess, statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { twoPathConfig } from '../../namespaces-lab/runs/two-path.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { askUdp, openUdp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';
import { prepareTwoPath, waitForTopology } from '../support/two-path-lab.ts';

const PORT = 7000;
/** Datagrams that are counted one by one. */
const COUNTED = 20;
/** After the death of the daemon the kernel forwards within so long. */
const LEASE_MS = 3000;
const COUNTER = `table inet watcher {
  chain passing {
    type filter hook forward priority 0;
    iif "p0" udp dport ${PORT} counter
  }
}`;
const REASON = 'chain passing of table inet watcher (nftables, hook forward)';

describeNetns('the gateway in the kernel with forwarding: auto', () => {
  const lab = useLab();

  it('sends packets itself until netfilter wants to see them, and again after; dead it leaves them to the kernel; none is lost', async () => {
    const topology = prepareTwoPath(lab, { hostArgs: ['--flowlet-gap', '600'] });
    const netns = topology.gateway;
    await waitForTopology(topology);
    const file = join(lab.folder, 'auto.yaml');
    writeFileSync(file, twoPathConfig({ strategy: 'equal', intervalSeconds: 0.5 }));
    const startGateway = () =>
      PreflexProcess.start(lab.scope, netns, ['gateway', '--datapath', 'ebpf', '--config', file]);
    const kernelOf = async (gateway: PreflexProcess): Promise<KernelDatapathStatus> =>
      statusOf<GatewayDaemonStatus>(await gateway.counters()).kernel!;
    const isBy = (gateway: PreflexProcess, by: 'kernel' | 'redirect') =>
      waitFor(`forwarding by ${by}`, async () =>
        (await kernelOf(gateway)).forwardingBy === by ? true : undefined,
      );
    const nft = (...words: string[]): string => run(inNamespace(['nft', ...words], { netns }));
    const count = (): void => {
      run(inNamespace(['nft', '-f', '-'], { netns }), { input: COUNTER });
    };
    const counted = (): number => Number(/packets (\d+)/.exec(nft('list', 'table', 'inet', 'watcher'))?.[1]);
    const server = await openUdp(lab.scope, topology.far, TWO_PATH.farAddress, PORT);
    server.on('message', (message, { address, port }) => {
      server.send(message, port, address);
    });
    const [agent, first] = await Promise.all([topology.startAgent(), startGateway()]);
    const client = await openUdp(lab.scope, topology.host, TWO_PATH.hostAddress);
    // One after the other, each answered; none is sent again.
    const ask = () => askUdp(client, new Uint8Array(100), TWO_PATH.farAddress, PORT);
    const askMany = async (): Promise<void> => {
      for (let i = 0; i < COUNTED; i++) await ask();
    };
    const askWhile = async (body: () => Promise<unknown>): Promise<void> => {
      let isOver = false;
      const asking = (async () => {
        while (!isOver) await ask();
      })();
      await body().finally(() => (isOver = true));
      await asking;
    };

    expect(await kernelOf(first)).toMatchObject({
      forwarding: 'auto',
      forwardingBy: 'redirect',
      forwardingReason: null,
    });
    // Neighbours are found by the kernel.
    await askMany();
    const before = await kernelOf(first);
    await askMany();
    expect((await kernelOf(first)).redirected - before.redirected).toBe(COUNTED);

    // A chain comes: every packet after the switch passes it.
    await askWhile(async () => {
      count();
      await isBy(first, 'kernel');
    });
    const then = await kernelOf(first);
    expect(then.forwardingReason).toBe(REASON);
    const seen = counted();
    await askMany();
    expect(counted() - seen).toBe(COUNTED);
    expect((await kernelOf(first)).redirected).toBe(then.redirected);
    const name = first.lines[0]['name'] as string;
    const status = run(preflexArgv(['status', '--name', name]));
    expect(status).toContain(`forwarding: auto (kernel: ${REASON})`);

    // It goes: the programs send again.
    await askWhile(async () => {
      nft('delete', 'table', 'inet', 'watcher');
      await isBy(first, 'redirect');
    });
    const again = await kernelOf(first);
    await askMany();
    expect((await kernelOf(first)).redirected - again.redirected).toBe(COUNTED);
    const path = join(DEFAULT_CONTROL_DIRECTORY, name + SOCKET_SUFFIX);
    const { events } = (await askDaemon(path, 'events')) as { events: DaemonEvent[] };
    expect(events.filter(({ kind }) => kind === 'forwarding')).toMatchObject([
      { by: 'redirect', reason: null },
      { by: 'kernel', reason: REASON },
      { by: 'redirect', reason: null },
    ]);

    // Killed, it sees no chain that comes; the programs stop sending by themselves.
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    count();
    await waitFor(
      'the end of the time that was given to the programs',
      async () => {
        const least = counted();
        await ask();
        return counted() > least ? true : undefined;
      },
      { timeoutMs: LEASE_MS },
    );
    const afterwards = counted();
    await askMany();
    expect(counted() - afterwards).toBe(COUNTED);

    // Ended in an orderly way, it has stopped them before.
    const second = await startGateway();
    expect((await kernelOf(second)).forwardingBy).toBe('kernel');
    await askWhile(async () => {
      nft('delete', 'table', 'inet', 'watcher');
      await isBy(second, 'redirect');
    });
    await askWhile(() => second.stop());
    count();
    await askMany();
    expect(counted()).toBe(COUNTED);
    await agent.stop();
    expect([agent.stderr, first.stderr, second.stderr]).toEqual(['', '', '']);
    run(inNamespace(preflexArgv(['gateway', '--detach', '--device', 'p0']), { netns }));
  });
});
