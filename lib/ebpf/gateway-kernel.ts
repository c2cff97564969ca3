/**
 * The gateway's programs on their devices: loaded, attached, pinned, taken over by the next process, taken off.
 *
 * ```
 *  inside device  tc ingress   pref_outbound      link-<inside device>
 *  each route's   tc ingress   pref_inbound       link-<device>
 * ```
 *
 * What is pinned is what the next process goes on with: memories, counters, destinations and their prefixes. Its own are
 * what belongs to one process: devices, what is inside, reports and what the detector of failures made of them.
 */
import { PreflexError } from '../errors.ts';
import { seedOf } from '../pref/flow-hash.ts';
import type { GatewaySettings } from '../pref/gateway-options.ts';
import { BpfMap, openPinned, pinObject, programId, tcxPrograms } from '../sys/bpf.ts';
import { interfaceIndex } from '../sys/interface.ts';
import { detachClsact, GATEWAY_FILTER } from '../sys/libbpf.ts';
import type { Attachment, AttachTarget } from './attachment.ts';
import { attachProgram, detachProgram, isLinkedTo, linkHeaderBytes } from './attachment.ts';
import { StructView } from './btf.ts';
import { GatewayPrograms } from './gateway-programs.ts';
import type { GatewayTraffic } from './gateway-settings.ts';
import { loadObjectSpec } from './object-file.ts';
import type { ObjectSpec } from './object-spec.ts';
import { mapShape, mapSpec } from './object-spec.ts';
import { LINK_PREFIX, nameOfPin, PinFolder, pinName, sweepPins } from './pins.ts';

/** Pins of programs that hang on clsact, which says nothing of where they hang. */
const FILTER_PREFIX = 'filter-';
const NS_PER_MS = 1e6;
const OWN_MAPS: readonly string[] = [
  ...['devices', 'inside_device', 'inside4', 'inside6', 'lookup_state', 'targets'],
  ...['reports', 'watched', 'sampled', 'receivers', 'probes', 'failing', 'repeated'],
];

/** Where the gateway is, and how large. */
export interface GatewayPlace {
  readonly insideDevice: string;
  /** In order of the slots. Two routes may have one device; what comes in by it then counts for the first. */
  readonly routes: readonly { readonly device: string; readonly pathId: number }[];
  readonly scheme: string;
  /** Destinations there is room for. */
  readonly destinations: number;
  readonly memoryEntries: number;
  /** Default: TCX if the kernel has it, else clsact. */
  readonly attachment?: Attachment | undefined;
}

interface DeviceRole {
  /** Of its route; 0 for the inside. */
  readonly pathId: number;
  readonly isInside: boolean;
}

/** The programs of one gateway. It works in the network namespace of the process. */
export class GatewayKernel {
  readonly place: GatewayPlace;
  readonly pins: PinFolder;
  /** Whether the programs and maps of an earlier process are taken over. */
  readonly isTakenOver: boolean;
  /** The seed of its flow hash; undefined when there was none. */
  readonly seed: number | undefined;
  /** When it suspended a route last, ns of CLOCK_MONOTONIC, cut to ms; undefined when there was none. */
  readonly suspendedAtNs: number | undefined;
  readonly #spec: ObjectSpec;
  readonly #known: ReadonlySet<string>;
  readonly #used = new Set<string>();
  /** Index of the device that a program was last attached to, by name; 0 while there is none. */
  readonly #attached = new Map<string, number>();
  readonly #refused = new Map<string, PreflexError>();
  #programs: GatewayPrograms | undefined;
  #attachment: Attachment | undefined;

  /**
   * Looks for what an earlier process left. Nothing is changed but what is of no use any more.
   *
   * @param isExpected - whether it is known that one left something in this very namespace
   * @throws PreflexError ERR_MISSING_REQUIREMENT, ERR_SYSTEM
   */
  constructor(place: GatewayPlace, isExpected: boolean) {
    this.place = place;
    sweepPins();
    this.pins = pinsOf(place.insideDevice);
    const hangs = [place.insideDevice, ...place.routes.map(({ device }) => device)].some(
      (device) => interfaceIndex(device) > 0 && isLinkedTo(this.#target(device), 'ingress'),
    );
    // Of a namespace that is gone, whose number this one has now.
    if (!isExpected && !hangs) this.pins.remove();
    this.#known = new Set(this.pins.names());
    this.#spec = loadObjectSpec('gateway');
    const settings = this.#readSettings();
    this.seed = settings && seedOf(settings.read('seed1'));
    this.suspendedAtNs = settings && settings.read('suspended_at_ms') * NS_PER_MS;
    // One meaning, so all of the maps are there or none.
    this.isTakenOver = this.seed !== undefined;
  }

  /** The programs; {@link load} comes first. */
  get programs(): GatewayPrograms {
    if (this.#programs === undefined) throw new PreflexError('ERR_SYSTEM', 'the programs are not loaded');
    return this.#programs;
  }

  /** How they hang on their devices; undefined before {@link attach}. */
  get attachment(): Attachment | undefined {
    return this.#attachment;
  }

  /** Loads the programs, over the maps of an earlier process if they are taken over. */
  load(gateway: GatewaySettings, traffic: GatewayTraffic): void {
    this.pins.make();
    this.#programs = new GatewayPrograms({
      purpose: 'datapath',
      gateway,
      traffic,
      destinations: this.place.destinations,
      pinPath: (map, maxEntries) => {
        if (OWN_MAPS.includes(map.name)) return undefined;
        const path = this.pins.mapPin(map, maxEntries, this.#meaning);
        this.#used.add(path.slice(this.pins.path.length + 1));
        return path;
      },
    });
  }

  /**
   * Attaches the programs, in the place of those of an earlier process, and forgets its maps that are not taken over.
   * Devices that are not there are passed over until {@link follow}.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_SYSTEM when a device that is there takes none
   */
  attach(): void {
    this.follow();
    for (const error of this.#refused.values()) throw error;
    const links = this.pins.names().filter((name) => isOfDevice(name));
    const devices = new Set(this.#roles().keys());
    for (const name of links) {
      const device = deviceOfPin(name);
      if (!devices.has(device)) detachProgram(this.#target(device), 'ingress');
    }
    this.pins.unpin(
      this.pins
        .names()
        .filter((name) => !this.#used.has(name) && !(isOfDevice(name) && devices.has(deviceOfPin(name)))),
    );
  }

  /**
   * Attaches the programs to devices that came, and forgets those that went. What came may be gone by then, or be of
   * another kind: that is noted in {@link refused}, and tried again by the next call.
   *
   * @returns the names of those that came
   */
  follow(): string[] {
    this.#refused.clear();
    const came: string[] = [];
    for (const [device, { pathId, isInside }] of this.#roles()) {
      const ifindex = interfaceIndex(device);
      const before = this.#attached.get(device) ?? 0;
      if (ifindex === before) continue;
      if (before > 0) this.programs.removeDevice(before);
      this.#attached.set(device, 0);
      if (ifindex === 0) continue;
      try {
        this.#attachTo(device, ifindex, { pathId, isInside });
      } catch (error) {
        if (!(error instanceof PreflexError)) throw error;
        this.programs.removeDevice(ifindex);
        this.#refused.set(device, error);
        continue;
      }
      this.#attached.set(device, ifindex);
      came.push(device);
    }
    return came;
  }

  #attachTo(device: string, ifindex: number, { pathId, isInside }: DeviceRole): void {
    const target = this.#target(device);
    this.programs.setDevice(ifindex, { linkHeaderBytes: linkHeaderBytes(device), pathId, isInside });
    // Of a device of the same name that is gone.
    const link = LINK_PREFIX + pinName(device);
    if (this.pins.names().includes(link) && !isLinkedTo(target, 'ingress')) this.pins.unpin([link]);
    const program = this.programs.programFd(isInside ? 'outbound' : 'inbound');
    this.#attachment = attachProgram(target, 'ingress', program, this.place.attachment);
    this.#noteFilter(device, program);
  }

  /** Devices that were there at the last {@link follow} and took no program, with the reason. */
  get refused(): Readonly<Partial<Record<string, string>>> {
    return Object.fromEntries([...this.#refused].map(([device, { message }]) => [device, message]));
  }

  /** False when somebody took the programs off. */
  get isPinned(): boolean {
    return this.pins.names().some((name) => isOfDevice(name));
  }

  /**
   * Where the program of the inside device stands among others on its ingress: how many are behind it by TCX, and its
   * priority if it is a filter of clsact.
   *
   * @throws SystemError when it cannot be told
   */
  get placeInside(): { readonly behind: number; readonly filterPriority: number | undefined } {
    if (this.#attachment === 'clsact') return { behind: 0, filterPriority: GATEWAY_FILTER.priority };
    const ids = tcxPrograms(interfaceIndex(this.place.insideDevice), 'ingress');
    const at = ids.indexOf(programId(this.programs.programFd('outbound')));
    return { behind: ids.length - 1 - at, filterPriority: undefined };
  }

  /** Leaves the programs to the kernel: they go on, and another process can take them over. */
  close(): void {
    this.#programs?.close();
  }

  /** After a failed start: leaves what was there before, and nothing of this one. */
  abandon(): void {
    this.#programs?.close();
    if (this.#known.size === 0) GatewayKernel.detach(this.place.insideDevice);
    else this.pins.unpin(this.pins.names().filter((name) => !this.#known.has(name) && !isOfDevice(name)));
  }

  /** Takes everything off: programs, memories and counters. Returns false when there was nothing. */
  static detach(insideDevice: string): boolean {
    const pins = pinsOf(insideDevice);
    const names = pins.names();
    for (const name of names.filter((pin) => isOfDevice(pin))) {
      const device = deviceOfPin(name);
      const ifindex = interfaceIndex(device);
      if (name.startsWith(FILTER_PREFIX) && ifindex > 0)
        detachClsact(ifindex, 'ingress', device, GATEWAY_FILTER);
    }
    if (names.length > 0) pins.remove();
    sweepPins();
    return names.length > 0;
  }

  /** A clsact filter is pinned beside, so that it is known where it hangs; a link is its own pin. */
  #noteFilter(device: string, program: number): void {
    const name = FILTER_PREFIX + pinName(device);
    if (this.pins.names().includes(name)) this.pins.unpin([name]);
    if (this.#attachment === 'clsact') pinObject(program, this.pins.pin(name));
  }

  #roles(): Map<string, DeviceRole> {
    const roles = new Map<string, DeviceRole>();
    for (const { device, pathId } of this.place.routes) {
      if (!roles.has(device)) roles.set(device, { pathId, isInside: false });
    }
    // Last: what comes from outside is let in before marks lead out.
    roles.set(this.place.insideDevice, { pathId: 0, isInside: true });
    return roles;
  }

  #target(device: string): AttachTarget {
    return {
      device,
      ifindex: interfaceIndex(device),
      pins: this.pins,
      linkPin: LINK_PREFIX + pinName(device),
      filter: GATEWAY_FILTER,
    };
  }

  /** What must be the same for slots, sizes and path IDs in the maps to mean the same. */
  get #meaning(): string {
    const { destinations, memoryEntries, routes, scheme } = this.place;
    const shapes = this.#spec.maps.map((map) => mapShape(map, map.maxEntries));
    return JSON.stringify([destinations, memoryEntries, scheme, routes.map(({ pathId }) => pathId), shapes]);
  }

  /** Settings of an earlier process, before those of this one take their place. */
  #readSettings(): StructView | undefined {
    const spec = mapSpec(this.#spec, 'settings');
    const pinned = openPinned(this.pins.mapPin(spec, spec.maxEntries, this.#meaning));
    if (pinned === undefined) return undefined;
    try {
      const map = new BpfMap('settings', pinned.number, spec.key.size, spec.value.size);
      return map.lookup() ? new StructView(spec.value, map.value) : undefined;
    } finally {
      pinned.close();
    }
  }
}

function pinsOf(insideDevice: string): PinFolder {
  return new PinFolder(`gateway:${insideDevice}`);
}

function isOfDevice(pin: string): boolean {
  return pin.startsWith(LINK_PREFIX) || pin.startsWith(FILTER_PREFIX);
}

function deviceOfPin(pin: string): string {
  return nameOfPin(pin.slice(pin.startsWith(LINK_PREFIX) ? LINK_PREFIX.length : FILTER_PREFIX.length));
}
