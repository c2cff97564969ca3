/**
 * The bytes marked LEx are the bytes that the kernel sent again (tcpi_bytes_retrans), to the byte, with the exclusions
 * named; over topology line:
 *
 *      host ==== agent ==== link that loses ==== far
 */
import { expect, it } from 'vitest';
import { inNamespace, run, waitFor, writeSysctl } from '../../lib/netns/index.ts';
import type { HostAgentStatus } from '../../lib/runtime/host-agent.ts';
import { LINK_DROP_BLACKHOLE } from '../../lib/sim/link.ts';
import { EAGAIN, EINPROGRESS } from '../../lib/sys/errno.ts';
import {
  readTcpInfo,
  SOL_TCP,
  TCP_MAXSEG,
  writeCongestionControl,
  writeSocketOption,
} from '../../lib/sys/socket-options.ts';
import type { TcpSocket } from '../../lib/sys/socket.ts';
import type { TcpInfo } from '../../lib/sys/tcp-info.ts';
import type { LabLinkOptions } from '../../namespaces-lab/links/lab-link.ts';
import { PreflexProcess } from '../../namespaces-lab/processes/preflex-process.ts';
import { runOracle } from '../../namespaces-lab/runs/oracle.ts';
import type { LineTopology } from '../../namespaces-lab/topologies/line.ts';
import { buildLine, LINE } from '../../namespaces-lab/topologies/line.ts';
import { openTcp, serveTcp } from '../support/in-netns.ts';
import { describeNetns, useLab } from '../support/netns.ts';

const PORT = 9000;
const CHUNK = new Uint8Array(64 * 1024);
const TCP_FASTOPEN_CONNECT = 30;

/** net.ipv4.tcp_fastopen: clients may; servers may, and all listeners do. */
const FAST_OPEN_CLIENT = 0x1;
const FAST_OPEN_SERVER = 0x402;

interface Line extends LineTopology {
  readonly agent: PreflexProcess;
}

describeNetns('exactness', () => {
  const lab = useLab();

  it('the oracle finds no difference over lossy paths, and no LEx on the quiet one', async () => {
    const result = await runOracle({ transfers: 2 });
    expect(result.difference).toBe(0);
    for (const group of result.runs) expect(group.difference, `loss ${group.loss}`).toBe(0);
    expect(result.lexPayloadBytes).toBeGreaterThan(100_000);
    expect(result.quietLexPackets).toBe(0);
    expect(result.transfers).toBe(48);
    // Six lossy groups, three congestion controls, offload on and off, both IP versions, and the quiet group.
    expect(new Set(result.runs.map((group) => `${group.loss} ${group.offload}`)).size).toBe(7);
    for (const group of result.runs) expect(group.congestions).toEqual(['bbr', 'cubic', 'reno']);
  });

  for (const version of [4, 6] as const) {
    it(`TCP Fast Open, accepted: data in the SYN is sent once, IPv${version}`, async () => {
      const line = await startLine(version);
      const infos = [await fastOpen(line, version), await fastOpen(line, version)];
      // The first connection fetches the cookie, the second uses it.
      expect(tcpExt(line.host, 'TCPFastOpenActive')).toBe(1);
      const status = await settle(line, infos);
      expect(status.exclusions).toEqual({ tfo: 0, zeroWindow: 0, fneRepeat: 0, restart: 0 });
    });

    it(`TCP Fast Open, refused: data of the SYN that is sent again is excluded by name, IPv${version}`, async () => {
      const line = await startLine(version);
      const infos = [await fastOpen(line, version)];
      writeSysctl('net/ipv4/tcp_fastopen', 0, { netns: line.far });
      infos.push(await fastOpen(line, version));
      expect(tcpExt(line.host, 'TCPFastOpenActive')).toBe(0);
      expect(tcpExt(line.host, 'TCPFastOpenActiveFail')).toBe(1);
      expect(infos[1].bytesRetrans).toBeGreaterThan(0);
      const status = await settle(line, infos);
      expect(status.exclusions.tfo).toBe(infos[1].bytesRetrans);
    });
  }

  it('TCP Fast Open with a lost SYN: its data is sent again', async () => {
    const line = await startLine(4);
    const infos = [await fastOpen(line, 4)];
    line.link.forward.isBlackhole = true;
    const second = fastOpen(line, 4);
    await waitForDrops(line, 1);
    line.link.forward.isBlackhole = false;
    infos.push(await second);
    expect(infos[1].totalRetrans).toBeGreaterThan(0);
    expect(tcpExt(line.host, 'TCPFastOpenActiveFail')).toBe(1);
    const status = await settle(line, infos);
    expect(status.out['fneSynRepeat']).toBeGreaterThan(0);
  });

  it('lost SYNs are repeated as FNE and count no byte', async () => {
    const line = await startLine(4);
    line.link.forward.isBlackhole = true;
    const transfers = Array.from({ length: 4 }, () => transfer(line, 4, 100_000));
    await waitForDrops(line, 8);
    line.link.forward.isBlackhole = false;
    const infos = await Promise.all(transfers);
    for (const info of infos) expect(info.totalRetrans).toBeGreaterThanOrEqual(1);
    const status = await settle(line, infos);
    expect(status.out['fneSynRepeat']).toBe(infos.reduce((sum, info) => sum + info.totalRetrans, 0));
    expect(status.lexPayloadBytes).toBe(0);
  });

  it('an outage in the middle: timeouts are repeated as FNE, which is an exclusion, and the rest is LEx', async () => {
    const line = await startLine(4);
    const counters = async () => (await line.agent.counters()) as unknown as HostAgentStatus;
    let isDone = false;
    const transfers = ['cubic', 'reno'].map((congestion) =>
      transfer(
        line,
        4,
        Infinity,
        (socket) => writeCongestionControl(socket.fd, congestion),
        () => isDone,
      ),
    );
    await waitFor('traffic', () => (line.link.forward.forwardedBytes > 5_000_000 ? true : undefined));
    line.link.forward.isBlackhole = true;
    const startMs = performance.now();
    await waitFor(
      'an outage of three seconds with successive timeouts',
      async () =>
        ((await counters()).out['fneTimeouts'] ?? 0) >= 2 && performance.now() - startMs > 3000
          ? true
          : undefined,
      { timeoutMs: 20_000 },
    );
    line.link.forward.isBlackhole = false;
    const before = line.link.forward.forwardedBytes;
    await waitFor(
      'traffic after the outage',
      () => (line.link.forward.forwardedBytes > before + 5_000_000 ? true : undefined),
      { timeoutMs: 20_000 },
    );
    isDone = true;
    const infos = await Promise.all(transfers);
    const status = await settle(line, infos);
    expect(status.exclusions.fneRepeat).toBeGreaterThan(0);
    expect(status.out['fneTimeouts']).toBeGreaterThanOrEqual(2);
    expect(status.lexPayloadBytes).toBeGreaterThan(0);
  });

  for (const offload of [true, false]) {
    it(`segments of any size, segmentation offload ${offload ? 'on' : 'off'}`, async () => {
      const version = offload ? 6 : 4;
      const line = await startLine(
        version,
        { loss: { forward: 0.02 }, seed: 3 },
        offload ? [] : ['--no-offload'],
      );
      const sizes = [216, 536, 999, 1220, 1400, undefined];
      const infos = await Promise.all(
        sizes.map((size) =>
          transfer(line, version, 400_000, (socket) => {
            if (size !== undefined) writeSocketOption(socket.fd, SOL_TCP, TCP_MAXSEG, size);
            writeCongestionControl(socket.fd, 'cubic');
          }),
        ),
      );
      expect(new Set(infos.map((info) => info.sndMss)).size).toBe(sizes.length);
      const status = await settle(line, infos);
      expect(status.lexPayloadBytes).toBeGreaterThan(10_000);
    });
  }

  /** The line with an agent for one IP version, and a sink in far. */
  async function startLine(
    version: 4 | 6,
    link: LabLinkOptions = { offload: false },
    args: readonly string[] = [],
  ): Promise<Line> {
    const topology = buildLine(lab.scope, link);
    // Read when the server begins to listen; clients have to ask for it besides.
    writeSysctl('net/ipv4/tcp_fastopen', FAST_OPEN_CLIENT, { netns: topology.host });
    writeSysctl('net/ipv4/tcp_fastopen', FAST_OPEN_SERVER, { netns: topology.far });
    const address = version === 4 ? LINE.hostAddress : LINE.hostAddress6;
    const words = ['host', '--address', address, '--device', LINE.device, ...args];
    const agent = await PreflexProcess.start(lab.scope, topology.host, words);
    serveTcp(lab.scope, topology.far, PORT, (socket) => {
      socket.on('data', () => undefined).on('end', () => socket.end());
    });
    return { ...topology, agent };
  }
});

/** Compares, after the agent has ended; its counters. */
async function settle(line: Line, infos: readonly TcpInfo[]): Promise<HostAgentStatus> {
  const status = (await line.agent.stop()) as unknown as HostAgentStatus;
  const kernel = infos.reduce((sum, info) => sum + info.bytesRetrans, 0);
  const excluded = Object.values(status.exclusions).reduce((sum, bytes) => sum + bytes, 0);
  // Packets that the kernel could not queue for the agent were sent, for TCP, but nobody saw them.
  const unseen = Object.values(status.devices).reduce((sum, device) => sum + device.kernelDropped, 0);
  expect(unseen).toBe(0);
  expect({
    lex: status.lexPayloadBytes,
    ...status.exclusions,
    difference: kernel - status.lexPayloadBytes - excluded,
  }).toEqual({ lex: status.lexPayloadBytes, ...status.exclusions, difference: 0 });
  return status;
}

/** Sends so many bytes, or until told, and returns the kernel's account once all are acknowledged. */
async function transfer(
  line: Line,
  version: 4 | 6,
  bytes: number,
  prepare: (socket: TcpSocket) => void = () => undefined,
  isDone: () => boolean = () => false,
): Promise<TcpInfo> {
  const socket = openTcp(line.host, version);
  prepare(socket);
  await socket.connect(version === 4 ? LINE.farAddress : LINE.farAddress6, PORT);
  let sent = 0;
  while (sent < bytes && !isDone()) {
    const written = socket.write(CHUNK.subarray(0, Math.min(CHUNK.length, bytes - sent)));
    if (written > 0) sent += written;
    else if (written === -EAGAIN || written === -EINPROGRESS) await socket.writable();
    else throw new Error(`write: errno ${-written}`);
  }
  const info = await waitFor(
    'the last acknowledgement',
    () => {
      const now = readTcpInfo(socket.fd);
      // The SYN is acknowledged as one byte more.
      return now.bytesAcked > sent && now.unacked === 0 ? now : undefined;
    },
    { timeoutMs: 60_000 },
  );
  socket.close();
  return info;
}

/** A transfer whose first bytes go with the SYN if a cookie is at hand. */
function fastOpen(line: Line, version: 4 | 6): Promise<TcpInfo> {
  return transfer(line, version, 100_000, (socket) => {
    writeSocketOption(socket.fd, SOL_TCP, TCP_FASTOPEN_CONNECT, 1);
  });
}

/** Waits until the outage has swallowed so many packets. */
async function waitForDrops(line: Line, packets: number): Promise<void> {
  await waitFor(
    `${packets} lost packets`,
    () => (line.link.forward.droppedPackets[LINK_DROP_BLACKHOLE] >= packets ? true : undefined),
    { timeoutMs: 15_000 },
  );
}

/** A counter of the section TcpExt of /proc/net/netstat. */
function tcpExt(netns: string, name: string): number {
  const lines = run(inNamespace(['cat', '/proc/net/netstat'], { netns }))
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '));
  return Number(lines[1]?.[lines[0]?.indexOf(name) ?? -1]);
}
