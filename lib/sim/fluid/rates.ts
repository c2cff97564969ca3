/**
 * One step of all classes: what their windows send, how much of it the links let through, and the windows of the next
 * step.
 *
 *      windows --> arrivals at links --> links.decide: drops, prices --> bytes that get through --> links.settle: queues
 *                                                                    --> windows and round trips of the next step
 */
import type { Classes } from './loads.ts';
import { INITIAL_WINDOW, LEAST_LOSS, meanWindow, PACKET_BYTES, SEGMENT_BYTES } from './tcp-model.ts';

/**
 * Packets that a flow in slow start loses before its window stops growing: the first one is known of a round trip later,
 * and until then the window doubles. Calibrated against the packet simulator.
 */
const SLOW_START_LOSSES = 3;
/**
 * Windows below this many segments grow by one segment a round trip (Reno), larger ones by this part of themselves, as
 * CUBIC's do.
 */
const LINEAR_BELOW = 20;

/** Rates of the classes, which are in their arrays. */
export class Rates {
  /** Bytes of IP packets sent. */
  sentBytes = 0;
  /** Bytes of those that got through all links, into the last queue at least. */
  deliveredBytes = 0;
  readonly #classes: Classes;
  readonly #stepS: number;
  readonly #isCubic: boolean;

  constructor(classes: Classes, stepS: number, isCubic: boolean) {
    this.#classes = classes;
    this.#stepS = stepS;
    this.#isCubic = isCubic;
  }

  /** One step. Afterwards `served` and `steadyServed` say what flows got, `window` and `rttS` are the next step's. */
  step(): void {
    const { links } = this.#classes;
    this.#arrive();
    links.decide(this.#stepS);
    this.#deliver();
    links.settle(this.#stepS);
  }

  /** Offers to the links what the windows send, less what links before them dropped last. @hotpath */
  #arrive(): void {
    const { count, flows, linkList, linkStart, links, rttS, slowWindows, steady, window } = this.#classes;
    const { arriving, dropRatio } = links;
    const scale = PACKET_BYTES * this.#stepS;
    for (let k = 0; k < count; k++) {
      if (flows[k] === 0) continue;
      let bytes = ((steady[k] * window[k] + slowWindows[k]) * scale) / rttS[k];
      for (let at = linkStart[k]; at < linkStart[k + 1]; at++) {
        const l = linkList[at];
        arriving[l] += bytes;
        bytes *= 1 - dropRatio[l];
      }
    }
  }

  /** Takes the bytes of this step through the links, and finds the windows of the next one. @hotpath */
  #deliver(): void {
    const classes = this.#classes;
    const {
      baseRttS,
      flows,
      growth,
      linkList,
      linkStart,
      links,
      rttS,
      served,
      steady,
      steadyServed,
      window,
    } = classes;
    const { arrived, bytesPerS, delayS, dropRatio, limitBytes } = links;
    const stepS = this.#stepS;
    let sent = 0;
    let delivered = 0;
    for (let k = 0; k < classes.count; k++) {
      if (flows[k] === 0) continue;
      const packetsAWindow = stepS / rttS[k];
      const bytes = (steady[k] * window[k] + classes.slowWindows[k]) * packetsAWindow * PACKET_BYTES;
      let kept = 1;
      let loss = 0;
      let rtt = baseRttS[k];
      let pipe = Infinity;
      for (let at = linkStart[k]; at < linkStart[k + 1]; at++) {
        const l = linkList[at];
        arrived[l] += bytes * kept;
        kept *= 1 - dropRatio[l];
        loss += links.lossOf(l);
        rtt += delayS[l];
        const held = (bytesPerS[l] * baseRttS[k] + limitBytes[l]) / PACKET_BYTES;
        if (held < pipe) pipe = held;
      }
      const lost = bytes * (1 - kept);
      classes.bytes[k] += bytes;
      classes.lostBytes[k] += lost;
      classes.totalBytes[k] += bytes;
      classes.totalLostBytes[k] += lost;
      sent += bytes;
      delivered += bytes * kept;
      served[k] = packetsAWindow * SEGMENT_BYTES * kept;
      steadyServed[k] = window[k] * served[k];
      if (flows[k] > steady[k]) growth[k] = 2 ** (stepS / rtt);
      const unhurt = kept < 1 ? SLOW_START_LOSSES / ((1 - kept) * packetsAWindow) : Infinity;
      this.#nextWindow(k, loss, rtt, pipe, unhurt);
    }
    this.sentBytes += sent;
    this.deliveredBytes += delivered;
  }

  /**
   * The windows of a class in the next step. No window grows beyond what the links on its way can hold, nor faster than
   * TCP's does.
   */
  #nextWindow(k: number, loss: number, rtt: number, pipe: number, unhurt: number): void {
    const { rttS, slowLimit, steady, window } = this.#classes;
    const p = loss > LEAST_LOSS ? loss : LEAST_LOSS;
    const lucky = INITIAL_WINDOW + SLOW_START_LOSSES / p;
    const slowEnd = Math.max(INITIAL_WINDOW, Math.min(lucky, pipe, unhurt));
    let next = meanWindow(p, rtt, this.#isCubic);
    if (next > pipe) next = pipe;
    // The first flow past slow start has the window with which it came out.
    let most = slowEnd;
    if (steady[k] > 0) {
      const before = window[k];
      most = before + ((before < LINEAR_BELOW ? 1 : before / LINEAR_BELOW) * this.#stepS) / rtt;
    }
    if (next > most) next = most;
    window[k] = next;
    rttS[k] = rtt;
    slowLimit[k] = next > slowEnd ? next : slowEnd;
  }
}
