/**
 * Real TCP through two TUNs and a process that passes packets between them. Needs root, iperf3 and tcpdump.
 *
 * ```
 *   namespace a:  iperf3 -c -- tunA 10.77.0.1  ==  tun-forwarder.ts  ==  tunB 10.77.0.2 -- iperf3 -s  :namespace b
 * ```
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { beforeEach, expect, it } from 'vitest';
import { execIn, findLink, run, waitFor, waitForListen } from '../../lib/netns/index.ts';
import { describeNetns, useLab } from '../support/netns.ts';

interface Report {
  devices: { packetsRead: number; packetsWritten: number; packetsRefused: number; writeErrors: object }[];
  superPackets: number;
}

const PORT = 5201;
const nameA = `pfxa${process.pid}`;
const nameB = `pfxb${process.pid}`;

describeNetns('a forwarder between two TUNs', () => {
  const lab = useLab();
  let a: string;
  let b: string;
  beforeEach(() => {
    a = lab.scope.namespace('a');
    b = lab.scope.namespace('b');
  });

  async function startForwarder(setup: object): Promise<{ child: ChildProcess; lines: Interface }> {
    const script = join(import.meta.dirname, '../support/tun-forwarder.ts');
    const argument = JSON.stringify({ nameA, nameB, namespaceB: b, ...setup });
    const child = lab.scope.spawn([process.execPath, '--import', 'tsx', script, argument], {
      netns: a,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface(child.stdout!);
    expect(await once(lines, 'line')).toEqual(['ready']);
    return { child, lines };
  }

  async function endForwarder(child: ChildProcess, lines: Interface): Promise<Report> {
    const line = once(lines, 'line');
    child.stdin!.end();
    const report = JSON.parse((await line)[0] as string) as Report;
    if (child.exitCode === null) await once(child, 'exit');
    return report;
  }

  /** Sends `megabytes` from a to b and gives the bytes that the receiver counted. */
  async function transfer(megabytes: number, address = '10.77.0.2'): Promise<number> {
    lab.scope.spawn(['iperf3', '-s', '-1', '-p', String(PORT)], { netns: b, stdio: 'ignore' });
    await waitForListen(PORT, { netns: b });
    const argv = ['iperf3', '-c', address, '-p', String(PORT), '-C', 'cubic', '-n', `${megabytes}M`, '-J'];
    const { stdout } = await execIn(argv, { netns: a, timeoutMs: 60_000 });
    const result = JSON.parse(stdout) as { end: { sum_received: { bytes: number } } };
    return result.end.sum_received.bytes;
  }

  function checksumErrors(netns: string): number[] {
    const text = run(['ip', 'netns', 'exec', netns, 'nstat', '-asz']);
    return ['TcpInCsumErrors', 'IpInHdrErrors', 'Ip6InHdrErrors'].map((name) =>
      Number(new RegExp(`${name}\\s+(\\d+)`).exec(text)?.[1] ?? Number.NaN),
    );
  }

  it.each([
    [true, true, '10.77.0.2'],
    [true, true, 'fd77::2'],
    [false, false, '10.77.0.2'],
    [true, false, '10.77.0.2'],
  ])(
    'carries TCP with offload %s and %s to %s, every checksum right',
    async (offloadA, offloadB, address) => {
      const { child, lines } = await startForwarder({ offloadA, offloadB });
      const megabytes = 20;
      // iperf3 ends when the sender has handed over the last byte: what still waits in its socket is not counted.
      expect(await transfer(megabytes, address)).toBeGreaterThan((megabytes / 2) * 2 ** 20);
      expect(checksumErrors(a)).toEqual([0, 0, 0]);
      expect(checksumErrors(b)).toEqual([0, 0, 0]);
      const { devices, superPackets } = await endForwarder(child, lines);
      expect(superPackets > 0).toBe(offloadA);
      const [fromA, fromB] = devices as [Report['devices'][0], Report['devices'][0]];
      expect(fromA.packetsRefused + fromB.packetsRefused).toBe(0);
      expect(fromB.packetsWritten).toBe(fromA.packetsRead);
      expect(fromA.packetsWritten).toBe(fromB.packetsRead);
    },
  );

  it('hands out packets with right checksums when opened without offload, says tcpdump', async () => {
    const { child, lines } = await startForwarder({ offloadA: false, offloadB: false });
    const path = join(lab.folder, 'b.pcap');
    const tcpdump = lab.scope.spawn(
      ['tcpdump', '-i', nameB, '-U', '-s', '0', '-w', path, 'tcp', 'and', 'inbound'],
      {
        netns: b,
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    await once(tcpdump.stderr!, 'data');
    await transfer(3);
    tcpdump.kill('SIGINT');
    await once(tcpdump, 'exit');
    expectRightChecksums(path, 700);
    await endForwarder(child, lines);
  });

  it('captures super-packets of real traffic as segments with right checksums, says tcpdump', async () => {
    const path = join(lab.folder, 'written.pcap');
    const { child, lines } = await startForwarder({ offloadA: true, offloadB: true, pcap: path });
    await transfer(3);
    expect((await endForwarder(child, lines)).superPackets).toBeGreaterThan(0);
    expectRightChecksums(path, 700);
  });

  function expectRightChecksums(path: string, minSegments: number): void {
    const text = run(['tcpdump', '-nvvr', path, 'tcp']);
    expect(text.match(/\(correct\)/g)?.length).toBeGreaterThan(minSegments);
    expect(text).not.toMatch(/incorrect|bad cksum|truncated/);
  }

  it('takes its interfaces along when it closes them', async () => {
    const { child, lines } = await startForwarder({ offloadA: true, offloadB: true });
    expect(findLink(nameA, { netns: a })?.isUp).toBe(true);
    expect(findLink(nameB, { netns: b })?.isUp).toBe(true);
    await endForwarder(child, lines);
    expect(findLink(nameA, { netns: a })).toBeUndefined();
    expect(findLink(nameB, { netns: b })).toBeUndefined();
  });

  it('takes its interfaces along when it is killed', async () => {
    const { child } = await startForwarder({ offloadA: true, offloadB: true });
    child.kill('SIGKILL');
    await once(child, 'exit');
    await waitFor('both interfaces to be gone', () =>
      findLink(nameA, { netns: a }) === undefined && findLink(nameB, { netns: b }) === undefined
        ? true
        : undefined,
    );
  });
});
