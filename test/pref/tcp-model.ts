/**
 * A fast model of TCP senders inside a domain, behind a gateway: enough of TCP to drive what infers failures from
 * marks. Virtual time in steps of 1 ms; a packet is a template whose ports, numbers and DSCP are rewritten.
 *
 *      flows --> PrefGateway.handleOutbound --> route: [dead?] [loss] [queue] --> receiver
 *      flows <-- PrefGateway.handleInbound  <----------- [dead back?] [loss] <-- acknowledgment
 *
 * Modelled: slow start and AIMD, SACK with a threshold of 3, RACK for lost retransmissions and tail loss probes
 * (both optional), the RTO as in Linux with doubling, acknowledgments of every segment, duplicate ones among them;
 * marks by the host's rules: SYN, second successive timeout and answer to an assignment are FNE, other
 * retransmissions LEx. Not modelled: receive windows, delayed acknowledgments, reordering. Long because a sender is one
 * state machine.
 */

import type { PrefGateway } from '../../lib/pref/gateway.ts';
import { pool2 } from '../../lib/wire/marking/pool2.ts';
import { buildTcp, viewOf } from '../support/packets.ts';
import { FNE, LECT, LEX, MS, SYN, SYN_ACK, lectOn, lexOn } from './gateway-fixture.ts';

/** Loss of a route, as in lib/sim/link.ts. */
export interface ModelLoss {
  readonly goodToBad: number;
  readonly badToGood: number;
  readonly lossInGood: number;
  readonly lossInBad: number;
}

/** One route, both directions. */
export interface ModelRoute {
  readonly pathId: number;
  readonly rttMs: number;
  /** Default none. */
  readonly loss?: ModelLoss;
  /** The same on the way back; default none. */
  readonly lossBack?: number;
  /** Segments a second; default Infinity. */
  readonly rate?: number;
  /** Segments that wait at most; default 1e9. */
  readonly queue?: number;
}

/** How senders behave. */
export interface ModelOptions {
  readonly seed?: number;
  /** RACK and tail loss probes; default true. */
  readonly isModern?: boolean;
  /** Successive timeouts after which the path is given up; default 2. */
  readonly fneAfterTimeouts?: number;
  /** Window at most, segments; default 64. */
  readonly maxWindow?: number;
}

const RING = 128;
const HORIZON_MS = 8192;
const IDLE = 0;
const IN_FLIGHT = 1;
const SACKED = 2;
const LOST = 3;

/** Independent losses with this probability. */
export function randomLoss(probability: number): ModelLoss {
  return { goodToBad: 0, badToGood: 1, lossInGood: probability, lossInBad: 0 };
}

/** Bursts of `length` packets on average in which all are lost; `probability` over all. */
export function burstLoss(probability: number, length: number): ModelLoss {
  const badToGood = 1 / length;
  return {
    goodToBad: (probability * badToGood) / (1 - probability),
    badToGood,
    lossInGood: 0,
    lossInBad: 1,
  };
}

/** One sender. */
export class ModelFlow {
  pathId = 0;
  /** Times of silence between answers of more than 200 ms, ms, while it had data outstanding. */
  readonly stalls: number[] = [];
  lastRoute = 0;
  startedAtMs = 0;
  establishedAtMs = -1;
  isDone = false;
  una = 0;
  next = 0;
  cwnd = 10;
  ssthresh = 1e9;
  pipe = 0;
  srtt = 0;
  rttvar = 0;
  backoff = 1;
  timeouts = 0;
  recoverUntil = -1;
  highestSacked = -1;
  rtoAtMs = Infinity;
  tlpAtMs = Infinity;
  lastProgressMs = 0;
  fneDue = false;
  lastFneMs = -1e9;
  lastSackedSentMs = 0;
  readonly status = new Uint8Array(RING);
  readonly sentAtMs = new Float64Array(RING);
  readonly wasResent = new Uint8Array(RING);
  // Receiver.
  readonly has = new Uint8Array(RING);
  expected = 0;

  readonly port: number;
  readonly segments: number;

  constructor(port: number, segments: number) {
    this.port = port;
    this.segments = segments;
  }

  rtoMs(): number {
    return this.srtt === 0 ? 1000 : this.srtt + Math.max(200, 4 * this.rttvar);
  }
}

interface Answer {
  readonly flow: ModelFlow;
  readonly cumulative: number;
  readonly segment: number;
  readonly sentAtMs: number;
  readonly wasResent: boolean;
}

/** Routes by path ID, senders, time. */
export class TcpModel {
  nowMs = 0;
  /** Path IDs of routes whose way out loses everything, and whose way back does. */
  readonly deadOut = new Set<number>();
  readonly deadBack = new Set<number>();
  /** Whether packets are lost by chance. */
  isLossy = true;
  readonly flows: ModelFlow[] = [];
  packets = 0;
  lost = 0;
  private readonly gateway: PrefGateway;
  private readonly routes = new Map<number, ModelRoute>();
  private readonly isBad = new Set<number>();
  private readonly busyUntilMs = new Map<number, number>();
  /** Answers on their way: a list for each ms of the next 8 s, so that no heap is needed. */
  private readonly answers = Array.from({ length: HORIZON_MS }, (): Answer[] => []);
  private readonly out = viewOf(buildTcp({ src: '10.0.0.1', dst: '198.51.100.7', payloadLength: 1 }));
  private readonly back = viewOf(buildTcp({ src: '198.51.100.7', dst: '10.0.0.1' }));
  private readonly options: Required<ModelOptions>;
  private random: number;

  constructor(gateway: PrefGateway, routes: readonly ModelRoute[], options: ModelOptions = {}) {
    this.gateway = gateway;
    this.options = { seed: 1, isModern: true, fneAfterTimeouts: 2, maxWindow: 64, ...options };
    this.random = this.options.seed;
    for (const route of routes) this.routes.set(route.pathId, route);
  }

  /** Opens a connection that sends so many segments. */
  open(port: number, segments = Infinity): ModelFlow {
    const flow = new ModelFlow(port, segments);
    flow.startedAtMs = this.nowMs;
    flow.lastProgressMs = this.nowMs;
    this.flows.push(flow);
    this.sendSyn(flow);
    return flow;
  }

  /** Lets time go on. `each` is called every ms. */
  run(untilMs: number, each?: (nowMs: number) => void): void {
    while (this.nowMs < untilMs) {
      this.nowMs++;
      if (this.gateway.pollTimeout() <= this.nowMs * MS) this.gateway.handleTimeout(this.nowMs * MS);
      const arriving = this.answers[this.nowMs % HORIZON_MS];
      for (const answer of arriving) this.receive(answer);
      arriving.length = 0;
      for (let i = 0; i < this.flows.length; i++) {
        const flow = this.flows[i];
        if (flow.isDone) {
          this.flows[i] = this.flows[this.flows.length - 1];
          this.flows.pop();
          i--;
        } else if (this.nowMs >= flow.rtoAtMs) this.timeOut(flow);
        else if (this.nowMs >= flow.tlpAtMs) this.probeTail(flow);
      }
      each?.(this.nowMs);
    }
  }

  /** A number in [0, 1): mulberry32. */
  draw(): number {
    this.random = (this.random + 0x6d2b79f5) | 0;
    let t = Math.imul(this.random ^ (this.random >>> 15), 1 | this.random);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  private sendSyn(flow: ModelFlow): void {
    this.transmit(flow, -1, FNE, SYN);
    flow.rtoAtMs = this.nowMs + 1000 * flow.backoff;
  }

  private send(flow: ModelFlow, segment: number, isFirst: boolean): void {
    const i = segment & (RING - 1);
    const givesUp = !isFirst && segment === flow.una && flow.timeouts >= this.options.fneAfterTimeouts;
    let dscp: number;
    if (givesUp) {
      flow.pathId = 0;
      dscp = FNE;
    } else if (flow.fneDue) dscp = FNE;
    else if (isFirst) dscp = flow.pathId === 0 ? LECT : lectOn(flow.pathId);
    else dscp = flow.pathId === 0 ? LEX : lexOn(flow.pathId);
    if (dscp === FNE) {
      flow.fneDue = false;
      flow.lastFneMs = this.nowMs;
    }
    flow.status[i] = IN_FLIGHT;
    flow.sentAtMs[i] = this.nowMs;
    flow.wasResent[i] = isFirst ? 0 : 1;
    flow.pipe++;
    this.transmit(flow, segment, dscp, 16);
  }

  private transmit(flow: ModelFlow, segment: number, dscp: number, tcpFlags: number): void {
    const { gateway, out } = this;
    out.setUint8(1, dscp << 2);
    out.setUint16(20, flow.port);
    out.setUint16(22, 443);
    out.setInt32(24, (segment + 1) * 1000);
    out.setUint8(33, tcpFlags);
    const pathId = gateway.handleOutbound(out, 0, out.byteLength, this.nowMs * MS, 0);
    flow.lastRoute = pathId;
    this.packets++;
    const route = this.routes.get(pathId);
    if (route === undefined)
      throw new Error(`the gateway chose path ${pathId}, which the model does not have`);
    if (this.isLost(route)) {
      this.lost++;
      return;
    }
    let waitMs = 0;
    if (route.rate !== undefined) {
      const msEach = 1000 / route.rate;
      const busyUntil = Math.max(this.busyUntilMs.get(pathId) ?? 0, this.nowMs);
      if ((busyUntil - this.nowMs) / msEach > (route.queue ?? 1e9)) {
        this.lost++;
        return;
      }
      this.busyUntilMs.set(pathId, busyUntil + msEach);
      waitMs = busyUntil + msEach - this.nowMs;
    }
    // The receiver, as of now: order on a route is kept, and only what it says later matters.
    if (segment >= 0 && segment >= flow.expected) {
      flow.has[segment & (RING - 1)] = 1;
      while (flow.has[flow.expected & (RING - 1)] === 1) {
        flow.has[flow.expected & (RING - 1)] = 0;
        flow.expected++;
      }
    }
    if (this.deadBack.has(pathId) || (route.lossBack !== undefined && this.draw() < route.lossBack)) return;
    const atMs = this.nowMs + Math.max(1, Math.round(route.rttMs + waitMs));
    const i = segment & (RING - 1);
    this.answers[atMs % HORIZON_MS].push({
      flow,
      cumulative: flow.expected,
      segment,
      sentAtMs: this.nowMs,
      wasResent: segment >= 0 && flow.wasResent[i] === 1,
    });
  }

  private isLost(route: ModelRoute): boolean {
    if (this.deadOut.has(route.pathId)) return true;
    if (route.loss === undefined || !this.isLossy) return false;
    const { goodToBad, badToGood, lossInGood, lossInBad } = route.loss;
    const wasBad = this.isBad.has(route.pathId);
    const isBad = wasBad ? this.draw() >= badToGood : this.draw() < goodToBad;
    if (isBad !== wasBad) {
      if (isBad) this.isBad.add(route.pathId);
      else this.isBad.delete(route.pathId);
    }
    return this.draw() < (isBad ? lossInBad : lossInGood);
  }

  private receive({ flow, cumulative, segment, sentAtMs, wasResent }: Answer): void {
    if (flow.isDone) return;
    const { back, gateway } = this;
    back.setUint8(1, 0);
    back.setUint16(20, 443);
    back.setUint16(22, flow.port);
    back.setInt32(28, (cumulative + 1) * 1000);
    back.setUint8(33, segment < 0 ? SYN_ACK : 16);
    gateway.handleInbound(back, 0, back.byteLength, this.nowMs * MS, 0, 0);
    const mark = pool2.decodeTable[back.getUint8(1) >>> 2];
    if (mark >>> 2 !== 0) {
      flow.pathId = mark >>> 2;
      if (this.nowMs - flow.lastFneMs > (flow.srtt === 0 ? 3000 : 1000)) flow.fneDue = true;
    }
    if (flow.establishedAtMs < 0) flow.establishedAtMs = this.nowMs;
    const silence = this.nowMs - flow.lastProgressMs;
    if (silence > 200 + flow.srtt / 2 && flow.establishedAtMs !== this.nowMs) flow.stalls.push(silence);
    flow.lastProgressMs = this.nowMs;
    if (!wasResent) this.measure(flow, this.nowMs - sentAtMs);
    if (segment < 0) {
      flow.backoff = 1;
      flow.timeouts = 0;
      this.fill(flow);
      return;
    }
    this.acknowledge(flow, cumulative, segment, sentAtMs);
  }

  private measure(flow: ModelFlow, rttMs: number): void {
    if (flow.srtt === 0) {
      flow.srtt = rttMs;
      flow.rttvar = rttMs / 2;
    } else {
      flow.rttvar += (Math.abs(flow.srtt - rttMs) - flow.rttvar) / 4;
      flow.srtt += (rttMs - flow.srtt) / 8;
    }
  }

  private acknowledge(flow: ModelFlow, cumulative: number, segment: number, sentAtMs: number): void {
    const { status } = flow;
    const before = flow.una;
    const isInRecovery = flow.una < flow.recoverUntil;
    if (segment >= flow.una && status[segment & (RING - 1)] !== SACKED) {
      if (status[segment & (RING - 1)] === IN_FLIGHT) flow.pipe--;
      status[segment & (RING - 1)] = SACKED;
      flow.highestSacked = Math.max(flow.highestSacked, segment);
    }
    flow.lastSackedSentMs = Math.max(flow.lastSackedSentMs, sentAtMs);
    while (flow.una < cumulative) {
      if (status[flow.una & (RING - 1)] === IN_FLIGHT) flow.pipe--;
      status[flow.una & (RING - 1)] = IDLE;
      flow.una++;
    }
    if (flow.una > before) {
      flow.backoff = 1;
      flow.timeouts = 0;
      if (!isInRecovery) {
        const acked = flow.una - before;
        flow.cwnd += flow.cwnd < flow.ssthresh ? acked : acked / flow.cwnd;
        flow.cwnd = Math.min(flow.cwnd, this.options.maxWindow);
      }
      flow.rtoAtMs = this.nowMs + flow.rtoMs();
      this.armTail(flow);
    }
    this.markLost(flow);
    if (flow.una >= flow.segments) flow.isDone = true;
    else this.fill(flow);
  }

  private markLost(flow: ModelFlow): void {
    const { isModern } = this.options;
    let hasLoss = false;
    for (let s = flow.una; s < flow.next; s++) {
      const i = s & (RING - 1);
      if (flow.status[i] !== IN_FLIGHT) continue;
      const isBehind = s + 3 <= flow.highestSacked && flow.wasResent[i] === 0;
      const isOvertaken =
        isModern &&
        flow.highestSacked >= flow.una &&
        flow.sentAtMs[i] + Math.max(1, flow.srtt / 4) < flow.lastSackedSentMs;
      if (!isBehind && !isOvertaken) continue;
      flow.status[i] = LOST;
      flow.pipe--;
      hasLoss = true;
    }
    if (hasLoss && flow.una >= flow.recoverUntil) {
      flow.ssthresh = Math.max(2, flow.cwnd / 2);
      flow.cwnd = flow.ssthresh;
      flow.recoverUntil = flow.next;
    }
  }

  private fill(flow: ModelFlow): void {
    for (let s = flow.una; s < flow.next && flow.pipe < flow.cwnd; s++) {
      if (flow.status[s & (RING - 1)] === LOST) this.send(flow, s, false);
    }
    while (flow.pipe < flow.cwnd && flow.next < flow.segments && flow.next - flow.una < RING - 8) {
      if (flow.next === flow.una) flow.rtoAtMs = this.nowMs + flow.rtoMs();
      this.send(flow, flow.next++, true);
      this.armTail(flow);
    }
    if (flow.rtoAtMs === Infinity) flow.rtoAtMs = this.nowMs + flow.rtoMs();
  }

  private armTail(flow: ModelFlow): void {
    const { isModern } = this.options;
    if (!isModern || flow.una < flow.recoverUntil || flow.timeouts > 0) flow.tlpAtMs = Infinity;
    else flow.tlpAtMs = this.nowMs + 2 * flow.srtt + (flow.next - flow.una === 1 ? 200 : 2);
    if (flow.tlpAtMs >= flow.rtoAtMs) flow.tlpAtMs = Infinity;
  }

  private probeTail(flow: ModelFlow): void {
    flow.tlpAtMs = Infinity;
    if (flow.next === flow.una) return;
    if (flow.next < flow.segments && flow.next - flow.una < RING - 8) this.send(flow, flow.next++, true);
    else {
      const last = (flow.next - 1) & (RING - 1);
      if (flow.status[last] === SACKED) return;
      if (flow.status[last] === IN_FLIGHT) flow.pipe--;
      this.send(flow, flow.next - 1, false);
    }
    // The RTO counts from when the head was sent.
    const headMs = flow.sentAtMs[flow.una & (RING - 1)];
    flow.rtoAtMs = Math.max(this.nowMs + 1, headMs + flow.rtoMs());
  }

  private timeOut(flow: ModelFlow): void {
    flow.tlpAtMs = Infinity;
    flow.timeouts++;
    flow.backoff *= 2;
    if (flow.establishedAtMs < 0) {
      this.sendSyn(flow);
      return;
    }
    if (flow.next === flow.una) {
      flow.rtoAtMs = Infinity;
      return;
    }
    for (let s = flow.una; s < flow.next; s++) {
      const i = s & (RING - 1);
      if (flow.status[i] === IN_FLIGHT) flow.pipe--;
      if (flow.status[i] !== SACKED) flow.status[i] = LOST;
    }
    flow.ssthresh = Math.max(2, flow.cwnd / 2);
    flow.cwnd = 1;
    flow.recoverUntil = flow.next;
    this.send(flow, flow.una, false);
    flow.rtoAtMs = this.nowMs + flow.rtoMs() * flow.backoff;
  }
}
