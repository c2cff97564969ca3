/**
 * The benchmark `ebpf`, of the programs alone: nanoseconds a packet by BPF_PROG_TEST_RUN, with few flows and with many.
 * One run at a time, as packets come, so the time holds what the kernel takes to read its clock twice.
 */
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult, median } from '../../lib/bench/measure.ts';
import { StructView } from '../../lib/ebpf/btf.ts';
import { HostPrograms } from '../../lib/ebpf/host-programs.ts';
import { Dice } from '../../lib/ebpf/verify/dice.ts';
import { ETHERNET_BYTES, PacketWriter } from '../../lib/ebpf/verify/packet-writer.ts';
import { lexSettings } from '../../lib/lex/options.ts';
import { TestRun } from '../../lib/sys/bpf.ts';
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
    const { packets: timed = 50_000, pairs: parts = 5 } = options;
    const pairs: [number, number][] = Array.from({ length: parts }, () => {
      const times: [number[], number[]] = [[], []];
      for (let i = 0; i < Math.ceil(timed / parts); i++) {
        times[0].push(handle(dice.below(flows), OWN));
        times[1].push(handle(dice.below(flows), STRANGER));
      }
      return [median(times[0]), median(times[1])];
    });
    const name = `ebpf host: egress program, ${flows.toLocaleString('en-US')} flows`;
    const result = benchResult(name, 'ns/packet', 'parsing the same packets', pairs);
    options.onProgress?.(`${name}: ${result.value} ns, of which parsing ${result.baseline} ns`);
    return result;
  } finally {
    programs.close();
  }
}
