/**
 * The benchmark `churn`: days of new flows through the host core and the gateway core, in virtual time, and what becomes of
 * the memory meanwhile.
 *
 * The number of flows is fixed: each new one takes the place of the oldest, which ends with FIN or just falls silent. A
 * flow is a SYN and its answer, data and acknowledgements, now and then a retransmission, and a packet after a long pause.
 * Its address is one of 2^21, so keys hardly come back. One in eight is a datagram flow.
 */
import { LexHost } from '../lex/lex-host.ts';
import { PrefGateway } from '../pref/gateway.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/protocol-numbers.ts';
import { TCP_ACK, TCP_FIN, TCP_SYN } from '../wire/packet-view.ts';
import type { BenchResult } from './measure.ts';
import { benchResult, collector } from './measure.ts';

/** Options of the benchmark. */
export interface ChurnOptions {
  /** Virtual hours, 2 or more; default 24. */
  readonly hours?: number;
  /** Flows at a time; default 10,000. */
  readonly flows?: number;
  /** New flows a virtual second; default 50. */
  readonly flowsPerSecond?: number;
  readonly onProgress?: (line: string) => void;
}

/** Memory at the end of a virtual hour, bytes. */
export interface MemorySample {
  /** Heap in use, external memory and array buffers, after a collection. */
  readonly used: number;
  /** Resident memory of the process. */
  readonly resident: number;
}

/** What a run was. */
export interface ChurnRun {
  readonly hours: readonly MemorySample[];
  readonly flowsOpened: number;
  readonly packets: number;
  /** Flows in the host's table at the end. */
  readonly flowsTracked: number;
  /** Entries that had to go before their time. */
  readonly flowsEvicted: number;
}

/** What memory may grow by in an hour at a fixed number of flows. */
export const LIMIT_BYTES_PER_HOUR = 1e6;

const NS_PER_S = 1e9;
const INSIDE = 0x0a000001;
/** Destinations of the gateway, /16 each, from 20.0.0.0 on. */
const OUTSIDE = 0x14000000;
const DESTINATIONS = 32;
const ADDRESSES = DESTINATIONS << 16;
const SEGMENT_BYTES = 1000;
const HEADER_BYTES = 40;
const PACKET_BYTES = HEADER_BYTES + SEGMENT_BYTES;

/** Runs the benchmark: the slope of memory in use, and of resident memory, against the limit. */
export function benchChurn(options: ChurnOptions = {}): BenchResult[] {
  const { hours } = runChurn(options);
  const against = 'the limit at a fixed number of flows';
  const slope = (name: string, values: readonly number[]): BenchResult =>
    benchResult(name, 'B/h', against, [[slopeOf(values), LIMIT_BYTES_PER_HOUR]]);
  // In the first hour tables fill and code is compiled.
  const steady = hours.slice(1);
  return [
    slope(
      'churn: heap, external memory and array buffers',
      steady.map(({ used }) => used),
    ),
    slope(
      'churn: resident memory',
      steady.map(({ resident }) => resident),
    ),
  ];
}

/** Runs flows for that many virtual hours, and takes a sample of the memory after each. */
export function runChurn(options: ChurnOptions = {}): ChurnRun {
  const { hours = 24, flows = 10_000, flowsPerSecond = 50, onProgress } = options;
  const collect = collector();
  const churn = new Churn(flows, NS_PER_S / flowsPerSecond);
  const samples: MemorySample[] = [];
  for (let hour = 1; hour <= hours; hour++) {
    churn.runUntil(hour * 3600 * NS_PER_S);
    collect();
    const { heapUsed, external, rss } = process.memoryUsage(); // external includes array buffers
    samples.push({ used: heapUsed + external, resident: rss });
    onProgress?.(
      `hour ${hour}: ${(samples.at(-1)!.used / 1e6).toFixed(2)} MB in use, ${(rss / 1e6).toFixed(1)} MB resident, ` +
        `${churn.opened} flows, ${churn.packets} packets`,
    );
  }
  return {
    hours: samples,
    flowsOpened: churn.opened,
    packets: churn.packets,
    flowsTracked: churn.host.flows.size,
    flowsEvicted: churn.host.flows.evicted,
  };
}

/** Least-squares slope of equally spaced values, a step. */
export function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let products = 0;
  let squares = 0;
  for (const [i, value] of values.entries()) {
    products += (i - middle) * (value - mean);
    squares += (i - middle) ** 2;
  }
  return products / squares;
}

/** Both cores, and flows between them. */
class Churn {
  readonly host: LexHost;
  opened = 0;
  packets = 0;
  readonly #gateway: PrefGateway;
  readonly #gapNs: number;
  readonly #ports: Uint16Array;
  readonly #addresses: Uint32Array;
  readonly #packet = new DataView(new ArrayBuffer(PACKET_BYTES));
  #nowNs = NS_PER_S;

  constructor(flows: number, gapNs: number) {
    this.host = new LexHost({ flowCapacity: flows, seed: 1 });
    const routes = [1, 2, 3].map((pathId) => ({ pathId, name: `route${pathId}` }));
    this.#gateway = new PrefGateway({ routes, seed: 1 });
    for (let i = 0; i < DESTINATIONS; i++) this.#gateway.addDestination([`20.${i}.0.0/16`], [1, 2, 3]);
    this.#gapNs = gapNs;
    this.#ports = new Uint16Array(flows);
    this.#addresses = new Uint32Array(flows);
  }

  /** A step is the time between two new flows; a flow's packets come a step apart, so a step is its RTT too. */
  runUntil(endNs: number): void {
    const count = this.#ports.length;
    while (this.#nowNs < endNs) {
      const index = this.opened % count;
      if (this.opened % 4 !== 0) this.#end(index);
      this.#open(index);
      this.#begin((index + count - 1) % count);
      this.#goOn((index + count - 2) % count);
      // After a long pause.
      this.#send((index + (count >> 1)) % count, 3, TCP_ACK, SEGMENT_BYTES);
      this.#nowNs += this.#gapNs;
      for (const core of [this.host, this.#gateway]) {
        if (core.pollTimeout() <= this.#nowNs) core.handleTimeout(this.#nowNs);
      }
    }
  }

  /** A new flow in the place of an old one. */
  #open(index: number): void {
    // Steps through all addresses and ports in an order without pattern; 7919 is prime to both.
    this.#addresses[index] = OUTSIDE + ((this.opened * 7919) % ADDRESSES);
    this.#ports[index] = 1024 + ((this.opened * 7919) % 60_000);
    this.opened++;
    this.#send(index, 0, TCP_SYN, 0);
  }

  #begin(index: number): void {
    this.#receive(index, 0, TCP_SYN | TCP_ACK);
    this.#send(index, 1, TCP_ACK, SEGMENT_BYTES);
    this.#send(index, 2, TCP_ACK, SEGMENT_BYTES);
  }

  #goOn(index: number): void {
    if (index % 10 === 0) this.#send(index, 1, TCP_ACK, SEGMENT_BYTES); // a retransmission
    this.#receive(index, 3, TCP_ACK);
  }

  #end(index: number): void {
    this.#send(index, 4, TCP_FIN | TCP_ACK, 0);
    this.#receive(index, 5, TCP_FIN | TCP_ACK);
  }

  /** @param segments - segments before this one, SYN included */
  #send(index: number, segments: number, flags: number, payloadBytes: number): void {
    if (this.#ports[index] === 0) return;
    const length = HEADER_BYTES + payloadBytes;
    const sequence = segments === 0 ? 0 : 1 + (segments - 1) * SEGMENT_BYTES;
    this.#write(index, INSIDE, this.#addresses[index]!, this.#ports[index]!, 443, flags, sequence, length);
    this.host.handleOutbound(this.#packet, 0, length, this.#nowNs);
    this.#gateway.handleOutbound(this.#packet, 0, length, this.#nowNs, 0);
  }

  /** @param segments - segments that it acknowledges */
  #receive(index: number, segments: number, flags: number): void {
    if (this.#ports[index] === 0) return;
    this.#write(index, this.#addresses[index]!, INSIDE, 443, this.#ports[index]!, flags, 0, HEADER_BYTES);
    this.#packet.setUint32(28, segments === 0 ? 1 : 1 + (segments - 1) * SEGMENT_BYTES);
    this.#gateway.handleInbound(this.#packet, 0, HEADER_BYTES, this.#nowNs, 1, 0);
    this.host.handleInbound(this.#packet, 0, HEADER_BYTES, this.#nowNs);
  }

  #write(
    index: number,
    src: number,
    dst: number,
    srcPort: number,
    dstPort: number,
    flags: number,
    sequence: number,
    length: number,
  ): void {
    const packet = this.#packet;
    packet.setUint16(0, 0x4500);
    packet.setUint16(2, length);
    packet.setUint32(4, 0);
    packet.setUint8(8, 64);
    const isDatagram = index % 8 === 7;
    packet.setUint8(9, isDatagram ? PROTOCOL_UDP : PROTOCOL_TCP);
    packet.setUint16(10, 0);
    packet.setUint32(12, src);
    packet.setUint32(16, dst);
    packet.setUint16(20, srcPort);
    packet.setUint16(22, dstPort);
    if (isDatagram) packet.setUint32(24, (length - 20) << 16);
    else packet.setUint32(24, sequence);
    packet.setUint32(28, 1);
    packet.setUint8(32, 0x50);
    packet.setUint8(33, flags);
    packet.setUint16(34, 0xffff);
    this.packets++;
  }
}
