/** The host programs in the kernel, with their maps: made of the spec of host.bpf.o. */
import type { LexSettings } from '../lex/options.ts';
import type { BpfMap } from '../sys/bpf.ts';
import { LoadedObject } from '../sys/libbpf.ts';
import type { HostCounters } from './host-counters.ts';
import { decodeHostCounters } from './host-counters.ts';
import type { ServedTraffic } from './host-settings.ts';
import { encodeHostSettings } from './host-settings.ts';
import { loadObjectSpec } from './object-file.ts';
import type { MapSpec, ObjectSpec } from './object-spec.ts';
import { openMap } from './open-map.ts';
import { mapSpec } from './object-spec.ts';

/** How to load the programs. */
export interface HostProgramsOptions {
  /** `datapath` for a device, `test` for test runs with a clock of their own. */
  readonly purpose: 'datapath' | 'test';
  readonly lex: LexSettings;
  readonly served: ServedTraffic;
  /** Where a map is pinned, if it is. */
  readonly pinPath?: (map: MapSpec, maxEntries: number) => string | undefined;
}

const PROGRAMS = {
  datapath: { egress: 'lex_egress', ingress: 'lex_ingress' },
  test: { egress: 'lex_egress_at', ingress: 'lex_ingress_at' },
} as const;

/** Loaded programs. */
export class HostPrograms {
  readonly spec: ObjectSpec;
  readonly flowCapacity: number;
  readonly #flows: BpfMap;
  readonly #fragments: BpfMap;
  readonly #counters: BpfMap;
  readonly #settings: BpfMap;
  readonly #object: LoadedObject;
  readonly #names: { readonly egress: string; readonly ingress: string };

  /**
   * Loads the programs and fills in the settings.
   *
   * @throws PreflexError ERR_INVALID_OPTION, ERR_MISSING_REQUIREMENT, ERR_SYSTEM with the verifier's log
   */
  constructor({ purpose, lex, served, pinPath }: HostProgramsOptions) {
    const spec = loadObjectSpec('host');
    this.spec = spec;
    // Before anything is loaded: it checks the options.
    const settings = this.#encode(lex, served);
    this.flowCapacity = lex.flowCapacity;
    this.#names = PROGRAMS[purpose];
    this.#object = new LoadedObject('host.bpf.o', spec.bytes, {
      programs: Object.values(this.#names),
      allPrograms: spec.programs.map(({ name }) => name),
      maps: spec.maps.map((map) => {
        const maxEntries = map.name === 'flows' ? lex.flowCapacity : map.maxEntries;
        return { name: map.name, maxEntries, pinPath: pinPath?.(map, maxEntries) };
      }),
    });
    this.#flows = this.#map('flows');
    this.#fragments = this.#map('fragments');
    this.#counters = this.#map('counters');
    this.#settings = this.#map('settings');
    this.#settings.value.set(settings);
    this.#settings.update();
  }

  /** Other settings, from the next packet on; the capacity of the flow table stays. */
  configure(lex: LexSettings, served: ServedTraffic): void {
    this.#settings.value.set(this.#encode(lex, served));
    this.#settings.update();
  }

  /** Forgets flows, fragments and counters. */
  forget(): void {
    this.#flows.clear();
    this.#fragments.zero(mapSpec(this.spec, 'fragments').maxEntries);
    this.#counters.value.fill(0);
    this.#counters.update();
  }

  /** Descriptor of the program of that direction. */
  programFd(direction: 'egress' | 'ingress'): number {
    return this.#object.programFd(this.#names[direction]);
  }

  /** Counters now. */
  counters(): HostCounters {
    this.#counters.lookup();
    return decodeHostCounters(mapSpec(this.spec, 'counters').value, this.#counters.value);
  }

  /** Flows in the table now. */
  countFlows(): number {
    return this.#flows.count();
  }

  /** Closes all descriptors; attached programs and pinned maps stay. */
  close(): void {
    this.#object.close();
  }

  #encode(lex: LexSettings, served: ServedTraffic): Uint8Array {
    return encodeHostSettings(this.spec.btf.structLayout('lex_settings'), lex, served);
  }

  #map(name: string): BpfMap {
    return openMap(this.#object, mapSpec(this.spec, name));
  }
}
