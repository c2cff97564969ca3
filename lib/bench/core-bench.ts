/**
 * The benchmark `core`: nanoseconds and heap bytes a packet of the host core and of the gateway core.
 *
 * Packets are made in a pool as large as a read batch, so that they are as warm as packets just read; which flow or
 * destination comes next is drawn beforehand at random, so that its state is as cold as in a busy network. The
 * baseline of each measurement makes the same packets and only parses them.
 */
import { LexHost } from '../lex/lex-host.ts';
import { PrefGateway } from '../pref/gateway.ts';
import { CODEPOINT_LECT, encodeMark } from '../wire/marking/scheme.ts';
import { pool2 } from '../wire/marking/pool2.ts';
import { PacketView, parsePacket, TCP_ACK } from '../wire/packet-view.ts';
import { PROTOCOL_TCP } from '../wire/protocol-numbers.ts';
import type { BenchResult } from './measure.ts';
import { benchResult, bytesPerCall, collector, nsPerCall } from './measure.ts';

/** Options of the benchmark. */
export interface BenchCoreOptions {
  /** Pairs of runs for each measurement; default 5. */
  readonly pairs?: number;
  /** Packets a run; default 1,000,000. */
  readonly packets?: number;
  readonly onProgress?: (line: string) => void;
}

const SLOTS = 64;
const SLOT_BYTES = 2048;
const PACKET_BYTES = 1500;
const HEADER_BYTES = 40;
const PAYLOAD_BYTES = PACKET_BYTES - HEADER_BYTES;
const ORDER = 1 << 20;
const INSIDE = 0x0a000001;
const OUTSIDE = 0x14000000;
const PACKET_NS = 1000;

/** A subject: handles the packet of step i. */
interface Subject {
  readonly name: string;
  readonly make: (step: number) => number;
  readonly handle: (at: number, step: number) => void;
}

/** Runs all measurements. */
export function benchCore(options: BenchCoreOptions = {}): BenchResult[] {
  const results: BenchResult[] = [];
  const subjects: (() => Subject)[] = [
    () => hostSubject(10_000, 'outbound'),
    () => hostSubject(1_000_000, 'outbound'),
    () => hostSubject(10_000, 'inbound'),
    () => hostSubject(1_000_000, 'inbound'),
    () => gatewaySubject(1_000, 'outbound'),
    () => gatewaySubject(1_000_000, 'outbound'),
    () => gatewaySubject(1_000, 'inbound'),
    () => gatewaySubject(1_000_000, 'inbound'),
  ];
  for (const subject of subjects) results.push(...measure(subject(), options));
  return results;
}

const pool = new DataView(new ArrayBuffer(SLOTS * SLOT_BYTES));

function measure(subject: Subject, options: BenchCoreOptions): BenchResult[] {
  const packets = options.packets ?? 1_000_000;
  const collect = collector();
  const parsed = new PacketView();
  const run = (calls: number): void => {
    for (let step = 0; step < calls; step++) subject.handle(subject.make(step), step);
  };
  const baseline = (calls: number): void => {
    for (let step = 0; step < calls; step++) parsePacket(pool, subject.make(step), PACKET_BYTES, parsed);
  };
  run(Math.min(packets, 200_000));
  baseline(Math.min(packets, 200_000));
  const times: [number, number][] = [];
  const bytes: [number, number][] = [];
  for (let pair = 0; pair < (options.pairs ?? 5); pair++) {
    times.push([nsPerCall(run, packets), nsPerCall(baseline, packets)]);
    bytes.push([bytesPerCall(run, packets, collect), bytesPerCall(baseline, packets, collect)]);
  }
  const against = 'making and parsing the same packets';
  const results = [
    benchResult(subject.name, 'ns/packet', against, times),
    benchResult(`${subject.name}, heap`, 'B/packet', against, bytes),
  ];
  options.onProgress?.(
    `${subject.name}: ${results[0].value.toFixed(0)} ns, ${results[1].value.toFixed(3)} bytes a packet`,
  );
  return results;
}

function hostSubject(flows: number, direction: 'outbound' | 'inbound'): Subject {
  const host = new LexHost({ flowCapacity: flows });
  const order = drawOrder(flows);
  const turns = countTurns(order, flows);
  // Segments of its flow before this one. Each turn of the order is a round, so that none goes back.
  const roundSegments = 1 + turns.reduce((most, turn) => Math.max(most, turn));
  let round = 0;
  const sequenceAt = (step: number): number => {
    if ((step & (ORDER - 1)) === 0) round++;
    return Math.imul(round * roundSegments + turns[step & (ORDER - 1)], PAYLOAD_BYTES) >>> 0;
  };
  fillPool();
  const makeOutbound = (step: number): number => {
    const flow = order[step & (ORDER - 1)];
    const at = slotOf(step);
    writeAddresses(at, INSIDE, OUTSIDE + (flow >>> 14), 1024 + (flow & 0x3fff), 443);
    pool.setUint32(at + 24, sequenceAt(step));
    return at;
  };
  const makeInbound = (step: number): number => {
    const flow = order[step & (ORDER - 1)];
    const at = slotOf(step);
    writeAddresses(at, OUTSIDE + (flow >>> 14), INSIDE, 443, 1024 + (flow & 0x3fff));
    pool.setUint32(at + 28, PAYLOAD_BYTES);
    return at;
  };
  const firstNs = 1e9;
  for (let flow = 0; flow < flows; flow++) {
    const at = slotOf(flow);
    writeAddresses(at, INSIDE, OUTSIDE + (flow >>> 14), 1024 + (flow & 0x3fff), 443);
    pool.setUint32(at + 24, 0);
    host.handleOutbound(pool, at, PACKET_BYTES, firstNs);
  }
  const handle =
    direction === 'outbound'
      ? (at: number, step: number): void => {
          host.handleOutbound(pool, at, PACKET_BYTES, firstNs + (step & 0xfffff) * PACKET_NS);
        }
      : (at: number, step: number): void => {
          host.handleInbound(pool, at, PACKET_BYTES, firstNs + (step & 0xfffff) * PACKET_NS);
        };
  return {
    name: `host ${direction}, ${flows.toLocaleString('en-US')} flows`,
    make: direction === 'outbound' ? makeOutbound : makeInbound,
    handle,
  };
}

function gatewaySubject(prefixes: number, direction: 'outbound' | 'inbound'): Subject {
  const routes = [1, 2, 3].map((pathId) => ({ pathId, name: `route${pathId}` }));
  const gateway = new PrefGateway({ routes });
  // Destinations of their own, /24 each, in 20.0.0.0 and above.
  for (let i = 0; i < prefixes; i++) {
    const network = OUTSIDE + i * 256;
    gateway.addDestination(
      [`${network >>> 24}.${(network >>> 16) & 255}.${(network >>> 8) & 255}.0/24`],
      [1, 2, 3],
    );
  }
  const order = drawOrder(prefixes);
  fillPool();
  const outboundTos = new Uint8Array(
    [1, 2, 3].map((pathId) => encodeMark(pool2, CODEPOINT_LECT, pathId) << 2),
  );
  const make =
    direction === 'outbound'
      ? (step: number): number => {
          const at = slotOf(step);
          writeAddresses(
            at,
            INSIDE,
            OUTSIDE + order[step & (ORDER - 1)] * 256 + 9,
            1024 + (step & 0x3fff),
            443,
          );
          pool.setUint8(at + 1, outboundTos[step % 3]);
          return at;
        }
      : (step: number): number => {
          const at = slotOf(step);
          writeAddresses(
            at,
            OUTSIDE + order[step & (ORDER - 1)] * 256 + 9,
            INSIDE,
            443,
            1024 + (step & 0x3fff),
          );
          return at;
        };
  const firstNs = 1e9;
  const handle =
    direction === 'outbound'
      ? (at: number, step: number): void => {
          gateway.handleOutbound(pool, at, PACKET_BYTES, firstNs + (step & 0xfffff) * PACKET_NS, 0);
        }
      : (at: number, step: number): void => {
          gateway.handleInbound(pool, at, PACKET_BYTES, firstNs + (step & 0xfffff) * PACKET_NS, 1, 0);
        };
  return { name: `gateway ${direction}, ${prefixes.toLocaleString('en-US')} prefixes`, make, handle };
}

/** Which flow or prefix each step takes: uniform, drawn by a linear congruential generator with a fixed seed. */
function drawOrder(count: number): Int32Array {
  const order = new Int32Array(ORDER);
  let state = 1;
  for (let i = 0; i < ORDER; i++) {
    // Numerical Recipes' constants; the high bits are the good ones.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    order[i] = Math.floor((state / 2 ** 32) * count);
  }
  return order;
}

/** How often each step's flow came before in the order. */
function countTurns(order: Int32Array, flows: number): Int32Array {
  const seen = new Int32Array(flows);
  return order.map((flow) => seen[flow]++);
}

function slotOf(step: number): number {
  return (step & (SLOTS - 1)) * SLOT_BYTES;
}

function writeAddresses(at: number, src: number, dst: number, srcPort: number, dstPort: number): void {
  pool.setUint32(at + 12, src);
  pool.setUint32(at + 16, dst);
  pool.setUint32(at + 20, (srcPort << 16) | dstPort);
  // The mark of the packet that was here before.
  pool.setUint8(at + 1, 0);
}

/** Full-sized TCP segments with ACK. */
function fillPool(): void {
  for (let slot = 0; slot < SLOTS; slot++) {
    const at = slot * SLOT_BYTES;
    pool.setUint8(at, 0x45);
    pool.setUint16(at + 2, PACKET_BYTES);
    pool.setUint8(at + 8, 64);
    pool.setUint8(at + 9, PROTOCOL_TCP);
    pool.setUint32(at + 28, 1);
    pool.setUint8(at + 32, 0x50);
    pool.setUint8(at + 33, TCP_ACK);
    pool.setUint16(at + 34, 0xffff);
  }
}
