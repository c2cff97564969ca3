/**
 * Follows a running experiment: starts the traffic, takes a sample a second and a row an interval, and keeps what the
 * clients tell of their transfers.
 */
import { PreflexError } from '../../lib/errors.ts';
import type { GatewayDaemonStatus } from '../../lib/runtime/gateway-daemon.ts';
import { clockEpochMs, clockOriginNs, nowNs } from '../../lib/sys/clock.ts';
import type { FabricCounters } from '../links/fabric-core.ts';
import type { DaemonLine } from '../processes/preflex-process.ts';
import { statusOf } from '../processes/preflex-process.ts';
import type { RunInterval } from '../result.ts';
import type { Scenario } from '../scenarios/scenario.ts';
import type { FlowRecord } from '../traffic/flow-class.ts';
import type { Experiment, NamedProcess } from './experiment-setup.ts';
import type { TimedCounters } from './interval-recorder.ts';
import { ingressBetween, IntervalRecorder, utilisation } from './interval-recorder.ts';
import { askCounters } from './take-down.ts';

/** How it goes. */
export interface Sample {
  readonly seconds: number;
  readonly totalSeconds: number;
  readonly routes: readonly {
    readonly name: string;
    readonly isDown: boolean;
    /** bit/s that the link carried since the sample before, of everyone. */
    readonly bitsPerSec: number;
    /** Of the last update interval; null without a PREFLEX gateway. */
    readonly lossRatio: number | null;
    readonly flowletRatio: number | null;
  }[];
  readonly flows: { readonly completed: number; readonly failed: number };
}

const SAMPLE_MS = 1000;
/** From the order to start to the start, so that every process has got it. */
const LEAD_NS = 300e6;

/** Follows a running experiment. */
export class Watch {
  readonly transfers: FlowRecord[] = [];
  readonly #experiment: Experiment;
  readonly #scenario: Scenario;
  readonly #onSample: (sample: Sample) => void;
  readonly #onInterval: (row: RunInterval) => void;
  #startNs = 0;
  #recorder: IntervalRecorder | undefined;
  #pending: Promise<unknown> = Promise.resolve();
  #completed = 0;
  #failed = 0;
  #requests = 0;
  /** Counters at the end of the warm-up, and the last ones. */
  #warm: TimedCounters | undefined;
  #sampled: TimedCounters | undefined;

  constructor(
    experiment: Experiment,
    scenario: Scenario,
    onSample?: (sample: Sample) => void,
    onInterval?: (row: RunInterval) => void,
  ) {
    this.#experiment = experiment;
    this.#scenario = scenario;
    this.#onSample = onSample ?? (() => undefined);
    this.#onInterval = onInterval ?? (() => undefined);
    for (const { process } of experiment.clients) {
      process.onLine((line) => {
        if (line.event === 'flow') this.#addTransfer(line);
      });
    }
  }

  get #hasGateway(): boolean {
    return this.#experiment.gateways.length > 0;
  }

  /** Start of the traffic by the wall clock, ms since 1970. */
  get startedAtMs(): number {
    return clockEpochMs + this.#startNs / 1e6;
  }

  get intervals(): readonly RunInterval[] {
    return this.#recorder?.intervals ?? [];
  }

  /** What each route's port sent into its link and lost there after the warm-up. */
  truths(end: Pick<FabricCounters, 'lanes'>): Record<string, { offeredBytes: number; droppedBytes: number }> {
    return Object.fromEntries(
      this.#experiment.routes.map((place) => [place.name, ingressBetween(place, this.#warm!, end)]),
    );
  }

  /** Starts the traffic and comes back when its time is over. */
  async run(): Promise<void> {
    const { fabric, clients, gateways, routes, destinations } = this.#experiment;
    this.#startNs = nowNs() + LEAD_NS;
    const start = await this.#counters();
    this.#recorder = new IntervalRecorder(routes, destinations, { ...start, seconds: 0 });
    this.#warm = start;
    this.#sampled = { ...start, seconds: 0 };
    const order = { command: 'start', atNs: this.#startNs + clockOriginNs };
    for (const { process } of [{ process: fabric }, ...clients]) process.send(order);
    let stopRows = (): void => undefined;
    if (this.#hasGateway) {
      gateways[0].process.onLine((line) => {
        if (line.event === 'status') this.#follow(() => this.#addInterval(line));
      });
    } else {
      stopRows = this.#cutRows();
    }
    const ticker = setInterval(() => {
      this.#follow(() => this.#sample());
    }, SAMPLE_MS);
    try {
      await this.#untilOver();
    } finally {
      clearInterval(ticker);
      stopRows();
    }
    await this.#pending;
  }

  /** Without a PREFLEX gateway nobody tells of intervals: cuts rows by this process's clock. Returns how to stop. */
  #cutRows(): () => void {
    let timer: NodeJS.Timeout;
    const cut = (number: number): void => {
      // From the start each time, so that lateness does not add up.
      const dueNs = this.#startNs + number * this.#scenario.intervalSeconds * 1e9;
      timer = setTimeout(
        () => {
          this.#follow(() => this.#addInterval(undefined));
          cut(number + 1);
        },
        (dueNs - nowNs()) / 1e6,
      );
    };
    cut(1);
    return () => {
      clearTimeout(timer);
    };
  }

  /** One thing after the other, so that counters are read in the order of the rows. */
  #follow(step: () => Promise<void>): void {
    this.#pending = this.#pending.then(step);
    // Whoever waits for the end of the run sees the failure too.
    this.#pending.catch(() => undefined);
  }

  async #untilOver(): Promise<void> {
    const { fabric, gateways, agents, sources, clients } = this.#experiment;
    const all: NamedProcess[] = [
      { name: 'the emulated network', process: fabric },
      ...gateways.map(({ name, process }) => ({ name: `gateway ${name}`, process })),
      ...agents.map(({ name, process }) => ({ name: `agent ${name}`, process })),
      ...sources.map(({ name, process }) => ({ name: `source ${name}`, process })),
      ...clients.map(({ name, process }) => ({ name: `client ${name}`, process })),
    ];
    await new Promise<void>((resolve, reject) => {
      const leave: (() => void)[] = [];
      const finish = (end: () => void): void => {
        clearTimeout(timer);
        for (const step of leave) step();
        end();
      };
      const timer = setTimeout(
        () => {
          finish(resolve);
        },
        (this.#startNs - nowNs()) / 1e6 + this.#scenario.seconds * 1000,
      );
      for (const { name, process } of all) {
        const onExit = (): void => {
          finish(() => {
            reject(
              new PreflexError(
                'ERR_SYSTEM',
                `${name} ended in the middle of the run\n${process.stderr.trim()}`,
              ),
            );
          });
        };
        process.child.once('exit', onExit);
        leave.push(() => process.child.off('exit', onExit));
        if (process.child.exitCode !== null || process.child.signalCode !== null) onExit();
      }
    });
  }

  async #counters(): Promise<TimedCounters> {
    const line = await askCounters(this.#experiment, `run-${this.#requests++}`);
    return {
      seconds: (line.timeNs - clockOriginNs - this.#startNs) / 1e9,
      lanes: line.lanes,
    };
  }

  /** @param line - the gateway's, where there is one */
  async #addInterval(line: DaemonLine | undefined): Promise<void> {
    const counters = await this.#counters();
    if (counters.seconds <= 0) return;
    if (counters.seconds <= this.#scenario.warmUpSeconds) this.#warm = counters;
    if (line === undefined) this.#recorder!.addByLinks(counters);
    else this.#recorder!.add(line as unknown as GatewayDaemonStatus, counters);
    this.#onInterval(this.intervals.at(-1)!);
  }

  async #sample(): Promise<void> {
    const counters = await this.#counters();
    if (counters.seconds <= 0) return;
    const before = this.#sampled!;
    const last = this.intervals.at(-1);
    this.#onSample({
      seconds: counters.seconds,
      totalSeconds: this.#scenario.seconds,
      routes: this.#experiment.routes.map((place) => {
        const row = last?.routes.find((route) => route.name === place.name);
        return {
          name: place.name,
          isDown: counters.lanes.some(
            (lane) => lane.link === place.link && lane.direction === 'forward' && lane.isDown,
          ),
          bitsPerSec: utilisation(place, before, counters) * place.rateBitsPerSec,
          // Before the first interval the gateway divides evenly.
          lossRatio: this.#hasGateway ? (row?.lossRatio ?? 0) : null,
          flowletRatio: this.#hasGateway ? (row?.flowletRatio ?? 1 / this.#experiment.routes.length) : null,
        };
      }),
      flows: { completed: this.#completed, failed: this.#failed },
    });
    this.#sampled = counters;
  }

  #addTransfer(line: DaemonLine): void {
    const record = statusOf<FlowRecord>(line);
    this.transfers.push(record);
    if (record.outcome === 'completed') this.#completed++;
    else if (record.outcome === 'failed') this.#failed++;
  }
}
