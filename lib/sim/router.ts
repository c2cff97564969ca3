/** A plain router: longest prefix match, one hop off the time to live. */
import type { Carrier } from './carrier.ts';
import { NetworkNode } from './node.ts';

/** A router that knows nothing of PREFLEX. */
export class Router extends NetworkNode {
  /** @hotpath */
  override receive(slot: number, _from: Carrier): void {
    if (this.countHop(slot)) this.forward(slot);
  }
}
