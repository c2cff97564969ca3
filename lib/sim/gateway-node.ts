/**
 * A gateway in the network: a router around the very PrefGateway that the daemon runs.
 *
 *      inside links  --> handleOutbound --> path ID --> egress link of that path ID
 *                                       --> 0       --> routing table
 *      egress links  --> handleInbound  --> routing table
 */
import { PrefGateway } from '../pref/gateway.ts';
import type { GatewayOptions } from '../pref/gateway-options.ts';
import type { Carrier } from './carrier.ts';
import type { EventQueue } from './event-queue.ts';
import { NetworkNode } from './node.ts';
import { SLOT_BYTES } from './packet-pool.ts';
import type { PacketPool } from './packet-pool.ts';

/** Event of a {@link GatewayNode}: its update interval ends. Argument: the node's index. */
export const EVENT_GATEWAY = 2;

/** Carriers that are no egress have this path ID; those of egress links have 1 or more. */
const INSIDE = 0;

/** A gateway of a PREFLEX domain. */
export class GatewayNode extends NetworkNode {
  readonly gateway: PrefGateway;
  readonly #queue: EventQueue;
  /** Egress by path ID, an index of {@link carriers}; -1 for none. */
  readonly #egressOf = new Int32Array(64).fill(-1);
  /** Path ID of the route that packets of a carrier come in by, by the carrier's index in the network. */
  #pathIdOf = new Int32Array(64);

  /** @throws PreflexError naming the option, its value and the allowed range */
  constructor(index: number, name: string, pool: PacketPool, queue: EventQueue, options: GatewayOptions) {
    super(index, name, pool);
    this.#queue = queue;
    this.gateway = new PrefGateway(options);
    this.handleTimeout();
  }

  /** Binds a path ID to a link: `out` begins at this gateway, `back` ends here. */
  bindEgress(pathId: number, out: Carrier, back: Carrier): void {
    this.#egressOf[pathId] = this.carriers.indexOf(out);
    while (back.index >= this.#pathIdOf.length) {
      const longer = new Int32Array(this.#pathIdOf.length * 2);
      longer.set(this.#pathIdOf);
      this.#pathIdOf = longer;
    }
    this.#pathIdOf[back.index] = pathId;
  }

  /** Takes a packet that arrived, and sends it on by the gateway's verdict. @hotpath */
  override receive(slot: number, from: Carrier): void {
    if (!this.countHop(slot)) return;
    const { view } = this.pool;
    const at = slot * SLOT_BYTES;
    const length = this.pool.lengthOf(slot);
    const nowNs = this.#queue.nowNs;
    const fromPathId = from.index < this.#pathIdOf.length ? this.#pathIdOf[from.index] : INSIDE;
    if (fromPathId !== INSIDE) {
      this.gateway.handleInbound(view, at, length, nowNs, fromPathId, 0);
      this.forward(slot);
      return;
    }
    const egress = this.#egressOf[this.gateway.handleOutbound(view, at, length, nowNs, 0)];
    if (egress < 0) this.forward(slot);
    else this.carriers[egress].offer(slot);
  }

  /** Ends the update interval when it is over, and asks to be called again. */
  handleTimeout(): void {
    const nowNs = this.#queue.nowNs;
    do this.gateway.handleTimeout(nowNs);
    while (this.gateway.pollTimeout() <= nowNs);
    this.#queue.schedule(this.gateway.pollTimeout(), EVENT_GATEWAY, this.index, 0);
  }
}
