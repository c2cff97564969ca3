/** What the maps of an earlier process say, for the next one to go on with. */
import type { AddressPrefix } from '../wire/addr.ts';
import { StructView } from './btf.ts';
import type { GatewayPrograms } from './gateway-programs.ts';
import { mapSpec } from './object-spec.ts';

/** Elements read in one call. */
const BATCH = 4096;
const MASK = 0xffff;

/** A destination of an earlier process. */
export interface EarlierDestination {
  /** In the programs' maps. */
  readonly index: number;
  readonly allowedMask: number;
  readonly suspendedMask: number;
  /** Flowlet ratios by slot, not scaled. */
  readonly ratios: Float64Array;
  /** What its routes carried, as {@link GatewayPrograms.readMeters} has it for one destination. */
  readonly figures: Float64Array;
}

/** Text that is the same for the same prefix. */
export function prefixKey({ length, version, words }: AddressPrefix): string {
  return version === 4 ? `${words[0]}/${length}` : `${words.join(',')}/${length}`;
}

/** Destinations of an earlier process that nobody has claimed yet. */
export class EarlierState {
  /** Indices above which none was in use. */
  readonly nextIndex: number;
  readonly #programs: GatewayPrograms;
  readonly #prefixes = new Map<string, { readonly prefix: AddressPrefix; readonly index: number }>();
  readonly #unclaimed = new Set<number>();

  /** Reads the prefixes; the rest is read for those that are claimed. */
  constructor(programs: GatewayPrograms) {
    this.#programs = programs;
    let nextIndex = 0;
    for (const version of [4, 6] as const) {
      const map = programs.map(`prefixes${version}`);
      const { key, value } = mapSpec(programs.spec, `prefixes${version}`);
      const [keyBytes, valueBytes] = [key.size, value.size];
      map.readBatches(BATCH, (keys, values, count) => {
        const keyView = new DataView(keys.buffer);
        const valueView = new DataView(values.buffer);
        for (let i = 0; i < count; i++) {
          const words = new Int32Array(4);
          for (let word = 0; word < (version === 4 ? 1 : 4); word++)
            words[word] = keyView.getInt32(i * keyBytes + 4 + 4 * word);
          const prefix = { version, words, length: keyView.getUint32(i * keyBytes, true) };
          const index = valueView.getUint32(i * valueBytes, true);
          if (index >= programs.destinations) continue;
          this.#prefixes.set(prefixKey(prefix), { prefix, index });
          this.#unclaimed.add(index);
          nextIndex = Math.max(nextIndex, index + 1);
        }
      });
    }
    // Indices below it that have no prefix are free as well.
    for (let index = 0; index < nextIndex; index++) this.#unclaimed.add(index);
    this.nextIndex = nextIndex;
  }

  /** The destination that one of these prefixes led to, over the same routes; each can be claimed once. */
  claim(prefixes: readonly AddressPrefix[], allowedMask: number): EarlierDestination | undefined {
    for (const prefix of prefixes) {
      const index = this.#prefixes.get(prefixKey(prefix))?.index;
      if (index === undefined || !this.#unclaimed.has(index)) continue;
      const found = this.#read(index);
      if (found.allowedMask !== allowedMask) continue;
      this.#unclaimed.delete(index);
      return found;
    }
    return undefined;
  }

  /** A prefix is the new process's own affair now. */
  forget(key: string): void {
    this.#prefixes.delete(key);
  }

  /** The prefixes and indices that were not asked for. */
  takeRest(): { readonly prefixes: readonly AddressPrefix[]; readonly indices: readonly number[] } {
    const rest = {
      prefixes: [...this.#prefixes.values()].map(({ prefix }) => prefix),
      indices: [...this.#unclaimed],
    };
    this.#prefixes.clear();
    this.#unclaimed.clear();
    return rest;
  }

  #read(index: number): EarlierDestination {
    const programs = this.#programs;
    const map = programs.map('destinations');
    new DataView(map.key.buffer).setUint32(0, index, true);
    map.lookupLocked();
    const view = new StructView(mapSpec(programs.spec, 'destinations').value, map.value);
    const masks = BigInt.asUintN(64, BigInt(view.read('masks')));
    return {
      index,
      allowedMask: Number(masks & BigInt(MASK)),
      suspendedMask: Number((masks >> 32n) & BigInt(MASK)),
      ratios: Float64Array.from(view.readAll('weights').slice(0, programs.routeCount)),
      figures: programs.readMeters(1, index),
    };
  }
}
