/** One truth: the host core and the host programs agree, without any device. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StructView } from '../../lib/ebpf/btf.ts';
import { HostPrograms } from '../../lib/ebpf/host-programs.ts';
import { ETHERNET_BYTES } from '../../lib/ebpf/verify/packet-writer.ts';
import { HostVerifier, verifyHost } from '../../lib/ebpf/verify/verify-host.ts';
import { reportLexCounters } from '../../lib/lex/counters.ts';
import { lexSettings } from '../../lib/lex/options.ts';
import { REASON_IN_FEEDBACK, REASON_LECT_MOVED, REASON_NAMES } from '../../lib/lex/reasons.ts';
import { TestRun } from '../../lib/sys/bpf.ts';
import { dscpOf } from '../support/one-host.ts';
import { buildTcp, buildUdp } from '../support/packets.ts';
import { describeNetns } from '../support/netns.ts';

const MTU_SEGMENT = 1448;

describeNetns('the host programs and the host core', () => {
  it('agree on verdict, reason, bytes and counters of generated sequences, in which every reason occurs', () => {
    const result = verifyHost({ sequences: 2500, seed: 7_000_000 });
    expect(result.mismatches).toEqual([]);
    expect(result.sequences).toBe(2500);
    // All but the one of hosts that choose paths themselves.
    const every = REASON_NAMES.slice(1, REASON_IN_FEEDBACK + 1).filter((_, i) => i + 1 !== REASON_LECT_MOVED);
    expect(Object.keys(result.reasons).sort()).toEqual([...every].sort());
  });

  it('are found to differ when one of them forgets a flow', () => {
    const verifier = new HostVerifier();
    try {
      const syn = buildTcp({ tcpFlags: 2 });
      verifier.restart({ scheme: 'pool2' });
      verifier.writer.bytes.set(syn, ETHERNET_BYTES);
      expect(verifier.handle({ isOutbound: true, length: syn.length, nowNs: 1e9, hints: 0 })).toBe(
        REASON_NAMES.indexOf('fneSyn'),
      );
      verifier.writer.bytes.set(buildUdp({ payloadLength: 4 }), ETHERNET_BYTES);
      const datagram = { isOutbound: true, length: 32, hints: 0 };
      verifier.handle({ ...datagram, nowNs: 2e9 });
      verifier.forgetFlows();
      verifier.writer.bytes.set(buildUdp({ payloadLength: 4 }), ETHERNET_BYTES);
      expect(verifier.handle({ ...datagram, nowNs: 2.1e9 })).toMatch(
        /^fneFirstPacket in the kernel, lectDatagram in TypeScript: 45/,
      );
    } finally {
      verifier.close();
    }
  });
});

describeNetns('a host program', () => {
  let programs: HostPrograms;
  let run: TestRun;
  let context: StructView;
  beforeAll(() => {
    programs = new HostPrograms({
      purpose: 'test',
      lex: lexSettings({ flowCapacity: 64 }),
      served: { addresses: ['10.0.0.1', 'fd00::1'], linkHeaderBytes: ETHERNET_BYTES },
    });
    const layout = programs.spec.btf.structLayout('__sk_buff');
    run = new TestRun('egress', programs.programFd('egress'), layout.size);
    context = new StructView(layout, run.context);
  });
  afterAll(() => {
    programs.close();
  });

  const send = (packet: Uint8Array): number => {
    run.packet.fill(0, 0, ETHERNET_BYTES);
    run.packet.set(packet[0] >> 4 === 4 ? [0x08, 0x00] : [0x86, 0xdd], ETHERNET_BYTES - 2);
    run.packet.set(packet, ETHERNET_BYTES);
    return run.run(ETHERNET_BYTES + packet.length);
  };

  it('counts a super-packet as what goes on the wire, each segment with its headers', () => {
    programs.forget();
    const payload = 2 * MTU_SEGMENT + 100;
    context.write('gso_size', MTU_SEGMENT);
    context.write('gso_segs', 3);
    expect(REASON_NAMES[send(buildTcp({ payloadLength: payload }))]).toBe('fneFirstPacket');
    context.write('gso_size', 0);
    context.write('gso_segs', 0);
    const report = reportLexCounters(programs.counters().lex);
    expect(report.out).toEqual({ fneFirstPacket: 1 });
    expect(report.codepoints.fne).toEqual({ packets: 3, bytes: payload + 3 * 40 });
  });

  it('leaves packets of other addresses alone, and does not count them', () => {
    programs.forget();
    for (const src of ['10.0.0.2', 'fd00::2']) {
      const packet = buildTcp({ src, dst: src.includes(':') ? 'fd00:1::1' : '10.0.1.1' });
      expect(send(packet)).toBe(0);
      expect(run.result.subarray(ETHERNET_BYTES, ETHERNET_BYTES + packet.length)).toEqual(packet);
    }
    expect(reportLexCounters(programs.counters().lex).out).toEqual({});
    expect(REASON_NAMES[send(buildTcp({ src: 'fd00::1', dst: 'fd00:1::1' }))]).toBe('fneFirstPacket');
    expect(dscpOf(run.result.subarray(ETHERNET_BYTES))).toBe(7);
  });

  it('makes room for new flows when its table is full', () => {
    programs.forget();
    for (let port = 1; port <= 500; port++) {
      expect(REASON_NAMES[send(buildTcp({ srcPort: port, tcpFlags: 2 }))]).toBe('fneSyn');
    }
    expect(programs.countFlows()).toBeLessThanOrEqual(64);
    const { flows } = programs.counters();
    expect(flows).toEqual({ made: 500, expired: 0, refused: 0 });
  });
});
