/**
 * The end-host agent: the LEX core between two TUNs, and the routing that leads one address's traffic through them.
 *
 *      applications --> lex0 --> LexHost.handleOutbound --> lex1 --> network
 *      applications <-- lex0 <-- LexHost.handleInbound  <-- lex1 <-- network
 *
 * host-plumbing.ts draws the whole way of a packet.
 */
import { randomInt } from 'node:crypto';
import type { Device, PacketBatch } from '../device/device.ts';
import { TunDevice } from '../device/tun-device.ts';
import { PreflexError } from '../errors.ts';
import type { LexCounterReport } from '../lex/counters.ts';
import { reportLexCounters } from '../lex/counters.ts';
import { LexHost } from '../lex/lex-host.ts';
import type { LexHostOptions } from '../lex/options.ts';
import type { DeviceReport } from './device-report.ts';
import { reportDevices, requireDeviceMtu } from './device-report.ts';
import { EventLog } from './events.ts';
import { HostPlumbing } from './host-plumbing.ts';
import type { HostPlumbingOptions } from './host-plumbing.ts';
import { HostWatch } from './host-watch.ts';
import type { BatchHandler, LoopReport, LoopStats } from './packet-loop.ts';
import { PacketLoop } from './packet-loop.ts';

/** Options of a {@link HostAgent}. */
export interface HostAgentOptions {
  /** Addresses and device to serve, names of the TUNs, tables and rules. */
  readonly plumbing: HostPlumbingOptions;
  /** The host rules; the hash seed is drawn at random unless given. */
  readonly lex?: LexHostOptions;
  /** Read super-packets (segmentation offload); default true. */
  readonly offload?: boolean;
  /** Called when the TUNs are open, before anything else of the machine is changed: the time to become another user. */
  readonly onDevicesOpen?: (() => void) | undefined;
}

/** What a running agent shows. */
export interface HostAgentStatus extends LexCounterReport {
  readonly flows: LexHost['flows'];
  readonly loop: LoopStats;
  readonly devices: Record<string, DeviceReport>;
}

const DEFAULT_APP_SIDE = 'lex0';
const DEFAULT_NET_SIDE = 'lex1';

/** A running agent. It works in the network namespace of the process. */
export class HostAgent {
  readonly lex: LexHost;
  readonly plumbing: HostPlumbing;
  /** What changed since the start. */
  readonly events = new EventLog();
  readonly #loop = new PacketLoop();
  readonly #appSide: TunDevice;
  readonly #netSide: TunDevice;
  #isStopped = false;

  /**
   * Opens the TUNs, starts to forward between them and leads the traffic through. Nothing stays behind when a step
   * fails.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_SYSTEM
   */
  static start(options: HostAgentOptions): HostAgent {
    return new HostAgent(options);
  }

  private constructor(options: HostAgentOptions) {
    this.lex = new LexHost({ seed: randomInt(-(2 ** 31), 2 ** 31), flowHistory: true, ...options.lex });
    const mtu = requireDeviceMtu(options.plumbing.device);
    const names = {
      appSide: options.plumbing.appSide ?? DEFAULT_APP_SIDE,
      netSide: options.plumbing.netSide ?? DEFAULT_NET_SIDE,
    };
    const tun = { mtu, offload: options.offload ?? true };
    this.#appSide = TunDevice.open({ ...tun, name: names.appSide });
    try {
      this.#netSide = TunDevice.open({ ...tun, name: names.netSide });
    } catch (error) {
      this.#appSide.close();
      throw error;
    }
    this.#loop.addPump(this.#appSide, new OutboundHandler(this.lex, this.#netSide));
    this.#loop.addPump(this.#netSide, new InboundHandler(this.lex, this.#appSide));
    this.#loop.addCore(this.lex);
    this.#loop.addCore(new HostWatch(this.lex.counters, this.events));
    this.#loop.start();
    try {
      options.onDevicesOpen?.();
      this.plumbing = HostPlumbing.setUp({ ...options.plumbing, ...names }, (what) => {
        this.events.add({ kind: 'putBack', what });
      });
    } catch (error) {
      this.#loop.stop();
      this.#closeDevices();
      throw error;
    }
  }

  /** Counters now. */
  status(): HostAgentStatus {
    return {
      ...reportLexCounters(this.lex.counters),
      flows: this.lex.flows,
      loop: this.#loop.stats,
      devices: this.reportDevices(),
    };
  }

  /** The counters of the TUNs by name. */
  reportDevices(): Record<string, DeviceReport> {
    return reportDevices([this.#appSide, this.#netSide]);
  }

  /** How the packet loop spent itself. */
  get loopReport(): LoopReport {
    return this.#loop.report();
  }

  /** True while both TUNs exist; they can be taken away with `ip link del`. */
  get isHealthy(): boolean {
    return this.#appSide.isOpen && this.#netSide.isOpen;
  }

  /** Whether packets have been moved as they came since the last call; see `PacketLoop.checkTurning`. */
  checkTurning(): boolean {
    return this.#loop.checkTurning();
  }

  /**
   * Takes the host rules over that can change at run time, from the next packet on. Of the options nothing else is
   * looked at.
   *
   * @throws PreflexError ERR_INVALID_OPTION; then nothing has changed
   */
  reconfigure(options: Pick<HostAgentOptions, 'lex'>): void {
    this.lex.useRules(options.lex ?? {});
  }

  /**
   * Leads the traffic past the agent again, forwards what still waits, and removes the TUNs. The second call does
   * nothing.
   *
   * @returns the counters at the end
   */
  stop(): HostAgentStatus {
    if (this.#isStopped) throw new PreflexError('ERR_INVALID_OPTION', 'this agent is stopped already');
    this.#isStopped = true;
    try {
      try {
        this.plumbing.tearDown();
      } finally {
        this.#loop.stop();
      }
      return this.status();
    } finally {
      this.#closeDevices();
    }
  }

  #closeDevices(): void {
    this.#appSide.close();
    this.#netSide.close();
  }
}

/** Marks what comes from the applications. */
class OutboundHandler implements BatchHandler {
  readonly #lex: LexHost;
  readonly #out: Device;

  constructor(lex: LexHost, out: Device) {
    this.#lex = lex;
    this.#out = out;
  }

  handleBatch(batch: PacketBatch, nowNs: number): void {
    for (let i = 0; i < batch.count; i++) {
      this.#lex.handleOutbound(batch.view, batch.at[i], batch.length[i], nowNs);
      this.#out.write(batch, i);
    }
  }
}

/** Learns from what comes from the network. */
class InboundHandler implements BatchHandler {
  readonly #lex: LexHost;
  readonly #out: Device;

  constructor(lex: LexHost, out: Device) {
    this.#lex = lex;
    this.#out = out;
  }

  handleBatch(batch: PacketBatch, nowNs: number): void {
    for (let i = 0; i < batch.count; i++) {
      this.#lex.handleInbound(batch.view, batch.at[i], batch.length[i], nowNs);
      this.#out.write(batch, i);
    }
  }
}
