/**
 * The benchmark `ebpf`: TCP and small UDP datagrams of a host with the programs attached, against the same two
 * namespaces without them; and ns a packet of the programs alone, with few and with many flows.
 */
import type { BenchResult } from '../../lib/bench/measure.ts';
import { benchResult, median } from '../../lib/bench/measure.ts';
import { StructView } from '../../lib/ebpf/btf.ts';
import { HostPrograms } from '../../lib/ebpf/host-programs.ts';
import { Dice } from '../../lib/ebpf/verify/dice.ts';
import { ETHERNET_BYTES, PacketWriter } from '../../lib/ebpf/verify/packet-writer.ts';
import { lexSettings } from '../../lib/lex/options.ts';
import { inNamespace, run } from '../../lib/netns/command.ts';
import type { LabScope } from '../../lib/netns/lab-scope.ts';
import { TestRun } from '../../lib/sys/bpf.ts';
import { TCP_ACK } from '../../lib/wire/packet-view.ts';
import { PROTOCOL_TCP } from '../../lib/wire/protocol-numbers.ts';
import { preflexArgv, PreflexProcess } from '../processes/preflex-process.ts';
import type { PairTopology } from '../topologies/pair.ts';
import { buildPair, PAIR } from '../topologies/pair.ts';
import { runIperf3 } from '../traffic/iperf3.ts';

/** Options of the benchmark. */
export interface BenchEbpfOptions {
  /** Pairs of runs; default 5. */
  readonly pairs?: number;
  /** Seconds a run; default 3. */
  readonly seconds?: number;
  /** Numbers of flows for the programs alone; default 10,000 and 1,000,000. */
  readonly flows?: readonly number[];
  /** Packets timed for each of them; default 50,000. */
  readonly packets?: number;
  readonly onProgress?: (line: string) => void;
}

const DATAGRAM_BYTES = 64;
const OWN = 0x0a000001;
const STRANGER = 0x0a000002;
const PEERS = 0x14000000;
const PAYLOAD_BYTES = 1448;
const PACKET_NS = 1000;

/** Runs all measurements. */
export async function benchEbpf(scope: LabScope, options: BenchEbpfOptions = {}): Promise<BenchResult[]> {
  const results = (options.flows ?? [10_000, 1_000_000]).map((flows) => benchProgram(flows, options));
  const pair = buildPair(scope);
  const seconds = options.seconds ?? 3;
  const measure = (flows: number, isUdp: boolean) => async (): Promise<number> => {
    const { bitsPerSec, sentBytes } = await runIperf3(scope, {
      clientNetns: pair.host,
      serverNetns: pair.far,
      address: PAIR.farAddress,
      seconds,
      flows,
      ...(isUdp ? { udpBitsPerSec: 0, datagramBytes: DATAGRAM_BYTES } : {}),
    });
    // The sender's rate: the receiver of a flood loses what it likes.
    return isUdp ? sentBytes / DATAGRAM_BYTES / seconds / 1e3 : bitsPerSec / 1e9;
  };
  const runs = [
    { name: 'ebpf: one TCP flow', unit: 'Gbit/s', measure: measure(1, false) },
    { name: 'ebpf: eight TCP flows', unit: 'Gbit/s', measure: measure(8, false) },
    { name: `ebpf: UDP, ${DATAGRAM_BYTES} bytes`, unit: 'thousand datagrams/s', measure: measure(1, true) },
  ];
  for (const one of runs) {
    const pairs: [number, number][] = [];
    for (let i = 0; i < (options.pairs ?? 5); i++) {
      const attached = await withPrograms(scope, pair, one.measure);
      const without = await one.measure();
      pairs.push([attached, without]);
      options.onProgress?.(
        `${one.name}, pair ${i + 1}: ${attached.toFixed(2)} of ${without.toFixed(2)} ${one.unit}, ` +
          `ratio ${(attached / without).toFixed(3)}`,
      );
    }
    results.push(benchResult(one.name, one.unit, 'the same namespaces without the programs', pairs));
  }
  return results;
}

/** Measures with the programs attached, and without their agent: that is how they go on. */
async function withPrograms<T>(scope: LabScope, { host }: PairTopology, body: () => Promise<T>): Promise<T> {
  const place = ['--device', PAIR.device];
  const words = ['host', '--datapath', 'ebpf', '--address', PAIR.hostAddress, ...place];
  await (await PreflexProcess.start(scope, host, words)).stop();
  try {
    return await body();
  } finally {
    run(inNamespace(preflexArgv(['host', '--detach', ...place]), { netns: host }));
  }
}

/**
 * The egress program on full segments of flows drawn at random, by the kernel's clock; against segments of an address
 * that is not served, which are only parsed.
 */
function benchProgram(flows: number, options: BenchEbpfOptions): BenchResult {
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
    const perPair = Math.ceil((options.packets ?? 50_000) / (options.pairs ?? 5));
    const pairs: [number, number][] = Array.from({ length: options.pairs ?? 5 }, () => {
      const times: [number[], number[]] = [[], []];
      for (let i = 0; i < perPair; i++) {
        times[0].push(handle(dice.below(flows), OWN));
        times[1].push(handle(dice.below(flows), STRANGER));
      }
      return [median(times[0]), median(times[1])];
    });
    const name = `ebpf: egress program, ${flows.toLocaleString('en-US')} flows`;
    const result = benchResult(name, 'ns/packet', 'parsing the same packets', pairs);
    options.onProgress?.(`${name}: ${result.value} ns, of which parsing ${result.baseline} ns`);
    return result;
  } finally {
    programs.close();
  }
}
