/**
 * Clients of one egress domain, run as a process in its namespace: `client.ts PLAN`, PLAN being a file with a ClientPlan
 * in JSON. It keeps the scheduled number of transfers of each class running.
 *
 * Commands: {"command": "start", "atNs": N} with N on CLOCK_MONOTONIC, {"command": "stop"}.
 * Events: `ready`, `flow` for each transfer that has ended (a FlowRecord), `exit`.
 *
 * When a class wants more flows than run, it starts one a tick; so a step of twenty takes 0.4 s and they do not march
 * in step. When it wants fewer, those that run go on to their end.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { RandomStream } from '../../lib/sim/random.ts';
import { RandomStreams } from '../../lib/sim/random.ts';
import { clockOriginNs, nowNs } from '../../lib/sys/clock.ts';
import { runModule, tell } from '../processes/module-io.ts';
import type { ClientPlan, FlowClass, FlowOutcome, FlowRecord } from './flow-class.ts';
import { mptcpOptions } from './mptcp.ts';
import { drawSize } from './sizes.ts';
import { wantedFlows } from './schedule.ts';

const TICK_MS = 20;
/** What is read goes nowhere, so all sockets can share one buffer. */
const BUFFER = new Uint8Array(256 * 1024);

const plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ClientPlan;
const probes = plan.gapProbes ?? [];
const addresses = plan.subflowAddresses;
const running = new Set<Flow>();
let connections = 0;
let startNs = Infinity;
let isOver = false;

function secondsNow(): number {
  return (nowNs() - startNs) / 1e9;
}

/** One transfer. */
class Flow {
  readonly #group: Group;
  readonly #socket: Socket;
  readonly #bytes: number;
  readonly #start = secondsNow();
  #received = 0;
  #connectSeconds: number | null = null;
  #last = this.#start;
  #stallSeconds = 0;
  #stallAt = this.#start;
  readonly #probeGaps: (number | null)[] = probes.map(() => null);
  #error = 'closed by the source';
  #isDone = false;

  constructor(group: Group, bytes: number) {
    const { address, port, bytesPerSec } = group.flowClass;
    this.#group = group;
    this.#bytes = bytes;
    const start = connections++;
    this.#socket = connect({
      host: address,
      port,
      ...(addresses === undefined
        ? {}
        : { ...mptcpOptions(), localAddress: addresses[start % addresses.length] }),
      onread: {
        buffer: BUFFER,
        callback: (count) => {
          this.#take(count);
          return true;
        },
      },
    });
    this.#socket.on('connect', () => {
      this.#progress();
      this.#connectSeconds = this.#last - this.#start;
      this.#socket.write(`${bytes} ${bytesPerSec ?? 0}\n`);
    });
    this.#socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#error = error.code ?? error.message;
    });
    this.#socket.on('close', () => {
      this.#end('failed');
    });
  }

  /** Gives the transfer up at the end of the run. The connection stays, for the source to read its account. */
  giveUp(): void {
    this.#end('unfinished');
  }

  #take(count: number): void {
    if (this.#isDone) return;
    this.#received += count;
    this.#progress();
    if (this.#received < this.#bytes) return;
    this.#end('completed');
    this.#socket.end();
  }

  #progress(): void {
    const now = secondsNow();
    const gap = now - this.#last;
    if (gap > this.#stallSeconds) {
      this.#stallSeconds = gap;
      this.#stallAt = this.#last;
    }
    for (let i = 0; i < probes.length; i++) {
      if (this.#last <= probes[i] && probes[i] < now) this.#probeGaps[i] = gap;
    }
    this.#last = now;
  }

  #end(outcome: FlowOutcome): void {
    if (this.#isDone) return;
    this.#isDone = true;
    if (outcome !== 'completed') this.#progress();
    running.delete(this);
    const record: FlowRecord = {
      name: this.#group.flowClass.name,
      start: round(this.#start),
      end: round(this.#last),
      bytes: this.#bytes,
      receivedBytes: this.#received,
      outcome,
      ...(outcome === 'failed' ? { error: this.#error } : {}),
      connectSeconds: this.#connectSeconds === null ? null : round(this.#connectSeconds),
      stallSeconds: round(this.#stallSeconds),
      stallAt: round(this.#stallAt),
      ...(probes.length > 0
        ? { probeGaps: this.#probeGaps.map((gap) => (gap === null ? null : round(gap))) }
        : {}),
    };
    tell('flow', record);
    this.#group.ended(outcome);
  }
}

/** The transfers of one class. */
class Group {
  readonly flowClass: FlowClass;
  readonly #random: RandomStream;
  #running = 0;
  #started = 0;

  constructor(flowClass: FlowClass, random: RandomStream) {
    this.flowClass = flowClass;
    this.#random = random;
  }

  tick(): void {
    const now = secondsNow();
    const { concurrent, perSecond } = this.flowClass;
    if (perSecond !== undefined) {
      while (this.#started < now * perSecond) this.#begin();
    } else if (concurrent !== undefined && this.#running < wantedFlows(concurrent, now)) {
      this.#begin();
    }
  }

  ended(outcome: FlowOutcome): void {
    this.#running--;
    // What failed is made up for by the next tick, so that a dead source is not asked a thousand times a second.
    if (isOver || outcome !== 'completed' || this.flowClass.concurrent === undefined) return;
    if (this.#running < wantedFlows(this.flowClass.concurrent, secondsNow())) this.#begin();
  }

  #begin(): void {
    this.#running++;
    this.#started++;
    running.add(new Flow(this, drawSize(this.flowClass.size, this.#random)));
  }
}

const streams = new RandomStreams(plan.seed);
const groups: Group[] = [];
for (const flowClass of plan.classes) {
  const random = streams.next();
  if (plan.own.includes(flowClass.name)) groups.push(new Group(flowClass, random));
}
let ticker: NodeJS.Timeout | undefined;

function finish(): void {
  isOver = true;
  clearInterval(ticker);
  for (const flow of [...running]) flow.giveUp();
}

runModule(
  (command) => {
    if (command.command !== 'start') return;
    startNs = Number(command['atNs']) - clockOriginNs;
    ticker = setInterval(() => {
      const now = secondsNow();
      if (now < 0) return;
      if (now >= plan.seconds) finish();
      else for (const group of groups) group.tick();
    }, TICK_MS);
  },
  () => {
    finish();
    tell('exit');
    process.stdout.write('', () => process.exit(0));
  },
);
tell('ready');

function round(seconds: number): number {
  return Math.round(seconds * 1e5) / 1e5;
}
