/**
 * The benchmark `ebpf`, of the programs alone: nanoseconds a packet by BPF_PROG_TEST_RUN, with few flows or prefixes and with many.
 * One run at a time, as packets come, so the time holds what the kernel takes to read its clock twice.
 */
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult, median } from '../../lib/bench/measure.ts';
import { StructView } from '../../lib/ebpf/btf.ts';
import { GatewayPrograms } from '../../lib/ebpf/gateway-programs.ts';
import { HostPrograms } from '../../lib/ebpf/host-programs.ts';
import { Dice } from '../../lib/ebpf/verify/dice.ts';
import { ETHERNET_BYTES, PacketWriter } from '../../lib/ebpf/verify/packet-writer.ts';
import { lexSettings } from '../../lib/lex/options.ts';
import { checkGatewayOptions } from '../../lib/pref/gateway-options.ts';
import { weightOf } from '../../lib/pref/route-table.ts';
import { TestRun } from '../../lib/sys/bpf.ts';
import { CODEPOINT_LECT, encodeMark, markingScheme } from '../../lib/wire/marking/scheme.ts';
import { TCP_ACK } from '../../lib/wire/packet-view.ts';
import { PROTOCOL_TCP } from '../../lib/wire/protocol-numbers.ts';

/** Options of the measurement. */
export interface BenchProgramOptions {
  /** Packets timed; default 50,000. */
  readonly packets?: number;
  /** Parts that they are timed in; default 5. */
  readonly pairs?: number;
  readonly onProgress?: (line: string) => void;
}

const OWN = 0x0a000001;
const STRANGER = 0x0a000002;
const PEERS = 0x14000000;
const PAYLOAD_BYTES = 1448;
const PACKET_NS = 1000;
/** Index of the gateway's device toward the inside. */
const INSIDE = 7;
const ROUTES = [
  { pathId: 1, name: 'a' },
  { pathId: 2, name: 'b' },
];
const MARK_MASK = 0x3f000000;
/** Half of all flowlets. */
const HALF = weightOf(0.5);

/**
 * The egress program of the host on full segments of flows drawn at random, by the kernel's clock; against segments of an
 * address that is not served, which are only parsed.
 */
export function benchHostProgram(flows: number, options: BenchProgramOptions = {}): BenchResult {
  const programs = new HostPrograms({
    purpose: 'test',
    lex: lexSettings({ flowCapacity: flows }),
    served: { addresses: ['10.0.0.1'], linkHeaderBytes: ETHERNET_BYTES },
  });
  try {
    const layout = programs.spec.btf.structLayout('__sk_buff');
    const egress = new TestRun('lex_egress_at', programs.programFd('egress'), layout.size);
    const context = new StructView(layout, egress.context);
    const writer = new PacketWriter(egress.packet);
    const sent = new Uint32Array(flows);
    let packets = 0;
    const handle = (flow: number, src: number): number => {
      const nowNs = 1e9 + packets++ * PACKET_NS;
      context.write('cb', nowNs % 2 ** 32, 0);
      context.write('cb', Math.floor(nowNs / 2 ** 32), 1);
      const length = writer.segment(
        { version: 4, src: [src], dst: [PEERS + (flow >>> 14)], dscp: 0, protocol: PROTOCOL_TCP },
        {
          srcPort: 1024 + (flow & 0x3fff),
          dstPort: 443,
          seq: Math.imul(sent[flow]++, PAYLOAD_BYTES),
          ack: 1,
          flags: TCP_ACK,
          window: 1000,
          payload: PAYLOAD_BYTES,
        },
      );
      return egress.time(ETHERNET_BYTES + length, 1);
    };
    for (let flow = 0; flow < flows; flow++) handle(flow, OWN);
    const dice = new Dice(1);
    const pairs = timeParts(options, [
      () => handle(dice.below(flows), OWN),
      () => handle(dice.below(flows), STRANGER),
    ]);
    const name = `ebpf host: egress program, ${flows.toLocaleString('en-US')} flows`;
    const result = benchResult(name, 'ns/packet', 'parsing the same packets', pairs);
    options.onProgress?.(`${name}: ${result.value} ns, of which parsing ${result.baseline} ns`);
    return result;
  } finally {
    programs.close();
  }
}

/**
 * The outbound program of the gateway on full segments that name a path, to prefixes drawn at random; against the same
 * packets at a device that is not the gateway's, which are not looked at. Once to one address of each prefix, which
 * packets went to before, and once to addresses that the program has not seen. No time is given, so the program reads the
 * clock where it needs one.
 *
 * @param prefixes - of destinations of their own
 */
export function benchGatewayProgram(prefixes: number, options: BenchProgramOptions = {}): BenchResult[] {
  const programs = new GatewayPrograms({
    purpose: 'test',
    gateway: checkGatewayOptions({ routes: ROUTES }),
    traffic: { markMask: MARK_MASK },
    destinations: prefixes,
  });
  try {
    programs.setDevice(INSIDE, { linkHeaderBytes: ETHERNET_BYTES, pathId: 0, isInside: true });
    const prefixWord = (destination: number): number => PEERS + (destination << 8);
    for (let destination = 0; destination < prefixes; destination++) {
      programs.resetDestination(destination, [0, 0]);
      const halves = { allowedMask: 3, upMask: 3, suspendedMask: 0, weights: [HALF, HALF] };
      programs.setDestination(destination, halves);
      programs.setPrefix(
        { version: 4, words: Int32Array.of(prefixWord(destination)), length: 24 },
        destination,
      );
    }
    programs.publishPrefixes();
    const layout = programs.spec.btf.structLayout('__sk_buff');
    const outbound = new TestRun('pref_outbound_at', programs.programFd('outbound'), layout.size);
    const context = new StructView(layout, outbound.context);
    const writer = new PacketWriter(outbound.packet);
    const dscp = encodeMark(markingScheme('pool2'), CODEPOINT_LECT, 1);
    const handle = (address: number, ifindex: number): number => {
      context.write('cb', ifindex, 2);
      const length = writer.segment(
        { version: 4, src: [OWN], dst: [address], dscp, protocol: PROTOCOL_TCP },
        { srcPort: 1024, dstPort: 443, seq: 1, ack: 1, flags: TCP_ACK, window: 1000, payload: PAYLOAD_BYTES },
      );
      return outbound.time(ETHERNET_BYTES + length, 1);
    };
    const known = (destination: number): number => prefixWord(destination) + 1;
    for (let destination = 0; destination < prefixes; destination++) handle(known(destination), INSIDE);
    const dice = new Dice(1);
    let fresh = 0;
    const drawKnown = (): number => known(dice.below(prefixes));
    // Each address once, as long as a prefix of 256 has some left.
    const drawFresh = (): number => prefixWord(dice.below(prefixes)) + 2 + (fresh++ % 254);
    const title = `ebpf gateway: outbound program, ${prefixes.toLocaleString('en-US')} prefixes`;
    return [
      { name: title, draw: drawKnown },
      { name: `${title}, new addresses`, draw: drawFresh },
    ].map(({ name, draw }) => {
      const pairs = timeParts(options, [() => handle(draw(), INSIDE), () => handle(draw(), INSIDE + 1)]);
      const result = benchResult(name, 'ns/packet', 'the same packets, not looked at', pairs);
      options.onProgress?.(`${name}: ${result.value} ns, of which ${result.baseline} ns for nothing`);
      return result;
    });
  } finally {
    programs.close();
  }
}

/** Medians of both, part by part; one packet of each in turn. */
function timeParts(
  { packets = 50_000, pairs = 5 }: BenchProgramOptions,
  [subject, baseline]: readonly [() => number, () => number],
): [number, number][] {
  return Array.from({ length: pairs }, () => {
    const times: [number[], number[]] = [[], []];
    for (let i = 0; i < Math.ceil(packets / pairs); i++) {
      times[0].push(subject());
      times[1].push(baseline());
    }
    return [median(times[0]), median(times[1])];
  });
}
