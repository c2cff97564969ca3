/**
 * Brings what the programs report of single flows (struct pref_report) to the gateway's detector of failures, at the
 * times at which it happened, and tells the programs what came of it: flows that are failing, flowlets that are no probes
 * any more, flows whose data came again.
 */
import { PreflexError } from '../errors.ts';
import type { DatapathPort } from '../pref/datapath-port.ts';
import { clockOriginNs } from '../sys/clock.ts';
import { Poll } from '../sys/poll.ts';
import { RingBuffer } from '../sys/ring-buffer.ts';
import type { GatewayPrograms } from './gateway-programs.ts';
import type { IndexTable } from './meter-reader.ts';

const REPORT_LOSS = 1;
const REPORT_FLOWLET = 2;
const REPORT_INBOUND = 3;
const REPORT_DATA = 4;
const REPORT_SENDING = 5;
const REPORT_BEGUN = 6;
const REPORT_LEX = 7;
/** Reports handled before other work of the process gets its turn. */
const REPORTS_A_TURN = 4096;
/** Flows found failing that are looked at again, all of them, so often. */
const SWEEP_NS = 1e9;
const LOW_WORD = 2 ** 32;
/** Numbers of processors that a report can carry. */
const PROCESSORS = 256;

/** Of the fields of struct pref_report, under their names there. */
interface ReportOffsets {
  readonly time_ns: number;
  readonly kind: number;
  readonly destination: number;
  readonly slot: number;
  readonly h1: number;
  readonly h2: number;
  readonly seq: number;
  readonly ack: number;
  readonly payload_length: number;
  readonly tcp_flags: number;
  readonly lost: number;
}

interface FailingFlow {
  readonly h1: number;
  readonly h2: number;
  readonly destination: number;
}

/** Reads reports as they come. */
export class ReportReader {
  readonly #port: DatapathPort;
  readonly #programs: GatewayPrograms;
  readonly #indices: IndexTable;
  readonly #ring: RingBuffer;
  readonly #poll: Poll;
  /** Where the fields of a report are. */
  readonly #offsets: ReportOffsets;
  /** Flows that the programs were told are failing, by their hash. */
  readonly #failing = new Map<number, FailingFlow>();
  /** Flows that the programs were told receive again what they acknowledged: second word of the hash by the first. */
  readonly #repeated = new Map<number, number>();
  /** By processor: what it had lost of its reports, as its last one said. */
  readonly #lost = new Uint32Array(PROCESSORS);
  #sweepAtNs = 0;
  #reports = 0;

  /** @param onReports - called after some were read, from the event loop */
  constructor(port: DatapathPort, programs: GatewayPrograms, indices: IndexTable, onReports: () => void) {
    this.#port = port;
    this.#programs = programs;
    this.#indices = indices;
    const { fields } = programs.spec.btf.structLayout('pref_report');
    const offsetOf = (name: string): number => {
      const field = fields.find((one) => one.name === name);
      if (field === undefined) throw new PreflexError('ERR_SYSTEM', `the programs' reports have no ${name}`);
      return field.offset;
    };
    this.#offsets = {
      time_ns: offsetOf('time_ns'),
      kind: offsetOf('kind'),
      destination: offsetOf('destination'),
      slot: offsetOf('slot'),
      h1: offsetOf('h1'),
      h2: offsetOf('h2'),
      seq: offsetOf('seq'),
      ack: offsetOf('ack'),
      payload_length: offsetOf('payload_length'),
      tcp_flags: offsetOf('tcp_flags'),
      lost: offsetOf('lost'),
    };
    this.#ring = new RingBuffer(programs.reportsFd, programs.reportsBytes);
    this.#poll = new Poll(programs.reportsFd, 'readable', () => {
      if (this.take() > 0) onReports();
    });
  }

  /** Reports that were read. */
  get reports(): number {
    return this.#reports;
  }

  /** Handles what waits. Returns how many reports there were. */
  take(): number {
    const taken = this.#ring.take(this.#handle, REPORTS_A_TURN);
    this.#reports += taken;
    return taken;
  }

  /** Handles all that waits. */
  takeAll(): void {
    while (this.take() === REPORTS_A_TURN) continue;
  }

  /** Forgets flows that are failing no more, which nothing may have been reported of. */
  sweep(nowNs: number): void {
    if (nowNs < this.#sweepAtNs) return;
    this.#sweepAtNs = nowNs + SWEEP_NS;
    for (const flow of this.#failing.values()) this.#settle(flow.destination, flow.h1, flow.h2);
    for (const [h1, h2] of this.#repeated) this.#settleRepeated(h1, h2);
  }

  /** A suspension begins: what probed the route in an earlier one is no probe of this. @param index - the programs' */
  forgetProbes(index: number, slot: number): void {
    const map = this.#programs.map('probes');
    const stale: (readonly [number, number])[] = [];
    map.readBatches(4096, (keys, _values, count) => {
      const view = new DataView(keys.buffer);
      for (let at = 0; at < count * map.key.length; at += map.key.length) {
        if (view.getUint32(at + 8, true) === index && view.getUint32(at + 12, true) === slot)
          stale.push([view.getInt32(at, true), view.getInt32(at + 4, true)]);
      }
    });
    for (const [h1, h2] of stale) this.#programs.deleteProbe(h1, h2, index, slot);
  }

  /** Stops reading; before the programs are closed. */
  close(): void {
    this.#poll.close();
    this.#ring.close();
  }

  readonly #handle = (view: DataView, at: number): void => {
    const offsets = this.#offsets;
    const timeAt = at + offsets.time_ns;
    const timeNs = view.getUint32(timeAt, true) + view.getUint32(timeAt + 4, true) * LOW_WORD - clockOriginNs;
    const h1 = view.getInt32(at + offsets.h1, true);
    const h2 = view.getInt32(at + offsets.h2, true);
    const kind = view.getInt32(at + offsets.kind, true);
    this.#noteLost(view.getInt32(at + offsets.lost, true));
    if (kind === REPORT_INBOUND) {
      const segment = {
        tcpFlags: view.getInt32(at + offsets.tcp_flags, true),
        payloadLength: view.getInt32(at + offsets.payload_length, true),
        seqNumber: view.getInt32(at + offsets.seq, true),
        ackNumber: view.getInt32(at + offsets.ack, true),
      };
      this.#port.noteInbound(h1, h2, segment, timeNs);
      const flow = this.#failing.get(h1);
      if (flow?.h2 === h2) this.#settle(flow.destination, h1, h2);
      return;
    }
    const index = view.getInt32(at + offsets.destination, true);
    const slot = view.getInt32(at + offsets.slot, true);
    const destination = this.#indices.coreOf(index);
    if (destination < 0) return;
    if (kind === REPORT_BEGUN) {
      this.#port.noteBegun(h1);
    } else if (kind === REPORT_LEX) {
      this.#port.noteLexPacket(destination, h1);
    } else if (kind === REPORT_SENDING) {
      this.#port.noteSending(destination, slot, h1, h2, timeNs);
    } else if (kind === REPORT_LOSS) {
      this.#port.noteLoss(destination, slot, h1, h2, timeNs);
      if (!this.#port.isProbe(destination, slot, h1, h2)) this.#endProbe(destination, index, slot, h1, h2);
      this.#settle(destination, h1, h2);
    } else if (kind === REPORT_FLOWLET) {
      const isWatched = this.#port.noteFlowlet(destination, slot, h1, h2, timeNs);
      // A probe that nobody watches is a loss for nothing.
      if (!isWatched) this.#endProbe(destination, index, slot, h1, h2);
      this.#settle(destination, h1, h2);
    } else if (kind === REPORT_DATA) {
      const segment = {
        tcpFlags: view.getInt32(at + offsets.tcp_flags, true),
        payloadLength: view.getInt32(at + offsets.payload_length, true),
        seqNumber: view.getInt32(at + offsets.seq, true),
        ackNumber: 0,
      };
      this.#port.noteData(destination, slot, h1, h2, segment, view.getInt32(at + offsets.ack, true), timeNs);
      this.#settleRepeated(h1, h2);
    }
  };

  /** A processor may have lost the report of an answer. */
  #noteLost(lost: number): void {
    const processor = lost >>> 24;
    const count = lost & 0xffffff;
    if (this.#lost[processor] === count) return;
    this.#lost[processor] = count;
    this.#port.forgetSending();
  }

  #endProbe(destination: number, index: number, slot: number, h1: number, h2: number): void {
    if ((this.#port.suspendedMask(destination) >>> slot) & 1) this.#programs.deleteProbe(h1, h2, index, slot);
  }

  /** Tells the programs whether what a flow acknowledged came again, where that changed. */
  #settleRepeated(h1: number, h2: number): void {
    const isRepeated = this.#port.isRepeated(h1, h2);
    const isKnown = this.#repeated.get(h1) === h2;
    if (isRepeated && !isKnown) {
      // Without room it is told with the next report of the flow.
      if (this.#programs.setRepeated(h1, h2)) this.#repeated.set(h1, h2);
    } else if (isKnown && !isRepeated) {
      this.#repeated.delete(h1);
      this.#programs.clearRepeated(h1, h2);
    }
  }

  /** Tells the programs whether a flow is failing, where that changed. */
  #settle(destination: number, h1: number, h2: number): void {
    const slot = this.#port.has(destination) ? this.#port.failingSlot(destination, h1, h2) : -1;
    const isKnown = this.#failing.get(h1)?.h2 === h2;
    if (slot >= 0) {
      // Noted in any case: a flow for which there was no room is looked at again as all others are.
      this.#failing.set(h1, { h1, h2, destination });
      this.#programs.setFailing(h1, h2, this.#indices.indexOf(destination), slot);
    } else if (isKnown) {
      this.#failing.delete(h1);
      this.#programs.clearFailing(h1, h2);
    }
  }
}
