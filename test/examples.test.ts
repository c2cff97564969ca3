/** The examples that need no privilege, run as programs. Those with TUNs are in test/netns/examples.test.ts. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { LINKTYPE_RAW, writePcapFileHeader, writePcapRecordHeader } from '../lib/device/pcap.ts';
import { pool2 } from '../lib/wire/marking/pool2.ts';
import { CODEPOINT_LECT, encodeMark } from '../lib/wire/marking/scheme.ts';
import { TCP_ACK, TCP_SYN } from '../lib/wire/packet-view.ts';
import { projectRoot, runExample, startExample } from './support/examples.ts';
import { buildTcp } from './support/packets.ts';

/** A capture of raw IP packets, 10 ms apart, as bytes; with an Ethernet header before each when told so. */
function capture(packets: readonly Uint8Array[], linkType = LINKTYPE_RAW): Uint8Array {
  const before = linkType === LINKTYPE_RAW ? 0 : 14;
  const bytes = new Uint8Array(24 + packets.reduce((sum, packet) => sum + 16 + before + packet.length, 0));
  const view = new DataView(bytes.buffer);
  writePcapFileHeader(view, 0, linkType);
  let at = 24;
  for (const [i, packet] of packets.entries()) {
    writePcapRecordHeader(view, at, 1_700_000_000, i * 10e6, before + packet.length);
    bytes.set(packet, at + 16 + before);
    at += 16 + before + packet.length;
  }
  return bytes;
}

it('mark-packets marks the first datagram FNE, the next LECT and a repeated one LEx', async () => {
  expect(await runExample('mark-packets')).toEqual([
    'FNE because fneFirstPacket, DSCP 7',
    'LECT because lectDatagram, DSCP 3',
    'LEx because lexApplication, DSCP 63',
  ]);
});

it('custom-balancer leaves a probe to the route that loses too much', async () => {
  expect(await runExample('custom-balancer')).toEqual([
    'route 1: 0.475 of the flowlets',
    'route 2: 0.475 of the flowlets',
    'route 3: 0.050 of the flowlets',
  ]);
});

it.each([
  ['raw IP', LINKTYPE_RAW],
  ['Ethernet', 1],
])('pcap-verdicts prints the verdict and the reason of each packet of %s', async (_, linkType) => {
  const [host, far] = ['10.0.0.1', '10.0.1.1'];
  const out = { src: host, dst: far, srcPort: 40_000, dstPort: 80 };
  const back = { src: far, dst: host, srcPort: 80, dstPort: 40_000 };
  const assignment = encodeMark(pool2, CODEPOINT_LECT, 4);
  const folder = mkdtempSync(join(tmpdir(), 'pfx-example-'));
  const file = join(folder, 'capture.pcap');
  const packets = [
    buildTcp({ ...out, seqNumber: 100, tcpFlags: TCP_SYN }),
    buildTcp({ ...back, seqNumber: 500, ackNumber: 101, tcpFlags: TCP_SYN | TCP_ACK, dscp: assignment }),
    buildTcp({ ...out, seqNumber: 101, ackNumber: 501, tcpFlags: TCP_ACK, payloadLength: 10 }),
    buildTcp({ ...out, seqNumber: 101, ackNumber: 501, tcpFlags: TCP_ACK, payloadLength: 10 }),
  ];
  try {
    writeFileSync(file, capture(packets, linkType));
    const lines = await runExample('pcap-verdicts', [file, host]);
    expect(lines.map((line) => line.slice(0, line.indexOf(':')))).toEqual([
      'FNE (fneSyn)',
      'in, path 4 (assignment)',
      'LECT (lectData)',
      'LEx (lexRetransmission)',
    ]);
    expect(lines[0]).toContain(host);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it('http-server and http-client talk to each other, each with its connection pinned', async () => {
  const server = startExample('http-server', ['0']);
  try {
    const port = /port: (\d+)/.exec(await server.line())?.[1];
    const [line = ''] = await runExample('http-client', [`http://[::1]:${port}/5000`]);
    // Nobody assigns a path on the loopback interface.
    expect(JSON.parse(line)).toEqual({ status: 200, bytes: 5000, pathId: 0 });
  } finally {
    const { lines, code } = await server.stop();
    expect(code).toBe(0);
    expect(lines.at(-1)).toMatch(/^5\d\d\d bytes sent, 0 of them again$/);
  }
});

it.each(['README.md', 'docs/embedding.md'])(
  'the lines from install to a marked packet in %s print FNE',
  async (file) => {
    const text = readFileSync(join(projectRoot, file), 'utf8');
    const code = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].find(([, block]) =>
      block?.includes('CODEPOINT_NAMES'),
    )?.[1];
    const folder = join(projectRoot, 'coverage');
    const path = join(folder, `${file.replaceAll('/', '-')}.ts`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, code ?? '');
    try {
      expect(await runExample(`../coverage/${file.replaceAll('/', '-')}`)).toEqual(['FNE']);
    } finally {
      rmSync(path);
    }
  },
);
