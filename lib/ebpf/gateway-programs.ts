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
import { openMap } from './open-map.ts';

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

/**
 * Whose addresses a prefix of the inside has: hosts of the domain; the gateway itself or others that are left alone; or
 * outside after all, within a shorter prefix of the others.
 */
export type InsideKind = 'domain' | 'gateway' | 'outside';
const INSIDE_VALUES: Record<InsideKind, number> = { outside: 0, domain: 1, gateway: 2 };
/** Prefixes of each IP version that the programs leave alone, or know to be inside, at most. */
const INSIDE_PREFIXES = 65_536;

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
  /** Where a METER_ figure stands in struct pref_meter, in words of 32 bits. */
  readonly #meterWords: readonly number[];
  readonly #destination: StructView;
  readonly #state: StructView;

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
    this.#maxEntries = {
      destinations,
      destination_states: destinations,
      meters: destinations * this.routeCount,
      prefixes4: prefixes,
      prefixes6: prefixes,
      // Destinations of a configuration file stand there as well.
      inside4: INSIDE_PREFIXES + prefixes,
      inside6: INSIDE_PREFIXES + prefixes,
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
    this.#meterWords = Array.from({ length: METER_FIELDS }, (_, field) => {
      const found = fields.find(({ name }) => name === METER_NAMES[field]);
      return (found?.offset ?? 0) / 4;
    });
    this.#destination = new StructView(mapSpec(spec, 'destinations').value, this.map('destinations').value);
    this.#state = new StructView(
      mapSpec(spec, 'destination_states').value,
      this.map('destination_states').value,
    );
    this.#writeSettings(settings);
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

  /** Tells of a device by its index. */
  setDevice(ifindex: number, { linkHeaderBytes, pathId, isInside }: GatewayDevice): void {
    const map = this.map('devices');
    const view = new StructView(mapSpec(this.spec, 'devices').value, map.value);
    writeIndex(map, ifindex);
    view.write('link_header_bytes', linkHeaderBytes);
    view.write('path_id', pathId);
    view.write('is_inside', isInside ? 1 : 0);
    map.update();
  }

  /** Forgets a device: its packets pass untouched. */
  removeDevice(ifindex: number): boolean {
    const map = this.map('devices');
    writeIndex(map, ifindex);
    return map.delete();
  }

  /** Gives a prefix to a destination. Where there is no room it leads to none any more, and false is returned. */
  setPrefix(prefix: AddressPrefix, destination: number): boolean {
    const map = this.#setPrefix('prefixes', prefix, destination);
    // A full trie of older kernels does not replace what it has.
    return map.updateIfRoom() || (map.delete() && map.updateIfRoom());
  }

  /** Takes a prefix away; false when it was not there. */
  removePrefix(prefix: AddressPrefix): boolean {
    return this.#prefixMap('prefixes', prefix).delete();
  }

  /** Says that addresses are inside. */
  setInside(prefix: AddressPrefix, kind: InsideKind): void {
    this.#setPrefix('inside', prefix, INSIDE_VALUES[kind]).update();
  }

  /** Says that they are not any more; false when they were not. */
  removeInside(prefix: AddressPrefix): boolean {
    return this.#prefixMap('inside', prefix).delete();
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
    if (count === 0) return figures;
    const map = this.map('meters');
    const values = fixedBytes(map.value.length * count);
    map.readRange(first * this.routeCount, count, values);
    // Little-endian, as all machines are that this loads on.
    const words = new Uint32Array(values.buffer);
    const stride = map.value.length / 4;
    for (let i = 0; i < count; i++) {
      for (let field = 0; field < METER_FIELDS; field++) {
        const at = i * stride + this.#meterWords[field];
        figures[i * METER_FIELDS + field] = words[at] + words[at + 1] * 2 ** 32;
      }
    }
    return figures;
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

  /** Says that a flow is failing on a route: its next FNE packet is drawn elsewhere. */
  setFailing(h1: number, h2: number, destination: number, slot: number): void {
    const map = this.#flowMap('failing', h1, h2);
    const view = new StructView(mapSpec(this.spec, 'failing').value, map.value);
    view.write('destination', destination);
    view.write('slot', slot);
    map.update();
  }

  /** Says that a flow is not failing any more; false when it was not. */
  clearFailing(h1: number, h2: number): boolean {
    return this.#flowMap('failing', h1, h2).delete();
  }

  /** Says that what a flow acknowledged came again: when its FNE packet comes, it probes no suspended route. */
  setRepeated(h1: number, h2: number): void {
    const map = this.#flowMap('repeated', h1, h2);
    map.value.fill(0);
    map.update();
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
    this.map('fne_memory').zero(this.#entriesOf(mapSpec(this.spec, 'fne_memory')));
    for (const name of ['prefixes4', 'prefixes6', 'failing', 'probes', 'repeated']) this.map(name).clear();
    for (const name of ['counters', 'limiter', 'sampled']) {
      const map = this.map(name);
      writeIndex(map, 0);
      map.value.fill(0);
      map.update();
    }
  }

  /** Closes all descriptors; attached programs and pinned maps stay. */
  close(): void {
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

  /** The trie of the prefix's IP version, with the element to be written filled in. */
  #setPrefix(table: 'prefixes' | 'inside', prefix: AddressPrefix, value: number): BpfMap {
    const map = this.#prefixMap(table, prefix);
    new DataView(map.value.buffer).setUint32(0, value, true);
    return map;
  }

  /** The trie of the prefix's IP version, with its key filled in. */
  #prefixMap(table: 'prefixes' | 'inside', { version, words, length }: AddressPrefix): BpfMap {
    const map = this.map(`${table}${version}`);
    const view = new DataView(map.key.buffer);
    // struct prefix4 and prefix6: the length, then the address as it is on the wire.
    view.setUint32(0, length, true);
    for (let i = 0; i < (version === 4 ? 1 : 4); i++) view.setInt32(4 + 4 * i, words[i]);
    return map;
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
