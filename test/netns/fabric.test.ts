/**
 * The emulated network between two namespaces, as the process that the laboratory runs:
 *
 *      a  l0 ======= L: 8 Mbit/s forward, 20 ms each way ======= l0  b
 *      10.75.1.1                                          10.75.1.2
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { addRoutes, findLink, waitFor } from '../../lib/netns/index.ts';
import type { TcpSocket } from '../../lib/sys/socket.ts';
import { nowNs } from '../../lib/sys/clock.ts';
import { conservationFaults } from '../../namespaces-lab/links/fabric-core.ts';
import type { FabricPlan } from '../../namespaces-lab/links/fabric-plan.ts';
import type { FabricReport } from '../../namespaces-lab/links/fabric.ts';
import { PreflexProcess, statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { prepareHost } from '../../namespaces-lab/topologies/wiring.ts';
import { runIperf3 } from '../../namespaces-lab/traffic/iperf3.ts';
import { quantile } from '../../namespaces-lab/result.ts';
import { openTcp, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';

const RATE = 8e6;
const PORT = 7100;

describeNetns('the emulated network', () => {
  const lab = useLab();

  async function start(schedule: FabricPlan['schedule'] = []) {
    const [a, b, fabric] = ['a', 'b', 'fabric'].map((role) => lab.scope.namespace(role));
    for (const netns of [a, b]) prepareHost(netns);
    const plan: FabricPlan = {
      ports: [
        { name: 'a', netns: a, device: 'l0', addresses: ['10.75.1.1/24'] },
        { name: 'b', netns: b, device: 'l0', addresses: ['10.75.1.2/24'] },
      ],
      links: [
        {
          name: 'L',
          forward: { rateBitsPerSec: RATE, delayMs: 20, queuePackets: 50 },
          backward: { delayMs: 20 },
        },
      ],
      paths: [
        { from: 'a', prefix: '10.75.1.2/32', link: 'L', direction: 'forward', to: 'b' },
        { from: 'b', prefix: '10.75.1.1/32', link: 'L', direction: 'backward', to: 'a' },
      ],
      schedule,
    };
    const file = join(lab.folder, 'plan.json');
    writeFileSync(file, JSON.stringify(plan));
    const process = await PreflexProcess.startModule(lab.scope, fabric, 'processes/fabric', [file]);
    return { a, b, process };
  }

  async function connectMs(netns: string): Promise<number> {
    const socket: TcpSocket = openTcp(netns, 4);
    const startNs = nowNs();
    await socket.connect('10.75.1.2', PORT);
    const ms = (nowNs() - startNs) / 1e6;
    socket.close();
    return ms;
  }

  it('delays by what it says, and reports how late it was', async () => {
    const { a, b, process } = await start();
    serveTcp(lab.scope, b, PORT, (socket) => socket.end());
    const times: number[] = [];
    for (let i = 0; i < 21; i++) times.push(await connectMs(a));
    const median = quantile(
      times.sort((x, y) => x - y),
      0.5,
    )!;
    expect(median).toBeGreaterThanOrEqual(40);
    expect(median).toBeLessThan(48);
    const { lateness } = statusOf<FabricReport>(await process.stop());
    expect(lateness.packets).toBeGreaterThan(60);
    expect(lateness.p50Ms).toBeLessThan(1);
  });

  it('carries its rate, drops at the tail, and loses no packet uncounted', async () => {
    const { a, b, process } = await start();
    const { bitsPerSec, retransmits } = await runIperf3(lab.scope, {
      clientNetns: a,
      serverNetns: b,
      address: '10.75.1.2',
      seconds: 3,
      flows: 4,
    });
    // Payload: 1448 of 1500 bytes a packet. A busy machine may be slower, none may be faster.
    expect(bitsPerSec).toBeLessThan(RATE);
    expect(bitsPerSec).toBeGreaterThan(RATE * 0.7);
    const report = statusOf<FabricReport>(await process.stop());
    expect(conservationFaults(report)).toEqual([]);
    const [forward, backward] = report.lanes;
    expect(forward.droppedPackets['queueFull']).toBeGreaterThan(0);
    // What was dropped last may not have been sent again when the time was over.
    expect(retransmits).toBeGreaterThanOrEqual(forward.droppedPackets['queueFull'] * 0.8);
    expect(forward.ingress['a'].droppedPackets).toBe(forward.droppedPackets['queueFull']);
    expect(backward.droppedPackets['queueFull']).toBe(0);
  });

  it('takes a direction down and up by schedule', async () => {
    const { a, b, process } = await start([
      { atSeconds: 0.2, link: 'L', direction: 'forward', isDown: true },
      { atSeconds: 0.6, link: 'L', direction: 'forward', isDown: false },
    ]);
    serveTcp(lab.scope, b, PORT, (socket) => socket.end());
    process.send({ command: 'start', atNs: Number(globalThis.process.hrtime.bigint()) });
    await process.waitFor('link', 0);
    // The first SYN is lost, and is sent again after a second.
    expect(await connectMs(a)).toBeGreaterThan(900);
    const changes = process.lines.filter((line) => line.event === 'link').map((line) => line['isDown']);
    expect(changes).toEqual([true, false]);
    const report = statusOf<FabricReport>(await process.stop());
    expect(report.lanes[0].droppedPackets['blackhole']).toBe(1);
  });

  it('obeys commands', async () => {
    const { process } = await start();
    const link = await process.ask({ command: 'set', link: 'L', direction: 'both', isDown: true }, 'link');
    expect(link).toMatchObject({ link: 'L', direction: 'both', isDown: true });
    const counters = await process.ask({ command: 'counters', id: 'x' }, 'counters');
    expect(counters['id']).toBe('x');
    expect((counters['lanes'] as { isDown: boolean }[]).map((lane) => lane.isDown)).toEqual([true, true]);
  });

  it('ends with its standard input, and its ports go', async () => {
    const { a, process } = await start();
    addRoutes([{ family: 4, prefix: 'default', device: 'l0' }], { netns: a });
    expect(findLink('l0', { netns: a })?.kind).toBe('tun');
    process.child.stdin!.end();
    await process.waitFor('exit', 0);
    await waitFor('the port to go', () => (findLink('l0', { netns: a }) === undefined ? true : undefined));
    await waitFor('the process to end', () => (process.child.exitCode === 0 ? true : undefined));
  });
});
