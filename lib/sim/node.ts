/** What every node of the network has: a name, an address table, and counted reasons for what it drops. */
import { parsePrefix } from '../wire/addr.ts';
import { foldSum } from '../wire/ones-complement.ts';
import { PrefixTable } from '../pref/prefix-table.ts';
import type { Carrier } from './carrier.ts';
import { SLOT_BYTES } from './packet-pool.ts';
import type { PacketPool } from './packet-pool.ts';

/** Why a node dropped a packet. */
export const NODE_DROP_REASONS = ['noRoute', 'ttlExpired', 'notForUs'] as const;
export const NODE_DROP_NO_ROUTE = 0;
export const NODE_DROP_TTL_EXPIRED = 1;
export const NODE_DROP_NOT_FOR_US = 2;

/** Destinations that a node remembers the route of. */
const RECENT = 64;
const RECENT_SHIFT = 26;
/** 2^32 over the golden ratio: spreads addresses that differ anywhere (Knuth, multiplicative hashing). */
const GOLDEN = 0x9e3779b1;
const NOT_RECENT = -2;
/** TTL, protocol and header checksum: one word of 32 bits, read and written at once. */
const TTL = 8;
const TTL_SHIFT = 24;
const DST = 16;
/** ~m + m' of RFC 1624 for a TTL that is one less, whatever it was: the TTL is the high byte of its checksum word. */
const TTL_STEP = 0xffff - 0x100;

/** A node: packets come in by {@link receive} and go out by the carriers of its routes. */
export abstract class NetworkNode {
  readonly index: number;
  readonly name: string;
  readonly isHost: boolean;
  /** Directions of links that begin here, in the order of the topology. */
  readonly carriers: Carrier[] = [];
  /** Packets dropped here, by NODE_DROP_*. */
  readonly droppedPackets = new Float64Array(NODE_DROP_REASONS.length);
  /** Bytes dropped here, by NODE_DROP_*. */
  readonly droppedBytes = new Float64Array(NODE_DROP_REASONS.length);
  protected readonly pool: PacketPool;
  /** Made with the first route: a table takes half a megabyte, and most hosts need none. */
  #routes: PrefixTable | undefined;
  /** The destinations looked up last and their carriers, by the low bits of a hash. */
  readonly #recentAddrs = new Int32Array(RECENT);
  readonly #recentCarriers = new Int32Array(RECENT).fill(NOT_RECENT);

  constructor(index: number, name: string, pool: PacketPool, isHost = false) {
    this.index = index;
    this.name = name;
    this.isHost = isHost;
    this.pool = pool;
  }

  /** Takes a packet, which belongs to the node from now on. */
  abstract receive(slot: number, from: Carrier): void;

  /**
   * Adds a route.
   *
   * @param prefix - like `10.1.0.0/16`
   * @param carrier - one of {@link carriers}
   * @throws PreflexError ERR_INVALID_OPTION for a prefix that is none
   */
  addRoute(prefix: string, carrier: Carrier): void {
    const { version, words, length } = parsePrefix(prefix, `${this.name}.routes`);
    this.#routes ??= new PrefixTable();
    this.#routes.insert(version, words, length, this.carriers.indexOf(carrier));
    this.#recentCarriers.fill(NOT_RECENT);
  }

  /**
   * Sends a packet by the longest matching route; without any table, by the only link.
   *
   * @hotpath
   */
  protected forward(slot: number): void {
    const routes = this.#routes;
    let carrier = this.carriers.length === 1 ? 0 : -1;
    if (routes !== undefined) {
      const addr = this.pool.view.getInt32(slot * SLOT_BYTES + DST);
      const recent = Math.imul(addr, GOLDEN) >>> RECENT_SHIFT;
      if (this.#recentAddrs[recent] === addr && this.#recentCarriers[recent] !== NOT_RECENT) {
        carrier = this.#recentCarriers[recent];
      } else {
        carrier = routes.lookup4(addr);
        this.#recentAddrs[recent] = addr;
        this.#recentCarriers[recent] = carrier;
      }
    }
    if (carrier < 0) this.drop(slot, NODE_DROP_NO_ROUTE);
    else this.carriers[carrier].offer(slot);
  }

  /**
   * Takes one off the time to live and keeps the header checksum right; false when none is left.
   *
   * @hotpath
   * @see RFC 1812 section 5.3.1, RFC 1624 equation 3
   */
  protected countHop(slot: number): boolean {
    const { view } = this.pool;
    const at = slot * SLOT_BYTES;
    const word = view.getInt32(at + TTL);
    if (word >>> TTL_SHIFT < 2) {
      this.drop(slot, NODE_DROP_TTL_EXPIRED);
      return false;
    }
    const checksum = ~foldSum((~word & 0xffff) + TTL_STEP) & 0xffff;
    view.setInt32(at + TTL, ((word & ~0xffff) - (1 << TTL_SHIFT)) | checksum);
    return true;
  }

  /** Drops a packet and counts why. */
  protected drop(slot: number, reason: number): void {
    this.droppedPackets[reason]++;
    this.droppedBytes[reason] += this.pool.lengthOf(slot);
    this.pool.release(slot);
  }

  /** Packets dropped by reason, as plain data. */
  reportDrops(): Record<string, number> {
    return Object.fromEntries(NODE_DROP_REASONS.map((reason, i) => [reason, this.droppedPackets[i]]));
  }
}
