/**
 * The gateway (PREF) of a domain: tells flowlets which route to take, sends packets by the route they name,
 * and balances the routes by the losses that hosts expose. Sans-IO: packets and the time go in, path IDs come
 * out.
 *
 * The steps of a packet are in outbound.ts and inbound.ts, the end of an update interval in update-round.ts;
 * here is the surface: construction, destinations and routes at run time, timeouts, reports. Long because it is all
 * of the surface; what is behind each method stands elsewhere.
 *
 * No per-flow state decides the path of a packet, but for the short, bounded and lossy memory of FNE packets.
 *
 * @see paper section 3.2 and section 4
 */

import { invalidOption, requireInteger, requireNumber } from '../errors.ts';
import { formatPrefix, parsePrefix } from '../wire/addr.ts';
import type { AddressPrefix } from '../wire/addr.ts';
import { DatapathPort } from './datapath-port.ts';
import { GatewayCore } from './gateway-core.ts';
import { checkBalancing, checkGatewayOptions, checkPolicy } from './gateway-options.ts';
import type { BalancingOptions, GatewayOptions, PolicyOptions } from './gateway-options.ts';
import {
  destinationRoutes,
  destinationStatus,
  finishedFigures,
  gatewayOccupancy,
  gatewayStatus,
  prefixesOf,
  sampledRoutes,
} from './gateway-status.ts';
import type {
  DestinationStatus,
  GatewayOccupancy,
  GatewayStatus,
  RouteStatus,
  SampledRoute,
} from './gateway-status.ts';
import type { EvidenceKind, EvidenceSum, FailureDecision, FailureEvent } from './failure-events.ts';
import { handleInbound } from './inbound.ts';
import { handleOutbound } from './outbound.ts';
import { previewFlow } from './preview.ts';
import type { FlowEnds, FlowPreview } from './preview.ts';
import { REASON_NAMES } from './reasons.ts';
import type { GatewayCounters } from './reasons.ts';
import { IntervalClock } from './interval-clock.ts';
import { METER_FNE_REPEAT_BYTES, METER_LEX_BYTES } from './meter.ts';
import type { IntervalFigures } from './remote-figures.ts';
import { NO_SLOT } from './route-table.ts';
import { UpdateRound } from './update-round.ts';
import type { RatioExplanation } from './update-round.ts';

/** The path-selecting gateway of one domain. */
export class PrefGateway {
  private readonly core: GatewayCore;
  private readonly round: UpdateRound;
  /** Stands still until the first packet or timeout tells the time. */
  private readonly clock: IntervalClock;
  /** When the running round of updates began, ns. */
  private readonly roundAtNs = new Float64Array(1);
  private prefixChangeCount = 0;

  /** @throws PreflexError ERR_INVALID_OPTION naming the option, the value and what is allowed */
  constructor(options: GatewayOptions) {
    const settings = checkGatewayOptions(options);
    this.core = new GatewayCore(settings);
    this.round = new UpdateRound(
      this.core.table,
      this.core.meter,
      this.core.failures,
      settings.balancer,
      settings.countFneRepeats,
      this.core.turnover,
      this.core.remote,
    );
    this.clock = new IntervalClock(
      settings.updateIntervalNs,
      settings.shortestIntervalNs,
      settings.longestIntervalNs,
    );
  }

  /**
   * Chooses the route of a packet that leaves the domain; clears its path ID, and its codepoint unless the
   * neighbour takes it, in place. Never throws, whatever the bytes.
   *
   * @param at - offset of the packet's first byte in `view`
   * @param length - bytes captured
   * @param nowNs - monotonic time
   * @param gsoSize - transport payload of each segment of a super-packet, default 0 for an ordinary one
   * @returns path ID of the route, 0 = default route; {@link lastReason} says why
   * @hotpath
   */
  handleOutbound(view: DataView, at: number, length: number, nowNs: number, gsoSize = 0): number {
    if (this.clock.isStopped) this.clock.start(nowNs);
    return handleOutbound(this.core, view, at, length, nowNs, gsoSize);
  }

  /**
   * Clears foreign path IDs of a packet that enters the domain and writes an assignment where one is due, in
   * place. Never throws, whatever the bytes.
   *
   * @param at - offset of the packet's first byte in `view`
   * @param length - bytes captured
   * @param nowNs - monotonic time
   * @param fromPathId - path ID of the route it came in by, default 0 for unknown; only counted
   * @param gsoSize - transport payload of each segment of a super-packet, default 0 for an ordinary one
   * @returns the path ID assigned, 0 = none; {@link lastReason} says why
   * @hotpath
   */
  handleInbound(
    view: DataView,
    at: number,
    length: number,
    nowNs: number,
    fromPathId = 0,
    gsoSize = 0,
  ): number {
    if (this.clock.isStopped) this.clock.start(nowNs);
    return handleInbound(this.core, view, at, length, nowNs, fromPathId, gsoSize);
  }

  /**
   * Computes new ratios when an update interval is over, or when other gateways told new figures, for at most 4,096
   * destinations a call; and takes up decisions about failed routes that had to wait for a moment.
   */
  handleTimeout(nowNs: number): void {
    this.core.failures.handleTimeout(nowNs);
    if (this.clock.isStopped) this.clock.start(nowNs);
    if (!this.round.isRunning && !this.beginRound(nowNs)) return;
    this.round.step();
    const { isLate, isRunning, wantedIntervalNs } = this.round;
    if (!isRunning && !isLate && wantedIntervalNs > 0) this.clock.setLength(wantedIntervalNs);
  }

  /**
   * When handleTimeout has work again, ns: the end of the interval; a time that is already over while
   * destinations wait for their new ratios; earlier while a decision about a route or figures of another gateway
   * wait; Infinity before the first packet. A packet may bring it forward.
   */
  pollTimeout(): number {
    return Math.min(this.pollUpdate(), this.core.failures.pollTimeout());
  }

  /** The same for ratios alone: when handleTimeout will look at what the routes carried, ns. */
  pollUpdate(): number {
    return this.round.isRunning ? this.roundAtNs[0] : Math.min(this.clock.atNs, this.core.remote.dueNs);
  }

  /** Length of the running update interval as planned, ns; changes with {@link useBalancing}, or by the balancer. */
  get updateIntervalNs(): number {
    return this.clock.lengthNs;
  }

  /** Whether another length of the interval waits for the running one to end. */
  get isIntervalPending(): boolean {
    return this.clock.isPending;
  }

  /**
   * Balances in another way from now on: the end of the running interval computes ratios with the new balancer, and the
   * next interval has the new length. Ratios, credits and counters live on.
   *
   * @throws PreflexError ERR_INVALID_OPTION naming the option, the value and what is allowed; then nothing has changed
   */
  useBalancing(options: BalancingOptions): void {
    const settings = checkBalancing(options);
    this.core.useBalancer(settings.balancer);
    this.round.use(settings.balancer, this.core.turnover);
    this.clock.configure(settings.updateIntervalNs, settings.shortestIntervalNs, settings.longestIntervalNs);
  }

  /**
   * Takes other limits, neighbours and rules of inferring failures over, from the next packet on. Ratios, counters and
   * memories live on; the buckets of the limits are full. Without inference no route stays suspended. An option that is
   * not given has its default.
   *
   * @throws PreflexError ERR_INVALID_OPTION naming the option, the value and what is allowed; then nothing has changed
   */
  usePolicy(options: PolicyOptions): void {
    this.core.usePolicy(checkPolicy(options, this.core.settings.routes));
  }

  /** Complete update intervals so far. */
  get intervals(): number {
    return this.core.meter.intervals;
  }

  /** Complete update intervals whose figures are final, and that {@link finishedInterval} may tell of. */
  get finishedIntervals(): number {
    const { isLate, isRunning } = this.round;
    return this.intervals - (isRunning && !isLate ? 1 : 0);
  }

  /**
   * The figures of the last complete interval, for other gateways of the domain; allocates. Call it when
   * {@link finishedIntervals} has gone up; while it is behind {@link intervals} they are not complete.
   *
   * @param maxDestinations - how many destinations at most, those first that had traffic first
   */
  finishedInterval(maxDestinations = Infinity): IntervalFigures & { readonly leftOut: number } {
    return finishedFigures(this.core, maxDestinations);
  }

  /**
   * Takes the last complete interval of another gateway of the domain, in the place of the one before. From now on its
   * figures are added to the own ones whenever ratios are computed, which happens a twentieth of an interval later for
   * the destinations that they are about. The caller decides how long they are to count: {@link deleteRemoteFigures}.
   *
   * @param peer - a name for the other gateway
   * @param figures - with the destinations and path IDs of this gateway; what is not known here is passed over
   */
  setRemoteFigures(peer: string, figures: IntervalFigures, nowNs: number): void {
    requireNumber('lengthNs', figures.lengthNs, 1, Number.MAX_VALUE);
    this.core.remote.set(peer, figures, nowNs);
  }

  /** Forgets another gateway: its figures do not count any more. */
  deleteRemoteFigures(peer: string, nowNs: number): void {
    this.core.remote.delete(peer, nowNs);
  }

  /**
   * Lets a datapath elsewhere handle the packets, which are then not to be given to this object. To be called once.
   *
   * @internal
   */
  openPort(): DatapathPort {
    return new DatapathPort(this.core);
  }

  /** Why the last packet got its verdict: an index of {@link REASON_NAMES}. */
  get lastReason(): number {
    return this.core.reason;
  }

  /** Name of {@link lastReason}. */
  get lastReasonName(): string {
    return REASON_NAMES[this.core.reason];
  }

  /** Packets by reason, and what else is counted. */
  get counters(): GatewayCounters {
    return this.core.counters;
  }

  /**
   * Adds a destination: prefixes that share their flowlet ratios, and the routes that lead there.
   *
   * @param prefixes - like `192.0.2.0/24`; none may belong to another destination
   * @param pathIds - configured routes, at least one
   * @returns its index
   * @throws PreflexError ERR_INVALID_OPTION; then nothing was added
   */
  addDestination(prefixes: readonly (string | AddressPrefix)[], pathIds: readonly number[]): number {
    const parsed = prefixes.map((prefix) => readPrefix(prefix));
    for (const [i, { version, words, length }] of parsed.entries()) {
      if (this.core.prefixes.valueOf(version, words, length) < 0) continue;
      throw invalidOption('prefixes', prefixes[i], 'a prefix that no other destination has');
    }
    if (pathIds.length === 0) throw invalidOption('pathIds', pathIds, 'one path ID or more');
    let allowed = 0;
    for (const pathId of pathIds) allowed |= 1 << this.slotOf(pathId);
    const destination = this.core.table.add(allowed);
    this.prefixChangeCount++;
    this.core.limiter.reserve(this.core.table.capacity);
    for (const { version, words, length } of parsed)
      this.core.prefixes.insert(version, words, length, destination);
    return destination;
  }

  /** Removes a destination with its prefixes; its index may be given to the next one. */
  removeDestination(destination: number): void {
    this.requireDestination(destination);
    this.core.prefixes.removeAllOf(destination);
    this.prefixChangeCount++;
    this.core.failures.forget(destination);
    this.core.remote.forget(destination);
    this.core.table.remove(destination);
    this.core.meter.forget(destination);
    this.core.turnover?.forget(destination);
    this.core.limiter.reset(destination);
  }

  /** Gives a prefix to a destination, away from the one that has it. Returns that one, -1 for none. */
  addPrefix(destination: number, prefix: string | AddressPrefix): number {
    this.requireDestination(destination);
    const { version, words, length } = readPrefix(prefix);
    this.prefixChangeCount++;
    return this.core.prefixes.insert(version, words, length, destination);
  }

  /** Takes a prefix away from its destination. Returns that, -1 when none had it. */
  removePrefix(prefix: string | AddressPrefix): number {
    const { version, words, length } = readPrefix(prefix);
    this.prefixChangeCount++;
    return this.core.prefixes.remove(version, words, length);
  }

  /** The destination that has exactly this prefix, -1 for none. @throws PreflexError ERR_INVALID_OPTION for no prefix */
  destinationOf(prefix: string | AddressPrefix): number {
    const { version, words, length } = readPrefix(prefix);
    return this.core.prefixes.valueOf(version, words, length);
  }

  /** The prefixes of a destination, in no order; allocates. */
  prefixesOf(destination: number): string[] {
    this.requireDestination(destination);
    return prefixesOf(this.core, destination);
  }

  /** Goes up whenever a prefix comes, goes, or gets another destination. */
  get prefixChanges(): number {
    return this.prefixChangeCount;
  }

  /** Withdraws a route, or brings it back, for all destinations. Costs the same whatever their number. */
  setRouteUp(pathId: number, isUp: boolean): void {
    const slot = this.slotOf(pathId);
    if (!isUp) this.core.failures.withdraw(-1, slot);
    this.core.table.setRouteUp(slot, isUp);
  }

  /**
   * Withdraws a route for one destination, or brings it back; the route is up when it is up here and for all.
   */
  setDestinationRouteUp(destination: number, pathId: number, isUp: boolean): void {
    this.requireDestination(destination);
    const slot = this.slotOf(pathId);
    if (((this.core.table.allowedMask(destination) >>> slot) & 1) === 0) {
      throw invalidOption('pathId', pathId, `a route of destination ${destination}`);
    }
    if (!isUp) this.core.failures.withdraw(destination, slot);
    this.core.table.setDestinationRouteUp(destination, slot, isUp);
  }

  /**
   * Says which of its routes lead to a destination, in one go: those are up for it, its others down. Shares of routes
   * that go are divided over those that stay as these stand to each other; one that comes gets its first share.
   *
   * @param pathIds - those of routes that were given to {@link addDestination}; none takes all down
   */
  setDestinationRoutes(destination: number, pathIds: readonly number[]): void {
    this.requireDestination(destination);
    const allowed = this.core.table.allowedMask(destination);
    let up = 0;
    for (const pathId of pathIds) up |= 1 << this.slotOf(pathId);
    if ((up & ~allowed) !== 0)
      throw invalidOption('pathIds', pathIds, `routes of destination ${destination}`);
    for (let slot = 0; allowed >>> slot !== 0; slot++) {
      if (((allowed & ~up) >>> slot) & 1) this.core.failures.withdraw(destination, slot);
    }
    this.core.table.setDestinationUpMask(destination, up);
  }

  /** The flowlet ratio f_di in force, 0..1; 0 for a route that is down or does not lead there. */
  flowletRatio(destination: number, pathId: number): number {
    this.requireDestination(destination);
    return this.core.table.ratio(destination, this.slotOf(pathId));
  }

  /** Whether the route is suspended for the destination, since the marks say that it failed. */
  isSuspended(destination: number, pathId: number): boolean {
    this.requireDestination(destination);
    return ((this.core.failures.suspensions.maskOf(destination) >>> this.slotOf(pathId)) & 1) === 1;
  }

  /**
   * Decisions about failed routes with their evidence, oldest first; the last 256 are kept.
   *
   * @param since - number of the first event to return; a reader asks for the number after the last it got
   */
  failureEvents(since = 0): readonly FailureEvent[] {
    return this.core.failures.events.since(since);
  }

  /** What there was to decide about failed routes, and how near it came: by `losses` and by `repeats`; allocates. */
  failureEvidence(): Record<EvidenceKind, EvidenceSum> {
    return this.core.failures.sums();
  }

  /**
   * The destination of an address, and which prefix of it that is: the longest that covers the address.
   *
   * @param address - 4 or 16 bytes
   * @returns undefined when no prefix covers it
   */
  findDestination(
    address: Uint8Array,
  ): { readonly destination: number; readonly prefix: string } | undefined {
    const version = address.length === 4 ? 4 : 6;
    const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
    const words = new Int32Array(4);
    for (let i = 0; i < address.length; i += 4) words[i >> 2] = view.getInt32(i);
    for (let length = address.length * 8; length >= 0; length--) {
      if (length < address.length * 8) words[length >> 5] &= ~(1 << (31 - (length & 31)));
      const destination = this.core.prefixes.valueOf(version, words, length);
      if (destination >= 0) return { destination, prefix: formatPrefix({ version, words, length }) };
    }
    return undefined;
  }

  /**
   * What the ratios of a destination were computed from at the end of the last interval, and what each split added;
   * allocates. Computed anew from the figures of that interval, by the balancer that is in force now.
   */
  explainRatios(destination: number): RatioExplanation {
    this.requireDestination(destination);
    return this.round.explain(destination);
  }

  /**
   * What packets of a flow would meet now, without sending them; allocates, and takes about a millisecond a packet.
   *
   * @returns undefined when no destination covers the outside address
   */
  previewFlow(ends: FlowEnds, nowNs: number): FlowPreview[] | undefined {
    const found = this.findDestination(ends.dst);
    return found === undefined ? undefined : previewFlow(this.core, found.destination, ends, nowNs);
  }

  /** The sampled flows of the failure detector, counted by route and destination; allocates. */
  sampledFlows(): SampledRoute[] {
    return sampledRoutes(this.core);
  }

  /** Reports everything; allocates. @param maxDestinations - how many destinations to list, default all */
  status(maxDestinations = Infinity): GatewayStatus {
    return { ...gatewayStatus(this.core, maxDestinations), updateIntervalNs: this.updateIntervalNs };
  }

  /** How many decisions about failed routes there were. */
  failureDecisions(decision: FailureDecision): number {
    return this.core.failures.events.countOf(decision);
  }

  /** How full the tables are; takes a fraction of a millisecond. */
  occupancy(nowNs: number): GatewayOccupancy {
    return gatewayOccupancy(this.core, nowNs);
  }

  /** Reports the routes of one destination, without its prefixes; allocates. */
  destinationRoutes(destination: number): RouteStatus[] {
    this.requireDestination(destination);
    return destinationRoutes(this.core, destination);
  }

  /** Reports one destination; allocates. */
  destinationStatus(destination: number): DestinationStatus {
    this.requireDestination(destination);
    return destinationStatus(this.core, destination);
  }

  /** Begins what is due: the end of an interval, or late figures. Returns whether anything was. */
  private beginRound(nowNs: number): boolean {
    const { clock, round, core } = this;
    const lostBytes = nowNs < clock.atNs ? 0 : this.lostBytes();
    if (nowNs >= clock.atNs && clock.isOver(nowNs, lostBytes)) {
      round.begin(clock.next(nowNs, lostBytes));
      core.remote.ownLengthNs = clock.toldLengthNs;
    } else if (nowNs >= core.remote.dueNs) round.beginLate(core.remote.takeWaiting());
    else return false;
    this.roundAtNs[0] = nowNs;
    return true;
  }

  /** Bytes lost so far over all destinations, as the balancer counts them. */
  private lostBytes(): number {
    const { meter, settings, table } = this.core;
    let bytes = 0;
    for (let slot = 0; slot < table.routeCount; slot++) {
      bytes += meter.routeTotal(slot, METER_LEX_BYTES);
      if (settings.countFneRepeats) bytes += meter.routeTotal(slot, METER_FNE_REPEAT_BYTES);
    }
    return bytes;
  }

  private requireDestination(destination: number): void {
    if (!this.core.table.has(destination)) {
      throw invalidOption('destination', destination, 'the index of a destination that was added');
    }
  }

  private slotOf(pathId: number): number {
    const slot = this.core.table.slotOf[requireInteger('pathId', pathId, 1, 63)];
    if (slot === NO_SLOT) throw invalidOption('pathId', pathId, 'the path ID of a configured route');
    return slot;
  }
}

function readPrefix(prefix: string | AddressPrefix): AddressPrefix {
  return typeof prefix === 'string' ? parsePrefix(prefix) : prefix;
}
