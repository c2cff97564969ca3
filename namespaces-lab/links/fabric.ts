/**
 * The emulated network in this process: its ports as TUN devices, its packets released by a timer of the kernel, which
 * is set to the next due time after every turn. Node's own timers count milliseconds.
 */
import { readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import type { PacketBatch } from '../../lib/device/device.ts';
import type { TunDevice } from '../../lib/device/tun-device.ts';
import { PacketLoop } from '../../lib/runtime/packet-loop.ts';
import type { LoopStats } from '../../lib/runtime/packet-loop.ts';
import { nowNs } from '../../lib/sys/clock.ts';
import { setRealTimePriority } from '../../lib/sys/scheduler.ts';
import { TimerFd } from '../../lib/sys/timer-fd.ts';
import type { FabricCounters } from './fabric-core.ts';
import { FabricCore } from './fabric-core.ts';
import type { DirectionName, FabricPlan } from './fabric-plan.ts';
import { resolvePaths } from './fabric-plan.ts';
import type { LatenessReport } from './lateness.ts';
import { openPort } from './port.ts';

/** What an emulated network says of itself. */
export interface FabricReport extends FabricCounters {
  /** From a packet's due time to its write. */
  readonly lateness: LatenessReport;
  readonly loop: LoopStats;
  /** Seconds of processor that this process used, and waited for while it could have run. */
  readonly processor: { readonly usedSeconds: number; readonly waitedSeconds: number | null };
}

/**
 * A packet due within this time is waited for on the spot: to set the timer for the next moment costs a virtual machine
 * as much (20 us measured: the interrupt comes at once).
 */
const SPIN_NS = 20_000;
/** Above nothing else that is real-time. */
const REAL_TIME_PRIORITY = 1;
/** Packets released in one turn at most. */
const RELEASE_LIMIT = 256;

/** A running emulated network. */
export class Fabric {
  readonly #core: FabricCore;
  readonly #loop = new PacketLoop();
  readonly #ports: TunDevice[] = [];
  readonly #timer: TimerFd;
  #armedNs = Infinity;
  #isClosed = false;

  /**
   * Opens the ports in their namespaces and starts to forward.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_SYSTEM; nothing stays behind then
   */
  constructor(plan: FabricPlan) {
    resolvePaths(plan);
    try {
      for (const { netns, device, addresses, mtu } of plan.ports) {
        this.#ports.push(openPort({ netns, name: device }, { offload: false, mtu: mtu ?? 1500, addresses }));
      }
    } catch (error) {
      for (const port of this.#ports) port.close();
      throw error;
    }
    this.#core = new FabricCore(plan, this.#ports, nowNs);
    this.#timer = new TimerFd(() => {
      this.#armedNs = Infinity;
      this.#release();
    });
    for (const [index, port] of this.#ports.entries()) {
      this.#loop.addPump(port, {
        handleBatch: (batch: PacketBatch, now: number) => {
          this.#core.handleBatch(index, batch, now);
          this.#release();
        },
      });
    }
    this.#loop.start();
  }

  /** Loses everything that is offered to a direction of a link from now on, or no more. @throws PreflexError */
  setDown(link: string, direction: DirectionName | 'both', isDown: boolean): void {
    this.#core.setDown(link, direction, isDown);
  }

  counters(): FabricCounters {
    return this.#core.counters();
  }

  /** Forgets the lateness so far. */
  resetLateness(): void {
    this.#core.lateness.reset();
  }

  report(): FabricReport {
    const { user, system } = process.cpuUsage();
    return {
      ...this.#core.counters(),
      lateness: this.#core.lateness.report(),
      loop: this.#loop.stats,
      processor: { usedSeconds: (user + system) / 1e6, waitedSeconds: readWaitedSeconds() },
    };
  }

  /** Stops; the ports go, with what is under way. */
  close(): void {
    this.#isClosed = true;
    this.#timer.close();
    this.#loop.stop();
    for (const port of this.#ports) port.close();
  }

  #release(): void {
    let dueNs = this.#core.release(RELEASE_LIMIT);
    if (dueNs - nowNs() < SPIN_NS) {
      while (nowNs() < dueNs);
      dueNs = this.#core.release(RELEASE_LIMIT);
    }
    // When the timer stands at an earlier packet that reading released, it will be set anew as it expires.
    if (dueNs >= this.#armedNs || dueNs === Infinity || this.#isClosed) return;
    this.#timer.set(dueNs);
    this.#armedNs = dueNs;
  }
}

/**
 * Puts this thread before others: an emulator that waits for a processor adds delay to the network it emulates.
 *
 * @returns what the system allowed: `real-time`, `nice` or `none`
 */
export function raisePriority(): string {
  try {
    setRealTimePriority(REAL_TIME_PRIORITY);
    return 'real-time';
  } catch {
    try {
      setPriority(constants.priority.PRIORITY_HIGHEST);
      return 'nice';
    } catch {
      return 'none';
    }
  }
}

/** Seconds that the main thread was ready to run and did not; null where the kernel does not count them. */
function readWaitedSeconds(): number | null {
  try {
    const waitedNs = Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[1]);
    return Number.isFinite(waitedNs) ? waitedNs / 1e9 : null;
  } catch {
    return null;
  }
}
