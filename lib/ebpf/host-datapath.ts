/**
 * The host of LEX as a datapath in the kernel: programs on the egress and ingress of a device, which go on when this
 * process ends. Node loads them, reads their counters and takes them off.
 */
import { PreflexError } from '../errors.ts';
import type { LexCounterReport } from '../lex/counters.ts';
import { reportLexCounters } from '../lex/counters.ts';
import type { LexHostOptions, LexSettings } from '../lex/options.ts';
import { lexSettings } from '../lex/options.ts';
import { interfaceIndex } from '../sys/interface.ts';
import type { Attachment, AttachTarget } from './attachment.ts';
import {
  attachProgram,
  detachProgram,
  DIRECTIONS,
  isAttachedTo,
  isLinkedTo,
  linkHeaderBytes,
} from './attachment.ts';
import { HostPrograms } from './host-programs.ts';
import { PinFolder, sweepPins } from './pins.ts';

/** Options of the datapath. */
export interface HostDatapathOptions {
  readonly device: string;
  /** One IPv4 and/or one IPv6 address, whose packets are marked. */
  readonly addresses: readonly string[];
  /** The host rules; `seed` means nothing here, and `hostDriven` is refused. */
  readonly lex?: LexHostOptions | undefined;
  /** Default: TCX if the kernel has it, else clsact. */
  readonly attachment?: Attachment | undefined;
}

/** What the datapath shows. */
export interface HostDatapathStatus extends LexCounterReport {
  readonly attachment: Attachment;
  readonly flows: {
    readonly size: number;
    readonly capacity: number;
    readonly made: number;
    readonly expired: number;
    readonly refused: number;
  };
}

/** Programs on a device. It works in the network namespace of the process. */
export class HostDatapath {
  /** True when an earlier agent's programs were replaced, and its flows and counters taken over. */
  readonly isTakenOver: boolean;
  readonly #options: HostDatapathOptions;
  readonly #lex: LexSettings;
  readonly #programs: HostPrograms;
  /** The device that the programs were last attached to. */
  #target: AttachTarget;
  #attachment: Attachment;

  /**
   * Loads the programs and attaches them. Nothing stays behind when a step fails, but what was attached before.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_MISSING_REQUIREMENT, ERR_SYSTEM
   */
  constructor(options: HostDatapathOptions) {
    const target = targetOf(options.device);
    const { pins } = target;
    const lex = lexSettings(options.lex ?? {});
    const served = { addresses: options.addresses, linkHeaderBytes: linkHeaderBytes(options.device) };
    sweepPins();
    pins.make();
    const before = pins.names();
    // Of a device of the same name that is gone.
    const hadLinks = before.some((name) => DIRECTIONS.some((direction) => direction === name));
    if (hadLinks && !isAttachedTo(target)) {
      pins.remove();
      pins.make();
    }
    const used: string[] = [];
    const known = new Set(pins.names());
    this.#options = options;
    this.#lex = lex;
    this.#target = target;
    try {
      this.#programs = new HostPrograms({
        purpose: 'datapath',
        lex,
        served,
        pinPath: (map, maxEntries) => {
          // Its contents are this load's own.
          if (map.name === 'settings') return undefined;
          const path = pins.mapPin(map, maxEntries);
          used.push(path.slice(pins.path.length + 1));
          return path;
        },
      });
    } catch (error) {
      this.#forget(known);
      throw error;
    }
    this.isTakenOver = used.every((name) => known.has(name));
    try {
      this.#attachment = this.#attachTo(target);
    } catch (error) {
      this.#programs.close();
      if (!this.isTakenOver) HostDatapath.detach(options.device);
      throw error;
    }
    pins.unpin(
      pins.names().filter((name) => !used.includes(name) && !DIRECTIONS.some((one) => one === name)),
    );
  }

  /** Counters since the programs were first attached. */
  status(): HostDatapathStatus {
    const { lex, flows } = this.#programs.counters();
    return {
      ...reportLexCounters(lex),
      attachment: this.#attachment,
      flows: { size: this.#programs.countFlows(), capacity: this.#programs.flowCapacity, ...flows },
    };
  }

  /** How the programs hang on the device. */
  get attachment(): Attachment {
    return this.#attachment;
  }

  /** False when the programs were taken off; while their device is gone they are not. */
  get isAttached(): boolean {
    const { device, ifindex, pins } = this.#target;
    const isThere = interfaceIndex(device) === ifindex;
    return isThere && this.#attachment === 'tcx' ? isAttachedTo(this.#target) : pins.names().length > 0;
  }

  /**
   * Attaches the programs to the device of their name that came in the place of the one that went; flows and counters go on.
   *
   * @returns whether there is a device
   * @throws PreflexError ERR_INVALID_OPTION, ERR_SYSTEM when it takes no program; the next call tries again
   */
  follow(): boolean {
    const { device, ifindex: before, pins } = this.#target;
    const ifindex = interfaceIndex(device);
    if (ifindex === 0 || ifindex === before) return ifindex !== 0;
    const target = { device, ifindex, pins };
    const { addresses } = this.#options;
    this.#programs.configure(this.#lex, { addresses, linkHeaderBytes: linkHeaderBytes(device) });
    const links: readonly string[] = DIRECTIONS.filter((direction) => !isLinkedTo(target, direction));
    pins.unpin(pins.names().filter((name) => links.includes(name)));
    this.#attachment = this.#attachTo(target);
    this.#target = target;
    return true;
  }

  /** Leaves the programs to the kernel: they go on, and another process can take them over. */
  close(): void {
    this.#programs.close();
  }

  /**
   * Takes everything off a device: programs, flows and counters.
   *
   * @returns false when there was nothing
   */
  static detach(device: string): boolean {
    const target = targetOf(device);
    const hadPins = target.pins.names().length > 0;
    const detached = DIRECTIONS.map((direction) => detachProgram(target, direction));
    if (hadPins) target.pins.remove();
    sweepPins();
    return hadPins || detached.includes(true);
  }

  #attachTo(target: AttachTarget): Attachment {
    const [egress, ingress] = DIRECTIONS.map((direction) =>
      attachProgram(target, direction, this.#programs.programFd(direction), this.#options.attachment),
    );
    if (egress !== ingress)
      throw new PreflexError('ERR_SYSTEM', 'the two programs could not be attached alike');
    return egress;
  }

  /** After a failed load: the pins that it made. */
  #forget(known: ReadonlySet<string>): void {
    const { pins } = this.#target;
    pins.unpin(pins.names().filter((name) => !known.has(name)));
    if (pins.names().length === 0) pins.remove();
  }
}

function targetOf(device: string): AttachTarget {
  const ifindex = interfaceIndex(device);
  if (ifindex === 0) {
    throw new PreflexError(
      'ERR_SYSTEM',
      `device: there is no device ${device} in this namespace: see "ip link".`,
    );
  }
  return { device, ifindex, pins: new PinFolder(device) };
}
