/**
 * The end-host agent whose packets stay in the kernel: programs on the egress and ingress of the device
 * (lib/ebpf/host-datapath.ts), which this process loads and reads. They go on when it ends, however it ends.
 */
import type { HostDatapathOptions, HostDatapathStatus } from '../ebpf/host-datapath.ts';
import { HostDatapath } from '../ebpf/host-datapath.ts';
import { invalidOption } from '../errors.ts';
import { listAddresses } from '../netns/index.ts';
import { nowNs } from '../sys/clock.ts';
import { EventLog } from './events.ts';
import { HostWatch } from './host-watch.ts';
import { normalizeAddress } from './prefixes.ts';

/** What a running agent shows. */
export interface EbpfHostStatus extends HostDatapathStatus {
  readonly datapath: 'ebpf';
  /** Whether the flows and counters of an earlier agent were taken over. */
  readonly isTakenOver: boolean;
}

/** A running agent. It works in the network namespace of the process. */
export class EbpfHostAgent {
  /** What changed since the start. */
  readonly events = new EventLog();
  /** What the user should know. */
  readonly warnings: readonly string[];
  readonly #datapath: HostDatapath;
  readonly #device: string;
  #hasDevice = true;
  readonly #seen = { unpinned: 0, moved: 0 };
  readonly #watch = new HostWatch(this.#seen, this.events);
  #last: EbpfHostStatus;
  #isStopped = false;

  /**
   * Attaches the programs, or takes over those that are there.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_MISSING_REQUIREMENT, ERR_SYSTEM
   */
  constructor(options: HostDatapathOptions) {
    const addresses = options.addresses.map((text) => {
      const address = normalizeAddress(text);
      if (address === undefined) throw invalidOption('addresses', text, 'IPv4 and IPv6 addresses');
      return address;
    });
    this.#device = options.device;
    this.#datapath = new HostDatapath({ ...options, addresses });
    const own = listAddresses({ device: options.device }).map(({ address }) => normalizeAddress(address));
    this.warnings = addresses
      .filter((address) => !own.includes(address))
      .map(
        (address) => `${options.device} does not have the address ${address}: nothing of it is marked yet.`,
      );
    this.#last = this.#read();
  }

  /** Counters now, since the programs were first attached. */
  status(): EbpfHostStatus {
    this.#last = this.#read();
    return this.#last;
  }

  /** False when the programs were taken off. */
  get isHealthy(): boolean {
    return this.#datapath.isAttached;
  }

  /**
   * Follows the device, which may go and come again, and looks for what else belongs into the event log.
   *
   * @throws PreflexError when a device that came takes no program; the next call tries again
   */
  refresh(): void {
    const hasDevice = this.#datapath.follow();
    if (hasDevice !== this.#hasDevice)
      this.events.add({ kind: hasDevice ? 'deviceCame' : 'deviceWent', device: this.#device });
    this.#hasDevice = hasDevice;
    this.#seen.unpinned = this.status().unpinned;
    this.#watch.handleTimeout(nowNs());
  }

  /** Leaves the programs to the kernel. A second call does nothing. @returns the counters now */
  stop(): EbpfHostStatus {
    if (this.#isStopped) return this.#last;
    this.#isStopped = true;
    const status = this.status();
    this.#datapath.close();
    return status;
  }

  #read(): EbpfHostStatus {
    return { datapath: 'ebpf', isTakenOver: this.#datapath.isTakenOver, ...this.#datapath.status() };
  }
}
