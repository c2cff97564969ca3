/** How the gateways' ratios converge: what changed at their updates, and how unequal the routes' losses were. */
import type { Classes } from './loads.ts';

/** The updates that fell into one interval of time, all gateways together. */
export interface FluidInterval {
  /** End of the interval, s. */
  readonly t: number;
  /** Destinations that had traffic, each counted at each update. */
  readonly destinations: number;
  /** Mean part of a destination's flowlet ratios that moved: half the sum of the changes, 0..1. */
  readonly ratioChange: number;
  /** Lost bytes of sent ones, 0..1. */
  readonly lossRatio: number;
  /**
   * Mean deviation of the loss ratios of a destination's routes from their common one, as a part of it, weighted with
   * bytes: 0 when all routes lose alike.
   */
  readonly lossSpread: number;
}

interface Sums {
  destinations: number;
  change: number;
  bytes: number;
  lost: number;
  spread: number;
}

/** Collects at each update of a gateway. */
export class UpdateLog {
  readonly #classes: Classes;
  readonly #sums: Sums[] = [];
  readonly #intervalS: number;
  #nowS = 0;

  constructor(classes: Classes) {
    this.#classes = classes;
    this.#intervalS = Math.max(...classes.gateways.map(({ updateIntervalS }) => updateIntervalS), 1e-3);
  }

  /** All intervals so far. */
  get intervals(): FluidInterval[] {
    return this.#sums.map(({ destinations, change, bytes, lost, spread }, i) => ({
      t: (i + 1) * this.#intervalS,
      destinations,
      ratioChange: destinations > 0 ? change / destinations : 0,
      lossRatio: bytes > 0 ? lost / bytes : 0,
      lossSpread: bytes > 0 ? spread / bytes : 0,
    }));
  }

  /** Before the update of gateway g. */
  begin(g: number, nowS: number): void {
    this.#nowS = nowS;
    const classes = this.#classes;
    const sums = this.#sumsOf();
    this.#forEachLoad(g, (first, end) => {
      let bytes = 0;
      let lost = 0;
      for (let k = first; k < end; k++) {
        bytes += classes.bytes[k];
        lost += classes.lostBytes[k];
      }
      sums.bytes += bytes;
      sums.lost += lost;
      if (lost === 0) return;
      let variance = 0;
      for (let k = first; k < end; k++) {
        if (classes.bytes[k] === 0) continue;
        const deviation = classes.lostBytes[k] / classes.bytes[k] - lost / bytes;
        variance += (classes.bytes[k] / bytes) * deviation * deviation;
      }
      sums.spread += (bytes * Math.sqrt(variance) * bytes) / lost;
    });
  }

  /** After it: notes the new ratios and begins the next interval of its classes. */
  end(g: number): void {
    const classes = this.#classes;
    const sums = this.#sumsOf();
    this.#forEachLoad(g, (first, end) => {
      let bytes = 0;
      let change = 0;
      for (let k = first; k < end; k++) {
        const ratio = classes.ratioOf(k);
        change += Math.abs(ratio - classes.ratio[k]) / 2;
        classes.ratio[k] = ratio;
        bytes += classes.bytes[k];
        classes.bytes[k] = 0;
        classes.lostBytes[k] = 0;
      }
      if (bytes === 0) return;
      sums.destinations++;
      sums.change += change;
    });
  }

  /** Classes of one load follow each other. */
  #forEachLoad(g: number, visit: (first: number, end: number) => void): void {
    const { loadOf, ofGateway } = this.#classes;
    const list = ofGateway[g];
    for (let at = 0; at < list.length;) {
      const first = list[at];
      const load = loadOf[first];
      while (at < list.length && loadOf[list[at]] === load) at++;
      visit(first, list[at - 1] + 1);
    }
  }

  #sumsOf(): Sums {
    const index = Math.max(0, Math.ceil(this.#nowS / this.#intervalS - 1e-6) - 1);
    while (this.#sums.length <= index) {
      this.#sums.push({ destinations: 0, change: 0, bytes: 0, lost: 0, spread: 0 });
    }
    return this.#sums[index];
  }
}
