/**
 * The prefixes of the gateway's programs: destinations by prefix, and what is inside. The programs keep what they found
 * for an address (programs/pref-lookup.h), so a change counts once it is published.
 *
 * ```
 *   prefixes4|6, inside4|6   tries: the truth
 *   targets                  what was found in them, by address, for each processor
 *   lookup_state             the generation: one more makes all of these stale
 * ```
 */
import type { BpfMap } from '../sys/bpf.ts';
import type { AddressPrefix } from '../wire/addr.ts';
import { StructView } from './btf.ts';
import type { ObjectSpec } from './object-spec.ts';
import { mapSpec } from './object-spec.ts';

/**
 * Whose addresses a prefix of the inside has: hosts of the domain; the gateway itself or others that are left alone; or
 * outside after all, within a shorter prefix of the others.
 */
export type InsideKind = 'domain' | 'gateway' | 'outside';
const INSIDE_VALUES: Record<InsideKind, number> = { outside: 0, domain: 1, gateway: 2 };
/** Prefixes of each IP version that the programs leave alone, or know to be inside, at most. */
const INSIDE_PREFIXES = 65_536;
/** Addresses that a processor keeps, at least; and all of them together, at most: 64 MB. */
const FEWEST_TARGETS = 4096;
const MOST_TARGETS = 2 ** 21;
/** The generation is 32 bits wide, and never 0. */
const GENERATIONS = 2 ** 32 - 1;

/** How many addresses each processor keeps, a power of two: two a prefix, as long as there is room. */
export function targetEntries(prefixes: number, processors: number): number {
  const wanted = Math.max(2 * prefixes, FEWEST_TARGETS);
  const most = 2 ** Math.floor(Math.log2(MOST_TARGETS / processors));
  return Math.min(2 ** Math.ceil(Math.log2(wanted)), most);
}

/** Sizes of the tries, by map, for so many prefixes of each IP version. */
export function prefixEntries(prefixes: number): Record<string, number> {
  return {
    prefixes4: prefixes,
    prefixes6: prefixes,
    // Destinations of a configuration file stand there as well.
    inside4: INSIDE_PREFIXES + prefixes,
    inside6: INSIDE_PREFIXES + prefixes,
  };
}

/** Writes the tries. */
export class PrefixMaps {
  readonly #map: (name: string) => BpfMap;
  readonly #state: StructView;
  #generation = 0;
  #isChanged = true;

  /**
   * @param map - a map by its name
   * @param size - processors that keep addresses, and how many each: {@link targetEntries}
   */
  constructor(
    spec: ObjectSpec,
    map: (name: string) => BpfMap,
    { entries, processors }: { readonly entries: number; readonly processors: number },
  ) {
    this.#map = map;
    this.#state = new StructView(mapSpec(spec, 'lookup_state').value, map('lookup_state').value);
    this.#state.write('entry_mask', entries - 1);
    this.#state.write('processors', processors);
    this.publish();
  }

  /** Gives a prefix to a destination. Where there is no room it leads to none any more, and false is returned. */
  setPrefix(prefix: AddressPrefix, destination: number): boolean {
    const map = this.#elementOf('prefixes', prefix, destination);
    // A full trie of older kernels does not replace what it has.
    return map.updateIfRoom() || (map.delete() && map.updateIfRoom());
  }

  /** Takes a prefix away; false when it was not there. */
  removePrefix(prefix: AddressPrefix): boolean {
    return this.#remove('prefixes', prefix);
  }

  /** Says that addresses are inside. */
  setInside(prefix: AddressPrefix, kind: InsideKind): void {
    this.#elementOf('inside', prefix, INSIDE_VALUES[kind]).update();
  }

  /** Says that they are not any more; false when they were not. */
  removeInside(prefix: AddressPrefix): boolean {
    return this.#remove('inside', prefix);
  }

  /** Takes the prefixes of all destinations away. */
  clear(): void {
    for (const name of ['prefixes4', 'prefixes6']) this.#map(name).clear();
    this.#isChanged = true;
    this.publish();
  }

  /** Lets the programs forget what they found before, if anything has changed since the last time. */
  publish(): void {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    this.#generation = (this.#generation % GENERATIONS) + 1;
    this.#state.write('generation', this.#generation);
    const map = this.#map('lookup_state');
    map.key.fill(0);
    map.update();
  }

  /** The trie of the prefix's IP version, with the element to be written filled in. */
  #elementOf(table: 'prefixes' | 'inside', prefix: AddressPrefix, value: number): BpfMap {
    const map = this.#mapOf(table, prefix);
    new DataView(map.value.buffer).setUint32(0, value, true);
    this.#isChanged = true;
    return map;
  }

  #remove(table: 'prefixes' | 'inside', prefix: AddressPrefix): boolean {
    this.#isChanged = true;
    return this.#mapOf(table, prefix).delete();
  }

  /** The trie of the prefix's IP version, with its key filled in. */
  #mapOf(table: 'prefixes' | 'inside', { version, words, length }: AddressPrefix): BpfMap {
    const map = this.#map(`${table}${version}`);
    const view = new DataView(map.key.buffer);
    // struct prefix4 and prefix6: the length, then the address as it is on the wire.
    view.setUint32(0, length, true);
    for (let i = 0; i < (version === 4 ? 1 : 4); i++) view.setInt32(4 + 4 * i, words[i]);
    return map;
  }
}
