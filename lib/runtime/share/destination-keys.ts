/**
 * What a destination is called between gateways: by its prefixes, so that the same ones mean the same everywhere, in
 * whatever order a configuration has them.
 *
 *     192.0.2.0/24                              one prefix
 *     192.0.2.0/24+2#1f40fc92da241694           the first of three, and 64 bits of a hash of all
 */
import { createHash } from 'node:crypto';
import { PreflexError } from '../../errors.ts';
import type { PrefGateway } from '../../pref/gateway.ts';

/** What of the gateway is needed here. */
export type KeyedGateway = Pick<PrefGateway, 'destinationOf' | 'prefixesOf' | 'prefixChanges'>;

/** Keys that were asked for and are remembered at most, known ones and others. */
const MAX_REMEMBERED = 65_536;
const HASH_DIGITS = 16;

/** The key of a destination with these prefixes, one or more. */
export function keyOfPrefixes(prefixes: readonly string[]): string {
  const sorted = [...prefixes].sort();
  if (sorted.length === 1) return sorted[0];
  const hash = createHash('sha256').update(sorted.join(' ')).digest('hex').slice(0, HASH_DIGITS);
  return `${sorted[0]}+${sorted.length - 1}#${hash}`;
}

/** Keys of a gateway's destinations, both ways. */
export class DestinationKeys {
  readonly #gateway: KeyedGateway;
  readonly #keys = new Map<number, string>();
  readonly #destinations = new Map<string, number>();
  #changes = -1;

  constructor(gateway: KeyedGateway) {
    this.#gateway = gateway;
  }

  /** The key of a destination that exists; undefined while it has no prefix. */
  keyOf(destination: number): string | undefined {
    this.#refresh();
    let key = this.#keys.get(destination);
    if (key !== undefined) return key;
    const prefixes = this.#gateway.prefixesOf(destination);
    if (prefixes.length === 0) return undefined;
    key = keyOfPrefixes(prefixes);
    this.#keys.set(destination, key);
    return key;
  }

  /** The destination that a key means, -1 for none. */
  destinationOf(key: string): number {
    this.#refresh();
    const known = this.#destinations.get(key);
    if (known !== undefined) return known;
    const destination = this.#find(key);
    if (this.#destinations.size >= MAX_REMEMBERED) this.#destinations.clear();
    this.#destinations.set(key, destination);
    return destination;
  }

  #find(key: string): number {
    let candidate: number;
    try {
      candidate = this.#gateway.destinationOf(key.split('+', 1)[0]);
    } catch (error) {
      // From the network: what looks like a prefix and is none.
      if (error instanceof PreflexError) return -1;
      throw error;
    }
    return candidate >= 0 && this.keyOf(candidate) === key ? candidate : -1;
  }

  #refresh(): void {
    if (this.#changes === this.#gateway.prefixChanges) return;
    this.#changes = this.#gateway.prefixChanges;
    this.#keys.clear();
    this.#destinations.clear();
  }
}
