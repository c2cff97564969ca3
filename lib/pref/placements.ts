/**
 * Which route with NAT a flow began on. A far end knows such a flow by the translated address, so the flow cannot go on
 * over another route, and no flow that began elsewhere can come to it.
 *
 * Path IDs in the packets tell where a flow is; this memory is for the packets without one: FNE packets in the middle of
 * a flow (with the scheme pool2 they have no room for a path ID), what follows them until the answer, and unmarked
 * traffic. It exists only in a gateway with such a route. It is bounded (65,536 flows, 1 MiB) and lossy: what was not
 * used for longest gives way, and every packet with a path ID brings its flow back. A flow that was forgotten may be
 * moved, and breaks then.
 *
 * Beside flows on routes with NAT it has datagram flows and unmarked ones on other routes: nothing else tells whether a
 * datagram is the first of its flow, or where an unmarked flow was before a route came or went.
 */

import { FneMemory } from './fne-memory.ts';

const ENTRIES = 65_536;
/** As long as a translator keeps an idle connection at least. @see RFC 5382 section 5, REQ-5 */
const LIFETIME_NS = 7440e9;
/** The memory's states mean nothing here; 0 would be "empty". */
const PLACED = 1;
const NO_ROUTE = -1;

/** Flows and the routes they began on. */
export class Placements {
  /** The slots with NAT. */
  readonly mask: number;
  private readonly memory = new FneMemory(ENTRIES, LIFETIME_NS);

  /** @param mask - slots with NAT, at least one */
  constructor(mask: number) {
    this.mask = mask;
  }

  /** Whether a route has NAT. @hotpath */
  has(slot: number): boolean {
    return ((this.mask >>> slot) & 1) === 1;
  }

  /** The slot on which a flow began, -1 when it is not known. @hotpath */
  slotOf(h1: number, h2: number, nowNs: number): number {
    const entry = this.memory.find(h1, h2, nowNs);
    return entry < 0 ? NO_ROUTE : this.memory.slotOf(entry);
  }

  /** A flow is on this route. @hotpath */
  put(h1: number, h2: number, slot: number, nowNs: number): void {
    this.memory.put(h1, h2, PLACED, slot, 0, nowNs);
  }

  /** Another flow with the same addresses and ports has begun elsewhere. @hotpath */
  remove(h1: number, h2: number, nowNs: number): void {
    const entry = this.memory.find(h1, h2, nowNs);
    if (entry >= 0) this.memory.remove(entry);
  }
}
