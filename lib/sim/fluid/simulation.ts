/**
 * The fluid simulation: flows as rates, on the topologies of the packet simulator, with the gateways' own balancing code.
 * For numbers of flows that packets are too many for; docs/fluid.md has the model and where it falls short.
 *
 *      step:  windows -> arrivals at links -> drops, queues, prices -> windows of the next step
 *                                          -> bytes delivered to flows -> some end, others begin (gateway picks a route)
 *      update interval:  T_i, L_i of all routes -> meter -> balancer -> flowlet ratios
 *
 * The same topology, loads, options and seed give the same run to the last bit.
 */
import { invalidOption, rejectUnknownKeys, requireNumber } from '../../errors.ts';
import { RandomStreams } from '../random.ts';
import type { RandomStream } from '../random.ts';
import type { Topology } from '../topology.ts';
import { Flows } from './flows.ts';
import type { FluidLinkReport } from './links.ts';
import { Classes } from './loads.ts';
import type { FluidLoad } from './loads.ts';
import { poisson } from './poisson.ts';
import { Rates } from './rates.ts';
import { PACKET_BYTES } from './tcp-model.ts';
import { UpdateLog } from './update-log.ts';
import type { FluidInterval } from './update-log.ts';

/** Options of a {@link FluidSimulation}. */
export interface FluidOptions {
  /** Length of a step in s, 0.005 to 1; default 0.1. */
  readonly stepS?: number;
  /** Congestion control of all flows, `cubic` (default) or `newreno`. */
  readonly congestionControl?: 'cubic' | 'newreno';
  /** Weibull shape of the sizes, 0.1 to 100; default 0.5, the paper's. */
  readonly shape?: number;
  /** Weibull scale of the sizes in bytes, 1 to 1e12; default 1e6, the paper's. */
  readonly scaleBytes?: number;
  /** The first flows begin at random times within this, s, 0 to 3600; default 2. */
  readonly spreadS?: number;
  /**
   * Whether a gateway sees lost packets, which are whole and come by chance (Poisson), instead of the expected share of
   * bytes; default true.
   */
  readonly sampleLosses?: boolean;
  /** Whether the gateways' update intervals begin spread over an interval instead of all at 0; default false. */
  readonly staggerUpdates?: boolean;
}

/** One route of a load since the measurement began. */
export interface FluidRouteReport {
  readonly from: string;
  readonly to: string;
  /** Name of the gateway, '' for none. */
  readonly gateway: string;
  /** 0 without gateway. */
  readonly pathId: number;
  /** T_i, bytes of IP packets sent. */
  readonly bytes: number;
  /** 0..1. */
  readonly lossRatio: number;
  /** Now, 0..1. */
  readonly flowletRatio: number;
  /** Flows now. */
  readonly flows: number;
}

/** The state of a fluid simulation as plain data. Bytes and flows since the measurement began. */
export interface FluidReport {
  readonly nowS: number;
  readonly flows: {
    readonly running: number;
    readonly started: number;
    readonly completed: number;
    /** s */
    readonly completionTime: { readonly p50: number; readonly p90: number; readonly p99: number };
  };
  /** In bytes of IP packets: sent = delivered + dropped but for rounding. What is in a queue counts as delivered. */
  readonly conservation: {
    readonly sentBytes: number;
    readonly deliveredBytes: number;
    readonly droppedBytes: number;
    /** The largest imbalance of a link: arrived - dropped - carried - growth of its queue. */
    readonly worstLinkBytes: number;
  };
  readonly intervals: readonly FluidInterval[];
  readonly links: readonly FluidLinkReport[];
}

const KNOWN: readonly (keyof FluidOptions)[] = [
  'stepS',
  'congestionControl',
  'shape',
  'scaleBytes',
  'spreadS',
  'sampleLosses',
  'staggerUpdates',
];
/** Slack in comparing times that are sums of steps, s. */
const EPSILON_S = 1e-9;

/** A fluid simulation. */
export class FluidSimulation {
  readonly #classes: Classes;
  readonly #flows: Flows;
  readonly #rates: Rates;
  readonly #log: UpdateLog;
  readonly #stepS: number;
  readonly #isSampled: boolean;
  readonly #isClosed: Uint8Array;
  readonly #openLoads: readonly number[];
  readonly #arrivals: RandomStream;
  readonly #samples: RandomStream;
  readonly #nextUpdateS: Float64Array;
  #steps = 0;
  #measuredFromS = 0;
  #measuredStarted = 0;
  #measuredCompleted = 0;

  /**
   * @param topology - with `routing: 'listed'`, drop-tail queues, and one PREFLEX gateway on a way at most
   * @param seed - an int32
   * @throws PreflexError naming the option, its value and the allowed range
   */
  constructor(topology: Topology, loads: readonly FluidLoad[], seed: number, options: FluidOptions = {}) {
    rejectUnknownKeys('fluid', options, KNOWN);
    this.#stepS = requireNumber('fluid.stepS', options.stepS ?? 0.1, 0.005, 1);
    const congestionControl = options.congestionControl ?? 'cubic';
    if (congestionControl !== 'cubic' && congestionControl !== 'newreno') {
      throw invalidOption('fluid.congestionControl', congestionControl, 'cubic or newreno');
    }
    this.#isSampled = options.sampleLosses ?? true;
    const spreadS = requireNumber('fluid.spreadS', options.spreadS ?? 2, 0, 3600);
    const sizes = {
      shape: requireNumber('fluid.shape', options.shape ?? 0.5, 0.1, 100),
      scaleBytes: requireNumber('fluid.scaleBytes', options.scaleBytes ?? 1e6, 1, 1e12),
    };
    const streams = new RandomStreams(seed);
    const starts = streams.next();
    const sizeStream = streams.next();
    this.#arrivals = streams.next();
    this.#samples = streams.next();
    this.#classes = new Classes(topology, loads);
    this.#rates = new Rates(this.#classes, this.#stepS, congestionControl === 'cubic');
    const { gateways } = this.#classes;
    this.#log = new UpdateLog(this.#classes);
    this.#nextUpdateS = Float64Array.from(gateways, ({ updateIntervalS }, g) => {
      return updateIntervalS * (1 + (options.staggerUpdates ? g / gateways.length : 0));
    });
    const wanted = loads.map(({ concurrency }) => concurrency ?? 0);
    this.#isClosed = Uint8Array.from(wanted, (flows) => (flows > 0 ? 1 : 0));
    this.#openLoads = loads.flatMap(({ perSecond }, load) => ((perSecond ?? 0) > 0 ? [load] : []));
    for (const load of this.#openLoads) {
      if (this.#isClosed[load] === 1)
        throw invalidOption(`loads[${load}]`, loads[load], 'concurrency or perSecond');
    }
    const total = wanted.reduce((sum, flows) => sum + flows, 0);
    this.#flows = new Flows(this.#classes, sizeStream, sizes, total);
    wanted.forEach((flows, load) => {
      for (let i = 0; i < flows; i++) this.#flows.start(load, 0, starts.uniform() * spreadS);
    });
  }

  /** Time of the run in s. */
  get nowS(): number {
    return this.#steps * this.#stepS;
  }

  /** Flows that exist now. */
  get runningFlows(): number {
    return this.#flows.running;
  }

  /** Routes of loads, which is what flows are gathered into. */
  get classCount(): number {
    return this.#classes.count;
  }

  /** Runs whole steps until that time in s is reached. */
  run(untilS: number): void {
    while (this.nowS < untilS - EPSILON_S) this.#step();
  }

  /** Counts from now on: bytes, flows and completion times of the report begin at 0. */
  beginMeasurement(): void {
    this.#measuredFromS = this.nowS;
    this.#measuredStarted = this.#flows.started;
    this.#measuredCompleted = this.#flows.completed;
    this.#rates.sentBytes = 0;
    this.#rates.deliveredBytes = 0;
    this.#flows.resetTimes();
    this.#classes.links.resetTotals();
    this.#classes.totalBytes.fill(0);
    this.#classes.totalLostBytes.fill(0);
  }

  /** Payload bytes delivered since the start, as the flows count them. */
  deliveredPayloadBytes(): number {
    return this.#flows.drawnBytes - this.#flows.remainingBytes();
  }

  /** The routes of every load, in the order of the loads and of their destinations' path IDs. */
  routes(): FluidRouteReport[] {
    const classes = this.#classes;
    return Array.from({ length: classes.count }, (_, k) => {
      const load = classes.loadOf[k];
      const { from, to } = classes.loads[load];
      const bytes = classes.totalBytes[k];
      return {
        from,
        to,
        gateway: classes.gateways[classes.gatewayOf[load]]?.name ?? '',
        pathId: classes.pathIdOf[k],
        bytes,
        lossRatio: bytes > 0 ? classes.totalLostBytes[k] / bytes : 0,
        flowletRatio: classes.ratioOf(k),
        flows: classes.flows[k],
      };
    });
  }

  /** Everything counted, as plain data. */
  report(): FluidReport {
    const { links } = this.#classes;
    const seconds = this.nowS - this.#measuredFromS;
    const indices = Array.from({ length: links.count }, (_, l) => l);
    return {
      nowS: this.nowS,
      flows: {
        running: this.#flows.running,
        started: this.#flows.started - this.#measuredStarted,
        completed: this.#flows.completed - this.#measuredCompleted,
        completionTime: {
          p50: this.#flows.completionTimeS(0.5),
          p90: this.#flows.completionTimeS(0.9),
          p99: this.#flows.completionTimeS(0.99),
        },
      },
      conservation: {
        sentBytes: this.#rates.sentBytes,
        deliveredBytes: this.#rates.deliveredBytes,
        droppedBytes: links.droppedBytes,
        worstLinkBytes: indices.reduce((worst, l) => Math.max(worst, Math.abs(links.imbalanceBytes(l))), 0),
      },
      intervals: this.#log.intervals,
      links: indices.map((l) => links.report(l, seconds)),
    };
  }

  #step(): void {
    const stepS = this.#stepS;
    this.#rates.step();
    this.#steps++;
    this.#flows.advance(this.nowS, stepS, this.#isClosed);
    for (const load of this.#openLoads) {
      const count = poisson(this.#classes.loads[load].perSecond! * stepS, this.#arrivals);
      for (let i = 0; i < count; i++) this.#flows.start(load, this.nowS, 0);
    }
    for (let g = 0; g < this.#nextUpdateS.length; g++) {
      if (this.nowS > this.#nextUpdateS[g] - EPSILON_S) this.#update(g);
    }
  }

  /** Ends the update interval of a gateway. */
  #update(g: number): void {
    const classes = this.#classes;
    const gateway = classes.gateways[g];
    this.#nextUpdateS[g] += gateway.updateIntervalS;
    this.#log.begin(g, this.nowS);
    for (const k of classes.ofGateway[g]) {
      const bytes = classes.bytes[k];
      if (bytes === 0) continue;
      const packets = classes.lostBytes[k] / PACKET_BYTES;
      const lost = this.#isSampled ? poisson(packets, this.#samples) : packets;
      const destination = classes.destinationOf[classes.loadOf[k]];
      gateway.count(destination, classes.slotOf[k], bytes, Math.min(lost * PACKET_BYTES, bytes));
    }
    gateway.update();
    this.#log.end(g);
  }
}
