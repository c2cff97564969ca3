/** What the steps of the gateway share: the tables, the memory, the counters, and the packet in hand. */

import { PacketView } from '../wire/packet-view.ts';
import { FailureDetector } from './failure-detector.ts';
import { FlowHash } from './flow-hash.ts';
import { FneLimiter } from './fne-limiter.ts';
import { FneMemory } from './fne-memory.ts';
import type { Balancer } from './balancers/balancer.ts';
import type { GatewaySettings, PolicySettings } from './gateway-options.ts';
import { Meter } from './meter.ts';
import { Placements } from './placements.ts';
import { PrefixTable } from './prefix-table.ts';
import { EVENT_MEMORY_EVICTION, GatewayCounters } from './reasons.ts';
import { RemoteFigures } from './remote-figures.ts';
import { RouteTable } from './route-table.ts';
import { Selector } from './selector.ts';
import { TurnoverMeter } from './turnover.ts';

const IPV4_SRC = 12;
const IPV4_DST = 16;
const IPV6_SRC = 8;
const IPV6_DST = 24;

/** The gateway's parts. */
export class GatewayCore {
  readonly packet = new PacketView();
  readonly prefixes = new PrefixTable();
  readonly counters = new GatewayCounters();
  readonly flowHash: FlowHash;
  readonly table: RouteTable;
  readonly selector: Selector;
  readonly meter: Meter;
  readonly memory: FneMemory;
  readonly limiter: FneLimiter;
  readonly failures: FailureDetector;
  /** How many FNE packets a datapath elsewhere remembers; undefined when packets pass here. */
  sizeOfMemory: ((nowNs: number) => number) | undefined;
  /** Only with a route that has NAT. */
  readonly placements: Placements | undefined;
  /** Slots with NAT that the packet in hand may not be given, since its flow runs already. */
  barred = 0;
  /** Of other gateways of the domain. */
  readonly remote: RemoteFigures;
  /** Only while the balancer sets the interval. */
  turnover: TurnoverMeter | undefined;
  balancer: Balancer;
  settings: GatewaySettings;
  readonly decodeTable: Uint8Array;
  readonly encodeTable: Uint8Array;
  readonly assignmentCodepoint: number;
  readonly inferFromSyn: boolean;
  readonly inferFromAnswer: boolean;
  readonly isNotLectHashed: boolean;
  /** By path ID, 0 = default route: 1 when the neighbour there takes LEX codepoints. */
  readonly isExposed = new Uint8Array(64);
  /** Reason of the packet in hand, of the last one between calls. */
  reason = 0;

  constructor(settings: GatewaySettings) {
    const { routes, scheme, startShare } = settings;
    this.settings = settings;
    this.balancer = settings.balancer;
    this.decodeTable = scheme.decodeTable;
    this.encodeTable = scheme.encodeTable;
    this.assignmentCodepoint = scheme.assignmentCodepoint;
    this.inferFromSyn = settings.inferFromSyn;
    this.inferFromAnswer = settings.inferFromAnswer;
    this.isNotLectHashed = settings.isNotLectHashed;
    this.flowHash = new FlowHash(settings.seed);
    this.table = new RouteTable(
      routes.map((route) => route.pathId),
      // 0 would leave the route unused for ever.
      (upCount) => (startShare === 'probe' && this.balancer.probeShare(upCount)) || 1 / upCount,
      settings.seed | 0,
    );
    this.selector = new Selector(this.table);
    this.meter = new Meter(this.table);
    this.memory = new FneMemory(settings.fneMemoryEntries, settings.fneMemoryLifetimeNs);
    this.limiter = new FneLimiter(settings.fneLimits);
    this.failures = new FailureDetector(settings.failures, this.table, (routeCount) =>
      this.balancer.probeShare(routeCount),
    );
    this.remote = new RemoteFigures(this.table, settings.countFneRepeats, settings.updateIntervalNs);
    let natMask = 0;
    for (const [slot, route] of routes.entries()) if (route.nat === true) natMask |= 1 << slot;
    this.placements = natMask === 0 ? undefined : new Placements(natMask);
    this.useBalancer(settings.balancer);
    this.expose(settings.exposeTo);
  }

  /** Puts limits, neighbours and rules of inferring failures in force. */
  usePolicy(policy: PolicySettings): void {
    const failures = { ...this.settings.failures, ...policy.failures };
    this.settings = { ...this.settings, ...policy, failures };
    this.expose(policy.exposeTo);
    this.limiter.configure(policy.fneLimits);
    this.failures.configure(policy.failures);
  }

  private expose(pathIds: readonly number[]): void {
    this.isExposed.fill(0);
    for (const pathId of pathIds) this.isExposed[pathId] = 1;
  }

  /** Puts a balancer in force. */
  useBalancer(balancer: Balancer): void {
    this.balancer = balancer;
    if (balancer.wantedIntervalNs === undefined) this.turnover = undefined;
    else this.turnover ??= new TurnoverMeter();
  }

  /** Counts a flowlet, of the flow whose hash is in `flowHash`, that the route was chosen for. @hotpath */
  beginFlowlet(destination: number, slot: number): void {
    this.meter.addFlowlet(destination, slot);
    if (this.turnover !== undefined) this.turnover.noteFlowlet(this.flowHash.h1);
  }

  /** Remembers the FNE packet whose hash is in `flowHash`. @hotpath */
  rememberFne(state: number, slot: number, tried: number, nowNs: number): void {
    const { h1, h2 } = this.flowHash;
    if (this.memory.put(h1, h2, state, slot, tried, nowNs)) this.counters.events[EVENT_MEMORY_EVICTION]++;
  }

  /** The destination that the packet in hand is sent to, -1 when no prefix covers it. @hotpath */
  destinationOfDst(view: DataView): number {
    const packet = this.packet;
    return packet.version === 4
      ? this.prefixes.lookup4(view.getInt32(packet.at + IPV4_DST))
      : this.prefixes.lookup6(view, packet.at + IPV6_DST);
  }

  /**
   * The destination that an answer to the packet in hand would be sent to, -1 when no prefix covers it.
   * @hotpath
   */
  destinationOfSrc(view: DataView): number {
    const packet = this.packet;
    return packet.version === 4
      ? this.prefixes.lookup4(view.getInt32(packet.at + IPV4_SRC))
      : this.prefixes.lookup6(view, packet.at + IPV6_SRC);
  }
}
