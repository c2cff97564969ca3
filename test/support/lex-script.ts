/**
 * Random lives of connections, told to a LexHost as bytes and to a NaiveLexHost as facts: handshakes with and without
 * Fast Open, new data, losses, fast retransmissions, timeouts, gaps, keep-alives, closed windows, assignments, new
 * flowlets, restarts of the agent, reused ports. After every packet the two must agree.
 *
 * Positions in the stream are plain numbers here; on the wire they are taken modulo 2^32. A timeout comes no sooner
 * than one RTO after the last packet of either side, as when nothing arrives any more. Long because each of these events is
 * a step of one connection, with the same state before and after.
 */
import { expect } from 'vitest';
import { HINT_NEW_FLOWLET, HINT_RETRANSMISSION } from '../../lib/lex/datagram.ts';
import type { LexHostOptions } from '../../lib/lex/options.ts';
import { NaiveLexHost } from './naive-lex-host.ts';
import { ACK, FIN, OneHost, SYN } from './one-host.ts';
import type { Ends, SchemeName } from './one-host.ts';

/** One step of a script: what to do, and two numbers that say how. */
export interface ScriptStep {
  readonly op: number;
  readonly x: number;
  readonly y: number;
}

/** Number of different steps. */
export const SCRIPT_OPS = 24;
const FLOWS = 3;

interface Sender {
  readonly name: string;
  readonly srcPort: number;
  isn: number;
  una: number;
  /** One past the highest position sent. */
  highest: number;
  isOpen: boolean;
  hasFin: boolean;
  isClosedWindow: boolean;
  peerSeq: number;
}

/** Runs one script; throws where the two hosts differ. */
export class LexScript {
  /** Reasons of all packets so far, names of REASON_NAMES. */
  readonly reasons = new Set<string>();

  readonly #real: OneHost;
  #naive: NaiveLexHost;
  readonly #options: LexHostOptions & { scheme: SchemeName };
  readonly #senders: Sender[];
  #nowNs = 1e9;
  #dice: number;
  #wish = false;
  /** Payload bytes marked LEx by the naive host before its restarts. */
  #lexBytes = 0;
  #handled = { out: 0, in: 0 };

  constructor(options: LexHostOptions & { scheme: SchemeName }, ends: Ends, seed: number) {
    this.#options = options;
    this.#real = new OneHost(options, ends);
    this.#naive = this.#newNaive();
    this.#dice = seed | 0;
    this.#senders = Array.from({ length: FLOWS }, (_, i) => ({
      name: `flow ${i}`,
      srcPort: 40000 + i,
      isn: 0,
      una: 0,
      highest: 0,
      isOpen: false,
      hasFin: false,
      isClosedWindow: false,
      peerSeq: 1,
    }));
  }

  /** Does all steps and compares the sums at the end. */
  run(steps: readonly ScriptStep[]): void {
    for (const step of steps) this.#do(step);
    const { counters } = this.#real.host;
    expect(counters.lexPayloadBytes).toBe(this.#naive.lexPayloadBytes);
    expect(counters.outPackets.reduce((a, b) => a + b)).toBe(this.#handled.out);
    expect(counters.codepointPackets.reduce((a, b) => a + b)).toBe(this.#handled.out);
    expect(counters.inPackets.reduce((a, b) => a + b)).toBe(this.#handled.in);
  }

  /** Payload bytes marked LEx so far. */
  get lexBytes(): number {
    return this.#lexBytes + this.#naive.lexPayloadBytes;
  }

  #do({ op, x, y }: ScriptStep): void {
    this.#dice ^= Math.imul(x + 1, 0x9e3779b1) ^ y;
    const s = this.#senders[y % FLOWS]!;
    this.#wait(this.#below(40) / 1000);
    if (op === 20 || op === 21) return this.#datagram(op, x);
    if (!s.isOpen) return x % 4 === 0 ? this.#openMidway(s) : this.#connect(s, x);
    const outstanding = s.highest - s.una;
    switch (op) {
      case 0:
      case 1:
      case 2:
        return this.#sendNew(s, 1 + (x % 4));
      case 3:
      case 4:
      case 5:
        return this.#ack(s, s.una + this.#below(outstanding + 1));
      case 6:
        return this.#fastRetransmit(s, 1 + (x % 3));
      case 7:
        return this.#timeouts(s, 1 + (x % 4));
      case 8:
        return this.#repeatMiddle(s);
      case 9:
        return this.#wait((x % 900) / 1000);
      case 10:
        // Nothing of this host's makes the RTT look like minutes.
        if (this.#senders.some((one) => one.highest > one.una)) return this.#wait((x % 300) / 100);
        return this.#wait(1 + (x % 20) + (x % 7) * this.#rto(s));
      case 11:
        return this.#keepAlive(s, x % 2);
      case 12:
        return this.#probes(s, x);
      case 13:
        return this.#windowTakenBack(s, x);
      case 14:
        this.#wish = true;
        return this.#sendNew(s, 1);
      case 15:
        return this.#in(s, { ack: s.una, assign: 1 + (x % 6) });
      case 16:
        return this.#in(s, { ack: s.una, fne: true });
      case 17:
        return this.#in(s, { ack: s.highest + 1 + (x % 1000) });
      case 18:
        return this.#out(s, { seq: s.highest, length: 0 });
      case 19:
        if (x % 6 === 0) return this.#restart();
        return x % 6 === 1 ? this.#peerRepeats(s) : this.#in(s, { ack: s.una, length: 10 });
      case 22:
        return x % 5 === 0 ? this.#finish(s) : this.#mixed(s);
      default:
        return x % 3 === 0 ? this.#connect(s, x >> 2) : this.#in(s, { ack: s.una - 1 - (x % 9), window: 0 });
    }
  }

  #connect(s: Sender, x: number): void {
    const bases = [0, 2 ** 32 - 1, 2 ** 32 - 20, 2 ** 32 - 2, 2 ** 31 - 1, 2 ** 31 - 30, 1_000_000];
    const before = s.isn;
    // A new connection does not begin where the one before began.
    do s.isn = bases[x++ % 7]! + this.#below(30) + 2 ** 33;
    while (Math.abs((s.isn - before) | 0) < 100);
    Object.assign(s, { isOpen: true, hasFin: false, isClosedWindow: false, una: s.isn, peerSeq: 1 });
    const data = x % 3 === 0 ? 1 + this.#below(20) : 0;
    s.highest = s.isn + 1 + data;
    this.#out(s, { seq: s.isn, length: data, syn: true });
    for (let i = x % 5; i > 2; i--) {
      this.#wait(1);
      this.#out(s, { seq: s.isn, length: 0, syn: true });
    }
    this.#wait(0.001 + this.#below(x % 11 === 0 ? 3000 : 150) / 1000);
    const isRefused = data > 0 && x % 2 === 0;
    s.una = isRefused ? s.isn + 1 : s.highest;
    this.#in(s, { ack: s.una, syn: true });
    if (isRefused) this.#resendRefused(s);
    else this.#out(s, { seq: s.highest, length: 0 });
  }

  /** The refused data in pieces, in order, some of which are lost at once. */
  #resendRefused(s: Sender): void {
    const end = s.highest;
    for (let seq = s.isn + 1; seq < end;) {
      const length = Math.min(1 + this.#below(12), end - seq);
      this.#out(s, { seq, length });
      seq += length;
      if (this.#below(4) === 0) {
        this.#in(s, { ack: s.una });
        const from = s.una + this.#below(seq - s.una);
        this.#out(s, { seq: from, length: 1 + this.#below(end - from) });
        if (this.#below(2) === 0) this.#in(s, { ack: s.isn + 1, syn: true });
      }
    }
  }

  #openMidway(s: Sender): void {
    s.isn = 2 ** 33 - 40 + this.#below(80);
    Object.assign(s, {
      isOpen: true,
      hasFin: false,
      isClosedWindow: false,
      una: s.isn,
      highest: s.isn,
      peerSeq: 1,
    });
    if (this.#below(2) === 0) this.#out(s, { seq: s.isn, length: 0 });
    else this.#sendNew(s, 1);
  }

  #sendNew(s: Sender, count: number): void {
    if (s.hasFin || s.isClosedWindow) return;
    for (let i = 0; i < count; i++) {
      const length = 1 + this.#below(9);
      const seq = s.highest;
      s.highest += length;
      this.#out(s, { seq, length });
    }
  }

  #ack(s: Sender, ack: number): void {
    const dice = this.#below(10);
    this.#in(s, { ack, ...(dice === 0 ? { assign: 1 + this.#below(6) } : dice === 1 ? { fne: true } : {}) });
    s.una = ack;
    s.isClosedWindow = false;
  }

  #fastRetransmit(s: Sender, times: number): void {
    for (let i = 0; i < times && this.#isDataAt(s, s.una); i++) {
      this.#wait(this.#below(300) / 1000);
      this.#in(s, { ack: s.una });
      this.#repeatHead(s, false);
    }
  }

  #timeouts(s: Sender, times: number): void {
    let rto = this.#rto(s);
    // With a tail loss probe before, of new data or not sent here at all.
    if (this.#below(3) === 0) this.#wait(rto);
    for (let i = 0; i < times && s.highest > s.una; i++) {
      this.#wait(rto);
      rto = Math.max(rto, Math.min(2 * rto, 60));
      this.#repeatHead(s, true);
    }
  }

  #repeatHead(s: Sender, isTimeout: boolean): void {
    const isBareFin = s.hasFin && s.una === s.highest - 1;
    const length = isBareFin ? 0 : 1 + this.#below(this.#dataEnd(s) - s.una);
    this.#out(s, { seq: s.una, length, isTimeout, fin: isBareFin });
  }

  #repeatMiddle(s: Sender): void {
    const end = this.#dataEnd(s);
    if (end - s.una < 2) return;
    const seq = s.una + 1 + this.#below(end - s.una - 1);
    this.#out(s, { seq, length: 1 + this.#below(end - seq) });
  }

  #mixed(s: Sender): void {
    if (!this.#isDataAt(s, s.una) || s.hasFin || s.isClosedWindow) return;
    this.#in(s, { ack: s.una });
    const seq = s.una + this.#below(s.highest - s.una);
    const length = s.highest - seq + 1 + this.#below(5);
    s.highest = seq + length;
    this.#out(s, { seq, length });
  }

  #keepAlive(s: Sender, length: number): void {
    if (s.highest !== s.una || s.isClosedWindow) return;
    // To a host that saw nothing before, a keep-alive with a byte is data, and its repeat comes from a timer.
    const isTimeout = this.#naive.window(s.name)?.una === s.una - 1;
    this.#out(s, { seq: s.una - 1, length, isTimeout });
    if (this.#below(2) === 0) this.#in(s, { ack: s.una });
  }

  #probes(s: Sender, x: number): void {
    if (s.highest !== s.una || s.hasFin) return;
    this.#in(s, { ack: s.una, window: 0 });
    const isBsd = x % 2 === 0;
    let isAnswered = true;
    for (let i = 0; i < 1 + (x % 5); i++) {
      this.#wait(0.25 * 2 ** i + this.#rto(s));
      if (isBsd) {
        s.highest = s.una + 1;
        this.#out(s, { seq: s.una, length: 1, isTimeout: i > 0 && !isAnswered });
      } else this.#out(s, { seq: s.una - 1, length: 0 });
      isAnswered = this.#below(4) > 0;
      if (isAnswered) {
        this.#wait(0.01);
        this.#in(s, { ack: s.una, window: 0 });
      }
    }
    if (isBsd && x % 3 === 0) s.una = s.highest;
    this.#in(s, { ack: s.una, window: 100 });
  }

  #windowTakenBack(s: Sender, x: number): void {
    if (!this.#isDataAt(s, s.una)) return;
    this.#in(s, { ack: s.una, window: 0 });
    for (let i = 0; i < 1 + (x % 3); i++) {
      this.#wait(0.2 * 2 ** i);
      this.#repeatHead(s, false);
      this.#wait(0.01);
      this.#in(s, { ack: s.una, window: 0 });
    }
    this.#in(s, { ack: s.una, window: 100 });
  }

  /** What the host acknowledged with every packet comes once more, after a timeout. */
  #peerRepeats(s: Sender): void {
    this.#wait(this.#rto(s));
    this.#in(s, { ack: s.una, length: 10, isPeerRepeat: true });
    if (this.#below(3) > 0) this.#out(s, { seq: s.highest, length: 0 });
  }

  #finish(s: Sender): void {
    if (s.hasFin) return;
    s.hasFin = true;
    const length = this.#below(2) * 5;
    const seq = s.highest;
    s.highest += length + 1;
    this.#out(s, { seq, length, fin: true });
  }

  #datagram(op: number, x: number): void {
    if (op === 20) {
      const [wantsFlowlet, isRepeat] = [x % 5 === 0, x % 3 === 0];
      const hints = (wantsFlowlet ? HINT_NEW_FLOWLET : 0) | (isRepeat ? HINT_RETRANSMISSION : 0);
      const mark = this.#real.sendUdp(this.#nowNs / 1e9, {}, hints);
      this.#handled.out++;
      this.reasons.add(this.#real.reason);
      const expected = this.#naive.send(
        { flow: 'udp', kind: 'udp', seq: 0, length: 20, wantsFlowlet, isRepeat },
        this.#nowNs,
      );
      expect(mark).toBe(expected);
      return;
    }
    const assigned = x % 4 === 0 ? 1 + (x % 6) : 0;
    const isFne = x % 4 === 1;
    this.#real.receiveUdp(this.#nowNs / 1e9, assigned ? { assign: assigned } : { fne: isFne });
    this.#handled.in++;
    const taken = this.#naive.receive(
      { flow: 'udp', kind: 'udp', ack: 0, isWindowZero: false, isFne, assigned },
      this.#nowNs,
    );
    expect(this.#real.taken).toBe(taken);
  }

  #restart(): void {
    expect(this.#real.host.counters.lexPayloadBytes).toBe(this.#naive.lexPayloadBytes);
    this.#lexBytes += this.#naive.lexPayloadBytes;
    this.#real.restart();
    this.#naive = this.#newNaive();
    this.#handled = { out: 0, in: 0 };
  }

  #newNaive(): NaiveLexHost {
    const { scheme, flowletGapNs = 1e9, fneAfterTimeouts = 2, keepPathWithoutAnswer = true } = this.#options;
    return new NaiveLexHost({ scheme, flowletGapNs, fneAfterTimeouts, keepPathWithoutAnswer });
  }

  #out(
    s: Sender,
    segment: { seq: number; length: number; syn?: boolean; fin?: boolean; isTimeout?: boolean },
  ): void {
    const { seq, length } = segment;
    const wantsFlowlet = this.#wish;
    this.#wish = false;
    const tcpFlags = (segment.syn === true ? SYN : ACK) | (segment.fin === true ? FIN : 0);
    this.#real.isn = 0;
    this.#real.ports = { srcPort: s.srcPort, dstPort: 80 };
    const hints = wantsFlowlet ? HINT_NEW_FLOWLET : 0;
    const mark = this.#real.send(this.#nowNs / 1e9, wrapped(seq), length, { tcpFlags }, hints);
    this.#handled.out++;
    this.reasons.add(this.#real.reason);
    const expected = this.#naive.send({ flow: s.name, kind: 'tcp', wantsFlowlet, ...segment }, this.#nowNs);
    expect(`${this.#about(s, segment)} ${mark}`).toBe(`${this.#about(s, segment)} ${expected}`);
    this.#follow(s);
  }

  #in(
    s: Sender,
    more: {
      ack: number;
      window?: number;
      syn?: boolean;
      length?: number;
      fne?: boolean;
      assign?: number;
      isPeerRepeat?: boolean;
    },
  ): void {
    this.#wait(this.#below(20) / 1000);
    const { ack, window = 1000, syn = false, length = 0, fne = false, assign, isPeerRepeat = false } = more;
    this.#real.isn = 0;
    this.#real.ports = { srcPort: s.srcPort, dstPort: 80 };
    this.#real.ack(this.#nowNs / 1e9, wrapped(ack), {
      window,
      length,
      fne,
      flags: syn ? SYN | ACK : ACK,
      seq: syn ? 0 : isPeerRepeat ? 1 - length : s.peerSeq,
      ...(assign === undefined ? {} : { assign }),
    });
    if (!isPeerRepeat) s.peerSeq += length;
    this.#handled.in++;
    const taken = this.#naive.receive(
      {
        flow: s.name,
        kind: 'tcp',
        ack,
        syn,
        isWindowZero: window === 0,
        isFne: fne,
        assigned: assign ?? 0,
        isPeerRepeat,
        length,
      },
      this.#nowNs,
    );
    expect(this.#real.taken).toBe(taken);
    this.#follow(s);
  }

  /**
   * A host that came to the flow in its middle may take more for acknowledged than was; the sender agrees with it,
   * so that both mean the same by the head of the window.
   */
  #follow(s: Sender): void {
    const window = this.#naive.window(s.name);
    if (window === undefined) return;
    s.una = Math.max(s.una, window.una);
    s.highest = Math.max(s.highest, window.highest);
  }

  /** End of the data that went out, without the FIN. */
  #dataEnd(s: Sender): number {
    return s.hasFin ? s.highest - 1 : s.highest;
  }

  #isDataAt(s: Sender, position: number): boolean {
    return position < this.#dataEnd(s);
  }

  #about(s: Sender, segment: object): string {
    return `${s.name} at ${this.#nowNs / 1e9} s, una ${s.una}, highest ${s.highest}: ${JSON.stringify(segment)} is`;
  }

  #rto(s: Sender): number {
    return Math.max((this.#naive.rtoNs(s.name) ?? 1e9) / 1e9, 0.3);
  }

  /** Odd microseconds keep times off the thresholds. */
  #wait(seconds: number): void {
    this.#nowNs += Math.round(seconds * 1e6) * 1000 + (1 + this.#below(997)) * 1000;
  }

  /** A whole number from 0 to below `limit`. */
  #below(limit: number): number {
    this.#dice = (Math.imul(this.#dice, 1664525) + 1013904223) | 0;
    return limit <= 0 ? 0 : (this.#dice >>> 8) % limit;
  }
}

function wrapped(position: number): number {
  return position % 2 ** 32;
}
