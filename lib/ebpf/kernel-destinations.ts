/**
 * The destinations of a gateway and of its programs, kept alike. The gateway gives its destinations an index, and the
 * programs' maps have their own, which outlives the process: a prefix that the programs know from an earlier process
 * goes on under the index it had, with its credits, totals, ratios and suspended routes.
 *
 * Changes are made in the gateway at once and in the maps by {@link flush}: destinations first, then the prefixes that
 * lead to them, and indices are given away again only after that.
 */
import type { DatapathPort } from '../pref/datapath-port.ts';
import type { PrefGateway } from '../pref/gateway.ts';
import { parsePrefix } from '../wire/addr.ts';
import type { AddressPrefix } from '../wire/addr.ts';
import type { EarlierDestination, EarlierState } from './gateway-takeover.ts';
import type { GatewayPrograms } from './gateway-programs.ts';
import { prefixKey } from './gateway-takeover.ts';
import type { MeterReader } from './meter-reader.ts';

/** What of the gateway is needed here. */
export type DestinationOwner = Pick<
  PrefGateway,
  | 'addDestination'
  | 'removeDestination'
  | 'addPrefix'
  | 'removePrefix'
  | 'setDestinationRoutes'
  | 'prefixesOf'
>;

const NONE = -1;
/** Prefixes that found no room that are tried again in one go. */
const RETRIES = 256;
/** For as many routes as there can be. */
const NO_CREDITS = new Float64Array(16);

/** Stands in front of a gateway for those who change its destinations. */
export class KernelDestinations implements DestinationOwner {
  readonly #gateway: DestinationOwner;
  readonly #port: DatapathPort;
  readonly #programs: GatewayPrograms;
  readonly #meters: MeterReader;
  readonly #earlier: EarlierState | undefined;
  /** The programs' index by the gateway's, and the other way round. */
  readonly #kernelOf: number[] = [];
  readonly #coreOf: number[] = [];
  readonly #free: number[] = [];
  #next: number;
  /** Gone from the gateway, and not yet from the prefixes. */
  readonly #leaving: number[] = [];
  /** Prefixes to write, by their key, with the programs' index; -1 to take away. */
  readonly #prefixes = new Map<string, { readonly prefix: AddressPrefix; readonly index: number }>();
  /** Destinations to write, by the gateway's index. */
  readonly #changed = new Set<number>();
  /** Those of them that the maps have never had. */
  readonly #fresh = new Set<number>();
  /** Destinations that found no room, by the gateway's index. */
  readonly #leftOut = new Set<number>();
  /** Prefixes that found no room, as in {@link #prefixes}. */
  readonly #withoutRoom = new Map<string, { readonly prefix: AddressPrefix; readonly index: number }>();

  constructor(
    gateway: DestinationOwner,
    port: DatapathPort,
    programs: GatewayPrograms,
    meters: MeterReader,
    earlier: EarlierState | undefined,
  ) {
    this.#gateway = gateway;
    this.#port = port;
    this.#programs = programs;
    this.#meters = meters;
    this.#earlier = earlier;
    this.#next = earlier?.nextIndex ?? 0;
  }

  /** Indices of the programs in use are below this. */
  get size(): number {
    return this.#next;
  }

  /** Destinations that the maps have no room for: what goes there is treated as if no prefix covered it. */
  get leftOut(): number {
    return this.#leftOut.size;
  }

  /** Prefixes of destinations that have a place, for which there was no room: their packets meet the next shorter one. */
  get leftOutPrefixes(): number {
    return this.#withoutRoom.size;
  }

  /** Whether {@link flush} has something to write. */
  get isPending(): boolean {
    return this.#changed.size > 0 || this.#prefixes.size > 0 || this.#leaving.length > 0;
  }

  /** The gateway's index of a destination of the programs; -1 for none. */
  coreOf(index: number): number {
    return this.#coreOf[index] ?? NONE;
  }

  /** The programs' index of a destination; -1 for one that was left out, or is none. */
  indexOf(destination: number): number {
    return this.#kernelOf[destination] ?? NONE;
  }

  /** See {@link PrefGateway.addDestination}. */
  addDestination(prefixes: readonly (string | AddressPrefix)[], pathIds: readonly number[]): number {
    const destination = this.#gateway.addDestination(prefixes, pathIds);
    const parsed = prefixes.map(readPrefix);
    const allowedMask = this.#port.allowedMask(destination);
    const earlier = this.#earlier?.claim(parsed, allowedMask);
    this.#place(destination, earlier?.index ?? this.#allocate(), parsed, earlier);
    return destination;
  }

  /** See {@link PrefGateway.removeDestination}. */
  removeDestination(destination: number): void {
    const index = this.indexOf(destination);
    if (index === NONE) this.#leftOut.delete(destination);
    else {
      this.#meters.read(index, index + 1, this);
      for (const prefix of this.#gateway.prefixesOf(destination)) this.#lead(parsePrefix(prefix), NONE);
      this.#coreOf[index] = NONE;
      this.#leaving.push(index);
    }
    this.#kernelOf[destination] = NONE;
    this.#changed.delete(destination);
    this.#fresh.delete(destination);
    this.#gateway.removeDestination(destination);
  }

  /** See {@link PrefGateway.addPrefix}. */
  addPrefix(destination: number, prefix: string | AddressPrefix): number {
    const before = this.#gateway.addPrefix(destination, prefix);
    const index = this.indexOf(destination);
    if (index !== NONE || before >= 0) this.#lead(readPrefix(prefix), index);
    return before;
  }

  /** See {@link PrefGateway.removePrefix}. */
  removePrefix(prefix: string | AddressPrefix): number {
    const before = this.#gateway.removePrefix(prefix);
    if (before >= 0) this.#lead(readPrefix(prefix), NONE);
    return before;
  }

  /** See {@link PrefGateway.setDestinationRoutes}. */
  setDestinationRoutes(destination: number, pathIds: readonly number[]): void {
    this.#gateway.setDestinationRoutes(destination, pathIds);
    this.#changed.add(destination);
  }

  /** See {@link PrefGateway.prefixesOf}. */
  prefixesOf(destination: number): string[] {
    return this.#gateway.prefixesOf(destination);
  }

  /** Lets {@link flush} write every destination: after a route went down or came up for all. */
  noteAll(): void {
    for (const destination of this.#coreOf) if (destination >= 0) this.#changed.add(destination);
  }

  /** Lets {@link flush} try some of the prefixes again that found no room: the kernel may only have been short of memory. */
  retryWithoutRoom(): void {
    let count = 0;
    for (const [key, lead] of this.#withoutRoom) {
      if (count++ >= RETRIES) return;
      if (!this.#prefixes.has(key)) this.#prefixes.set(key, lead);
    }
  }

  /**
   * Writes what has changed.
   *
   * @param limit - destinations to write at most; the rest waits for the next call
   */
  flush(limit = Infinity): void {
    for (const destination of this.#port.takeChanged()) this.#changed.add(destination);
    let written = 0;
    for (const destination of this.#changed) {
      if (written++ >= limit) break;
      this.#changed.delete(destination);
      const index = this.indexOf(destination);
      if (index === NONE || !this.#port.has(destination)) continue;
      if (this.#fresh.delete(destination))
        this.#programs.resetDestination(index, this.#port.creditsOf(destination));
      this.#programs.setDestination(index, this.#port.forwarding(destination));
    }
    this.#flushPrefixes();
    this.#programs.publishPrefixes();
    for (const index of this.#leaving) this.#free.push(index);
    this.#leaving.length = 0;
    this.#placeLeftOut();
  }

  #flushPrefixes(): void {
    let hasRoom = false;
    for (const [key, { prefix, index }] of this.#prefixes) {
      // Not before the destination that it leads to.
      if (index !== NONE && this.#fresh.has(this.coreOf(index))) continue;
      this.#prefixes.delete(key);
      if (index === NONE)
        hasRoom = (!this.#withoutRoom.delete(key) && this.#programs.removePrefix(prefix)) || hasRoom;
      else {
        // Behind the others, so that each gets its turn.
        this.#withoutRoom.delete(key);
        if (!this.#programs.setPrefix(prefix, index)) this.#withoutRoom.set(key, { prefix, index });
      }
    }
    if (!hasRoom) return;
    for (const [key, lead] of this.#withoutRoom) if (!this.#prefixes.has(key)) this.#prefixes.set(key, lead);
  }

  /** Takes away what an earlier process had and this one has not: to be called once all destinations were added. */
  finishTakeover(): void {
    if (this.#earlier === undefined) return;
    const { indices, prefixes } = this.#earlier.takeRest();
    for (const prefix of prefixes) this.#lead(prefix, NONE);
    this.#leaving.push(...indices);
  }

  /** Gives a destination its place in the maps, or notes that there is none. */
  #place(
    destination: number,
    index: number,
    prefixes: readonly AddressPrefix[],
    earlier: EarlierDestination | undefined,
  ): void {
    this.#kernelOf[destination] = index;
    if (index === NONE) {
      this.#leftOut.add(destination);
      return;
    }
    this.#coreOf[index] = destination;
    if (earlier === undefined) {
      // The claims follow when it is written: to ask for them now would give its routes their first shares before it is
      // known which of them are up.
      this.#programs.resetDestination(index, NO_CREDITS);
      this.#fresh.add(destination);
      this.#meters.begin(index);
    } else this.#goOn(destination, earlier);
    this.#changed.add(destination);
    for (const prefix of prefixes) this.#lead(prefix, index);
  }

  /** Others have gone: there may be room now. */
  #placeLeftOut(): void {
    for (const destination of this.#leftOut) {
      const index = this.#allocate();
      if (index === NONE) return;
      this.#leftOut.delete(destination);
      const prefixes = this.#gateway.prefixesOf(destination).map(readPrefix);
      this.#place(destination, index, prefixes, undefined);
    }
  }

  #goOn(destination: number, { figures, index, ratios, suspendedMask }: EarlierDestination): void {
    this.#port.restoreRatios(destination, ratios);
    for (let slot = 0; suspendedMask >>> slot !== 0; slot++) {
      if (((suspendedMask >>> slot) & 1) === 1) this.#port.resumeSuspension(destination, slot);
    }
    this.#meters.goOn(index, destination, figures);
  }

  #lead(prefix: AddressPrefix, index: number): void {
    const key = prefixKey(prefix);
    this.#earlier?.forget(key);
    // Later changes of a prefix take the place of earlier ones, whose words may be the caller's.
    const { length, version, words } = prefix;
    this.#prefixes.set(key, { prefix: { version, length, words: words.slice() }, index });
  }

  #allocate(): number {
    const index = this.#free.pop();
    if (index !== undefined) return index;
    return this.#next < this.#programs.destinations ? this.#next++ : NONE;
  }
}

function readPrefix(prefix: string | AddressPrefix): AddressPrefix {
  return typeof prefix === 'string' ? parsePrefix(prefix) : prefix;
}
