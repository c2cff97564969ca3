/**
 * What the gateway programs know by themselves of flows that receive: RepeatWatch with their table instead of a sample. A
 * flow has the one place that its hash says, until it was idle for a while. For holding the programs against the gateway
 * core.
 *
 * @see note_ack, note_data and repeated_mask in lib/ebpf/programs/pref-evidence.h
 */
import { FlowSample, IDLE_MS, QUIET_MS } from '../../pref/failure-sample.ts';
import { RepeatWatch } from '../../pref/repeat-watch.ts';
import type { PacketView } from '../../wire/packet-view.ts';
import { seqAfter } from '../../wire/seq.ts';

/** RECEIVERS in lib/ebpf/programs/gateway-maps.h. */
const PLACES = 1024;
const NONE = -1;

/** A flow in its place; times in ms modulo 2^32. */
interface Receiver {
  readonly h2: number;
  usedAtMs: number;
  destination: number;
  slot: number;
  ack: number;
  /** Where its highest segment from outside ends, once there was one. */
  end: number | undefined;
  quietFromMs: number;
  isAnswered: boolean;
  isExposed: boolean;
}

/** The places, found as flows are found in a sample: a flow is named by its place. */
class ReceiverTable extends FlowSample {
  readonly places = new Array<Receiver | undefined>(PLACES).fill(undefined);

  constructor() {
    super(64, 8);
  }

  override find(h1: number, h2: number): number {
    const place = h1 & (PLACES - 1);
    return this.places[place]?.h2 === h2 ? place : NONE;
  }
}

/** Knows of repeats what the programs know, at once, and judges nothing. */
export class TwinRepeats extends RepeatWatch {
  override readonly sample = new ReceiverTable();
  /** The time, ms modulo 2^32: told before anything is asked. */
  nowMs = 0;
  /** Whether failures are inferred. */
  isOn = true;

  constructor() {
    super(64, 8, 500, 0.9);
  }

  override noteAck(
    destination: number,
    slot: number,
    h1: number,
    h2: number,
    ackNumber: number,
    nowMs: number,
  ): void {
    const { places } = this.sample;
    const place = h1 & (PLACES - 1);
    const flow = places[place];
    if (flow?.h2 !== h2) {
      if (flow !== undefined && (nowMs - flow.usedAtMs) >>> 0 < IDLE_MS) return;
      places[place] = {
        ...{ h2, usedAtMs: nowMs, destination, slot, ack: ackNumber, end: undefined },
        ...{ quietFromMs: nowMs, isAnswered: false, isExposed: false },
      };
      return;
    }
    if (flow.destination !== destination || flow.slot !== slot) {
      if (!flow.isExposed) flow.quietFromMs = nowMs;
      flow.isExposed = false;
      flow.ack = ackNumber;
    } else if (seqAfter(ackNumber, flow.ack)) flow.ack = ackNumber;
    flow.destination = destination;
    flow.slot = slot;
    flow.usedAtMs = nowMs;
  }

  override noteData(
    place: number,
    packet: Pick<PacketView, 'payloadLength' | 'seqNumber'>,
    nowMs: number,
  ): number {
    const flow = this.sample.places[place];
    if (flow === undefined) return NONE;
    const end = (packet.seqNumber + packet.payloadLength) | 0;
    const isAcked = !seqAfter(end, flow.ack);
    const isHigher = flow.end === undefined || seqAfter(end, flow.end);
    flow.usedAtMs = nowMs;
    if (isHigher) flow.end = end;
    if (isHigher && !isAcked) {
      flow.isAnswered = true;
      flow.isExposed = false;
      flow.quietFromMs = nowMs;
      return NONE;
    }
    const isRepeat = isAcked && packet.payloadLength !== 1;
    if (!isRepeat || !flow.isAnswered || ((nowMs - flow.quietFromMs) | 0) < QUIET_MS) return NONE;
    flow.isExposed = true;
    flow.quietFromMs = nowMs;
    return NONE;
  }

  override repeatedMask(destination: number, h1: number, h2: number): number {
    const flow = this.sample.places[this.sample.find(h1, h2)];
    if (!this.isOn || flow?.isExposed !== true || flow.destination !== destination) return 0;
    return (this.nowMs - flow.usedAtMs) >>> 0 < IDLE_MS ? 1 << flow.slot : 0;
  }
}
