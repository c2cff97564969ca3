/**
 * What a datapath outside of this process needs of the gateway, whose packets it handles by the same rules: what to
 * put in force there, and where to bring what it counted and saw. No packet passes the core then; its meters, its
 * detector of failures and its counters are fed from here.
 *
 * Slots and destinations are those of route-table.ts, times ns of the clock that handleTimeout is given.
 */

import type { TcpSegment } from './failure-detector.ts';
import type { FailureEvent } from './failure-events.ts';
import type { GatewayCore } from './gateway-core.ts';
import type { GatewaySettings } from './gateway-options.ts';
import type { Meter } from './meter.ts';
import { flowHashOf } from './preview.ts';
import type { FlowEnds } from './preview.ts';
import type { GatewayCounters } from './reasons.ts';
import { CHUNK_BITS, FIELD_CREDIT, weightOf } from './route-table.ts';

/** Routes of a destination as the datapath is to use them. */
export interface Forwarding {
  /** Slots that lead there, up or not, as a mask. */
  readonly allowedMask: number;
  readonly upMask: number;
  readonly suspendedMask: number;
  /** Flowlet ratios by slot, in parts of 2^24. */
  readonly weights: readonly number[];
}

/** The gateway's side of a datapath. */
export class DatapathPort {
  private readonly core: GatewayCore;

  /** From now on the core keeps a list of the destinations that change. */
  constructor(core: GatewayCore) {
    this.core = core;
    core.table.trackChanges();
  }

  /** All options, in force now. */
  get settings(): GatewaySettings {
    return this.core.settings;
  }

  /** Slots that are up for destinations that did not take them down for themselves, as a mask. */
  get upMask(): number {
    const { table } = this.core;
    let mask = 0;
    for (let slot = 0; slot < table.routeCount; slot++) if (table.isRouteUp(slot)) mask |= 1 << slot;
    return mask;
  }

  /** Destinations there may be: indices are below this. */
  get capacity(): number {
    return this.core.table.capacity;
  }

  /** Whether this index is a destination now. */
  has(destination: number): boolean {
    return this.core.table.has(destination);
  }

  /**
   * Destinations whose routes, ratios or suspensions changed since the last call, each once; some may be gone. A route
   * that went down or came up for all is seen for a destination when its {@link forwarding} is asked for.
   */
  takeChanged(): readonly number[] {
    return this.core.table.takeChanged();
  }

  /** Slots that lead to a destination, as a mask, whether or not they are up. */
  allowedMask(destination: number): number {
    return this.core.table.allowedMask(destination);
  }

  /** Routes of a destination; allocates. */
  forwarding(destination: number): Forwarding {
    const { failures, table } = this.core;
    const upMask = table.upMask(destination);
    const ratios = Array.from({ length: table.routeCount }, (_, slot) => table.ratio(destination, slot));
    return {
      allowedMask: table.allowedMask(destination),
      upMask,
      suspendedMask: failures.suspensions.maskOf(destination),
      weights: ratios.map(weightOf),
    };
  }

  /** Claims of the routes to the next flowlet, by slot, as they are while this gateway chooses for itself; allocates. */
  creditsOf(destination: number): number[] {
    const { table } = this.core;
    table.upMask(destination);
    const shares = table.shares[destination >>> CHUNK_BITS];
    return Array.from(
      { length: table.routeCount },
      (_, slot) => shares[table.shareAt(destination, slot) + FIELD_CREDIT],
    );
  }

  /** The hash of a flow as the datapath remembers it: two int32. */
  flowHashOf(ends: FlowEnds): readonly [h1: number, h2: number] {
    return flowHashOf(this.core, ends);
  }

  /**
   * Remembers an FNE packet as the datapath does, in the place of what was remembered of the flow: for a preview.
   *
   * @param meta - state | slot << 2 | tried slots << 8; 0 = nothing
   */
  setMemory(h1: number, h2: number, meta: number, timeNs: number): void {
    const { memory } = this.core;
    const entry = memory.find(h1, h2, timeNs);
    if (entry >= 0) memory.remove(entry);
    if (meta !== 0) memory.put(h1, h2, meta & 3, (meta >>> 2) & 0xf, meta >>> 8, timeNs);
  }

  /** Puts claims in the place of those: for a preview. */
  setCredits(destination: number, credits: readonly number[]): void {
    const { table } = this.core;
    table.upMask(destination);
    const shares = table.shares[destination >>> CHUNK_BITS];
    for (const [slot, credit] of credits.entries())
      shares[table.shareAt(destination, slot) + FIELD_CREDIT] = credit;
  }

  /** Puts ratios in force that were so before this gateway began: by slot, not negative; scaled to sum to 1. */
  restoreRatios(destination: number, ratios: Float64Array): void {
    this.core.table.setRatios(destination, ratios);
  }

  /** A route is suspended since before this gateway began; its probes decide about it. */
  resumeSuspension(destination: number, slot: number): void {
    this.core.failures.resume(destination, slot);
  }

  /** Where to count what routes carried, and to take over what they had carried before this gateway began. */
  get meter(): Pick<Meter, 'count' | 'restore'> {
    return this.core.meter;
  }

  /** Puts the counters of the datapath, since it began, in the place of the gateway's. */
  setCounters(counters: GatewayCounters): void {
    const own = this.core.counters;
    own.packets.set(counters.packets);
    own.events.set(counters.events);
    own.notLectBytes.set(counters.notLectBytes);
    own.inboundBytes.set(counters.inboundBytes);
    own.unroutedLexMarkedBytes.set(counters.unroutedLexMarkedBytes);
  }

  /** Lets reports ask the datapath how many FNE packets it remembers. */
  useMemory(size: (nowNs: number) => number): void {
    this.core.sizeOfMemory = size;
  }

  /** A flow exposed loss on a route. Hashes are int32. */
  noteLoss(destination: number, slot: number, h1: number, h2: number, timeNs: number): void {
    const { failures } = this.core;
    if (!failures.isOn) return;
    failures.setTime(timeNs);
    failures.noteLoss(destination, slot, h1, h2);
  }

  /** A flowlet began on a route. Returns whether it is watched; one that is not can be no probe. */
  noteFlowlet(destination: number, slot: number, h1: number, h2: number, timeNs: number): boolean {
    const { failures } = this.core;
    if (!failures.isOn) return false;
    failures.setTime(timeNs);
    return failures.noteFlowlet(destination, slot, h1, h2);
  }

  /** A TCP flow sends on a route and exposes nothing; to be told of some, see {@link FailureDetector.isToSample}. */
  noteSending(destination: number, slot: number, h1: number, h2: number, timeNs: number): void {
    const { failures } = this.core;
    if (!failures.isOn) return;
    failures.setTime(timeNs);
    failures.noteSending(destination, slot, h1, h2);
  }

  /** Something that was to be noted was lost: which flows wait for an answer is not known any more. */
  forgetSending(): void {
    this.core.failures.forgetSending();
  }

  /** Whether the balancer asks for the flowlet turnover: then it is told of all flowlets that begin, and all LEx packets. */
  get measuresTurnover(): boolean {
    return this.core.turnover !== undefined;
  }

  /** A flowlet begins; {@link meter} counts it as well. */
  noteBegun(h1: number): void {
    this.core.turnover?.noteFlowlet(h1);
  }

  /** A packet marked LEx left; {@link meter} counts its bytes. */
  noteLexPacket(destination: number, h1: number): void {
    this.core.turnover?.noteLoss(destination, h1);
  }

  /** A TCP segment of a flow came from outside. */
  noteInbound(h1: number, h2: number, segment: TcpSegment, timeNs: number): void {
    const { failures } = this.core;
    const flow = failures.isOn ? failures.sample.find(h1, h2) : -1;
    if (flow < 0) return;
    failures.setTime(timeNs);
    failures.noteInbound(flow, segment);
  }

  /** Data of a flow came from outside whose acknowledgments take a route, up to a number so far. */
  noteData(
    destination: number,
    slot: number,
    h1: number,
    h2: number,
    segment: TcpSegment,
    ackNumber: number,
    timeNs: number,
  ): void {
    const { failures } = this.core;
    if (!failures.isOn) return;
    failures.setTime(timeNs);
    failures.noteAck(destination, slot, h1, h2, ackNumber);
    const flow = failures.repeats.sample.find(h1, h2);
    if (flow >= 0) failures.noteInboundData(flow, segment);
  }

  /** Whether what a flow acknowledged came again since there was new data. */
  isRepeated(h1: number, h2: number): boolean {
    return this.core.failures.isRepeated({ h1, h2 });
  }

  /** The slot on which a flow is known to be failing, -1 for none. */
  failingSlot(destination: number, h1: number, h2: number): number {
    return this.core.failures.failingSlot(destination, h1, h2);
  }

  /** Whether the flow is a probe of that suspended route, and has exposed no loss on it. */
  isProbe(destination: number, slot: number, h1: number, h2: number): boolean {
    return this.core.failures.isProbe(destination, slot, h1, h2);
  }

  /** The suspended slots of a destination. */
  suspendedMask(destination: number): number {
    return this.core.failures.suspensions.maskOf(destination);
  }

  /** The slot of a route. */
  slotOf(pathId: number): number {
    return this.core.table.slotOf[pathId];
  }

  /** Decisions about failed routes from a number on. */
  failureEvents(since: number): readonly FailureEvent[] {
    return this.core.failures.events.since(since);
  }
}
