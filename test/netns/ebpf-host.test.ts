/**
 * The host agent whose packets stay in the kernel, on topology pair:
 *
 *      host (programs on v0) ------------------ far
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { attachProgram } from '../../lib/ebpf/attachment.ts';
import { HostDatapath } from '../../lib/ebpf/host-datapath.ts';
import type { HostDatapathOptions } from '../../lib/ebpf/host-datapath.ts';
import { PinFolder, sweepPins } from '../../lib/ebpf/pins.ts';
import { deleteLink, inNamespace, run } from '../../lib/netns/index.ts';
import type { EbpfHostStatus } from '../../lib/runtime/ebpf-host-agent.ts';
import { EbpfHostAgent } from '../../lib/runtime/ebpf-host-agent.ts';
import { tcxPrograms } from '../../lib/sys/bpf.ts';
import { interfaceIndex } from '../../lib/sys/interface.ts';
import { writeTrafficClass } from '../../lib/sys/socket-options.ts';
import { preflexArgv, PreflexProcess, statusOf } from '../../namespaces-lab/processes/preflex-process.ts';
import { runOracle } from '../../namespaces-lab/runs/oracle.ts';
import { wire } from '../../namespaces-lab/topologies/wiring.ts';
import { buildPair, PAIR } from '../../namespaces-lab/topologies/pair.ts';
import { askUdp, openUdp, udpFd, withinNetns } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';

const PORT = 9000;
const ASSIGNS_PATH_2 = (8 * 2 + 3) << 2;
const PLACE = ['--address', PAIR.hostAddress, '--device', PAIR.device];
/** So long that a slow machine is no gap. */
const GAP_SECONDS = 600;
const OPTIONS: HostDatapathOptions = {
  device: PAIR.device,
  addresses: [PAIR.hostAddress],
  lex: { flowletGapNs: GAP_SECONDS * 1e9 },
};

describeNetns('the host agent in the kernel', () => {
  const lab = useLab();

  /** A socket of the host, whose datagrams the far host echoes, with an assignment of path 2 if asked. */
  async function openEcho(host: string, far: string, trafficClass = 0) {
    const server = await openUdp(lab.scope, far, PAIR.farAddress, PORT);
    writeTrafficClass(udpFd(server), trafficClass);
    server.on('message', (message, { address, port }) => {
      server.send(message, port, address);
    });
    const client = await openUdp(lab.scope, host, PAIR.hostAddress);
    return () => askUdp(client, new Uint8Array([1]), PAIR.farAddress, PORT);
  }

  it('goes on when it is killed; the next one takes over flows, paths and counters, and no packet is lost', async () => {
    const { host, far } = buildPair(lab.scope);
    const start = () =>
      PreflexProcess.start(lab.scope, host, [
        'host',
        '--datapath',
        'ebpf',
        '--flowlet-gap',
        String(GAP_SECONDS),
        ...PLACE,
      ]);
    const first = await start();
    const ask = await openEcho(host, far, ASSIGNS_PATH_2);
    await ask();
    await ask();
    const before = statusOf<EbpfHostStatus>(await first.counters());
    expect(before).toMatchObject({ isTakenOver: false, attachment: 'tcx', pathPackets: { 0: 1, 2: 1 } });
    expect(before.out).toEqual({ fneFirstPacket: 1, lectDatagram: 1 });

    // One datagram after the other, each answered, while the agent dies and another starts.
    let asked = 2;
    let isOver = false;
    const asking = (async () => {
      for (; !isOver; asked++) await ask();
    })();
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    const second = await start();
    isOver = true;
    await asking;
    const after = statusOf<EbpfHostStatus>(await second.stop());
    expect(after.isTakenOver).toBe(true);
    expect(asked).toBeGreaterThan(10);
    // Every datagram was seen, and after the first two all were on the path that was assigned.
    expect(after.out).toEqual({ fneFirstPacket: 1, lectDatagram: asked - 1 });
    expect(after.pathPackets).toEqual({ 0: 1, 2: asked - 1 });
    expect(after.flows).toMatchObject({ size: 1, made: 1, refused: 0 });

    // It was ended in an orderly way, and the programs still go on.
    await ask();
    const detach = (): string =>
      run(
        inNamespace([...preflexArgv(['host', '--detach', '--device', PAIR.device]), '--json'], {
          netns: host,
        }),
      );
    expect(JSON.parse(detach())).toEqual({ device: PAIR.device, detached: true });
    expect(JSON.parse(detach())).toEqual({ device: PAIR.device, detached: false });
    await ask();
    const fresh = withinNetns(host, () => new HostDatapath(OPTIONS));
    expect(fresh.isTakenOver).toBe(false);
    expect(fresh.status().out).toEqual({});
    fresh.close();
    expect(withinNetns(host, () => HostDatapath.detach(PAIR.device))).toBe(true);
  });

  it('hangs on clsact where there is no TCX, and an agent with TCX takes over from there', async () => {
    const { host, far } = buildPair(lab.scope);
    const ask = await openEcho(host, far);
    const classic = withinNetns(host, () => new HostDatapath({ ...OPTIONS, attachment: 'clsact' }));
    await ask();
    expect(classic.status()).toMatchObject({
      attachment: 'clsact',
      out: { fneFirstPacket: 1 },
      in: { feedback: 1 },
    });
    expect(withinNetns(host, () => classic.isAttached)).toBe(true);
    const modern = withinNetns(host, () => new HostDatapath(OPTIONS));
    await ask();
    expect(modern.isTakenOver).toBe(true);
    // Counted once: the filters are gone.
    expect(modern.status()).toMatchObject({ attachment: 'tcx', out: { fneFirstPacket: 1, lectDatagram: 1 } });
    const again = withinNetns(host, () => new HostDatapath({ ...OPTIONS, attachment: 'clsact' }));
    await ask();
    expect(again.status().out).toEqual({ fneFirstPacket: 1, lectDatagram: 2 });
    expect(withinNetns(host, () => HostDatapath.detach(PAIR.device))).toBe(true);
    expect(withinNetns(host, () => again.isAttached)).toBe(false);
    await ask();
    expect(again.status().out).toEqual({ fneFirstPacket: 1, lectDatagram: 2 });
    for (const datapath of [classic, modern, again]) datapath.close();
  });

  it('with another size of the flow table begins anew, and leaves one set of pins', () => {
    const { host } = buildPair(lab.scope);
    withinNetns(host, () => {
      const first = new HostDatapath(OPTIONS);
      const names = new PinFolder(PAIR.device).names();
      const second = new HostDatapath({ ...OPTIONS, lex: { flowCapacity: 1000 } });
      expect(second.isTakenOver).toBe(false);
      expect(second.status().flows.capacity).toBe(1000);
      expect(new PinFolder(PAIR.device).names()).toHaveLength(names.length);
      first.close();
      second.close();
      HostDatapath.detach(PAIR.device);
      expect(new PinFolder(PAIR.device).names()).toEqual([]);
    });
  });

  it('waits for a device that is gone, puts the programs on the one that comes, and goes on counting', async () => {
    const { far, host } = buildPair(lab.scope);
    const ask = await openEcho(host, far);
    const agent = withinNetns(host, () => new EbpfHostAgent(OPTIONS));
    await ask();
    const refresh = (): unknown[] =>
      withinNetns(host, () => {
        agent.refresh();
        const { fne, lect } = agent.status().codepoints;
        const told = agent.events.since().map(({ kind }) => kind);
        return [agent.isHealthy, fne.packets, lect.packets, ...told];
      });
    expect(refresh()).toEqual([true, 1, 0]);
    withinNetns(host, () => {
      deleteLink(PAIR.device);
    });
    expect(refresh()).toEqual([true, 1, 0, 'deviceWent']);
    wire(
      { netns: host, name: PAIR.device, addresses: [`${PAIR.hostAddress}/24`] },
      { netns: far, name: PAIR.device, addresses: [`${PAIR.farAddress}/24`] },
    );
    expect(refresh()).toEqual([true, 1, 0, 'deviceWent', 'deviceCame']);
    await ask();
    // The same flow: it went on.
    expect(refresh()).toEqual([true, 1, 1, 'deviceWent', 'deviceCame']);
    withinNetns(host, () => {
      agent.stop();
      expect(HostDatapath.detach(PAIR.device)).toBe(true);
      expect(tcxPrograms(interfaceIndex(PAIR.device), 'egress')).toEqual([]);
    });
  });

  it('ends its wait for a device when the pins are swept by the next start or detach', () => {
    const { host } = buildPair(lab.scope);
    withinNetns(host, () => {
      const datapath = new HostDatapath(OPTIONS);
      const pins = new PinFolder(PAIR.device);
      expect([datapath.isAttached, datapath.follow()]).toEqual([true, true]);
      deleteLink(PAIR.device);
      expect([datapath.isAttached, datapath.follow()]).toEqual([true, false]);
      expect(existsSync(pins.path)).toBe(true);
      sweepPins();
      expect(existsSync(pins.path)).toBe(false);
      expect(datapath.isAttached).toBe(false);
      datapath.close();
    });
  });

  it('leaves nothing behind when the kernel refuses to attach', () => {
    const { host } = buildPair(lab.scope);
    withinNetns(host, () => {
      const pins = new PinFolder(PAIR.device);
      const target = { device: PAIR.device, ifindex: interfaceIndex(PAIR.device), pins };
      // Descriptor 0 is no program.
      expect(() => attachProgram(target, 'egress', 0, 'tcx')).toThrow(/bpf LINK_CREATE failed for v0: E/);
      expect(pins.names()).toEqual([]);
      expect(() => new HostDatapath({ device: 'none', addresses: [] })).toThrow(/there is no device none/);
    });
  });

  it('refuses in a sentence what only the TUN datapath has', () => {
    const { host } = buildPair(lab.scope);
    const refusal = (args: readonly string[]): string => {
      const argv = preflexArgv(['host', '--datapath', 'ebpf', ...PLACE, ...args]);
      try {
        run(inNamespace(argv, { netns: host }));
        return 'not refused';
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(refusal(['--host-driven'])).toContain('--host-driven and --datapath ebpf exclude each other');
    expect(refusal(['--user', 'nobody'])).toContain('--user and --datapath ebpf exclude each other');
  });

  it('marks the very bytes that the kernel sends again', async () => {
    const result = await runOracle({ transfers: 1, bytes: 300_000, losses: [0.02], datapath: 'ebpf' });
    for (const group of result.runs) expect(group.difference, `loss ${group.loss}`).toBe(0);
    expect(result.lexPayloadBytes).toBeGreaterThan(1000);
    expect(result.quietLexPackets).toBe(0);
  });
});
