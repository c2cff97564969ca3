/**
 * The benchmark `sim`: how fast the simulator runs the paper's Figure 1 on one core, and how its time and memory grow
 * with the number of connections. Seconds are of processor time, so that the time in which others had the processor is
 * not in them (that they emptied its caches is); for Figure 1 there are those of the clock as well.
 */
import { nowNs } from '../sys/clock.ts';
import { EventQueue } from '../sim/event-queue.ts';
import { Figure1Run } from '../sim/scenarios/figure1-run.ts';
import { findFigure1Scenario } from '../sim/scenarios/figure1-scenarios.ts';
import { manyConnections } from '../sim/scenarios/many-connections.ts';
import type { BenchResult } from './measure.ts';
import { benchResult, collector } from './measure.ts';

/** Options of the benchmark. */
export interface BenchSimOptions {
  /** Pairs of runs of Figure 1; default 3. */
  readonly pairs?: number;
  /** Simulated seconds of Figure 1; default 900. */
  readonly seconds?: number;
  /** Numbers of connections; default 10 to 100,000. */
  readonly connections?: readonly number[];
  readonly onProgress?: (line: string) => void;
}

const NS_PER_S = 1e9;
const US_PER_S = 1e6;
/** Events that wait in the queue on its own: about as many as in Figure 1. */
const WAITING = 256;
/** Part of a run after which its memory is looked at for the first time. */
const EARLY = 0.1;
/** Seconds until every connection is there. */
const START_SECONDS = 5;
/** Seconds that are measured then: few connections for longer, so that there is something to measure. */
const MEASURED_SECONDS = [10, 1000];
const MEASURED_CONNECTION_SECONDS = 100_000;
/** Before the measurements, so that the first is not slower for being first. */
const WARM_UP_CONNECTIONS = 1000;
const MIB = 2 ** 20;

/** Runs all measurements. */
export function benchSim(options: BenchSimOptions = {}): BenchResult[] {
  const onProgress = options.onProgress ?? (() => undefined);
  // In this order: Figure 1 is as fast as in a process of its own only while the compiler has seen no other network.
  return [...benchFigure1(options, onProgress), ...benchGrowth(options, onProgress)];
}

function benchFigure1(options: BenchSimOptions, onProgress: (line: string) => void): BenchResult[] {
  const seconds = options.seconds ?? 900;
  const scenario = findFigure1Scenario('fig4', { seconds });
  const collect = collector();
  const speeds: [number, number][] = [];
  const clockSpeeds: [number, number][] = [];
  const events: [number, number][] = [];
  const memory: [number, number][] = [];
  for (let pair = 0; pair < (options.pairs ?? 3); pair++) {
    const before = usedBytes(collect);
    const run = new Figure1Run(scenario, { seed: pair + 1 });
    const startedAtNs = nowNs();
    const early = secondsOf(() => {
      run.runUntil(seconds * EARLY);
    });
    const earlyClock = (nowNs() - startedAtNs) / NS_PER_S;
    const earlyBytes = usedBytes(collect) - before;
    const wentOnAtNs = nowNs();
    const late = secondsOf(() => {
      run.runUntil(seconds);
    });
    const took = early + late;
    const clock = earlyClock + (nowNs() - wentOnAtNs) / NS_PER_S;
    memory.push([(usedBytes(collect) - before) / MIB, earlyBytes / MIB]);
    const { taken } = run.network.queue;
    speeds.push([seconds / took, 1]);
    clockSpeeds.push([seconds / clock, 1]);
    events.push([taken / took, taken / secondsOf(() => bareQueue(taken))]);
    onProgress(
      `Figure 1: ${seconds} s in ${took.toFixed(1)} s of the processor, ${clock.toFixed(1)} s by the clock, ${taken} events`,
    );
  }
  const name = `Figure 1, ${seconds} s`;
  return [
    benchResult(name, 'simulated s/processor s', 'real time', speeds),
    benchResult(`${name}, by the clock`, 'simulated s/s', 'real time', clockSpeeds),
    benchResult(`${name}, events`, 'events/s', 'as many events of the queue alone', events),
    benchResult(`${name}, memory at its end`, 'MiB', 'after a tenth of the time', memory),
  ];
}

function benchGrowth(options: BenchSimOptions, onProgress: (line: string) => void): BenchResult[] {
  const counts = options.connections ?? [10, 100, 1000, 10_000, 100_000];
  const collect = collector();
  manyConnections(WARM_UP_CONNECTIONS).run(2 * START_SECONDS * NS_PER_S);
  const rows = counts.map((connections) => {
    const before = usedBytes(collect);
    const network = manyConnections(connections);
    network.run(START_SECONDS * NS_PER_S);
    const { taken } = network.queue;
    const [least, most] = MEASURED_SECONDS;
    const measured = Math.min(most, Math.max(least, MEASURED_CONNECTION_SECONDS / connections));
    const took = secondsOf(() => {
      network.run((START_SECONDS + measured) * NS_PER_S);
    });
    const events = network.queue.taken - taken;
    const bytes = usedBytes(collect) - before;
    onProgress(`${connections} connections: ${events} events in ${took.toFixed(2)} s`);
    // Asked after the collection, so that the network is still there in it.
    const { size } = network.host('a').stack;
    return { size, speed: events / took, bytes };
  });
  return rows.flatMap(({ speed, bytes, size }) => {
    const label = `${size.toLocaleString('en-US')} connections`;
    return [
      benchResult(`${label}, events`, 'events/s', `${counts[0]} connections`, [[speed, rows[0].speed]]),
      benchResult(`${label}, memory`, 'MiB', `${counts[0]} connections`, [
        [bytes / MIB, rows[0].bytes / MIB],
      ]),
    ];
  });
}

/** Takes and schedules so many events and does nothing else. */
function bareQueue(events: number): void {
  const queue = new EventQueue();
  for (let i = 0; i < WAITING; i++) queue.schedule(i, 0, i, 0);
  for (let i = 0; i < events; i++) {
    queue.take(Infinity);
    // Delays that differ, so that events overtake each other.
    queue.schedule(queue.nowNs + 1 + ((queue.first * 97) & 0xff), 0, queue.first, 0);
  }
}

/** Bytes of JavaScript objects and of their buffers that are in use. */
function usedBytes(collect: () => void): number {
  collect();
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Processor time of the process, s: what others do on the machine is not in it, the garbage collector's threads are. */
function secondsOf(body: () => void): number {
  const before = process.cpuUsage();
  body();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / US_PER_S;
}
