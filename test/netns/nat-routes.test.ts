/**
 * Two routes with NAT, by nftables in the kernel of the gateway: each connection stays behind the address it began with.
 *
 *                          wan1 10.1.0.1 --- p1 isp1 f1 ---+
 *   host h0 --- p0 [ gateway ]                             far 10.9.0.1, which says who it sees
 *   10.0.0.2               wan2 10.2.0.1 --- p2 isp2 f2 ---+
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  addAddress,
  addRoutes,
  inNamespace,
  run,
  setLink,
  waitFor,
  writeSysctl,
} from '../../lib/netns/index.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import { PreflexProcess, statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { connectTcp, serveTcp } from '../support/in-netns.ts';
import { connect, describeNetns, useLab } from '../support/netns.ts';

const PORT = 7000;
const FAR = '10.9.0.1';
const CONNECTIONS = 12;
/** What the documentation gives: the way from and to the daemon's TUNs is not tracked, or addresses were settled there. */
const RULES = `
table inet preflex {
  chain untracked {
    type filter hook prerouting priority raw;
    iifname { "p0", "pref-in" } notrack
  }
  chain translated {
    type nat hook postrouting priority srcnat;
    oifname { "wan1", "wan2" } masquerade
  }
}
`;

describeNetns('routes with NAT', () => {
  const lab = useLab();

  it('connections survive flowlet gaps behind their address, new ones are balanced, a failure breaks only its own', async () => {
    const [host, gateway, isp1, isp2, far] = ['host', 'gw', 'isp1', 'isp2', 'far'].map((role) =>
      lab.scope.namespace(role),
    );
    for (const netns of [gateway, isp1, isp2, far]) {
      writeSysctl('net/ipv4/ip_forward', 1, { netns });
      for (const device of ['all', 'default']) writeSysctl(`net/ipv4/conf/${device}/rp_filter`, 0, { netns });
    }
    const link = (a: string, nameA: string, b: string, nameB: string, net: string): void =>
      connect(
        { netns: a, name: nameA, addresses: [`${net}.2/24`] },
        { netns: b, name: nameB, addresses: [`${net}.1/24`] },
      );
    link(host, 'h0', gateway, 'p0', '10.0.0');
    addRoutes([{ family: 4, prefix: 'default', via: '10.0.0.1' }], { netns: host });
    addAddress('lo', `${FAR}/32`, { netns: far });
    for (const [n, isp] of [isp1, isp2].entries()) {
      link(isp, `p${n + 1}`, gateway, `wan${n + 1}`, `10.${n + 1}.0`);
      link(far, `f${n + 1}`, isp, `f${n + 1}`, `10.9${n + 1}.0`);
      addRoutes([{ family: 4, prefix: `${FAR}/32`, via: `10.9${n + 1}.0.2` }], { netns: isp });
      addRoutes([{ family: 4, prefix: `10.${n + 1}.0.0/24`, via: `10.9${n + 1}.0.1` }], { netns: far });
    }
    run(inNamespace(['nft', '-f', '-'], { netns: gateway }), { input: RULES });
    const config = join(lab.folder, 'gateway.yaml');
    const routes = [1, 2].map((n) => ({
      name: `isp${n}`,
      device: `wan${n}`,
      nextHop: `10.${n}.0.2`,
      nat: true,
    }));
    writeFileSync(
      config,
      JSON.stringify({
        inside: { device: 'p0', prefixes: ['10.0.0.0/24'] },
        ...{ routes, strategy: 'equal', intervalSeconds: 1 },
        // Shorter than the gap: what remembers the connections is not this.
        fne: { memorySeconds: 0.2 },
      }),
    );
    const [daemon, agent] = await Promise.all([
      PreflexProcess.start(lab.scope, gateway, ['gateway', '--config', config]),
      PreflexProcess.start(lab.scope, host, [
        'host',
        '--address',
        '10.0.0.2',
        '--device',
        'h0',
        '--flowlet-gap',
        '0.2',
      ]),
    ]);
    const read = async (): Promise<GatewayDaemonStatus> =>
      statusOf<GatewayDaemonStatus>(await daemon.counters());

    serveTcp(lab.scope, far, PORT, (socket) => {
      socket.on('data', () => socket.write(`${socket.remoteAddress?.replace('::ffff:', '')}`));
    });
    const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => connectTcp(host, FAR, PORT)));
    const began = await Promise.all(sockets.map(ask));
    const behind = (address: string): Socket[] => sockets.filter((_, i) => began[i] === address);
    expect([behind('10.1.0.1').length, behind('10.2.0.1').length]).toEqual([
      CONNECTIONS / 2,
      CONNECTIONS / 2,
    ]);

    // Each round begins flowlets: the agent's own count says when a gap was long enough for that.
    for (let round = 0; round < 3; round++) {
      const { outPlaced } = (await read()).reasons;
      await waitFor(
        'flowlets in the middle of the connections',
        async () => {
          expect(await Promise.all(sockets.map(ask))).toEqual(began);
          await gap();
          return (await read()).reasons['outPlaced'] >= outPlaced + CONNECTIONS / 2 ? true : undefined;
        },
        { timeoutMs: 60_000 },
      );
    }
    expect((await read()).reasons['outPlacedDown']).toBe(0);

    setLink('wan1', { up: false }, { netns: gateway });
    await waitFor('the route to be withdrawn', async () => ((await read()).routes[0].up ? undefined : true), {
      timeoutMs: 20_000,
    });
    for (const socket of behind('10.1.0.1')) socket.write('?');
    await waitFor('packets that stay on their route', async () =>
      (await read()).reasons['outPlacedDown'] > 0 ? true : undefined,
    );
    expect(await Promise.all(behind('10.2.0.1').map(ask))).toEqual(Array(CONNECTIONS / 2).fill('10.2.0.1'));
    const fresh = await Promise.all([1, 2, 3].map(() => connectTcp(host, FAR, PORT)));
    expect(await Promise.all(fresh.map(ask))).toEqual(Array(3).fill('10.2.0.1'));
    for (const socket of [...sockets, ...fresh]) socket.destroy();
    await Promise.all([agent.stop(), daemon.stop()]);
    expect([agent.stderr, daemon.stderr]).toEqual(['', '']);
  });
});

/** Asks the far end whom it sees. */
async function ask(socket: Socket): Promise<string> {
  const answer = once(socket, 'data', { signal: AbortSignal.timeout(20_000) });
  socket.write('?');
  const [chunk] = (await answer) as [Buffer];
  return chunk.toString();
}

/** An idle period is what is tested: longer than the agent's flowlet gap. */
function gap(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 450));
}
