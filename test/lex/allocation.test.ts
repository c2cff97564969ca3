import { describe, expect, test } from 'vitest';
import { LexHost } from '../../lib/lex/lex-host.ts';
import { bytesAllocatedPerCall } from '../support/allocation.ts';
import { buildTcp, buildUdp, viewOf } from '../support/packets.ts';

const CALLS = 200_000;
const FLOWS = 64;
const SLOT = 256;
/** The clock is read once a batch, and a boxed number is what reading it costs. */
const BATCH = 64;

const IPV4 = { src: '10.0.0.1', dst: '10.0.1.1' };
const IPV6 = { src: 'fd00::1', dst: 'fd00:1::1' };

interface Case {
  readonly name: string;
  readonly build: (flow: number) => Uint8Array;
  readonly isInbound: boolean;
}

const CASES: Case[] = [IPV4, IPV6].flatMap((ip) => {
  const version = ip === IPV4 ? 'IPv4' : 'IPv6';
  const back = { src: ip.dst, dst: ip.src };
  return [
    {
      name: `new and repeated TCP data, ${version}`,
      build: (i) => buildTcp({ ...ip, srcPort: 1000 + i, payloadLength: 100, timestamps: [1, 2] }),
      isInbound: false,
    },
    {
      name: `datagrams, ${version}`,
      build: (i) => buildUdp({ ...ip, srcPort: 1000 + i, payloadLength: 100 }),
      isInbound: false,
    },
    {
      name: `ACKs, ${version}`,
      build: (i) => buildTcp({ ...back, srcPort: 80, dstPort: 1000 + i, ackNumber: 101, timestamps: [1, 2] }),
      isInbound: true,
    },
    {
      name: `assignments, ${version}`,
      build: (i) => buildTcp({ ...back, srcPort: 80, dstPort: 1000 + i, dscp: 11 }),
      isInbound: true,
    },
  ] satisfies Case[];
});

describe('a packet allocates under one byte', () => {
  test.each(CASES)('$name', ({ build, isInbound }) => {
    const host = new LexHost({ flowCapacity: 128 });
    const { view, lengths } = poolOf(build);
    let nowNs = 1e9;
    for (let flow = 0; flow < FLOWS; flow++) {
      // Half of the inbound packets find their flow.
      const known = buildTcp({
        ...(lengths[0]! > 0 && view.getUint8(0) >> 4 === 4 ? IPV4 : IPV6),
        srcPort: 1000 + flow * 2,
        payloadLength: 100,
      });
      host.handleOutbound(viewOf(known), 0, known.length, nowNs);
    }
    const bytes = bytesAllocatedPerCall((call) => {
      const flow = call % FLOWS;
      if (call % BATCH === 0) nowNs += 3e6;
      if (isInbound) host.handleInbound(view, flow * SLOT, lengths[flow]!, nowNs);
      else {
        // New data for two thirds of the packets.
        if (call % 3 !== 0) advanceSeq(view, flow * SLOT);
        host.handleOutbound(view, flow * SLOT, lengths[flow]!, nowNs, call & 3);
      }
    }, CALLS);
    expect(bytes).toBeLessThan(1);
    const { inPackets, outPackets } = host.counters;
    expect((isInbound ? inPackets : outPackets).reduce((a, b) => a + b)).toBeGreaterThan(CALLS);
  });

  test('new flows in a full table, each evicting another', () => {
    const host = new LexHost({ flowCapacity: 32 });
    const { view, lengths } = poolOf((i) => buildTcp({ ...IPV4, srcPort: 1000 + i, tcpFlags: 2 }));
    const bytes = bytesAllocatedPerCall((call) => {
      const flow = call % FLOWS;
      return host.handleOutbound(view, flow * SLOT, lengths[flow]!, 1e9);
    }, CALLS);
    expect(bytes).toBeLessThan(1);
    expect(host.flows.evicted).toBeGreaterThan(CALLS / 2);
  });

  test('assignments to a host-driven host, which remembers them by address', () => {
    const host = new LexHost({ flowCapacity: 128, hostDriven: true, learntAddresses: 16 });
    const remote = (i: number): string => `10.0.1.${i}`;
    const { view, lengths } = poolOf((i) =>
      buildTcp({ src: remote(i), dst: IPV4.src, srcPort: 80, dstPort: 1000 + i, dscp: 11 }),
    );
    for (let i = 0; i < FLOWS; i++) {
      const known = buildTcp({ src: IPV4.src, dst: remote(i), srcPort: 1000 + i, dstPort: 80 });
      host.handleOutbound(viewOf(known), 0, known.length, 1e9);
    }
    const bytes = bytesAllocatedPerCall((call) => {
      const flow = call % FLOWS;
      return host.handleInbound(view, flow * SLOT, lengths[flow]!, 1e9);
    }, CALLS);
    expect(bytes).toBeLessThan(1);
    expect(host.learntAddresses).toBe(16);
  });

  test('packets that do not parse', () => {
    const host = new LexHost({ flowCapacity: 32 });
    const { view, lengths } = poolOf((i) => buildUdp({ ...IPV4, payloadLength: i }).slice(0, 20 + (i % 9)));
    const bytes = bytesAllocatedPerCall((call) => {
      const flow = call % FLOWS;
      host.handleOutbound(view, flow * SLOT, lengths[flow]!, 1e9);
      return host.handleInbound(view, flow * SLOT, lengths[flow]!, 1e9);
    }, CALLS);
    expect(bytes).toBeLessThan(1);
    expect(host.counters.outPackets[2]).toBeGreaterThan(CALLS / 2);
  });
});

function poolOf(build: (flow: number) => Uint8Array): { view: DataView; lengths: Uint16Array } {
  const pool = new Uint8Array(FLOWS * SLOT);
  const lengths = new Uint16Array(FLOWS);
  for (let flow = 0; flow < FLOWS; flow++) {
    const packet = build(flow);
    pool.set(packet, flow * SLOT);
    lengths[flow] = packet.length;
  }
  return { view: new DataView(pool.buffer), lengths };
}

function advanceSeq(view: DataView, at: number): void {
  const seqAt = at + (view.getUint8(at) >> 4 === 4 ? 24 : 44);
  view.setInt32(seqAt, (view.getInt32(seqAt) + 100) | 0);
}
