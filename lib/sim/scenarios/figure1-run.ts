/**
 * A scenario of Figure 1 in virtual time: the network, its traffic and its failures, and what came of them, as data. The
 * sizes of the transfers are those that the laboratory draws for the same seed.
 */
import { requireInteger } from '../../errors.ts';
import { reportLexCounters } from '../../lex/counters.ts';
import type { LexCounterReport } from '../../lex/counters.ts';
import type { GatewayStatus } from '../../pref/gateway-status.ts';
import { DownloadLoop } from '../apps/download-loop.ts';
import type { Carrier } from '../carrier.ts';
import { Network } from '../network.ts';
import type { Conservation } from '../network.ts';
import { RandomStreams } from '../random.ts';
import { FIGURE1 } from './figure1-places.ts';
import { figure1Topology } from './figure1-topology.ts';
import type { Interval, FlowRecord } from './records.ts';
import type { Betas } from '../../pref/balancers/strategies.ts';
import { balancerOf } from '../../pref/balancers/strategies.ts';
import { betasOf } from './scenario.ts';
import type { Figure1Scenario, LinkChange } from './scenario.ts';
import { requireSchedule } from './schedule.ts';
import type { FlowSchedule } from './schedule.ts';
import { PAPER_SIZES } from './sizes.ts';
import type { SizeModel } from './sizes.ts';

/** Options of {@link runFigure1}. */
export interface Figure1RunOptions {
  /** Of sizes and initial sequence numbers, an int32; default 1. */
  readonly seed?: number;
  /** Weights; default those of the scenario's mode. */
  readonly betas?: Betas;
  /** Told of each update interval. */
  readonly onInterval?: (interval: Interval) => void;
}

/** Transfers from one domain to another. */
export interface Figure1Class {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly size: SizeModel;
  readonly concurrent: FlowSchedule;
}

/** What P sent into a bottleneck after the warm-up, and what the bottleneck dropped of it. */
export interface RouteTruth {
  readonly offeredBytes: number;
  readonly droppedBytes: number;
}

/** What a run leaves behind. */
export interface Figure1Record {
  readonly scenario: Figure1Scenario;
  readonly betas: Betas;
  readonly seed: number;
  readonly intervals: readonly Interval[];
  readonly transfers: readonly FlowRecord[];
  readonly classes: readonly Figure1Class[];
  readonly truths: Readonly<Record<string, RouteTruth>>;
  /** The marks of the source behind P. */
  readonly host: LexCounterReport;
  readonly gateway: GatewayStatus;
  /** Payload bytes that the source behind P sent again. */
  readonly retransmittedBytes: number;
  readonly conservation: Conservation;
  /** Packets dropped at nodes by reason, for all nodes: there must be none. */
  readonly nodeDrops: number;
  readonly events: number;
}

const NS_PER_S = 1e9;
/** The first of the ports that sources listen on; a class has one of its own. */
const FIRST_PORT = 9000;
const SRC = 12;
/** The network's own chance is another one than that of the sizes. */
const NETWORK_SEED = 0x6e657477;
const P = FIGURE1.ingresses[2];

/**
 * Runs a scenario.
 *
 * @throws PreflexError for a seed, weights or schedules that are none
 */
export function runFigure1(scenario: Figure1Scenario, options: Figure1RunOptions = {}): Figure1Record {
  const run = new Figure1Run(scenario, options);
  const { seconds, warmUpSeconds } = scenario;
  run.runUntil(Math.min(warmUpSeconds, seconds), options.onInterval);
  const warm = run.truths();
  run.runUntil(seconds, options.onInterval);
  const end = run.truths();
  const truths = Object.fromEntries(
    Object.entries(end).map(([name, { offeredBytes, droppedBytes }]) => [
      name,
      {
        offeredBytes: offeredBytes - warm[name].offeredBytes,
        droppedBytes: droppedBytes - warm[name].droppedBytes,
      },
    ]),
  );
  return run.record(truths);
}

/** A bottleneck with what P sends into it. */
interface Place {
  readonly name: string;
  /** From the gateway. */
  readonly access: Carrier;
  readonly bottleneck: Carrier;
  readonly rateBitsPerSec: number;
  droppedBytes: number;
}

/** Counters at the end of an interval. */
interface Mark {
  readonly ns: number;
  readonly places: readonly {
    readonly offered: number;
    readonly dropped: number;
    readonly forwarded: number;
  }[];
}

/** A scenario under way. */
export class Figure1Run {
  readonly network: Network;
  readonly intervals: Interval[] = [];
  readonly transfers: FlowRecord[] = [];
  readonly classes: readonly Figure1Class[];
  readonly #scenario: Figure1Scenario;
  readonly #betas: Betas;
  readonly #seed: number;
  readonly #loops: readonly DownloadLoop[];
  readonly #places: readonly Place[];
  #mark: Mark;

  /** @throws PreflexError for a seed, weights or schedules that are none */
  constructor(scenario: Figure1Scenario, options: Figure1RunOptions = {}) {
    this.#scenario = scenario;
    this.#betas = options.betas ?? betasOf(scenario);
    this.#seed = requireInteger('seed', options.seed ?? 1, -(2 ** 31), 2 ** 31 - 1);
    const topology = figure1Topology({
      ratesBitsPerSec: scenario.ratesBitsPerSec,
      gateway: {
        balancer: balancerOf(scenario.mode, this.#betas),
        updateIntervalNs: scenario.intervalSeconds * NS_PER_S,
        // `equal` is the gateway that learns nothing: it does not infer failures either.
        inferFailures: scenario.mode !== 'equal',
      },
    });
    this.network = new Network(topology, this.#seed ^ NETWORK_SEED);
    const sizes = new RandomStreams(this.#seed);
    const pairs = FIGURE1.ingresses.flatMap((ingress) =>
      FIGURE1.egresses.map((egress) => ({ ingress, egress, name: `${ingress.name}>${egress.name}` })),
    );
    this.classes = pairs.map(({ ingress, name }, i) => ({
      name,
      address: ingress.address,
      port: FIRST_PORT + i,
      size: scenario.sizes ?? PAPER_SIZES,
      concurrent: requireSchedule(name, scenario.flows[name] ?? [{ fromSeconds: 0, flows: 0 }]),
    }));
    this.#loops = pairs.map(({ ingress, egress, name }, i) => {
      const { port, size, concurrent } = this.classes[i];
      return new DownloadLoop({
        name,
        client: this.network.host(egress.name).stack,
        source: this.network.host(ingress.host).stack,
        port,
        size,
        random: sizes.next(),
        schedule: concurrent,
        at: (timeNs, action) => this.network.at(timeNs, action),
        onRecord: (record) => this.transfers.push(record),
      });
    });
    this.#places = FIGURE1.routes.map(({ name, link }, i) => this.#place(name, link, i));
    for (const change of scenario.changes) {
      this.network.at(change.atSeconds * NS_PER_S, () => this.#change(change));
    }
    this.#mark = this.#counters();
  }

  /** Runs until that time, and adds a row for each update interval that ends meanwhile. */
  runUntil(seconds: number, onInterval?: (interval: Interval) => void): void {
    const { intervalSeconds } = this.#scenario;
    for (;;) {
      const end = (this.intervals.length + 1) * intervalSeconds;
      if (end > seconds + 1e-9) break;
      this.network.run(end * NS_PER_S);
      this.#addInterval(end);
      onInterval?.(this.intervals[this.intervals.length - 1]);
    }
    this.network.run(seconds * NS_PER_S);
  }

  /** What P sent into each bottleneck so far, and what was dropped of it there. */
  truths(): Record<string, RouteTruth> {
    return Object.fromEntries(
      this.#places.map(({ name, access, droppedBytes }) => [
        name,
        { offeredBytes: access.link.forwardedBytes, droppedBytes },
      ]),
    );
  }

  /** Ends the traffic and sums up. */
  record(truths: Readonly<Record<string, RouteTruth>>): Figure1Record {
    for (const loop of this.#loops) loop.finish();
    const { lex, stack } = this.network.host(P.host);
    return {
      scenario: this.#scenario,
      betas: this.#betas,
      seed: this.#seed,
      intervals: this.intervals,
      transfers: this.transfers,
      classes: this.classes,
      truths,
      host: reportLexCounters(lex!.counters),
      gateway: this.network.gateway(P.name).gateway.status(),
      retransmittedBytes: stack.totals.retransmittedBytes,
      conservation: this.network.conservation(),
      nodeDrops: this.network.nodes.reduce(
        (sum, node) => node.droppedPackets.reduce((total, packets) => total + packets, sum),
        0,
      ),
      events: this.network.queue.taken,
    };
  }

  #place(name: string, link: string, i: number): Place {
    const [access] = this.network.link(name);
    const [bottleneck] = this.network.link(link);
    const place: Place = {
      name,
      access,
      bottleneck,
      rateBitsPerSec: this.#scenario.ratesBitsPerSec[i],
      droppedBytes: 0,
    };
    const { addr } = this.network.host(P.host);
    bottleneck.dropWatch = (view, at, bytes) => {
      if (view.getInt32(at + SRC) === addr) place.droppedBytes += bytes;
    };
    return place;
  }

  #change({ link, direction, isDown }: LinkChange): void {
    const [forward, back] = this.network.link(link);
    if (direction !== 'backward') forward.link.isBlackhole = isDown;
    if (direction !== 'forward') back.link.isBlackhole = isDown;
  }

  #counters(): Mark {
    return {
      ns: this.network.nowNs,
      places: this.#places.map(({ access, bottleneck, droppedBytes }) => ({
        offered: access.link.forwardedBytes,
        dropped: droppedBytes,
        forwarded: bottleneck.link.forwardedBytes,
      })),
    };
  }

  #addInterval(t: number): void {
    const before = this.#mark;
    const now = this.#counters();
    const status = this.network.gateway(P.name).gateway.status();
    const destinations = status.destinations.map(({ routes }, i) => ({
      name: FIGURE1.egresses[i].name,
      routes: routes.map(({ name, bytes, lexBytes, fneRepeatBytes, lossRatio, flowletRatio, flowlets }) => ({
        name,
        bytes,
        lexBytes,
        fneRepeatBytes,
        lossRatio,
        flowletRatio,
        flowlets,
      })),
    }));
    const bytesOf = ({ routes }: (typeof destinations)[number]): number =>
      routes.reduce((sum, { bytes }) => sum + bytes, 0);
    const busiest = destinations.reduce((most, next) => (bytesOf(next) > bytesOf(most) ? next : most));
    this.intervals.push({
      t: Math.round(t * 1000) / 1000,
      routes: this.#places.map(({ name, rateBitsPerSec }, i) => {
        const route = status.routes.find((candidate) => candidate.name === name)!;
        const offered = now.places[i].offered - before.places[i].offered;
        const dropped = now.places[i].dropped - before.places[i].dropped;
        const bits = (now.places[i].forwarded - before.places[i].forwarded) * 8;
        return {
          name,
          up: route.up,
          bytes: route.bytes,
          lexBytes: route.lexBytes,
          fneRepeatBytes: route.fneRepeatBytes,
          lossRatio: route.lossRatio,
          trueDropRatio: offered === 0 ? 0 : dropped / offered,
          flowletRatio: busiest.routes.find((candidate) => candidate.name === name)?.flowletRatio ?? 0,
          flowlets: route.flowlets,
          utilisation: (bits * NS_PER_S) / (rateBitsPerSec * (now.ns - before.ns)),
        };
      }),
      destinations,
    });
    this.#mark = now;
  }
}
