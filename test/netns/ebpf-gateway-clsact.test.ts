/** The gateway in the kernel where there is no TCX (before Linux 6.6): by clsact, and from there to TCX and back. */
import { expect, it } from 'vitest';
import type { Attachment } from '../../lib/ebpf/attachment.ts';
import { PinFolder } from '../../lib/ebpf/pins.ts';
import { inNamespace, run } from '../../lib/netns/index.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import { GatewayDaemon } from '../../lib/runtime/gateway-daemon.ts';
import { EbpfGatewayDatapath } from '../../lib/runtime/gateway-ebpf-datapath.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { askUdp, openUdp, withinNetns } from '../support/in-netns.ts';
import { describeNetns, snapshot, useLab } from '../support/netns.ts';
import { prepareTwoPath, waitForAddresses } from '../support/two-path-lab.ts';

const PORT = 7000;
const DEVICES = ['p0', 'a', 'b'];
const ROUTES = TWO_PATH.routes.map(({ name }, i) => ({ name, pathId: i + 1 }));

describeNetns('the gateway in the kernel on clsact', () => {
  const lab = useLab();

  it('handles packets once, is taken over from clsact to TCX and back, and leaves no filter', async () => {
    const topology = prepareTwoPath(lab, { hostArgs: ['--flowlet-gap', '600'] });
    const { far, gateway: netns, host } = topology;
    await waitForAddresses(netns);
    const before = snapshot(netns, []);
    const start = (attachment: Attachment): GatewayDaemon =>
      withinNetns(netns, () =>
        GatewayDaemon.start({
          plumbing: {
            insideDevice: 'p0',
            insidePrefixes: TWO_PATH.insidePrefixes,
            routes: TWO_PATH.routes.map(({ name, nextHop, nextHop6 }) => ({
              ...{ name, device: name, nextHop, nextHop6 },
            })),
            destinations: ['0.0.0.0/0', '::/0'],
            journalDirectory: lab.folder,
          },
          gateway: { routes: ROUTES },
          kernel: { attachment },
          destinations: [{ prefixes: ['0.0.0.0/0', '::/0'], pathIds: [1, 2] }],
        }),
      );
    const statusOf = (daemon: GatewayDaemon): GatewayDaemonStatus =>
      withinNetns(netns, () => daemon.status());
    const stop = (daemon: GatewayDaemon): unknown => withinNetns(netns, () => daemon.stop());
    const filters = (): number =>
      DEVICES.filter(
        (device) => run(inNamespace(['tc', 'filter', 'show', 'dev', device, 'ingress'], { netns })) !== '',
      ).length;
    const server = await openUdp(lab.scope, far, TWO_PATH.farAddress, PORT);
    server.on('message', (message, { address, port }) => {
      server.send(message, port, address);
    });
    const agent = await topology.startAgent();
    const client = await openUdp(lab.scope, host, TWO_PATH.hostAddress);
    const ask = () => askUdp(client, new Uint8Array(100), TWO_PATH.farAddress, PORT);

    const classic = start('clsact');
    expect(filters()).toBe(DEVICES.length);
    for (let i = 0; i < 3; i++) await ask();
    expect(statusOf(classic)).toMatchObject({
      kernel: { attachment: 'clsact', isTakenOver: false },
      reasons: { outFneDrawn: 1, inAssignedAnswer: 1, outPathId: 2, inPassed: 2 },
    });
    stop(classic);
    // Without a daemon the filters go on.
    await ask();
    const again = start('clsact');
    await ask();
    expect(statusOf(again)).toMatchObject({
      kernel: { attachment: 'clsact', isTakenOver: true },
      reasons: { outFneDrawn: 1, outPathId: 4, inPassed: 4 },
    });
    stop(again);
    const modern = start('tcx');
    await ask();
    // Counted once: the filters are gone.
    expect(filters()).toBe(0);
    expect(statusOf(modern)).toMatchObject({
      kernel: { attachment: 'tcx', isTakenOver: true },
      reasons: { outFneDrawn: 1, outPathId: 5, inPassed: 5 },
    });
    stop(modern);
    const back = start('clsact');
    await ask();
    expect(statusOf(back)).toMatchObject({
      kernel: { attachment: 'clsact', isTakenOver: true },
      reasons: { outFneDrawn: 1, outPathId: 6, inPassed: 6 },
    });
    stop(back);
    expect(withinNetns(netns, () => EbpfGatewayDatapath.detach('p0', lab.folder))).toBe(true);
    expect(filters()).toBe(0);
    expect(withinNetns(netns, () => new PinFolder('gateway:p0').names())).toEqual([]);
    expect(snapshot(netns, [])).toEqual(before);
    await ask();
    await agent.stop();
    expect(agent.stderr).toBe('');
  });
});
