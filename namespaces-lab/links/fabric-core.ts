/**
 * The emulated network without its devices' making and without its timer: packets of a port in, the same packets out
 * of another port when they are due.
 *
 *      port A --\
 *                >-- path (port, destination) --> Link.offer --> delay line ... due --> port C
 *      port B --/                                    |
 *                                          dropped, counted by port and reason
 *
 * A "lane" is one direction of a link: a Link (lib/sim/link.ts) and its delay line. Packets that are due leave in the
 * order of their times, whichever lane they are on.
 */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { Device, PacketBatch } from '../../lib/device/device.ts';
import { Link, LINK_DROP_REASONS, LINK_DROPPED } from '../../lib/sim/link.ts';
import type { LinkOptions } from '../../lib/sim/link.ts';
import { DelayLine, WordBatch } from './delay-line.ts';
import type { DirectionName, DirectionPlan, FabricPlan } from './fabric-plan.ts';
import { lanesOf, resolvePaths } from './fabric-plan.ts';
import { LatenessHistogram } from './lateness.ts';
import { NO_PATH, PathTable } from './path-table.ts';

/** What one port sent into one direction of a link: packets and bytes of IP. */
export interface IngressCounters {
  readonly offeredPackets: number;
  readonly offeredBytes: number;
  readonly droppedPackets: number;
  readonly droppedBytes: number;
}

/** One direction of a link. */
export interface LaneCounters {
  readonly link: string;
  readonly direction: DirectionName;
  readonly isDown: boolean;
  readonly forwardedPackets: number;
  readonly forwardedBytes: number;
  readonly droppedPackets: Readonly<Record<string, number>>;
  readonly droppedBytes: Readonly<Record<string, number>>;
  /** Packets accepted that have not left for their port. */
  readonly heldPackets: number;
  /** By the name of the port that the packets came from; ports that sent nothing are left out. */
  readonly ingress: Readonly<Record<string, IngressCounters>>;
}

/** A port. */
export interface PortCounters {
  readonly readPackets: number;
  readonly readBytes: number;
  readonly writtenPackets: number;
  readonly writtenBytes: number;
  /** Packets that the device refused. */
  readonly refusedPackets: number;
  /** Packets read for which there is no path. */
  readonly noPathPackets: number;
}

/** All counters at one moment. */
export interface FabricCounters {
  readonly lanes: readonly LaneCounters[];
  readonly ports: Readonly<Record<string, PortCounters>>;
}

const OFFERED_PACKETS = 0;
const OFFERED_BYTES = 1;
const DROPPED_PACKETS = 2;
const DROPPED_BYTES = 3;
const INGRESS_FIELDS = 4;
const DEFAULT_MTU = 1500;

interface Lane {
  readonly link: Link;
  readonly line: DelayLine;
  /** Whether packets have to wait; where they need not, none can be late. */
  readonly isTimed: boolean;
  /** INGRESS_FIELDS for each port. */
  readonly ingress: Float64Array;
}

/** Forwards between devices by a plan. */
export class FabricCore {
  readonly lateness = new LatenessHistogram();
  readonly #plan: FabricPlan;
  readonly #devices: readonly Device[];
  readonly #lanes: readonly Lane[];
  readonly #tables: readonly PathTable[];
  readonly #noPath: Float64Array;
  readonly #batches = new Map<PacketBatch, WordBatch>();
  readonly #out = new WordBatch();
  readonly #clock: () => number;

  /**
   * @param devices - one for each port of the plan, in its order
   * @param clock - monotonic ns, the same as the times given to {@link handleBatch}
   * @throws PreflexError ERR_INVALID_OPTION for a plan that does not hold together
   */
  constructor(plan: FabricPlan, devices: readonly Device[], clock: () => number) {
    const paths = resolvePaths(plan);
    this.#plan = plan;
    this.#devices = devices;
    this.#clock = clock;
    this.#tables = plan.ports.map((_, from) => new PathTable(paths.filter((path) => path.from === from)));
    this.#noPath = new Float64Array(plan.ports.length);
    const generator = xoroshiro128plus(plan.seed ?? 1);
    const random = (): number => uniformFloat64(generator);
    const mtu = Math.max(...plan.ports.map((port) => port.mtu ?? DEFAULT_MTU));
    this.#lanes = plan.links
      .flatMap((link) => [link.forward, link.backward])
      .map((direction) => ({
        link: new Link(linkOptions(direction ?? {}, random)),
        line: new DelayLine(mtu),
        isTimed: direction?.rateBitsPerSec !== undefined || (direction?.delayMs ?? 0) > 0,
        ingress: new Float64Array(plan.ports.length * INGRESS_FIELDS),
      }));
  }

  /** Takes what was read from a port. @hotpath */
  handleBatch(port: number, batch: PacketBatch, nowNs: number): void {
    const words = this.#batches.get(batch) ?? this.#addBatch(batch);
    const table = this.#tables[port];
    for (let i = 0; i < batch.count; i++) {
      const path = table.find(batch.view, batch.at[i], batch.length[i]);
      if (path === NO_PATH) {
        this.#noPath[port]++;
        continue;
      }
      const { link, line, ingress } = this.#lanes[table.lanes[path]];
      const bytes = batch.length[i];
      const at = port * INGRESS_FIELDS;
      ingress[at + OFFERED_PACKETS]++;
      ingress[at + OFFERED_BYTES] += bytes;
      const dueNs = link.offer(bytes, nowNs);
      if (dueNs === LINK_DROPPED) {
        ingress[at + DROPPED_PACKETS]++;
        ingress[at + DROPPED_BYTES] += bytes;
      } else {
        line.push(words, i, dueNs, table.outs[path]);
      }
    }
  }

  /** When the next packet is due, ns; Infinity when none is under way. @hotpath */
  pollTimeout(): number {
    let earliest = Infinity;
    for (let lane = 0; lane < this.#lanes.length; lane++) {
      const due = this.#lanes[lane].line.headDueNs();
      if (due < earliest) earliest = due;
    }
    return earliest;
  }

  /**
   * Writes the packets that are due, those that become due meanwhile included.
   *
   * @param limit - packets at most, so that reading gets its turn
   * @returns when the next packet is due, ns; Infinity when none is under way. @hotpath
   */
  release(limit: number): number {
    for (let count = 0; count < limit; count++) {
      let earliest = Infinity;
      let from = 0;
      for (let lane = 0; lane < this.#lanes.length; lane++) {
        const due = this.#lanes[lane].line.headDueNs();
        if (due < earliest) {
          earliest = due;
          from = lane;
        }
      }
      const lateNs = this.#clock() - earliest;
      // Infinity when no packet is under way.
      if (!(lateNs >= 0)) return earliest;
      const { line, isTimed } = this.#lanes[from];
      const out = line.headOut();
      line.shiftInto(this.#out);
      if (isTimed) this.lateness.add(lateNs);
      this.#devices[out].write(this.#out.batch, 0);
    }
    return this.pollTimeout();
  }

  /** Loses everything that is offered to a direction of a link from now on, or no more. @throws PreflexError */
  setDown(link: string, direction: DirectionName | 'both', isDown: boolean): void {
    for (const lane of lanesOf(this.#plan, link, direction)) this.#lanes[lane].link.isBlackhole = isDown;
  }

  /** All counters now. */
  counters(): FabricCounters {
    return {
      lanes: this.#lanes.map((lane, index) => this.#laneCounters(lane, index)),
      ports: Object.fromEntries(
        this.#plan.ports.map(({ name }, port) => {
          const { stats } = this.#devices[port];
          return [
            name,
            {
              readPackets: stats.packetsRead,
              readBytes: stats.bytesRead,
              writtenPackets: stats.packetsWritten,
              writtenBytes: stats.bytesWritten,
              refusedPackets: stats.packetsRefused,
              noPathPackets: this.#noPath[port],
            },
          ];
        }),
      ),
    };
  }

  #laneCounters({ link, line, ingress }: Lane, index: number): LaneCounters {
    const byReason = (counts: Float64Array): Record<string, number> =>
      Object.fromEntries(LINK_DROP_REASONS.map((reason, i) => [reason, counts[i]]));
    const ports = this.#plan.ports
      .map(({ name }, port) => [name, ingress.subarray(port * INGRESS_FIELDS)] as const)
      .filter(([, counts]) => counts[OFFERED_PACKETS] > 0);
    return {
      link: this.#plan.links[index >> 1].name,
      direction: (index & 1) === 0 ? 'forward' : 'backward',
      isDown: link.isBlackhole,
      forwardedPackets: link.forwardedPackets,
      forwardedBytes: link.forwardedBytes,
      droppedPackets: byReason(link.droppedPackets),
      droppedBytes: byReason(link.droppedBytes),
      heldPackets: line.size,
      ingress: Object.fromEntries(
        ports.map(([name, counts]) => [
          name,
          {
            offeredPackets: counts[OFFERED_PACKETS],
            offeredBytes: counts[OFFERED_BYTES],
            droppedPackets: counts[DROPPED_PACKETS],
            droppedBytes: counts[DROPPED_BYTES],
          },
        ]),
      ),
    };
  }

  #addBatch(batch: PacketBatch): WordBatch {
    const words = new WordBatch(batch);
    this.#batches.set(batch, words);
    return words;
  }
}

function linkOptions(plan: DirectionPlan, random: () => number): LinkOptions {
  return {
    rateBitsPerSec: plan.rateBitsPerSec ?? Infinity,
    delayNs: (plan.delayMs ?? 0) * 1e6,
    queuePackets: plan.queuePackets ?? Infinity,
    loss: plan.loss ?? 0,
    random,
  };
}

/**
 * Whether no packet went missing inside: what the ports read is what was offered or had no path, what was accepted was
 * written, refused or is still held. Returns what does not add up, a sentence each.
 */
export function conservationFaults({ lanes, ports }: FabricCounters): string[] {
  const faults: string[] = [];
  const check = (what: string, left: number, right: number): void => {
    if (left !== right) faults.push(`${what}: ${left} and ${right} packets`);
  };
  for (const [name, port] of Object.entries(ports)) {
    const offered = lanes.reduce((sum, lane) => sum + (lane.ingress[name]?.offeredPackets ?? 0), 0);
    check(
      `port ${name}, read against offered or without path`,
      port.readPackets,
      offered + port.noPathPackets,
    );
  }
  let accepted = 0;
  let held = 0;
  for (const lane of lanes) {
    const ingress = Object.values(lane.ingress);
    const dropped = Object.values(lane.droppedPackets).reduce((sum, count) => sum + count, 0);
    check(
      `${lane.link} ${lane.direction}, offered against forwarded or dropped`,
      ingress.reduce((sum, { offeredPackets }) => sum + offeredPackets, 0),
      lane.forwardedPackets + dropped,
    );
    check(
      `${lane.link} ${lane.direction}, dropped by port against dropped by reason`,
      ingress.reduce((sum, { droppedPackets }) => sum + droppedPackets, 0),
      dropped,
    );
    accepted += lane.forwardedPackets;
    held += lane.heldPackets;
  }
  const left = Object.values(ports).reduce((sum, port) => sum + port.writtenPackets + port.refusedPackets, 0);
  check('accepted by links against written, refused or held', accepted, left + held);
  return faults;
}
