/**
 * Keeps a gateway and its programs alike: what the gateway decides goes into the maps, what the programs count and
 * report comes out of them.
 *
 * ```
 *   PrefGateway                                 maps
 *     ratios, routes, suspensions  ---flush-->  destinations, prefixes     after each change, within 20 ms
 *     routes up, limits, neighbours --------->  settings                   at once
 *     T_di, L_di                   <--read----  meters                     every 100 ms, and before an interval ends
 *     counters                     <----------  counters                   every 100 ms, and when they are asked for
 *     detector of failures         <----------  reports                    as they come
 * ```
 *
 * The programs go on when this stops: with what they were told last.
 */
import type { DatapathPort } from '../pref/datapath-port.ts';
import type { PrefGateway } from '../pref/gateway.ts';
import type { FlowEnds } from '../pref/preview.ts';
import { clockOriginNs } from '../sys/clock.ts';
import type { GatewayPrograms } from './gateway-programs.ts';
import type { GatewayTraffic } from './gateway-settings.ts';
import { EarlierState } from './gateway-takeover.ts';
import { KernelDestinations } from './kernel-destinations.ts';
import type { InsidePrefixes } from './kernel-inside.ts';
import { KernelInside } from './kernel-inside.ts';
import { MeterReader } from './meter-reader.ts';
import { ReportReader } from './report-reader.ts';

const TURN_NS = 100e6;
const NS_PER_MS = 1e6;
/** How often prefixes that found no room are tried again. */
const RETRY_NS = 10e9;
/** Destinations whose meters are read in a turn; of more, each in its turn. */
const METERS_A_TURN = 4096;
/** Destinations written in one go. */
const WRITES_A_TURN = 4096;

/** Between one gateway and its programs. */
export class GatewaySync {
  readonly destinations: KernelDestinations;
  readonly #gateway: PrefGateway;
  readonly #port: DatapathPort;
  readonly #programs: GatewayPrograms;
  readonly #traffic: GatewayTraffic;
  readonly #meters: MeterReader;
  readonly #reports: ReportReader;
  readonly #inside: KernelInside;
  #upMask = -1;
  #suspendedAtNs: number | undefined;
  #nextEvent = 0;
  #reportsLost = 0;
  #redirected = 0;
  #redirectUntilNs: number | undefined;
  #turnAtNs = 0;
  #retryAtNs = 0;

  /**
   * @param port - of the gateway
   * @param programs - loaded with its settings
   * @param traffic - what of it stays: marks and tables
   * @param isTakenOver - whether the maps are those of an earlier process
   */
  constructor(
    gateway: PrefGateway,
    port: DatapathPort,
    programs: GatewayPrograms,
    traffic: GatewayTraffic,
    isTakenOver: boolean,
  ) {
    this.#gateway = gateway;
    this.#port = port;
    this.#programs = programs;
    this.#traffic = traffic;
    this.#meters = new MeterReader(port, programs);
    this.#inside = new KernelInside(programs);
    port.useMemory((nowNs) =>
      programs.memorySize((nowNs + clockOriginNs) / NS_PER_MS, port.settings.fneMemoryLifetimeNs / NS_PER_MS),
    );
    const earlier = isTakenOver ? new EarlierState(programs) : undefined;
    this.destinations = new KernelDestinations(gateway, port, programs, this.#meters, earlier);
    this.#reports = new ReportReader(port, programs, this.destinations, () => {
      this.#followDecisions();
      this.destinations.flush(WRITES_A_TURN);
    });
  }

  /** Reports of flows that the programs made and had no room for: evidence that was never seen. */
  get reportsLost(): number {
    return this.#reportsLost;
  }

  /** Packets that the programs sent by their routes themselves, as of the last reading. */
  get redirected(): number {
    return this.#redirected;
  }

  /** Reports of flows that were read. */
  get reports(): number {
    return this.#reports.reports;
  }

  /** Writes everything for the first time, once all destinations were added. */
  begin(): void {
    this.destinations.finishTakeover();
    this.applySettings();
    // What goes makes room.
    while (this.destinations.isPending) this.destinations.flush();
    this.readCounters();
  }

  /**
   * Says what is inside; what was and is not any more is forgotten.
   *
   * @throws SystemError when the kernel takes no more; the next call goes on from there
   */
  setInside(prefixes: InsidePrefixes): void {
    this.#inside.set(prefixes);
  }

  /** Puts routes that went down or came up, limits, neighbours and rules of failures in force, at once. */
  applySettings(): void {
    const { upMask } = this.#port;
    const isChanged = upMask !== this.#upMask;
    this.#upMask = upMask;
    // One write takes a route away from all destinations; their masks and weights follow.
    this.#writeSettings();
    if (isChanged) this.destinations.noteAll();
  }

  /**
   * Lets the programs send packets by their routes themselves, from now on, if they were given tables for that.
   *
   * @param untilNs - for how long, as `nowNs` of sys/clock.ts counts; 0: not any more
   */
  redirectUntil(untilNs: number): void {
    this.#redirectUntilNs = untilNs === 0 ? 0 : Math.round(untilNs + clockOriginNs);
    this.#writeSettings();
  }

  /** The same after other limits came into force, whose buckets are full. */
  applyPolicy(): void {
    this.applySettings();
    this.#programs.fillBuckets(this.destinations.size);
  }

  /** When {@link handleTimeout} has work, ns. */
  pollTimeout(): number {
    if (this.destinations.isPending) return 0;
    return Math.min(this.#turnAtNs, this.#gateway.pollTimeout());
  }

  /** Reads what is due, lets the gateway compute what is due, writes what changed. */
  handleTimeout(nowNs: number): void {
    // All: who waits for an answer is judged by the time after this, and must not wait for its report to be read.
    this.#reports.takeAll();
    this.#reports.sweep(nowNs);
    if (nowNs >= this.#gateway.pollTimeout()) {
      if (nowNs >= this.#gateway.pollUpdate()) this.readMeters();
      this.#gateway.handleTimeout(nowNs);
    } else if (nowNs >= this.#turnAtNs) {
      this.#meters.readSome(this.destinations.size, METERS_A_TURN, this.destinations);
    }
    if (nowNs >= this.#turnAtNs) {
      this.#turnAtNs = nowNs + TURN_NS;
      this.readCounters();
      if (nowNs >= this.#retryAtNs) {
        this.#retryAtNs = nowNs + RETRY_NS;
        this.destinations.retryWithoutRoom();
      }
      // No packet starts its clock.
      if (this.#gateway.pollTimeout() === Infinity && this.#hasTraffic()) this.#gateway.handleTimeout(nowNs);
    }
    this.#followDecisions();
    this.destinations.flush(WRITES_A_TURN);
  }

  /** Reads all meters now. */
  readMeters(): void {
    this.#meters.read(0, this.destinations.size, this.destinations);
  }

  /** Reads the counters now. */
  readCounters(): void {
    const { pref, reportsLost, redirected } = this.#programs.counters();
    this.#port.setCounters(pref);
    if (reportsLost > this.#reportsLost) this.#port.forgetSending();
    this.#reportsLost = reportsLost;
    this.#redirected = redirected;
  }

  /** Reads all that is shown; what was changed just before is in force then, as far as a turn writes it. */
  refresh(): void {
    this.#followDecisions();
    this.destinations.flush(WRITES_A_TURN);
    this.readMeters();
    this.readCounters();
  }

  /** Brings what the programs know of a flow and its destination to the gateway, for a preview of its packets. */
  readFlow(destination: number, ends: FlowEnds, nowNs: number): void {
    const index = this.destinations.indexOf(destination);
    if (index < 0) return;
    this.#port.setCredits(destination, this.#programs.creditsOf(index));
    const [h1, h2] = this.#port.flowHashOf(ends);
    const remembered = this.#programs.memoryOf(h1, h2);
    const ageMs =
      remembered === undefined ? 0 : (((nowNs + clockOriginNs) / NS_PER_MS) | 0) - remembered.timeMs;
    this.#port.setMemory(h1, h2, 0, nowNs);
    if (remembered !== undefined)
      this.#port.setMemory(h1, h2, remembered.meta, nowNs - (ageMs | 0) * NS_PER_MS);
  }

  /** Stops; the programs go on. What the gateway decided last is written, what was counted is read. */
  close(): void {
    try {
      this.destinations.flush();
      this.refresh();
    } finally {
      this.abandon();
    }
  }

  /** Stops at once, whatever state it is in. The programs may be closed then, not before: their reports are polled. */
  abandon(): void {
    this.#reports.close();
  }

  #hasTraffic(): boolean {
    const { inboundPackets, outboundPackets } = this.#gateway.counters;
    return inboundPackets + outboundPackets > 0;
  }

  /** Takes up decisions about failed routes. */
  #followDecisions(): void {
    let isNew = false;
    for (const event of this.#port.failureEvents(this.#nextEvent)) {
      this.#nextEvent = event.number + 1;
      if (event.decision !== 'suspended') continue;
      isNew = true;
      this.#suspendedAtNs = event.timeNs + clockOriginNs;
      const index = this.destinations.indexOf(event.destination);
      if (index >= 0) this.#reports.forgetProbes(index, this.#port.slotOf(event.pathId));
    }
    if (isNew) this.#writeSettings();
  }

  #writeSettings(): void {
    const traffic: GatewayTraffic = {
      ...this.#traffic,
      upMask: this.#upMask,
      measuresTurnover: this.#port.measuresTurnover,
      ...(this.#redirectUntilNs === undefined ? {} : { redirectUntilNs: this.#redirectUntilNs }),
      ...(this.#suspendedAtNs === undefined ? {} : { suspendedAtNs: this.#suspendedAtNs }),
    };
    this.#programs.configure(this.#port.settings, traffic);
  }
}
