/**
 * The packet loop: the one place where devices, the clock and the pure cores meet.
 *
 * A pump reads a batch from its device, reads the clock and hands the batch to its handler, which writes what it
 * forwards; then it reads the clock again and counts how long that took. After {@link BATCHES_PER_TURN} batches it returns to the event loop, so that the other direction, timers
 * and the control side get their turn; the device is still readable then and calls again.
 *
 * Whether all that still happens `checkTurning` finds out, for a watchdog.
 */
import { PacketBatch } from '../device/device.ts';
import type { Device } from '../device/device.ts';
import { nowNs } from '../sys/clock.ts';
import type { HistogramReport } from './loop-histogram.ts';
import { LoopHistogram } from './loop-histogram.ts';

/** Handles the packets of one direction. */
export interface BatchHandler {
  /** @param nowNs - monotonic time in ns, read once for the batch */
  handleBatch(batch: PacketBatch, nowNs: number): void;
}

/** A core with deadlines of its own. */
export interface TimedCore {
  handleTimeout(nowNs: number): void;
  /** Next deadline in ns, Infinity if none. */
  pollTimeout(): number;
}

/** How the loop spent itself. */
export interface LoopStats {
  readonly batches: number;
  readonly packets: number;
  /** Largest number of packets that one read returned. */
  readonly largestBatch: number;
}

/** How the loop spent itself on one device. */
export interface PumpReport {
  /** Name of the device that is read. */
  readonly source: string;
  /** Packets of a batch; a super-packet counts once. */
  readonly batchPackets: HistogramReport;
  /** Time from the reading of a batch to the writing of its last packet, ns. */
  readonly batchNs: HistogramReport;
}

/** How the loop spent itself, in full. */
export interface LoopReport {
  readonly pumps: readonly PumpReport[];
  /** How much later than planned the loop's timer ran, ns: as long did packets wait that came meanwhile. */
  readonly lagNs: HistogramReport;
}

/** Upper bounds of the buckets: up to a full batch. */
const BATCH_BOUNDS = [1, 2, 4, 8, 16, 32, 64];
/** Ns; 10 us to 100 ms. */
const LATENCY_BOUNDS = [1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8];
/** Ns; 1 ms, which is as exact as Node's timers are, to 1 s. */
const LAG_BOUNDS = [1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8, 2e8, 5e8, 1e9];
const BATCHES_PER_TURN = 4;
/** How often the deadlines of the cores are looked at. They are sweeps and intervals of seconds. */
const TIMER_MS = 20;
/** Turns of draining at the end, so that a device that never empties cannot hold up the exit. */
const DRAIN_TURNS = 1000;

/** Runs pumps and deadlines in Node's event loop until it is stopped. */
export class PacketLoop {
  readonly #pumps: Pump[] = [];
  readonly #cores: TimedCore[] = [];
  readonly #batch = new PacketBatch();
  readonly #lagNs = new LoopHistogram(LAG_BOUNDS);
  #timer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #ticksAtCheck = 0;

  /** Reads `source` and gives what comes to `handler`. */
  addPump(source: Device, handler: BatchHandler): void {
    this.#pumps.push(new Pump(source, handler, this.#batch));
  }

  /** Calls the core's handleTimeout when its deadline has come. */
  addCore(core: TimedCore): void {
    this.#cores.push(core);
  }

  start(): void {
    for (const pump of this.#pumps) pump.start();
    let dueNs = nowNs() + TIMER_MS * 1e6;
    this.#timer = setInterval(() => {
      const now = nowNs();
      this.#ticks++;
      this.#lagNs.add(Math.max(0, now - dueNs));
      dueNs = now + TIMER_MS * 1e6;
      for (const core of this.#cores) {
        if (core.pollTimeout() <= now) core.handleTimeout(now);
      }
    }, TIMER_MS);
  }

  /** Forwards what still waits in the devices, then stops. Divert new traffic away before. */
  stop(): void {
    clearInterval(this.#timer);
    for (const pump of this.#pumps) pump.stop();
    for (let turn = 0; turn < DRAIN_TURNS; turn++) {
      let packets = 0;
      for (const pump of this.#pumps) packets += pump.turn();
      if (packets === 0) break;
    }
  }

  /**
   * Whether the loop has turned since the last call: its timer ran, and no device was left with packets waiting. To be
   * called at intervals of many times the timer's; packets that a silent device holds are forwarded by the call itself.
   */
  checkTurning(): boolean {
    const hasTicked = this.#ticks !== this.#ticksAtCheck;
    this.#ticksAtCheck = this.#ticks;
    let isTurning = hasTicked;
    for (const pump of this.#pumps) {
      if (pump.checkStuck()) isTurning = false;
    }
    return isTurning;
  }

  get stats(): LoopStats {
    let batches = 0;
    let packets = 0;
    let largestBatch = 0;
    for (const pump of this.#pumps) {
      batches += pump.batches;
      packets += pump.packets;
      largestBatch = Math.max(largestBatch, pump.largestBatch);
    }
    return { batches, packets, largestBatch };
  }

  /** Everything that is measured; allocates. */
  report(): LoopReport {
    return { pumps: this.#pumps.map((pump) => pump.report()), lagNs: this.#lagNs.report() };
  }
}

class Pump {
  batches = 0;
  packets = 0;
  largestBatch = 0;
  readonly #batchPackets = new LoopHistogram(BATCH_BOUNDS);
  readonly #batchNs = new LoopHistogram(LATENCY_BOUNDS);
  readonly #source: Device;
  readonly #handler: BatchHandler;
  readonly #batch: PacketBatch;
  #stopReading: (() => void) | undefined;
  #calls = 0;
  #callsAtCheck = 0;
  #missed = 0;

  constructor(source: Device, handler: BatchHandler, batch: PacketBatch) {
    this.#source = source;
    this.#handler = handler;
    this.#batch = batch;
  }

  start(): void {
    this.#stopReading = this.#source.onReadable(() => {
      this.#calls++;
      this.turn();
    });
  }

  stop(): void {
    this.#stopReading?.();
  }

  /**
   * Whether packets waited at this call and at the one before, while the device called back neither time. Once is no
   * proof: a packet may have come a moment ago.
   */
  checkStuck(): boolean {
    const isSilent = this.#calls === this.#callsAtCheck;
    this.#callsAtCheck = this.#calls;
    this.#missed = isSilent && this.turn() > 0 ? this.#missed + 1 : 0;
    return this.#missed >= 2;
  }

  /** Returns the number of packets handled. */
  turn(): number {
    const batch = this.#batch;
    let handled = 0;
    for (let i = 0; i < BATCHES_PER_TURN; i++) {
      const count = this.#source.read(batch);
      if (count === 0) break;
      const readNs = nowNs();
      this.#handler.handleBatch(batch, readNs);
      this.#batchNs.add(nowNs() - readNs);
      this.#batchPackets.add(count);
      handled += count;
      this.batches++;
      if (count > this.largestBatch) this.largestBatch = count;
    }
    this.packets += handled;
    return handled;
  }

  report(): PumpReport {
    return {
      source: this.#source.name,
      batchPackets: this.#batchPackets.report(),
      batchNs: this.#batchNs.report(),
    };
  }
}
