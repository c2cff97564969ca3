/**
 * The detector of failures as the gateway programs know it: they ask which flows probe and which are failing, know
 * themselves whose acknowledged data came again, and leave the judgement to the process. For holding the programs against the gateway core.
 */
import { FailureDetector } from '../../pref/failure-detector.ts';
import type { FlowHash } from '../../pref/flow-hash.ts';
import type { PacketView } from '../../wire/packet-view.ts';
import { TwinRepeats } from './twin-repeats.ts';

const NS_PER_MS = 1e6;

/** Answers from what it is told, and judges nothing. */
export class TwinDetector extends FailureDetector {
  override readonly repeats = new TwinRepeats();
  /** Probes, named by flow and route. */
  readonly probes = new Map<string, readonly [h1: number, h2: number, destination: number, slot: number]>();
  readonly #repeated = new Set<string>();
  readonly #failing = new Map<string, readonly [destination: number, slot: number]>();
  /** The flow that was reported last, as its two hashes. */
  lastFlow: readonly [number, number] | undefined;

  /** Says that a flow fails on a route of a destination, or on none. */
  setFailing(h1: number, h2: number, where: readonly [destination: number, slot: number] | undefined): void {
    if (where === undefined) this.#failing.delete(flowName(h1, h2));
    else this.#failing.set(flowName(h1, h2), where);
  }

  /** Says whether what a flow acknowledged came again. */
  setRepeated(h1: number, h2: number, isRepeated: boolean): void {
    if (isRepeated) this.#repeated.add(flowName(h1, h2));
    else this.#repeated.delete(flowName(h1, h2));
  }

  override setTime(nowNs: number): void {
    super.setTime(nowNs);
    this.repeats.nowMs = (nowNs / NS_PER_MS) | 0;
    this.repeats.isOn = this.isOn;
  }

  override noteLoss(_destination: number, _slot: number, h1: number, h2: number): void {
    this.lastFlow = [h1, h2];
  }

  override noteFlowlet(destination: number, slot: number, h1: number, h2: number): boolean {
    this.lastFlow = [h1, h2];
    if (((this.suspensions.maskOf(destination) >>> slot) & 1) === 1) {
      if (!this.isOn) return false;
      this.probes.set(`${flowName(h1, h2)} ${destination} ${slot}`, [h1, h2, destination, slot]);
    }
    return true;
  }

  override noteInbound(): void {
    // Judged by the process.
  }

  override noteInboundData(flow: number, packet: Pick<PacketView, 'payloadLength' | 'seqNumber'>): void {
    this.repeats.noteData(flow, packet, this.repeats.nowMs);
  }

  override noteSending(): void {
    // Likewise.
  }

  override isRepeated({ h1, h2 }: Pick<FlowHash, 'h1' | 'h2'>): boolean {
    return this.#repeated.has(flowName(h1, h2));
  }

  override isProbe(destination: number, slot: number, h1: number, h2: number): boolean {
    return this.probes.has(`${flowName(h1, h2)} ${destination} ${slot}`);
  }

  override failingSlot(destination: number, h1: number, h2: number): number {
    const found = this.#failing.get(flowName(h1, h2));
    return found?.[0] === destination ? found[1] : -1;
  }
}

function flowName(h1: number, h2: number): string {
  return `${h1} ${h2}`;
}
