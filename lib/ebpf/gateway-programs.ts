/**
 * The gateway programs in the kernel, with their maps: made of the spec of gateway.bpf.o. Typed access to every map of
 * programs/gateway-maps.h; what to write there and when is the caller's. Long because every map has its accessors here.
 *
 * Flow hashes, here and in the reports, are uint32.
 */
import type { GatewaySettings } from '../pref/gateway-options.ts';
import {
  METER_BYTES,
  METER_FIELDS,
  METER_FLOWLETS,
  METER_FNE_REPEAT_BYTES,
  METER_LEX_BYTES,
} from '../pref/meter.ts';
import type { BpfMap } from '../sys/bpf.ts';
import { fixedBytes } from '../sys/bpf.ts';
import { LoadedObject } from '../sys/libbpf.ts';
import { MappedArray } from '../sys/shared-memory.ts';
import type { AddressPrefix } from '../wire/addr.ts';
import type { StructLayout } from './btf.ts';
import { StructView } from './btf.ts';
import type { KernelGatewayCounters } from './gateway-counters.ts';
import { decodeGatewayCounters } from './gateway-counters.ts';
import type { GatewayTraffic } from './gateway-settings.ts';
import { MEMORY_WAYS, encodeGatewaySettings } from './gateway-settings.ts';
import { loadObjectSpec } from './object-file.ts';
import type { MapSpec, ObjectSpec } from './object-spec.ts';
import { mapSpec } from './object-spec.ts';
import { openMap, possibleProcessors } from './open-map.ts';
import { prefixEntries, PrefixMaps, targetEntries } from './prefix-maps.ts';
import type { InsideKind } from './prefix-maps.ts';

/** How to load the programs. */
export interface GatewayProgramsOptions {
  /** `datapath` for devices, `test` for test runs with a clock of their own. */
  readonly purpose: 'datapath' | 'test';
  readonly gateway: GatewaySettings;
  readonly traffic: GatewayTraffic;
  /** Destinations there is room for, 1 or more: indices are below this. */
  readonly destinations: number;
  /** Prefixes of each IP version there is room for; default as many as destinations, 1,024 at least. */
  readonly prefixes?: number;
  /** Where a map is pinned, if it is. */
  readonly pinPath?: (map: MapSpec, maxEntries: number) => string | undefined;
}

/** A device with one of the programs. */
export interface GatewayDevice {
  /** Bytes in front of the IP header: 14 on Ethernet, 0 on a TUN. */
  readonly linkHeaderBytes: number;
  /** Of the route behind it; 0 for the device toward the inside. */
  readonly pathId: number;
  readonly isInside: boolean;
}

/** Routes of a destination, by slot. */
export interface KernelDestination {
  /** Slots that lead there, as a mask. */
  readonly allowedMask: number;
  readonly upMask: number;
  readonly suspendedMask: number;
  /** weightOf (lib/pref/route-table.ts) the flowlet ratio, by slot. */
  readonly weights: ArrayLike<number>;
}

const PROGRAMS = {
  datapath: { outbound: 'pref_outbound', inbound: 'pref_inbound' },
  test: { outbound: 'pref_outbound_at', inbound: 'pref_inbound_at' },
} as const;
/** Fields of struct pref_meter by METER_ number. */
const METER_NAMES: Record<number, string> = {
  [METER_BYTES]: 'bytes',
  [METER_LEX_BYTES]: 'lex_bytes',
  [METER_FNE_REPEAT_BYTES]: 'fne_repeat_bytes',
  [METER_FLOWLETS]: 'flowlets',
};
/** Sets of the FNE memory that are looked at to tell how full it is. */
const MEMORY_SETS_LOOKED_AT = 4096;
const SUSPENDED_UNIT = 2 ** 32;
const MAX_SLOTS = 16;

/** Loaded programs. */
export class GatewayPrograms {
  readonly spec: ObjectSpec;
  /** Destinations there is room for. */
  readonly destinations: number;
  #routeCount: number;
  readonly #object: LoadedObject;
  readonly #names: { readonly outbound: string; readonly inbound: string };
  readonly #maps = new Map<string, BpfMap>();
  readonly #maxEntries: Readonly<Record<string, number>>;
  readonly #meterFields: readonly number[];
  readonly #destination: StructView;
  readonly #state: StructView;
  readonly #prefixMaps: PrefixMaps;
  readonly #meters: MappedArray;

  /**
   * Loads the programs and fills in the settings. Without destinations and devices they let everything pass.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_MISSING_REQUIREMENT, ERR_SYSTEM with the verifier's log
   */
  constructor(options: GatewayProgramsOptions) {
    const { purpose, gateway, traffic, destinations, pinPath } = options;
    const spec = loadObjectSpec('gateway');
    this.spec = spec;
    this.destinations = destinations;
    this.#routeCount = gateway.routes.length;
    // Before anything is loaded: it checks the options.
    const settings = this.#encode(gateway, traffic);
    this.#names = PROGRAMS[purpose];
    const prefixes = options.prefixes ?? Math.max(destinations, 1024);
    const processors = possibleProcessors();
    const entries = targetEntries(prefixes, processors);
    this.#maxEntries = {
      destinations,
      destination_states: destinations,
      meters: destinations * this.routeCount,
      targets: entries * processors,
      ...prefixEntries(prefixes),
      fne_memory: gateway.fneMemoryEntries / MEMORY_WAYS,
    };
    this.#object = new LoadedObject('gateway.bpf.o', spec.bytes, {
      programs: Object.values(this.#names),
      allPrograms: spec.programs.map(({ name }) => name),
      maps: spec.maps.map((map) => {
        const maxEntries = this.#entriesOf(map);
        return { name: map.name, maxEntries, pinPath: pinPath?.(map, maxEntries) };
      }),
    });
    for (const map of spec.maps) this.#maps.set(map.name, openMap(this.#object, map));
    const { fields } = mapSpec(spec, 'meters').value;
    this.#meterFields = Array.from({ length: METER_FIELDS }, (_, field) => {
      const found = fields.find(({ name }) => name === METER_NAMES[field]);
      return (found?.offset ?? 0) / 8;
    });
    this.#destination = new StructView(mapSpec(spec, 'destinations').value, this.map('destinations').value);
    this.#state = new StructView(
      mapSpec(spec, 'destination_states').value,
      this.map('destination_states').value,
    );
    this.#prefixMaps = new PrefixMaps(spec, (name) => this.map(name), { entries, processors });
    this.#writeSettings(settings);
    const meters = mapSpec(spec, 'meters');
    this.#meters = new MappedArray(this.map('meters').fd, this.#entriesOf(meters) * meters.value.size);
  }

  /**
   * Other settings, from the next packet on; sizes stay. Other routes, no more than there were, and another scheme only
   * while no packets pass.
   */
  configure(gateway: GatewaySettings, traffic: GatewayTraffic): void {
    this.#routeCount = gateway.routes.length;
    this.#writeSettings(this.#encode(gateway, traffic));
  }

  /** Routes of the gateway. */
  get routeCount(): number {
    return this.#routeCount;
  }

  /** Descriptor of the program of that direction. */
  programFd(direction: 'outbound' | 'inbound'): number {
    return this.#object.programFd(this.#names[direction]);
  }

  /** Descriptor of the ring buffer of reports (struct pref_report). */
  get reportsFd(): number {
    return this.#object.mapFd('reports');
  }

  /** Bytes of the ring buffer of reports. */
  get reportsBytes(): number {
    return mapSpec(this.spec, 'reports').maxEntries;
  }

  /** Tells of a device by its index. There is one toward the inside. */
  setDevice(ifindex: number, { linkHeaderBytes, pathId, isInside }: GatewayDevice): void {
    const name = isInside ? 'inside_device' : 'devices';
    const map = this.map(name);
    const view = new StructView(mapSpec(this.spec, name).value, map.value);
    writeIndex(map, isInside ? 0 : ifindex);
    view.write('link_header_bytes', linkHeaderBytes);
    if (isInside) view.write('ifindex', ifindex);
    else view.write('path_id', pathId);
    map.update();
  }

  /** Forgets a device: its packets pass untouched. False when it was not known. */
  removeDevice(ifindex: number): boolean {
    const inside = this.map('inside_device');
    writeIndex(inside, 0);
    inside.lookup();
    const view = new StructView(mapSpec(this.spec, 'inside_device').value, inside.value);
    if (view.read('ifindex') === ifindex) {
      view.write('ifindex', 0);
      inside.update();
      return true;
    }
    const map = this.map('devices');
    writeIndex(map, ifindex);
    return map.delete();
  }

  /**
   * Gives a prefix to a destination; {@link publishPrefixes} puts it in force. Where there is no room it leads to none
   * any more, and false is returned.
   */
  setPrefix(prefix: AddressPrefix, destination: number): boolean {
    return this.#prefixMaps.setPrefix(prefix, destination);
  }

  /** Takes a prefix away, in force after {@link publishPrefixes}; false when it was not there. */
  removePrefix(prefix: AddressPrefix): boolean {
    return this.#prefixMaps.removePrefix(prefix);
  }

  /** Says that addresses are inside; {@link publishPrefixes} puts it in force. */
  setInside(prefix: AddressPrefix, kind: InsideKind): void {
    this.#prefixMaps.setInside(prefix, kind);
  }

  /** Says that they are not any more, in force after {@link publishPrefixes}; false when they were not. */
  removeInside(prefix: AddressPrefix): boolean {
    return this.#prefixMaps.removeInside(prefix);
  }

  /** Puts what was said of prefixes in force for addresses that packets went to before; does nothing when nothing was. */
  publishPrefixes(): void {
    this.#prefixMaps.publish();
  }

  /** Says which routes a destination has: every packet meets all of it or nothing. */
  setDestination(
    destination: number,
    { allowedMask, upMask, suspendedMask, weights }: KernelDestination,
  ): void {
    const map = this.map('destinations');
    writeIndex(map, destination);
    this.#destination.write('masks', allowedMask + upMask * 0x10000 + suspendedMask * SUSPENDED_UNIT);
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      this.#destination.write('weights', slot < this.routeCount ? weights[slot] : 0, slot);
    }
    map.updateLocked();
  }

  /** Begins a destination anew: full bucket, these credits, no traffic. To be done before its prefixes are set. */
  resetDestination(destination: number, credits: ArrayLike<number>): void {
    const states = this.map('destination_states');
    writeIndex(states, destination);
    this.#state.write('full_at_ns', 0);
    for (let slot = 0; slot < MAX_SLOTS; slot++) {
      this.#state.write('credits', slot < this.routeCount ? credits[slot] : 0, slot);
    }
    states.update();
    const meters = this.map('meters');
    meters.value.fill(0);
    for (let slot = 0; slot < this.routeCount; slot++) {
      writeIndex(meters, destination * this.routeCount + slot);
      meters.update();
    }
  }

  /** Credits of a destination, by slot; allocates. */
  creditsOf(destination: number): number[] {
    const map = this.map('destination_states');
    writeIndex(map, destination);
    map.lookup();
    return this.#state.readAll('credits').slice(0, this.routeCount);
  }

  /** Fills the buckets of the limits of the first `destinations` destinations: after other limits came into force. */
  fillBuckets(destinations: number): void {
    const states = this.map('destination_states');
    for (let destination = 0; destination < destinations; destination++) {
      writeIndex(states, destination);
      states.lookup();
      // A packet in between may lose its claim, which is one flowlet's worth.
      this.#state.write('full_at_ns', 0);
      states.update();
    }
    const limiter = this.map('limiter');
    writeIndex(limiter, 0);
    limiter.value.fill(0);
    limiter.updateLocked();
  }

  /**
   * What each route carried to `destinations` destinations from `first` on, since they were begun.
   *
   * @returns a figure at ((destination - first) * routeCount + slot) * METER_FIELDS + METER_ number
   */
  readMeters(destinations: number, first = 0): Float64Array {
    const count = destinations * this.routeCount;
    const figures = new Float64Array(count * METER_FIELDS);
    const meters = this.#meters.figures;
    const stride = this.meterStride / 2;
    for (let i = 0; i < count; i++) {
      const at = (first * this.routeCount + i) * stride;
      for (let field = 0; field < METER_FIELDS; field++) {
        figures[i * METER_FIELDS + field] = Number(meters[at + this.#meterFields[field]]);
      }
    }
    return figures;
  }

  /**
   * All meters as they stand in the map: for each destination and slot {@link meterStride} words, half of which make the
   * figures at {@link meterFields}. Not after {@link close}.
   */
  get meters(): MappedArray {
    return this.#meters;
  }

  /** Words of a meter, of 32 bits. */
  get meterStride(): number {
    return this.map('meters').value.length / 4;
  }

  /** Where a figure of 64 bits stands in a meter, by METER_ number, in figures. */
  get meterFields(): readonly number[] {
    return this.#meterFields;
  }

  /**
   * What is remembered of a flow's FNE packet, whether or not its lifetime is over.
   *
   * @returns state | slot << 2 | tried slots << 8, and when, ms modulo 2^32; undefined when there is nothing
   */
  memoryOf(h1: number, h2: number): { readonly meta: number; readonly timeMs: number } | undefined {
    const map = this.map('fne_memory');
    const sets = this.#entriesOf(mapSpec(this.spec, 'fne_memory'));
    writeIndex(map, h1 & (sets - 1));
    map.lookupLocked();
    const entry = this.spec.btf.structLayout('pref_memory_entry');
    const entries = this.spec.btf
      .structLayout('pref_memory_set')
      .fields.find(({ name }) => name === 'entries');
    const offset = entries?.offset ?? 0;
    for (let way = 0; way < MEMORY_WAYS; way++) {
      const view = new StructView(entry, map.value.subarray(offset + way * entry.size));
      if (view.read('h1') !== h1 >>> 0 || view.read('h2') !== h2 >>> 0 || view.read('meta') === 0) continue;
      return { meta: view.read('meta'), timeMs: view.read('time_ms') };
    }
    return undefined;
  }

  /**
   * How many FNE packets are remembered whose lifetime is not over; of a large memory an estimate.
   *
   * @param nowMs - of CLOCK_MONOTONIC
   */
  memorySize(nowMs: number, lifetimeMs: number): number {
    const map = this.map('fne_memory');
    const sets = this.#entriesOf(mapSpec(this.spec, 'fne_memory'));
    const looked = Math.min(sets, MEMORY_SETS_LOOKED_AT);
    const bytes = fixedBytes(map.value.length * looked);
    map.readRange(0, looked, bytes);
    const entry = this.spec.btf.structLayout('pref_memory_entry');
    const offsetOf = (layout: StructLayout, field: string): number =>
      layout.fields.find(({ name }) => name === field)?.offset ?? 0;
    const first = offsetOf(this.spec.btf.structLayout('pref_memory_set'), 'entries');
    const [meta, time] = [offsetOf(entry, 'meta'), offsetOf(entry, 'time_ms')];
    const view = new DataView(bytes.buffer);
    let used = 0;
    for (let set = 0; set < looked; set++) {
      for (let way = 0; way < MEMORY_WAYS; way++) {
        const at = set * map.value.length + first + way * entry.size;
        const ageMs = ((nowMs | 0) - view.getUint32(at + time, true)) | 0;
        if (view.getUint32(at + meta, true) !== 0 && ageMs >= 0 && ageMs <= lifetimeMs) used++;
      }
    }
    return Math.round((used * sets) / looked);
  }

  /** Counters now. */
  counters(): KernelGatewayCounters {
    const map = this.map('counters');
    writeIndex(map, 0);
    map.lookup();
    return decodeGatewayCounters(mapSpec(this.spec, 'counters').value, map.value);
  }

  /** Says that a flow is failing on a route: its next FNE packet is drawn elsewhere. False when there is no room. */
  setFailing(h1: number, h2: number, destination: number, slot: number): boolean {
    const map = this.#flowMap('failing', h1, h2);
    const view = new StructView(mapSpec(this.spec, 'failing').value, map.value);
    view.write('destination', destination);
    view.write('slot', slot);
    return map.updateIfRoom();
  }

  /** Says that a flow is not failing any more; false when it was not. */
  clearFailing(h1: number, h2: number): boolean {
    return this.#flowMap('failing', h1, h2).delete();
  }

  /**
   * Says that what a flow acknowledged came again: when its FNE packet comes, it probes no suspended route. False when there
   * is no room.
   */
  setRepeated(h1: number, h2: number): boolean {
    const map = this.#flowMap('repeated', h1, h2);
    map.value.fill(0);
    return map.updateIfRoom();
  }

  /** Says that a flow had new data since; false when it was not known for the opposite. */
  clearRepeated(h1: number, h2: number): boolean {
    return this.#flowMap('repeated', h1, h2).delete();
  }

  /** Lets a flow stay on a suspended route. */
  setProbe(h1: number, h2: number, destination: number, slot: number): void {
    const map = this.#probeMap(h1, h2, destination, slot);
    map.value.fill(0);
    map.update();
  }

  /** Sends a flow around the suspended route that it probed; false when it was no probe. */
  deleteProbe(h1: number, h2: number, destination: number, slot: number): boolean {
    return this.#probeMap(h1, h2, destination, slot).delete();
  }

  /** Whether a flow probes a suspended route. */
  isProbe(h1: number, h2: number, destination: number, slot: number): boolean {
    return this.#probeMap(h1, h2, destination, slot).lookup();
  }

  /** Forgets FNE packets, prefixes, flows, the total limit and counters; settings, destinations and devices stay. */
  forget(): void {
    for (const name of ['fne_memory', 'receivers'])
      this.map(name).zero(this.#entriesOf(mapSpec(this.spec, name)));
    for (const name of ['failing', 'probes', 'repeated']) this.map(name).clear();
    this.#prefixMaps.clear();
    for (const name of ['counters', 'limiter', 'sampled']) {
      const map = this.map(name);
      writeIndex(map, 0);
      map.value.fill(0);
      map.update();
    }
  }

  /** Closes all descriptors; attached programs and pinned maps stay. */
  close(): void {
    this.#meters.close();
    this.#object.close();
  }

  #entriesOf({ name, maxEntries }: MapSpec): number {
    return this.#maxEntries[name] ?? maxEntries;
  }

  #encode(gateway: GatewaySettings, traffic: GatewayTraffic): Uint8Array {
    return encodeGatewaySettings(this.spec.btf.structLayout('pref_settings'), gateway, traffic);
  }

  #writeSettings(bytes: Uint8Array): void {
    const map = this.map('settings');
    writeIndex(map, 0);
    map.value.set(bytes);
    map.update();
  }

  #flowMap(name: string, h1: number, h2: number): BpfMap {
    const map = this.map(name);
    const view = new DataView(map.key.buffer);
    view.setUint32(0, h1, true);
    view.setUint32(4, h2, true);
    return map;
  }

  #probeMap(h1: number, h2: number, destination: number, slot: number): BpfMap {
    const map = this.#flowMap('probes', h1, h2);
    const view = new DataView(map.key.buffer);
    view.setUint32(8, destination, true);
    view.setUint32(12, slot, true);
    return map;
  }

  /** A map, for those who read it whole. */
  map(name: string): BpfMap {
    const map = this.#maps.get(name);
    // mapSpec says that there is none.
    return map ?? openMap(this.#object, mapSpec(this.spec, name));
  }
}

function writeIndex(map: BpfMap, index: number): void {
  new DataView(map.key.buffer).setUint32(0, index, true);
}
